"""COCO's instances and captions, and other people's files in that layout."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.coco import COCO, COCO_JSON, COCO_VAL
from chatspot.errors import DataError

SQUARE = [10.0, 5.0, 40.0, 5.0, 40.0, 25.0, 10.0, 25.0]
FAR = [60.0, 5.0, 70.0, 5.0, 70.0, 10.0, 60.0, 10.0]


def annotation(**changes: Any) -> dict[str, Any]:
    """An annotation as COCO writes it."""
    entry = {"id": 7, "image_id": 139, "category_id": 90, "bbox": [10.0, 5.0, 30.0, 20.0], "area": 600.0, "iscrowd": 0}
    return {**entry, "segmentation": [SQUARE], **changes}


def instances(*entries: Any, **changes: Any) -> dict[str, Any]:
    """An instances file of one picture."""
    image = {"id": 139, "file_name": "000000000139.jpg", "width": 100, "height": 50, "license": 2}
    licence = {"id": 2, "name": "Attribution-NonCommercial License", "url": "http://creativecommons.org/nc"}
    content = {"images": [image], "annotations": list(entries), "licenses": [licence]}
    return {**content, "categories": [{"id": 90, "name": "toothbrush"}, {"id": 18, "name": "dog"}], **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "train2017" / "000000000139.jpg")
    picture(tmp_path / "val2017" / "000000000139.jpg")
    return tmp_path


def read_train(folder: Path, content: Any) -> tuple[Any, dict[str, int]]:
    annotations(folder / "annotations" / "instances_train2017.json", content)
    records, faults = read(COCO, folder)
    return records, found(faults)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"instances_val2017\.json, val2017/; get the set from https://cocodataset\.org"
    ):
        read(COCO_VAL, tmp_path, "val")


@pytest.mark.parametrize("content", [[], {}, 3, {"images": []}, {"images": {}, "annotations": [], "categories": []}])
def test_another_file_is_refused(folder: Path, content: Any) -> None:
    with pytest.raises(DataError, match=r"instances_train2017\.json: "):
        read_train(folder, content)


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (3, "unusable entry"),
        ({}, "unusable entry"),
        (annotation(image_id=140), "unusable entry"),
        (annotation(category_id=1), "unusable entry"),  # COCO's numbers have holes
        (annotation(bbox=[1, 2, 3]), "unusable entry"),
        (annotation(bbox=[10, 5, 0, 20]), "degenerate region"),  # boxes without area exist
        (annotation(bbox=[10, 5, -3, 20]), "degenerate region"),
        (annotation(bbox=[90, 5, 40, 20]), "outside region"),
        (annotation(bbox=None, segmentation=None), "unusable entry"),
        (annotation(bbox=None, segmentation=3), "unusable entry"),
    ],
)
def test_entries_that_cannot_be_used_are_left_out(folder: Path, entry: Any, kind: str) -> None:
    (record,), faults = read_train(folder, instances(entry))
    assert record.regions == ()
    assert faults == {kind: 1}


def test_a_picture_and_what_is_known_of_it(folder: Path) -> None:
    annotations(
        folder / "annotations" / "captions_train2017.json",
        {"annotations": [{"image_id": 139, "caption": " A brush.\n"}, {"image_id": 139, "caption": ""}, 3]},
    )
    (record,), faults = read_train(folder, instances(annotation()))
    (region,) = record.regions
    assert region.box.to_pixels((100, 50)) == pytest.approx((10, 5, 40, 25))  # xywh
    assert (region.label, region.askable, region.area_px) == ("toothbrush", True, 600.0)
    assert region.polygon.to_pixels((100, 50))[0] == (10.0, 5.0)
    assert region.mask is None
    assert record.captions == ("A brush.",)
    assert record.image_ids == ("coco:139",)
    assert record.licence == "Attribution-NonCommercial License (http://creativecommons.org/nc)"
    assert (record.source, record.size) == ("coco", (100, 50))
    assert faults == {"no answer": 1, "unusable entry": 1}


def test_size_classes_go_by_the_masks_area(folder: Path) -> None:
    (record,), _ = read_train(folder, instances(annotation(area=55.5), annotation(area="?"), annotation(area=-1)))
    assert [region.area_px for region in record.regions] == [55.5, pytest.approx(600), pytest.approx(600)]


@pytest.mark.parametrize("counts", [[505, 20, 30, 20, 4425], "i?d0n00[Y4"])
def test_crowds_have_masks_and_are_not_askable(folder: Path, counts: Any) -> None:
    crowd = annotation(iscrowd=1, segmentation={"counts": counts, "size": [50, 100]}, bbox=[10, 5, 2, 20])
    (record,), faults = read_train(folder, instances(crowd))
    (region,) = record.regions
    assert not faults
    assert not region.askable
    assert region.mask.bounding_box().to_pixels((100, 50)) == pytest.approx((10, 5, 12, 25))


def test_run_lengths_give_height_first(folder: Path) -> None:
    wrong = annotation(segmentation={"counts": [0, 5000], "size": [100, 50]})
    (record,), faults = read_train(folder, instances(wrong))
    assert faults == {"wrong size": 1}
    assert record.regions[0].mask is None
    assert record.regions[0].box is not None


def test_an_outline_of_parts_is_a_mask(folder: Path) -> None:
    (record,), _ = read_train(folder, instances(annotation(segmentation=[FAR, SQUARE], bbox=[10, 5, 60, 20])))
    (region,) = record.regions
    assert region.polygon.to_pixels((100, 50))[0] == (10.0, 5.0)  # the larger part
    assert region.mask.bounding_box().to_pixels((100, 50)) == pytest.approx((10, 5, 70, 25), abs=1.01)


@pytest.mark.parametrize("segmentation", [[], [[]], [[1, 2, 3]], [[1, 2, 3, 4]], [None], "x", SQUARE])
def test_the_box_stands_for_a_bad_outline(folder: Path, segmentation: Any) -> None:
    (record,), _ = read_train(folder, instances(annotation(segmentation=segmentation)))
    assert segmentation == "x" or record.regions[0].box is not None


def test_an_outline_alone_has_a_box(folder: Path) -> None:
    (record,), _ = read_train(folder, instances(annotation(bbox=[])))
    assert record.regions[0].box.to_pixels((100, 50)) == pytest.approx((10, 5, 40, 25))


def test_a_sideways_photo_turns_with_its_boxes(tmp_path: Path) -> None:
    picture(tmp_path / "train2017" / "000000000139.jpg", orientation=6)
    (record,), faults = read_train(tmp_path, instances(annotation()))
    assert faults == {"turned picture": 1}
    assert record.size == (50, 100)
    assert record.regions[0].box.to_pixels((50, 100)) == pytest.approx((25, 10, 45, 40))


def test_the_picture_is_believed(tmp_path: Path) -> None:
    picture(tmp_path / "train2017" / "000000000139.jpg", (200, 100))
    (record,), faults = read_train(tmp_path, instances(annotation()))
    assert (record.size, faults) == ((200, 100), {"wrong size": 1})


def test_missing_and_corrupt_pictures(tmp_path: Path) -> None:
    (tmp_path / "train2017").mkdir()
    assert read_train(tmp_path, instances(annotation())) == ([], {"missing picture": 1})
    (tmp_path / "train2017" / "000000000139.jpg").write_bytes(b"no picture")
    assert read_train(tmp_path, instances(annotation())) == ([], {"corrupt picture": 1})


@pytest.mark.parametrize("file", ["annotations.json", "train/_annotations.coco.json", "a/instances_default.json"])
def test_your_own_file_may_lie_anywhere(tmp_path: Path, file: str) -> None:
    picture(tmp_path / "images" / "sub" / "000000000139.jpg")
    annotations(tmp_path / file, instances(annotation(attributes={"occluded": False})))
    annotations(tmp_path / "captions.json", {"images": [], "annotations": []})
    (record,), faults = read(COCO_JSON, tmp_path, "all")
    assert record.regions[0].label == "toothbrush"
    assert record.image_ids == ()  # twelve digits alone do not make it COCO's
    assert not faults.counts


def test_your_own_split_is_a_folder(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        images = [{"id": 1, "file_name": "a.jpg", "coco_url": "http://images.cocodataset.org/val2017/000000000001.jpg"}]
        annotations(tmp_path / split / "_annotations.coco.json", instances(annotation(image_id=1), images=images))
    (record,), _ = read(COCO_JSON, tmp_path, "valid")
    assert record.image == tmp_path / "valid" / "a.jpg"
    assert record.image_ids == ("coco:1",)
    with pytest.raises(DataError, match="no folder test/"):
        read(COCO_JSON, tmp_path, "test")


def test_a_folder_without_such_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.json file"):
        read(COCO_JSON, tmp_path, "all")
    annotations(tmp_path / "other.json", [])
    with pytest.raises(DataError, match="has images, annotations and categories"):
        read(COCO_JSON, tmp_path, "all")


@settings(max_examples=80, deadline=None)
@given(content=damaged(instances(annotation(), annotation(segmentation={"counts": [0, 5000], "size": [50, 100]}))))
def test_damaged_files_never_crash(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "coco"
    picture(folder / "train2017" / "000000000139.jpg")
    try:
        records, _ = read_train(folder, content)
    except DataError:
        parts = content if isinstance(content, dict) else {}
        assert not all(isinstance(parts.get(key), list) for key in ("images", "annotations", "categories"))
    else:
        assert all(region.area_px >= 0 for record in records for region in record.regions)


def test_real_files(photos: Path, tmp_path: Path) -> None:
    folder = photos / "original_format_samples" / "coco_json"
    records, faults = read(COCO_VAL, folder, "val")
    assert {record.image.stem for record in records} == {
        "000000022892", "000000034417", "000000106235", "000000109313", "000000501368"
    }  # fmt: skip
    assert found(faults)["missing picture"] == 74  # of the file's 79 pictures five came with it
    assert set(faults.counts) <= {"missing picture", "outside region"}
    assert all(record.captions and record.licence and record.regions for record in records)
    shutil.copytree(folder / "annotations", tmp_path / "annotations")
    for record in records:
        (tmp_path / record.image.name).symlink_to(record.image)
    mine, _ = read(COCO_JSON, tmp_path, "all")
    assert [len(r.regions) for r in mine[:5]] == [len(r.regions) for r in records]
