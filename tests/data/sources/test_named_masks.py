"""LVIS's and PACO's objects as Osprey lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.named_masks import NAMED_MASKS
from chatspot.errors import DataError
from chatspot.regions import Box

OUTLINE = {"segmentation": [[10, 10, 50, 10, 50, 40, 10, 40]], "id": 7, "bbox": [0, 0, 1, 1]}
RUNS = {"segmentation": {"size": [50, 100], "counts": [0, 500, 4500]}}


def entry(**changes: Any) -> dict[str, Any]:
    """A photo of two objects."""
    return {"file_name": "000000000139.jpg", "height": 50, "width": 100, "categories": ["baseball_bat", "wheel_(car)"],
            "annotations": [OUTLINE, RUNS], **changes}  # fmt: skip


def named(folder: Path, *entries: Any) -> Path:
    """LVIS's list and one photo."""
    picture(folder / "val2017" / "000000000139.jpg")
    annotations(folder / "lvis_val_1k_category.json", list(entries or [entry()]))
    return folder


@pytest.mark.parametrize(
    ("entries", "faults"),
    [
        ([{}], {"unusable entry": 1}),
        ([[]], {"unusable entry": 1}),
        ([entry(file_name="../../etc/passwd")], {"missing picture": 1}),
        ([entry(file_name="gone.jpg")], {"missing picture": 1}),
        ([entry(categories=["bat"])], {"unusable entry": 1}),
    ],
)
def test_photos_that_cannot_be_read_are_counted(tmp_path: Path, entries: Any, faults: dict[str, int]) -> None:
    records, found_ = read(NAMED_MASKS, named(tmp_path, *entries), "lvis")
    assert (records, found(found_)) == ([], faults)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"categories": [], "annotations": []}, 0),
        ({"categories": ["_", "bat"]}, 1),
        ({"categories": [7, "bat"]}, 1),
        ({"annotations": [{}, RUNS]}, 1),
        ({"annotations": [{"segmentation": "x"}, RUNS]}, 1),
        ({"annotations": [{"segmentation": {"size": [5, 5], "counts": [25]}}, RUNS]}, 1),
    ],
)
def test_objects_that_cannot_be_used_are_left_out(tmp_path: Path, changes: dict[str, Any], count: int) -> None:
    (record,), _ = read(NAMED_MASKS, named(tmp_path, entry(**changes)), "lvis")
    assert len(record.regions) == count


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks paco_val_1k_category\.json; get the set from"):
        read(NAMED_MASKS, tmp_path, "paco")


def test_trap_categories_and_annotations_are_parallel(tmp_path: Path) -> None:
    """And the ``bbox`` beside a segmentation is not needed: it is left alone."""
    (record,), faults = read(NAMED_MASKS, named(tmp_path), "lvis")
    assert not found(faults)
    assert record.image_ids == ("coco:139",)
    bat, wheel = record.regions
    assert (bat.label, wheel.label) == ("baseball bat", "wheel (car)")
    assert bat.polygon is not None
    assert bat.box == Box.from_pixels(10, 10, 50, 40, size=(100, 50))
    assert wheel.mask is not None
    assert wheel.box == Box.from_pixels(0, 0, 10, 50, size=(100, 50))


@settings(max_examples=60, deadline=None)
@given(damaged([entry()]))
def test_a_damaged_list_is_reported_or_read(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = named(tmp_path_factory.mktemp("damaged"))
    annotations(folder / "lvis_val_1k_category.json", content)
    try:
        read(NAMED_MASKS, folder, "lvis")
    except DataError as error:
        assert str(folder) in str(error)  # noqa: PT017
