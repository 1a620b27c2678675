"""V-COCO's pairs and RefCOCO's phrases, on COCO's photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.records import Relation
from chatspot.data.sources.coco_offspring import ACTIONS, REFCOCO, VCOCO
from chatspot.errors import DataError

NAME = "COCO_val2014_000000000328.jpg"
PHOTO = "COCO_train2014_000000580957"
HUMAN, THING = [10, 5, 60, 45], [50, 20, 70, 40]


def pairs(**changes: Any) -> dict[str, Any]:
    """Somebody who holds and reads a book."""
    return {"boxes_h": [HUMAN, HUMAN], "boxes_o": [THING, THING], "actions": [0, 1], "objects": [2, 2],
            "file_name": NAME, **changes}  # fmt: skip


def content(*entries: Any, **changes: Any) -> dict[str, Any]:
    """V-COCO's file."""
    return {"annotations": list(entries), "classes": ["hold obj", "read obj", "fold obj"],
            "objects": ["background", "person", "book"], "images": [328], "action_to_object": [[2], [2], [2]],
            **changes}  # fmt: skip


def vcoco(folder: Path, told: Any = None) -> Path:
    """One photo of V-COCO."""
    picture(folder / "val2014" / NAME)
    annotations(folder / "instances_vcoco_test.json", content(pairs()) if told is None else told)
    return folder


def phrase(**changes: Any) -> dict[str, Any]:
    """A phrase about the left half of a photo of 100 x 50."""
    return {"img_id": f"{PHOTO}_4", "sents": "bowl behind the others", "bbox": [0, 10, 50, 40], "height": 50,
            "width": 100, **changes}  # fmt: skip


def refcoco(folder: Path, *phrases: Any) -> Path:
    """One photo of RefCOCO."""
    picture(folder / "train2014" / f"{PHOTO}.jpg")
    annotations(folder / "refcoco_val.json", list(phrases))
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks instances_vcoco_test\.json; get the set from"):
        read(VCOCO, tmp_path, "test")
    annotations(tmp_path / "instances_vcoco_test.json", content())
    with pytest.raises(DataError, match="lacks its photos: expected train2014/ or val2014/"):
        read(VCOCO, tmp_path, "test")
    with pytest.raises(DataError, match=r"lacks refcoco\+_testA\.json, train2014/; get the set from"):
        read(REFCOCO, tmp_path, "refcoco+_testA")


@pytest.mark.parametrize("told", [[], {}, {"annotations": [], "classes": []}, content(classes=[7])])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, told: Any) -> None:
    with pytest.raises(DataError, match=r"instances_vcoco_test\.json: "):
        read(VCOCO, vcoco(tmp_path, told), "test")
    annotations(refcoco(tmp_path) / "refcoco_val.json", {})
    with pytest.raises(DataError, match=r"refcoco_val\.json: expected a list of phrases"):
        read(REFCOCO, tmp_path, "refcoco_val")


