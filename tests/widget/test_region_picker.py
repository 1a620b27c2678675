"""RegionPicker without a notebook: what enters and leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import node
from chatspot import ChatSpot
from chatspot.errors import ImageError, MessageError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble

pytest.importorskip("anywidget", reason="pip install 'chatspot[widget]'")

from chatspot.widget import RegionPicker

REGIONS: list[Region] = [
    Box.from_normalized(0.1, 0.2, 0.5, 0.6),
    Point.from_normalized(0.5, 0.5),
    Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.5, 0.8)]),
    Scribble.from_normalized([(0.2, 0.2), (0.8, 0.5)]),
    Mask.from_bitmap(np.eye(4)),
]


@pytest.fixture
def photo() -> Image.Image:
    return Image.new("RGB", (60, 40), "teal")


@pytest.mark.parametrize("wrong", [None, {"box": [0, 0, 1, 1]}, (0, 0, 1, 1), "box"])
def test_what_is_no_region_is_refused(photo: Image.Image, wrong: Any) -> None:
    with pytest.raises(MessageError, match="a region is"):
        RegionPicker(photo, [wrong])


@pytest.mark.parametrize("wrong", [b"", b"no picture", "no-such-file.jpg", None])
def test_what_is_no_picture_is_refused(wrong: Any) -> None:
    with pytest.raises(ImageError):
        RegionPicker(wrong)


def test_regions_come_back_as_they_were_given(photo: Image.Image) -> None:
    picker = RegionPicker(photo, REGIONS)
    assert picker.regions == REGIONS
    assert picker.names == [""] * len(REGIONS)
    heard: list[Any] = []
    picker.observe(heard.append, names="entries")
    picker.selected = "r2"
    picker.regions = REGIONS[:1]
    assert picker.regions == REGIONS[:1]
    assert picker.selected is None
    assert len(heard) == 1


def test_the_browser_gets_an_upright_picture_of_a_bounded_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (9000, 30), "red").save(tmp_path / "turned.jpg", exif=exif)
    picker = RegionPicker(tmp_path / "turned.jpg")
    assert picker.image.size == (30, 9000)
    (tmp_path / "shown.jpg").write_bytes(picker._picture)
    with Image.open(tmp_path / "shown.jpg") as shown:
        assert shown.size == (14, 4096)


def test_the_module_is_one_that_can_be_run(tmp_path: Path) -> None:
    module = tmp_path / "picker.mjs"
    module.write_text(str(RegionPicker._esm), "utf-8")
    script = "const { default: widget } = await import(process.env.MODULE); console.log(typeof widget.render)"
    done = node("--input-type=module", "-e", script, MODULE=str(module))
    assert done.stdout == "function\n", done.stderr


def test_a_question_is_about_the_selected_region_or_all(photo: Image.Image, tiny_nano: Path) -> None:
    spot = ChatSpot.from_pretrained(tiny_nano, device="cpu", dtype="float32")
    picker = RegionPicker(photo, REGIONS[:2], spot=spot)
    for selected, asked in [(None, REGIONS[:2]), ("r2", REGIONS[1:2])]:
        picker.selected = selected
        found, expected = picker.ask("What is this?"), spot.ask(photo, "What is this?", *asked)
        assert found.confidence == pytest.approx(expected.confidence, rel=1e-5)  # read from a kept beginning
        assert replace(found, confidence=None) == replace(expected, confidence=None)
