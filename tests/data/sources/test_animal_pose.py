"""Animal-Pose: animals and their body points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.animal_pose import ANIMAL_POSE
from chatspot.errors import DataError

POINTS = ["left_eye", "nose", "tailbase"]


def entry(**changes: Any) -> dict[str, Any]:
    """A dog whose nose and tail can be seen."""
    keypoints = [[0, 0, 0], [20, 10, 1], [55, 40, 1]]
    return {"image_id": 1, "bbox": [10, 5, 60, 45], "keypoints": keypoints, "num_keypoints": 20, "category_id": 1,
            **changes}  # fmt: skip


def content(*entries: Any, **changes: Any) -> dict[str, Any]:
    """The annotation file."""
    category = {"supercategory": "animal", "id": 1, "name": "dog", "keypoints": POINTS, "skeleton": [[0, 1]]}
    return {"images": {"1": "2007_000063.jpg"}, "annotations": list(entries), "categories": [category], "info": {},
            **changes}  # fmt: skip


def laid_out(folder: Path, told: Any = None) -> Path:
    """A folder with one picture."""
    picture(folder / "images" / "2007_000063.jpg")
    annotations(folder / "keypoints.json", content(entry()) if told is None else told)
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks keypoints\.json, images/; get the set from https://github.com/noahcao"):
        read(ANIMAL_POSE, tmp_path)


@pytest.mark.parametrize("told", [[], {}, {"images": [], "annotations": [], "categories": []}, {"images": {}}])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, told: Any) -> None:
    with pytest.raises(DataError, match=r"keypoints\.json: "):
        read(ANIMAL_POSE, laid_out(tmp_path, told))


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (3, "unusable entry"),
        (entry(category_id=2), "unusable entry"),
        (entry(keypoints=[]), "unusable entry"),
        (entry(keypoints=3), "unusable entry"),
        (entry(bbox=[1, 2, 3]), "unusable entry"),
        (entry(bbox=[60, 5, 10, 45]), "degenerate region"),
        (entry(bbox=[600, 5, 900, 45]), "outside region"),
        (entry(image_id=2), "unusable entry"),
    ],
)
def test_animals_that_cannot_be_used_are_left_out(tmp_path: Path, wrong: Any, kind: str) -> None:
    (record,), faults = read(ANIMAL_POSE, laid_out(tmp_path, content(wrong, entry())))
    assert [region.label for region in record.regions] == ["dog", "nose", "base of the tail"]
    assert found(faults) == {kind: 1}


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        (7, "unusable entry"), ([1, 2], "unusable entry"), (["a", 2, 1], "unusable entry"),
        ([float("nan"), 2, 1], "degenerate region"), ([900, 2, 1], "outside region"),
    ],
)  # fmt: skip
def test_points_that_cannot_be_used_are_left_out(tmp_path: Path, point: Any, kind: str) -> None:
    told = content(entry(keypoints=[point, [20, 10, 1], [55, 40, 1]]))
    (record,), faults = read(ANIMAL_POSE, laid_out(tmp_path, told))
    assert [region.label for region in record.regions] == ["dog", "nose", "base of the tail"]
    assert found(faults) == {kind: 1}


@pytest.mark.parametrize("name", ["../x.jpg", "", 7, "gone.jpg"])
def test_pictures_that_are_not_there(tmp_path: Path, name: Any) -> None:
    records, faults = read(ANIMAL_POSE, laid_out(tmp_path, content(entry(), images={"1": name})))
    assert records == []
    assert faults.counts.total() == 1


def test_trap_the_box_is_left_top_right_bottom(tmp_path: Path) -> None:
    (record,), faults = read(ANIMAL_POSE, laid_out(tmp_path))
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == (10, 5, 60, 45)
    assert not faults.counts


def test_trap_a_point_of_three_zeros_is_not_seen(tmp_path: Path) -> None:
    (record,), _ = read(ANIMAL_POSE, laid_out(tmp_path))
    points = [(region.label, region.point.to_pixels((100, 50))) for region in record.regions if region.point]
    assert points == [("nose", (20, 10)), ("base of the tail", (55, 40))]


def test_trap_images_are_an_object_keyed_by_text(tmp_path: Path) -> None:
    told = content(
        entry(), entry(bbox=[1, 1, 5, 5], keypoints=[[0, 0, 0]] * 3), images={"1": "2007_000063.jpg", "2": "b"}
    )
    (record,), _ = read(ANIMAL_POSE, laid_out(tmp_path, told))
    assert [region.label for region in record.regions] == ["dog", "nose", "base of the tail", "dog"]


def test_trap_some_pictures_are_vocs(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "do1.jpg")
    told = content(entry(), entry(image_id=2), images={"1": "2007_000063.jpg", "2": "do1.jpg"})
    records, _ = read(ANIMAL_POSE, laid_out(tmp_path, told))
    assert [record.image_ids for record in records] == [("voc:2007_000063",), ()]


@settings(max_examples=80, deadline=None)
@given(told=damaged(content(entry(), entry())))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, told: Any) -> None:
    folder = laid_out(tmp_path_factory.getbasetemp() / "animals", told)
    try:
        records, _ = read(ANIMAL_POSE, folder)
    except DataError:
        return
    for record in records:
        assert all(0 <= edge <= 1 for region in record.regions for edge in region.region.bounds_xyxy)
