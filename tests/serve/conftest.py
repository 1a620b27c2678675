"""A small engine whose answers depend on what it sees, and a server over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from chatspot.engine.torch_engine import TorchEngine
from chatspot.model.checkpoint import load_checkpoint
from chatspot.serve.server import allowed_hosts
from lively_model import save_lively_nano
from running_server import Running, serving
from small_pictures import corner, quarters


@pytest.fixture(scope="session")
def lively(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of nano's kind."""
    return save_lively_nano(tiny_nano, tmp_path_factory.mktemp("served") / "lively-nano")


@pytest.fixture(scope="session")
def engine(lively: Path) -> TorchEngine:
    """An engine that never ends an answer by itself, so that its length is known."""
    opened = TorchEngine(load_checkpoint(lively), device="cpu", dtype="float32")
    opened.end_ids = frozenset()
    return opened


@pytest.fixture(scope="module")
def running(engine: TorchEngine) -> Iterator[Running]:
    """A server with small limits on what it takes."""
    small = {"body_bytes": 400_000, "pixels": 100_000, "pictures": 2, "regions": 4, "tokens": 24, "default_tokens": 12}
    with serving(lambda: engine, hosts=allowed_hosts("127.0.0.1", None), **small) as found:
        yield found


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    return quarters()


@pytest.fixture(scope="session")
def other_photo() -> Image.Image:
    return corner()
