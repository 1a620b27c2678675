"""Engines: what computes the answer to a conversation (``TorchEngine`` is in ``chatspot.engine.torch_engine``)."""

from chatspot.engine.interface import Batch, Engine, Growing, Prepared, Reply, Request

__all__ = ["Batch", "Engine", "Growing", "Prepared", "Reply", "Request"]
