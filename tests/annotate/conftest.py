"""A folder of small pictures, their regions as COCO has them, and a model whose answers depend on what it sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chatspot.engine.torch_engine import TorchEngine
from chatspot.model.checkpoint import load_checkpoint
from lively_model import save_lively_nano

SIZE = (120, 80)


@pytest.fixture(scope="session")
def lively(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of nano's kind."""
    return save_lively_nano(tiny_nano, tmp_path_factory.mktemp("annotating") / "lively-nano")


@pytest.fixture(scope="session")
def engine(lively: Path) -> TorchEngine:
    return TorchEngine(load_checkpoint(lively), device="cpu", dtype="float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one in a folder of its own, and one that is none."""
    home = tmp_path / "photos"
    (home / "more").mkdir(parents=True)
    for number, (name, color) in enumerate({"a.png": "red", "b 2.png": "green", "more/c_7.png": "blue"}.items()):
        picture = Image.new("RGB", SIZE, color)
        picture.paste("white", (10 * number, 10, 60, 50))
        picture.save(home / name)
    (home / "broken.png").write_bytes((home / "a.png").read_bytes()[:60])
    return home


def box(number: int, image: int, category: int = 1, **more: Any) -> dict[str, Any]:
    """An annotation of COCO's."""
    return {"id": number, "image_id": image, "category_id": category, "bbox": [5 * number, 5, 30, 40], "area": 1200,
            "iscrowd": 0, **more}  # fmt: skip


def coco_content() -> dict[str, Any]:
    """Eight usable regions of three pictures; a crowd, a region of no picture, a missing and a broken picture."""
    names = ["a.png", "b 2.png", "more/c_7.png", "gone.png", "broken.png"]
    images = [{"id": at, "file_name": name, "width": 120, "height": 80} for at, name in enumerate(names, 1)]
    outline = [[10, 10, 60, 10, 60, 50, 10, 50]]
    annotations = [
        box(1, 1), box(2, 1, score=0.2), box(3, 1, 2), box(4, 2, segmentation=outline), box(5, 2), box(6, 3),
        box(7, 3, 2), box(8, 3), box(9, 3, iscrowd=1), box(10, 4), box(11, 5), box(12, 99),
    ]  # fmt: skip
    categories = [{"id": 1, "name": "thing"}, {"id": 2, "name": "stuff"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    """``coco_content`` in a file that does not lie beside the pictures."""
    file = tmp_path / "regions.json"
    file.write_text(json.dumps(coco_content()))
    return file
