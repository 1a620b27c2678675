"""PointQA: counts of the pointed-at kind, and properties of the pointed-at thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.records import Question
from chatspot.data.sources.pointqa import POINTQA_LOCAL, POINTQA_LOOKTWICE, POINTQA_TEST
from chatspot.errors import DataError

BOX = {"x": 10, "y": 20, "w": 30, "h": 20, "names": ["bird"], "object_id": 3, "attributes": ["red"]}


def asked(**changes: Any) -> dict[str, Any]:
    """A question of LookTwice, with the file's own keys."""
    entry = {"id": 7, "obj_question": "How many of these birds are there?", "ans": "3", "obj_type": "birds",
             "super_question": "How many of these animals are there?", "supercategory": "animal",
             "general_question": "How many of these are there?", "bbox": BOX,
             "point": {"x": 25, "y": 30, "ans": "3"}}  # fmt: skip
    return {**entry, **changes}


def laid_out(folder: Path, entries: Any, name: str = "looktwiceqa", split: str = "train", ids: Any = ("7",)) -> Path:
    annotations(folder / f"{name}_dataset.json", {"7": entries})
    annotations(folder / f"{name}_{split}_imgs.json", list(ids))
    (folder / "VG_100K").mkdir(exist_ok=True)
    picture(folder / "VG_100K_2" / "7.jpg")
    return folder


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looktwiceqa_dataset\.json, looktwiceqa_test_imgs\.json, VG_100K/"):
        read(POINTQA_TEST, tmp_path, "test")


def test_three_wordings_by_box_and_by_point(tmp_path: Path) -> None:
    (record,), faults = read(POINTQA_LOOKTWICE, laid_out(tmp_path, [asked(), asked()]))
    (region,) = record.regions
    assert region.label == "birds"
    assert region.box is not None
    assert region.box.to_pixels((100, 50)) == pytest.approx((10, 20, 40, 40))  # xywh
    assert region.point is not None
    assert region.point.to_pixels((100, 50)) == (25.0, 30.0)
    assert record.questions == (
        Question("How many of these birds are there?", ("3",), (0,), "obj"),
        Question("How many of these animals are there?", ("3",), (0,), "super"),
        Question("How many of these are there?", ("3",), (0,), "general"),
    )
    assert record.image_ids == ("vg:7",)
    assert not faults.counts


def test_capital_keys_of_the_official_readme(tmp_path: Path) -> None:
    keys = {"Obj_question": "How many?", "Ans": 3, "BBox": BOX, "Point": {"x": 25, "y": 30}, "Obj_type": "birds"}
    (record,), _ = read(POINTQA_TEST, laid_out(tmp_path, [keys], split="test"), "test")
    assert record.questions == (Question("How many?", ("3",), (0,), "obj"),)
    assert record.source == "pointqa_test"


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (3, "unusable entry"),
        ({}, "unusable entry"),
        (asked(bbox=[10, 20, 30, 40]), "unusable entry"),
        (asked(bbox={**BOX, "w": 0}), "degenerate region"),
        (asked(bbox={**BOX, "y": 48}), "outside region"),
        (asked(point=3), "unusable entry"),
        (asked(ans=True), "unusable entry"),
        (asked(obj_question=3), "unusable entry"),
    ],
)
def test_entries_that_cannot_be_used_are_left_out(tmp_path: Path, entry: Any, kind: str) -> None:
    records, faults = read(POINTQA_LOOKTWICE, laid_out(tmp_path, [entry]))
    assert records == []
    assert found(faults) == {kind: 1}


def test_splits_are_lists_of_text_ids(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, [asked()], ids=["7", 7, "8", None, "../7"])
    records, faults = read(POINTQA_LOOKTWICE, folder)
    assert len(records) == 2
    assert found(faults) == {"unusable entry": 3}


def local(**changes: Any) -> dict[str, Any]:
    """A question of LocalQA: ``all_ans`` is a set, parallel to nothing."""
    entry = {"id": 7, "question": "What color is the bird?", "all_ans": ["blue", "red"],
             "all_objs": [BOX, {**BOX, "x": 60}, {**BOX, "x": 50}],
             "points": [{"x": 25, "y": 30, "ans": "red"}, {"x": 75, "y": 30, "ans": "blue"},
                        {"x": 65, "y": 30, "ans": "red"}]}  # fmt: skip
    return {**entry, **changes}


def test_local_questions_are_answered_by_their_point(tmp_path: Path) -> None:
    (record,), _ = read(POINTQA_LOCAL, laid_out(tmp_path, [local()], "localqa"))
    assert [(q.regions, q.answers) for q in record.questions] == [((0,), ("red",)), ((1,), ("blue",)), ((2,), ("red",))]
    assert [region.label for region in record.regions] == ["bird"] * 3


@pytest.mark.parametrize("change", [{"points": []}, {"question": None}, {"all_objs": 3}, {"points": [1, 2, 3]}])
def test_local_entries_that_cannot_be_used(tmp_path: Path, change: dict[str, Any]) -> None:
    records, faults = read(POINTQA_LOCAL, laid_out(tmp_path, [local(**change)], "localqa", "testdev"), "testdev")
    assert (records, found(faults)) == ([], {"unusable entry": 1})


@settings(max_examples=80, deadline=None)
@given(first=damaged([asked(), asked()]), second=damaged([local()]))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "pointqa"
    for source, entries, name in ((POINTQA_LOOKTWICE, first, "looktwiceqa"), (POINTQA_LOCAL, second, "localqa")):
        records, _ = read(source, laid_out(folder, entries, name))
        for record in records:
            assert all(question.answers[0] for question in record.questions)
            assert all(number < len(record.regions) for q in record.questions for number in q.regions)
