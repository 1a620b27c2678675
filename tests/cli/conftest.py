"""Photos and masks in files, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from chatspot.cli.main import app
from lively_model import save_lively_nano

SIZE = (120, 80)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of 120 x 80 pixels."""
    picture = Image.new("RGB", SIZE, "red")
    picture.paste((0, 90, 200), (60, 0, 120, 80))
    picture.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mask_picture(tmp_path: Path) -> Path:
    """A mask of the photo's size: a white square of 40 x 40 pixels from (10, 20) on black."""
    picture = Image.new("L", SIZE)
    picture.paste(255, (10, 20, 50, 60))
    picture.save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.fixture(scope="session")
def folder(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of nano's kind."""
    return save_lively_nano(tiny_nano, tmp_path_factory.mktemp("lively") / "nano")


@pytest.fixture
def chatspot(folder: Path) -> Callable:
    """``chatspot(*arguments, input=...)`` with the small model; gives back typer's result."""

    def run(command: str, *arguments: object, input: str | None = None):
        model = ["--model", str(folder)] if command in ("ask", "chat", "demo", "info") else []
        return CliRunner().invoke(app, [command, *model, *map(str, arguments)], input=input)

    return run
