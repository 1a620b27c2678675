"""Label Studio's exports: percent of the picture, results that belong together by their id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.records import Relation
from chatspot.data.sources.label_studio import LABEL_STUDIO
from chatspot.errors import DataError

VALUE = {"x": 10, "y": 10, "width": 50, "height": 80, "rotation": 0, "rectanglelabels": ["dog"]}


def result(name: str = "a", kind: str = "rectanglelabels", **value: Any) -> dict[str, Any]:
    size = {"original_width": 100, "original_height": 50, "image_rotation": 0}
    return {**size, "id": name, "type": kind, "from_name": "label", "to_name": "image", "value": {**value}}


def task(*results: Any, image: str = "/data/upload/1/3fa1b2c4-a.jpg", **changes: Any) -> dict[str, Any]:
    done = {"id": 5, "was_cancelled": False, "result": list(results)}
    return {"id": 1, "data": {"note": "x", "image": image}, "annotations": [done], "predictions": [], **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.jpg")
    return tmp_path


def read_one(folder: Path, *results: Any) -> tuple[Any, dict[str, int]]:
    annotations(folder / "export.json", [task(*results)])
    (record,), faults = read(LABEL_STUDIO, folder, "all")
    return record, found(faults)


@pytest.mark.parametrize("results", [5, True, "x", {"id": "a"}])
def test_results_that_are_no_list(folder: Path, results: Any) -> None:
    annotations(folder / "export.json", [task(annotations=[{"result": results}])])
    records, faults = read(LABEL_STUDIO, folder, "all")
    assert (records, found(faults)) == ([], {"unusable entry": 1})


def test_another_file_is_refused(folder: Path) -> None:
    annotations(folder / "export.json", {"id": 1})
    with pytest.raises(DataError, match="a list of tasks"):
        read(LABEL_STUDIO, folder, "all")


@pytest.mark.parametrize(
    ("found_result", "kind"),
    [
        (result(**{**VALUE, "width": "50"}), "unusable entry"),
        (result(**{**VALUE, "rotation": 1e9}), "unusable entry"),
        ({**result(**VALUE), "image_rotation": 90}, "unusable entry"),
        (result(kind="brushlabels", rle=[1, 2], format="rle", brushlabels=["dog"]), "unusable entry"),
        (result(kind="polygonlabels", points=[[1]]), "unusable entry"),
        (result(kind="polygonlabels", points=[[1, 2], [3, 4]]), "degenerate region"),
        (result(**{**VALUE, "width": 0}), "degenerate region"),
        (result(**{**VALUE, "x": 90}), "outside region"),
        ({"id": "a", "value": 3}, "unusable entry"),
    ],
)
def test_results_that_cannot_be_used_are_left_out(folder: Path, found_result: Any, kind: str) -> None:
    record, faults = read_one(folder, found_result)
    assert record.regions == ()
    assert faults == {kind: 1}


@pytest.mark.parametrize(
    ("found_result", "bounds"),
    [
        (result(**VALUE), (10, 5, 60, 45)),
        (result(**{**VALUE, "x": 60, "rotation": 90, "width": 20}), (20, 5, 60, 25)),  # about its left top corner
        (result(kind="polygonlabels", points=[[10, 10], [60, 10], [60, 90]], polygonlabels=["dog"]), (10, 5, 60, 45)),
        (result(kind="ellipselabels", x=50, y=50, radiusX=20, radiusY=20, ellipselabels=["dog"]), (30, 15, 70, 35)),
    ],
)
def test_shapes(folder: Path, found_result: Any, bounds: tuple[float, ...]) -> None:
    record, faults = read_one(folder, found_result)
    (region,) = record.regions
    assert region.box.to_pixels((100, 50)) == pytest.approx(bounds)
    assert region.label == "dog"
    assert not faults


def test_results_of_one_id_are_one_region(folder: Path) -> None:
    shape = {key: VALUE[key] for key in ("x", "y", "width", "height")}
    nose = result("b", "keypointlabels", x=50, y=50, width=1, keypointlabels=["nose"])
    record, faults = read_one(
        folder,
        result(kind="rectangle", **shape),
        result(kind="labels", **{**shape, "labels": ["sign", "old"]}),
        result(kind="textarea", **{**shape, "text": ["ONE", "WAY"]}),
        result(kind="choices", **{**shape, "choices": ["rusty"]}),
        nose,
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": ["has"]},
        {"type": "relation", "from_id": "a", "to_id": "lost", "labels": ["has"]},
        {"type": "choices", "value": {"choices": ["a photo"]}, "from_name": "x", "to_name": "image"},
    )
    sign, point = record.regions
    assert (sign.label, sign.text, sign.attributes) == ("sign", "ONE WAY", ("old", "rusty"))
    assert point.region.to_pixels((100, 50)) == (50.0, 25.0)
    assert record.relations == (Relation(0, "has", 1),)
    assert not faults


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/3fa1b2c4-a.jpg",
        "/data/local-files/?d=photos%2Fa.jpg",
        "s3://bucket/some/folder/a.jpg",
        "https://example.org/a.jpg?width=300",
    ],
)
def test_pictures_are_found_by_their_name(folder: Path, image: str) -> None:
    annotations(folder / "export.json", [task(result(**VALUE), image=image)])
    (record,), _ = read(LABEL_STUDIO, folder, "all")
    assert record.image == folder / "images" / "a.jpg"


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (3, "unusable entry"),
        ({}, "no answer"),
        (task(annotations=[]), "no answer"),
        (task(annotations=[{"was_cancelled": True, "result": [result(**VALUE)]}]), "no answer"),
        (task(result(**VALUE), image="no picture"), "unusable entry"),
        (task(result(**VALUE), image="http://[bad/a.jpg"), "unusable entry"),
        (task(result(**VALUE), image="/data/upload/b.jpg"), "missing picture"),
    ],
)
def test_tasks_that_cannot_be_used_are_left_out(folder: Path, entry: Any, kind: str) -> None:
    annotations(folder / "export.json", [entry])
    records, faults = read(LABEL_STUDIO, folder, "all")
    assert (records, found(faults)) == ([], {kind: 1})


def test_a_task_without_regions_is_an_empty_record(folder: Path) -> None:
    assert read_one(folder)[0].regions == ()


def test_the_short_export(folder: Path) -> None:
    short = {"image": "/data/upload/1/3fa1b2c4-a.jpg", "id": 1, "annotator": 1,
             "label": [{**VALUE, "original_width": 100, "original_height": 50}]}  # fmt: skip
    annotations(folder / "export.json", [short])
    (record,), faults = read(LABEL_STUDIO, folder, "all")
    assert record.regions[0].label == "dog"
    assert not faults.counts


@settings(max_examples=80, deadline=None)
@given(content=damaged([task(result(**VALUE), result("b", "polygonlabels", points=[[1, 2], [9, 2], [9, 9]]),
                             {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["on"]})]))  # fmt: skip
def test_damaged_files_never_crash(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "label_studio"
    picture(folder / "images" / "a.jpg")
    annotations(folder / "export.json", content)
    try:
        records, _ = read(LABEL_STUDIO, folder, "all")
    except DataError:
        assert not isinstance(content, list)
    else:
        assert all(max(r.subject, r.object) < len(record.regions) for record in records for r in record.relations)