@pytest.mark.parametrize("entry", [3, pairs(actions=[0]), pairs(boxes_h=7), pairs(file_name="../x.jpg")])
def test_entries_that_cannot_be_used(tmp_path: Path, entry: Any) -> None:
    records, faults = read(VCOCO, vcoco(tmp_path, content(entry)), "test")
    assert (records, found(faults)) == ([], {"unusable entry": 1})


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"actions": [0, 3]}, "unusable entry"),
        ({"actions": [0, -1]}, "unusable entry"),
        ({"actions": [0, True]}, "unusable entry"),
        ({"objects": [2, "book"]}, "unusable entry"),
        ({"objects": [2, 0]}, "unusable entry"),
        ({"boxes_o": [THING, [70, 20, 50, 40]]}, "degenerate region"),
        ({"boxes_o": [THING, [float("nan")] * 4]}, "degenerate region"),
    ],
)
def test_pairs_that_cannot_be_used_are_left_out(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    (record,), faults = read(VCOCO, vcoco(tmp_path, content(pairs(**changes))), "test")
    assert record.relations == (Relation(0, "holding", 1),)
    assert found(faults) == {kind: 1}


def test_trap_a_box_stands_once_for_each_of_its_pairs(tmp_path: Path) -> None:
    (record,), faults = read(VCOCO, vcoco(tmp_path), "test")
    boxes = [(region.label, region.box.to_pixels((100, 50))) for region in record.regions if region.box]
    assert boxes == [("person", (10, 5, 60, 45)), ("book", (50, 20, 70, 40))]
    assert record.relations == (Relation(0, "holding", 1), Relation(0, "reading", 1))
    assert (record.image_ids, found(faults)) == (("coco:328",), {})


def test_trap_objects_count_from_the_background(tmp_path: Path) -> None:
    (record,), _ = read(VCOCO, vcoco(tmp_path, content(pairs(objects=[1, 1]))), "test")
    assert [region.label for region in record.regions] == ["person", "person"]


def test_an_action_that_has_no_words_of_ours(tmp_path: Path) -> None:
    (record,), _ = read(VCOCO, vcoco(tmp_path, content(pairs(actions=[2, 2]))), "test")
    assert record.relations == (Relation(0, "fold", 1),)
    assert len(ACTIONS) == 24


def test_trap_photos_bear_2014s_name_or_2017s(tmp_path: Path) -> None:
    vcoco(tmp_path)
    (tmp_path / "val2014" / NAME).rename(tmp_path / "val2014" / "000000000328.jpg")
    assert len(read(VCOCO, tmp_path, "test")[0]) == 1


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (3, "unusable entry"),
        (phrase(img_id=PHOTO), "unusable entry"),
        (phrase(img_id=f"../{PHOTO}_4"), "unusable entry"),
        (phrase(img_id=4), "unusable entry"),
        (phrase(sents=["a"]), "unusable entry"),
        (phrase(sents=" "), "no answer"),
        (phrase(bbox=[1, 2]), "unusable entry"),
        (phrase(bbox=[0, 10, 0, 40]), "degenerate region"),
        (phrase(img_id="COCO_train2014_000000000001_4"), "missing picture"),
    ],
)
def test_phrases_that_cannot_be_used_are_left_out(tmp_path: Path, wrong: Any, kind: str) -> None:
    (record,), faults = read(REFCOCO, refcoco(tmp_path, wrong, phrase()), "refcoco_val")
    assert [region.descriptions for region in record.regions] == [("bowl behind the others",)]
    assert found(faults) == {kind: 1}


def test_trap_one_entry_a_phrase_and_the_object_once(tmp_path: Path) -> None:
    other = phrase(img_id=f"{PHOTO}_5", sents="dish", bbox=[60, 10, 30, 30])
    (record,), faults = read(REFCOCO, refcoco(tmp_path, phrase(), phrase(sents="left bowl"), other, phrase()),
                             "refcoco_val")  # fmt: skip
    assert [region.descriptions for region in record.regions] == [("bowl behind the others", "left bowl"), ("dish",)]
    assert (record.image_ids, found(faults)) == (("coco:580957",), {})


def test_trap_the_box_is_left_top_width_height_and_the_name_has_the_objects_number(tmp_path: Path) -> None:
    (record,), _ = read(REFCOCO, refcoco(tmp_path, phrase()), "refcoco_val")
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == (0, 10, 50, 50)
    assert record.regions[0].label is None


def test_a_missing_photo_is_counted_once(tmp_path: Path) -> None:
    gone = phrase(img_id="COCO_train2014_000000000001_4")
    records, faults = read(REFCOCO, refcoco(tmp_path, gone, gone, gone), "refcoco_val")
    assert (records, found(faults)) == ([], {"missing picture": 1})


def test_refcoco_is_never_trained_on() -> None:
    assert REFCOCO.role == "evaluation"


@settings(max_examples=80, deadline=None)
@given(told=damaged(content(pairs(), pairs())), phrases=damaged([phrase(), phrase()]))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, told: Any, phrases: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "offspring"
    annotations(refcoco(vcoco(folder, told)) / "refcoco_val.json", phrases)
    for source, split in ((VCOCO, "test"), (REFCOCO, "refcoco_val")):
        try:
            records, _ = read(source, folder, split)
        except DataError:
            continue
        for record in records:
            ends = [end for relation in record.relations for end in (relation.subject, relation.object)]
            assert all(0 <= end < len(record.regions) for end in ends)
