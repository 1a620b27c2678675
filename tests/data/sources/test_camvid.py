"""CamVid: frames of street video with the number of a class in every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_files import found, picture, read
from test_mask_pictures import mask_file

from chatspot.data.sources.camvid import CAMVID, CLASSES
from chatspot.errors import DataError

LINE = "/SegNet/CamVid/train/0001TP_006690.png /SegNet/CamVid/trainannot/0001TP_006690.png\n"


def labels() -> np.ndarray:
    """Sky above road, with two cars apart; what is below was not labelled."""
    pixels = np.zeros((10, 20), dtype=np.uint8)
    pixels[5:] = 3
    pixels[5:7, 2:4] = pixels[5:7, 10:14] = 8
    pixels[9] = 11
    return pixels


def laid_out(folder: Path, lines: str = LINE, pixels: np.ndarray | None = None) -> Path:
    """One frame of the split train."""
    picture(folder / "train" / "0001TP_006690.png", (20, 10))
    mask_file(folder / "trainannot" / "0001TP_006690.png", labels() if pixels is None else pixels)
    (folder / "train.txt").write_text(lines)
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks train\.txt, train/, trainannot/; get the set from"):
        read(CAMVID, tmp_path)


@pytest.mark.parametrize(
    "line",
    ["", "one.png", "a b c", "train/gone.png trainannot/gone.png", "train/.. trainannot/..", "a\x7f b\x00", "a b"],
)
def test_lines_that_name_no_frame(tmp_path: Path, line: str) -> None:
    records, faults = read(CAMVID, laid_out(tmp_path, f"{line}\n"))
    assert records == []
    assert faults.counts.total() == (1 if line else 0)


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (laid_out(tmp_path) / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train\.txt: cannot be read"):
        read(CAMVID, tmp_path)


def test_trap_the_paths_are_those_of_another_disk(tmp_path: Path) -> None:
    (record,), faults = read(CAMVID, laid_out(tmp_path))
    assert (record.id, record.size) == ("camvid/0001TP_006690", (20, 10))
    assert record.image_ids == ("camvid:0001TP_006690",)
    assert not faults.counts


def test_trap_the_pictures_may_be_jpeg(tmp_path: Path) -> None:
    laid_out(tmp_path)
    (tmp_path / "train" / "0001TP_006690.png").unlink()
    picture(tmp_path / "train" / "0001TP_006690.jpg", (20, 10))
    assert len(read(CAMVID, tmp_path)[0]) == 1


def test_trap_one_area_is_one_region_and_eleven_is_none(tmp_path: Path) -> None:
    (record,), _ = read(CAMVID, laid_out(tmp_path))
    assert [(region.label, region.area_px) for region in record.regions] == [
        ("sky", 100), ("road", 68), ("car", 4), ("car", 8),
    ]  # fmt: skip
    assert all(region.mask for region in record.regions)
    assert record.regions[2].box is not None
    assert record.regions[2].box.to_pixels((20, 10)) == (2, 5, 4, 7)


def test_numbers_of_no_class(tmp_path: Path) -> None:
    pixels = labels()
    pixels[0, 0] = 12
    pixels[0, 1] = 255
    (record,), faults = read(CAMVID, laid_out(tmp_path, pixels=pixels))
    assert found(faults) == {"unusable entry": 2}
    assert {region.label for region in record.regions} == {"sky", "road", "car"}


def test_labels_of_another_size_leave_a_frame_without_regions(tmp_path: Path) -> None:
    (record,), faults = read(CAMVID, laid_out(tmp_path, pixels=np.zeros((5, 5), dtype=np.uint8)))
    assert record.regions == ()
    assert found(faults) == {"wrong size": 1}


def test_the_classes_are_segnets() -> None:
    assert len(CLASSES) == 11
