"""Masks in picture files: read in the photo's frame, cut into areas, refused where they cannot be."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_files import found, picture

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.sources.mask_pictures import bitmap_mask, connected_areas, mask_pixels
from chatspot.errors import DataError, RegionError

FRAME = Frame((4, 3))


def mask_file(file: Path, pixels: object, mode: str | None = None) -> Path:
    """A PNG of these pixels, converted to ``mode``."""
    made = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    (made.convert(mode) if mode else made).save(file)
    return file


def png_header(width: int, height: int) -> bytes:
    """The head of a PNG that claims this size and has no pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def test_a_mask_that_is_missing(tmp_path: Path) -> None:
    faults = Faults()
    assert mask_pixels(tmp_path / "a.png", "numbers", FRAME, "x", faults) is None
    assert found(faults) == {"missing picture": 1}


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", png_header(4, 3), png_header(60_000, 60_000)])
def test_a_mask_that_cannot_be_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    faults = Faults()
    assert mask_pixels(tmp_path / "a.png", "shape", FRAME, "x", faults) is None
    assert found(faults) == {"corrupt picture": 1}


def test_a_jpeg_is_no_mask(tmp_path: Path) -> None:
    """Its pixels are near what was written and not the same: numbers of classes that nobody gave."""
    picture(tmp_path / "a.jpg", (4, 3)).rename(tmp_path / "a.png")
    faults = Faults()
    assert mask_pixels(tmp_path / "a.png", "colours", FRAME, "x", faults) is None
    assert found(faults) == {"corrupt picture": 1}


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    faults = Faults()
    assert mask_pixels(mask_file(tmp_path / "a.png", np.ones((4, 3))), "shape", FRAME, "x", faults) is None
    assert found(faults) == {"wrong size": 1}
    assert "expected 4 x 3" in faults.kept[0].what


@pytest.mark.parametrize(("kind", "mode"), [("numbers", "RGB"), ("colours", "L"), ("colours", "P")])
def test_pixels_of_another_kind(tmp_path: Path, kind: str, mode: str) -> None:
    file = mask_file(tmp_path / "a.png", np.zeros((3, 4)), mode)
    with pytest.raises(DataError, match="PIL's mode"):
        mask_pixels(file, kind, FRAME, "x", Faults())  # type: ignore[arg-type]


def test_numbers_colours_and_shapes(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    faults = Faults()
    read = mask_pixels(mask_file(tmp_path / "n.png", numbers), "numbers", FRAME, "x", faults)
    assert read is not None
    assert read.tolist() == numbers.tolist()
    colours = np.dstack([numbers, numbers * 2, numbers * 3])
    read = mask_pixels(mask_file(tmp_path / "c.png", colours), "colours", FRAME, "x", faults)
    assert read is not None
    assert read[0, 1] == 1 + 2 * 256 + 3 * 65536
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        file = mask_file(tmp_path / f"{mode}.png", (numbers > 5) * 255, mode)
        read = mask_pixels(file, "shape", FRAME, "x", faults)
        assert read is not None
        assert read.tolist() == (numbers > 5).tolist()
    assert not faults.counts


def test_a_palettes_index_is_the_number(tmp_path: Path) -> None:
    made = Image.fromarray(np.array([[0, 1, 2, 11]] * 3, dtype=np.uint8)).convert("P")
    made.putpalette([value for index in range(256) for value in (255 - index, 7, 9)])
    made.save(tmp_path / "a.png")
    read = mask_pixels(tmp_path / "a.png", "numbers", FRAME, "x", Faults())
    assert read is not None
    assert read[0].tolist() == [0, 1, 2, 11]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_turn_with_their_photo(tmp_path: Path, orientation: int) -> None:
    photo = picture(tmp_path / "a.jpg", (4, 3), orientation)
    frame = picture_frame(photo, (4, 3), "x", Faults())
    assert frame is not None
    turned = Frame(frame.size, orientation)
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    read = mask_pixels(mask_file(tmp_path / "a.png", pixels), "numbers", turned, "x", Faults())
    upright = Image.fromarray(pixels).transpose(  # as ImageOps.exif_transpose does
        {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]
    )
    assert read is not None
    assert read.tolist() == np.asarray(upright).tolist()


def test_an_empty_shape_and_noise_are_no_mask() -> None:
    faults = Faults()
    assert bitmap_mask(np.zeros((3, 4)), "x", faults) is None
    assert bitmap_mask(np.indices((300, 300)).sum(axis=0) % 2, "x", faults) is None
    assert found(faults) == {"degenerate region": 2}


def test_noise_is_not_cut_into_areas() -> None:
    with pytest.raises(RegionError, match="pieces of rows"):
        list(connected_areas(np.indices((300, 300)).sum(axis=0) % 2 == 1))
    assert list(connected_areas(np.zeros((3, 4), dtype=bool))) == []


def flooded(bitmap: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """The areas, pixel by pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(bitmap)}
    areas = set()
    while left:
        edge, area = [left.pop()], set()
        while edge:
            y, x = edge.pop()
            area.add((y, x))
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            edge.extend(near)
        areas.add(frozenset(area))
    return areas


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=8))
def test_areas_are_those_of_a_flood(rows: list[list[bool]]) -> None:
    bitmap = np.array(rows)
    areas = [frozenset((int(y), int(x)) for y, x in np.argwhere(area)) for area in connected_areas(bitmap)]
    assert len(areas) == len(set(areas))
    assert set(areas) == flooded(bitmap)
