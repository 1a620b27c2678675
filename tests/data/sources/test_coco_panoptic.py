"""COCO's panoptic annotations: segments in the colours of a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read
from test_mask_pictures import mask_file

from chatspot.data.sources.coco_panoptic import COCO_PANOPTIC, readable_stuff
from chatspot.errors import DataError

NUMBER, STUFF = 3226956, 70_000  # colours of more than one byte


def content(*segments: Any, **changes: Any) -> dict[str, Any]:
    """The annotation file of one picture."""
    given = segments or (
        {"id": NUMBER, "category_id": 1, "iscrowd": 0, "bbox": [2, 1, 3, 4], "area": 12},
        {"id": STUFF, "category_id": 187, "iscrowd": 0, "bbox": [0, 0, 20, 10], "area": 100},
    )
    image = {"id": 139, "file_name": "000000000139.jpg", "width": 20, "height": 10, "license": 2}
    return {
        "images": [image],
        "annotations": [{"image_id": 139, "file_name": "000000000139.png", "segments_info": list(given)}],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1}, {"id": 187, "name": "sky-other-merged", "isthing": 0},
        ],
        "licenses": [{"id": 2, "name": "BY-NC", "url": "http://x"}],
        **changes,
    }  # fmt: skip


def colours() -> np.ndarray:
    """The PNG: a person, the sky above, nothing below."""
    numbers = np.zeros((10, 20), dtype=np.int64)
    numbers[:5] = STUFF
    numbers[1:5, 2:5] = NUMBER
    return np.dstack([numbers % 256, numbers // 256 % 256, numbers // 65536]).astype(np.uint8)


def laid_out(folder: Path, told: Any = None, pixels: np.ndarray | None = None) -> Path:
    """A folder of the split val with one picture."""
    picture(folder / "val2017" / "000000000139.jpg", (20, 10))
    annotations(folder / "annotations" / "panoptic_val2017.json", content() if told is None else told)
    file = folder / "annotations" / "panoptic_val2017" / "000000000139.png"
    mask_file(file, colours() if pixels is None else pixels)
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks annotations/panoptic_val2017\.json, .*_val2017/, val2017/; get"):
        read(COCO_PANOPTIC, tmp_path, "val")


@pytest.mark.parametrize("told", [[], {}, {"images": []}, {"images": 3, "annotations": [], "categories": []}])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, told: Any) -> None:
    with pytest.raises(DataError, match=r"panoptic_val2017\.json: "):
        read(COCO_PANOPTIC, laid_out(tmp_path, told), "val")


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        (3, "unusable entry"),
        ({}, "unusable entry"),
        ({"id": NUMBER, "category_id": 2}, "unusable entry"),
        ({"id": NUMBER + 1, "category_id": 1}, "degenerate region"),
    ],
)
def test_segments_that_cannot_be_used_are_left_out(tmp_path: Path, segment: Any, kind: str) -> None:
    stuff = {"id": STUFF, "category_id": 187}
    (record,), faults = read(COCO_PANOPTIC, laid_out(tmp_path, content(segment, stuff)), "val")
    assert [region.label for region in record.regions] == ["sky"]
    assert found(faults)[kind] >= 1


@pytest.mark.parametrize("name", ["../a.png", "/a.png", 7, "gone.png"])
def test_a_png_that_is_not_there(tmp_path: Path, name: Any) -> None:
    told = content()
    told["annotations"][0]["file_name"] = name
    (record,), faults = read(COCO_PANOPTIC, laid_out(tmp_path, told), "val")
    assert record.regions == ()
    assert faults.counts.total() == 1


def test_an_annotation_of_no_picture(tmp_path: Path) -> None:
    told = content(images=[])
    records, faults = read(COCO_PANOPTIC, laid_out(tmp_path, told), "val")
    assert (records, found(faults)) == ([], {"unusable entry": 1})


def test_trap_a_colour_is_a_number_of_three_bytes(tmp_path: Path) -> None:
    (record,), faults = read(COCO_PANOPTIC, laid_out(tmp_path), "val")
    person, sky = record.regions
    assert (person.label, person.area_px, sky.label, sky.area_px) == ("person", 12, "sky", 88)
    assert person.box is not None
    assert person.box.to_pixels((20, 10)) == (2, 1, 5, 5)
    assert person.mask is not None
    assert sky.mask is not None
    assert not (person.mask.to_bitmap() & sky.mask.to_bitmap()).any()
    assert not faults.counts


def test_trap_the_photo_is_found_by_its_number_and_the_png_by_its_name(tmp_path: Path) -> None:
    (record,), _ = read(COCO_PANOPTIC, laid_out(tmp_path), "val")
    assert record.image == tmp_path / "val2017" / "000000000139.jpg"
    assert (record.image_ids, record.licence) == (("coco:139",), "BY-NC (http://x)")


def test_trap_crowds_are_not_askable(tmp_path: Path) -> None:
    crowd = {"id": NUMBER, "category_id": 1, "iscrowd": 1}
    (record,), _ = read(COCO_PANOPTIC, laid_out(tmp_path, content(crowd, {"id": STUFF, "category_id": 187})), "val")
    assert [region.askable for region in record.regions] == [False, True]


def test_trap_a_segment_in_the_png_that_is_not_listed(tmp_path: Path) -> None:
    told = content({"id": STUFF, "category_id": 187})
    (record,), faults = read(COCO_PANOPTIC, laid_out(tmp_path, told), "val")
    assert len(record.regions) == 1
    assert found(faults) == {"unusable entry": 1}
    assert str(NUMBER) in faults.kept[0].what


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sky-other-merged", "sky"), ("tree-merged", "tree"), ("window-other", "window"), ("wall-brick", "brick wall"),
        ("floor-wood", "wooden floor"), ("wall-other-merged", "wall"), ("mirror-stuff", "mirror"), ("person", "person"),
        ("playingfield", "playing field"), ("window-blind", "window blind"), ("wall-tile", "tiled wall"),
    ],
)  # fmt: skip
def test_trap_names_of_stuff_are_made_readable(name: str, said: str) -> None:
    assert readable_stuff(name) == said


@settings(max_examples=60, deadline=None)
@given(told=damaged(content()))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, told: Any) -> None:
    folder = laid_out(tmp_path_factory.getbasetemp() / "panoptic", told)
    try:
        records, faults = read(COCO_PANOPTIC, folder, "val")
    except DataError:
        return
    assert records or faults.counts or not told["images"]
