"""LabelMe: one JSON file a picture, shapes of six kinds."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.labelme import LABELME
from chatspot.errors import DataError

RECTANGLE = {"label": "dog", "points": [[60, 45], [10, 5]], "shape_type": "rectangle", "group_id": None, "flags": {}}


def mask_text(width: int, height: int) -> str:
    """A mask as LabelMe keeps it: a picture in base64, set but for its left column."""
    bitmap = np.ones((height, width), dtype=np.uint8)
    bitmap[:, 0] = 0
    stream = io.BytesIO()
    Image.fromarray(bitmap * 255).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def huge_mask_text() -> str:
    """A mask whose header claims 20,000 x 20,000 pixels."""
    header = b"IHDR" + struct.pack(">2I5B", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1) + b"IDAT").decode()


def content(*shapes: Any, **changes: Any) -> dict[str, Any]:
    base = {
        "version": "5.4.1",
        "imagePath": "..\\images\\a.jpg",
        "imageData": None,
        "imageWidth": 100,
        "imageHeight": 50,
    }
    return {**base, "shapes": list(shapes), **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.jpg")
    return tmp_path


def read_one(folder: Path, *shapes: Any, **changes: Any) -> tuple[Any, dict[str, int]]:
    annotations(folder / "labels" / "a.json", content(*shapes, **changes))
    (record,), faults = read(LABELME, folder, "all")
    return record, found(faults)


def test_a_folder_without_such_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.json file"):
        read(LABELME, tmp_path, "all")
    annotations(tmp_path / "a.json", {"images": []})
    with pytest.raises(DataError, match="has shapes"):
        read(LABELME, tmp_path, "all")


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (3, "unusable entry"),
        ({**RECTANGLE, "shape_type": "mask", "mask": huge_mask_text()}, "unusable entry"),
        ({}, "unusable entry"),
        ({**RECTANGLE, "points": [[1, 2]]}, "unusable entry"),
        ({**RECTANGLE, "points": None}, "unusable entry"),
        ({**RECTANGLE, "shape_type": "linestrip"}, "unusable entry"),
        ({**RECTANGLE, "shape_type": "mask"}, "unusable entry"),
        ({**RECTANGLE, "shape_type": "mask", "mask": "????"}, "unusable entry"),
        ({**RECTANGLE, "shape_type": "mask", "mask": base64.b64encode(b"no picture").decode()}, "unusable entry"),
        (
            {**RECTANGLE, "shape_type": "mask", "mask": mask_text(9, 9), "points": [[200, 5], [209, 14]]},
            "unusable entry",
        ),
        ({**RECTANGLE, "points": [[10, 5], [10, 45]]}, "degenerate region"),
        ({**RECTANGLE, "points": [[90, 5], [190, 45]]}, "outside region"),
        ({**RECTANGLE, "shape_type": "circle", "points": [[10, 5], [10, 5]]}, "degenerate region"),
    ],
)
def test_shapes_that_cannot_be_used_are_left_out(folder: Path, shape: Any, kind: str) -> None:
    record, faults = read_one(folder, shape)
    assert record.regions == ()
    assert faults == {kind: 1}


@pytest.mark.parametrize(
    ("shape", "bounds"),
    [
        (RECTANGLE, (10, 5, 60, 45)),  # drawn from right bottom to left top
        ({**RECTANGLE, "points": [[10, 5], [60, 5], [60, 45], [10, 45]]}, (10, 5, 60, 45)),
        ({**RECTANGLE, "shape_type": "polygon", "points": [[10, 5], [60, 5], [60, 45]]}, (10, 5, 60, 45)),
        ({**RECTANGLE, "shape_type": None, "points": [[10, 5], [60, 5], [60, 45]]}, (10, 5, 60, 45)),
        ({**RECTANGLE, "shape_type": "circle", "points": [[50, 25], [50, 45]]}, (30, 5, 70, 45)),
        (
            {**RECTANGLE, "shape_type": "mask", "points": [[10, 5], [19, 14]], "mask": mask_text(10, 10)},
            (11, 5, 20, 15),
        ),
        (
            {**RECTANGLE, "shape_type": "mask", "points": [[95, -5], [105, 5]], "mask": mask_text(10, 10)},
            (96, 0, 100, 5),
        ),
    ],
)
def test_shapes(folder: Path, shape: Any, bounds: tuple[float, ...]) -> None:
    record, faults = read_one(folder, {**shape, "description": "asleep"})
    (region,) = record.regions
    assert region.box.to_pixels((100, 50)) == pytest.approx(bounds, abs=0.2)
    assert (region.label, region.descriptions) == ("dog", ("asleep",))
    assert not faults


def test_points_and_pictures_with_a_windows_path(folder: Path) -> None:
    record, _ = read_one(folder, {"label": "nose", "points": [[10, 5]], "shape_type": "point"})
    assert record.regions[0].region.to_pixels((100, 50)) == (10.0, 5.0)
    assert record.image == folder / "images" / "a.jpg"


@settings(max_examples=80, deadline=None)
@given(document=damaged(content(RECTANGLE, {**RECTANGLE, "shape_type": "mask", "mask": mask_text(50, 40)})))
def test_damaged_files_never_crash(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "labelme"
    picture(folder / "images" / "a.jpg")
    annotations(folder / "a.json", document)
    try:
        records, faults = read(LABELME, folder, "all")
    except DataError as error:
        assert "has shapes" in str(error)  # noqa: PT017
    else:
        assert records or faults.counts


def test_real_files(photos: Path) -> None:
    annotations_only = photos / "original_format_samples" / "voc_many_formats"
    records, faults = read(LABELME, annotations_only, "all")
    assert [len(record.regions) for record in records] == [1, 2, 2, 3]
    assert not faults.counts
