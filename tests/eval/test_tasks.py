from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from reference import picture, write_folder

from chatspot.data.records import read_records
from chatspot.errors import DataError
from chatspot.eval.coco import COCO_CLASSES, known_names
from chatspot.eval.tasks import COCO, NAMES, PLATES, WORDS, find_task, questions_of
from chatspot.eval.tasks.objects import LEAST_COCO_AREA
from chatspot.regions import Box, Point


def test_coco_asks_known_classes_that_are_large_enough_and_no_crowd(coco_questions):
    assert [(q.id, q.truth) for q in coco_questions] == [
        ("coco/one#0", "person"),
        ("coco/one#1", "dog"),
        ("coco/one#4", "person"),
        ("coco/two#1", "hot dog"),
        ("coco/three#0", "person"),
        ("coco/three#1", "cat"),
        ("coco/three#2", "person"),
    ]
    first = coco_questions[0]
    assert first.text == "What can you see in this region?"  # the paper's words
    assert first.region == Box.from_pixels(0, 0, 50, 40, size=(100, 80))
    assert first.conversation.messages[0].style == "short"
    assert (first.size, first.picture, first.extra) == ((100, 80), "coco/one", {"form": "box", "area_px": 2000.0})


def test_a_point_is_the_centre_or_where_that_lies_outside_a_place_within_the_outline(coco_folder, coco_questions):
    by_point = questions_of(COCO, coco_folder, form="point")
    assert [q.id for q in by_point] == [q.id for q in coco_questions]
    assert by_point[0].region == Point.from_pixels(25, 20, size=(100, 80))
    regions = [region for record in read_records(coco_folder) for region in record.regions]
    bent = regions[1].polygon
    assert not bent.contains(regions[1].box.center)
    assert bent.contains(by_point[1].region)


def test_the_same_folder_gives_the_same_questions(coco_folder, coco_questions):
    assert questions_of(COCO, coco_folder) == coco_questions


def test_a_limit_draws_nested_parts_in_order(coco_folder, coco_questions):
    ids = [q.id for q in coco_questions]
    parts = [[q.id for q in questions_of(COCO, coco_folder, limit=n)] for n in range(1, 9)]
    assert [len(part) for part in parts] == [1, 2, 3, 4, 5, 6, 7, 7]
    for small, large in pairwise(parts):
        assert set(small) <= set(large)
        assert large == [one for one in ids if one in large]
    by_point = questions_of(COCO, coco_folder, form="point", limit=3)
    assert [q.id for q in by_point] == parts[2]


def test_names_ask_every_label_whatever_it_is(tmp_path):
    box = {"box": [0, 0, 60, 24]}
    record = picture("a", {**box, "label": "oat milk"}, {**box, "label": "..."}, {**box, "text": "EXIT"},
                     {**box, "label": "crowd", "iscrowd": True})  # fmt: skip
    assert [q.truth for q in questions_of(NAMES, write_folder(tmp_path / "own", [record]))] == ["oat milk"]


def test_words_and_plates_ask_only_what_can_be_read(tmp_path):
    text = {"label": "text", "box": [0, 0, 60, 24]}
    plate = {**text, "label": "license plate"}
    folder = write_folder(tmp_path / "mixed", [
        picture("a", {**text, "text": "EXIT"}, size=(60, 24)),
        picture("b", {**text, "text": "###", "legible": False}, {**text, "text": ""}, {**text, "text": "  "}),
        picture("c", {**plate, "text": "A1-23"}, {**plate, "text": "--"}),
        picture("d", {**text, "text": "half", "cut_off": True}),
    ])  # fmt: skip
    plates = questions_of(PLATES, folder)
    assert [(q.id, q.truth, q.text) for q in plates] == [
        ("mixed/c#0", "A1-23", "What is the number on this license plate?")
    ]
    words = questions_of(WORDS, folder)
    assert [(q.id, q.truth) for q in words] == [("mixed/a#0", "EXIT"), ("mixed/c#0", "A1-23"), ("mixed/c#1", "--")]
    assert words[0].text == "What text can you see in this region?"  # the paper's words
    assert words[0].region == Box.from_normalized(0, 0, 1, 1)


@pytest.mark.parametrize(
    ("records", "arguments", "says"),
    [
        ([], {}, "has no region that task coco asks about"),
        ([picture("a", {"box": [0, 0, 50, 50], "label": "unicorn"})], {}, "has no region"),
        (
            [picture("a", {"box": [0, 0, 50, 50], "label": "cat"})],
            {"form": "circle"},
            "not by 'circle'",
        ),
        ([picture("a", {"box": [0, 0, 50, 50], "label": "cat"})], {"limit": 0}, "at least 1"),
        ([picture("a", {"box": [0, 0, 50, 50], "label": "cat"})] * 2, {}, "two questions have the id"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path, records, arguments, says):
    folder = write_folder(tmp_path / "folder", records)
    with pytest.raises(DataError, match=says):
        questions_of(COCO, folder, **arguments)


def test_unknown_tasks_and_folders_are_errors(tmp_path):
    with pytest.raises(DataError, match="no task 'vqa'; known are coco, detected, presence, "):
        find_task("vqa")
    with pytest.raises(DataError, match="does not exist"):
        questions_of(COCO, tmp_path / "nowhere")


def test_there_are_eighty_classes_and_every_name_leads_to_one():
    assert len(set(COCO_CLASSES)) == 80
    assert set(known_names().values()) == set(COCO_CLASSES)
    assert all(name == name.casefold() for name in known_names())


def test_the_held_out_photos_give_the_questions_that_results_are_about(photos: Path):
    heldout = photos / "heldout"
    coco = questions_of(COCO, heldout / "coco")
    assert len(coco) == 1960
    assert len({q.picture for q in coco}) == 245
    assert all(q.extra["area_px"] >= LEAST_COCO_AREA for q in coco)
    assert len(questions_of(COCO, heldout / "coco", form="point")) == 1960
    assert len(questions_of(WORDS, heldout / "icdar2015_word_crops")) == 315
    assert len(questions_of(PLATES, heldout / "license_plates")) == 54
    for question in questions_of(WORDS, heldout / "icdar2015_word_crops"):
        assert question.region == Box.from_normalized(0, 0, 1, 1)  # the whole crop
    for question in (*coco[::97], *questions_of(WORDS, heldout / "icdar2015_word_crops")[::50]):
        assert question.image.is_file()
