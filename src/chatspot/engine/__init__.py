"""Engines: what computes the answer to a conversation (``TorchEngine`` is in ``chatspot.engine.torch_engine``)."""

from chatspot.engine.interface import Engine, Reply, Request

__all__ = ["Engine", "Reply", "Request"]
