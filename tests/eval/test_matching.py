from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.eval.coco import COCO_CLASSES, known_names, plural
from chatspot.eval.matching import coco_class, read_plate
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks import NAMES, PLATES, WORDS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", None),
        ("   \n", None),
        ("...", None),
        ("the", None),
        ("<box>[0.1,0.2]</box>", None),
        ("\x00￿", None),
        ("dog", "dog"),
        (" Dog. ", "dog"),
        ('"dog"', "dog"),
        ("A dog", "dog"),
        ("the DOGS!", "dog"),
        ("hot dog", "hot dog"),
        ("a hot-dog", "hot dog"),
        ("hotdogs", "hot dog"),
        ("doghouse", None),  # no whole word
        ("scar", None),
        ("a black dog", "dog"),
        ("a dog on a couch", "couch"),  # the longest name, as the rule says
        ("cat dog", "cat"),  # of equally long ones the first
        ("dog cat", "dog"),
        ("teddy bears", "teddy bear"),
        ("a young man", "person"),
        ("some people", "person"),
        ("the man's tennis racquet", "tennis racket"),
        ("wine glasses", "wine glass"),
        ("glass", None),
        ("sandwiches", "sandwich"),
        ("buses", "bus"),
        ("knives", "knife"),
        ("skis", "skis"),
        ("ski", "skis"),
        ("pair of scissors", "scissors"),
        ("sheep", "sheep"),
        ("TVmonitor", "tv"),
        ("television", "tv"),
        ("sofa", "couch"),
        ("aeroplane", "airplane"),
        ("motorbikes", "motorcycle"),
        ("pottedplant", "potted plant"),
        ("diningtable", "dining table"),
        ("dining   table", "dining table"),
        ("dining_table", "dining table"),
        ("ＤＯＧ", "dog"),  # noqa: RUF001 (full-width letters)
    ],
)
def test_the_class_that_an_answer_names(answer, expected):
    assert coco_class(answer) == expected


@pytest.mark.parametrize("name", COCO_CLASSES)
def test_every_class_is_read_from_its_name_its_plural_and_a_sentence(name):
    assert coco_class(name) == coco_class(f"{name.upper()}.") == coco_class(plural(name)) == name
    assert coco_class(f"It is a {name}, I think") == name


def test_no_name_of_one_class_is_the_name_of_another():
    assert all(known_names()[name] == name for name in COCO_CLASSES)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_as_a_class_or_none(text):
    assert coco_class(text) in {*COCO_CLASSES, None}
    assert coco_class(f"{text} {text}") == coco_class(f" {text}  {text}. ")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["red", "big", "with", "on", "xyz", *COCO_CLASSES]), min_size=1, max_size=6))
def test_of_several_classes_the_first_of_the_longest_is_named(words):
    named = [word for word in words if word in COCO_CLASSES]
    assert coco_class(" ".join(words)) == (max(named, key=len) if named else None)


def judged(task, truth, answer):
    """Whether the answer gets the task's points."""
    return task.judge(Prediction("a/b#0", "?", {}, (9, 9), truth, answer)).right


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("EXIT", "exit", True),
        ("EXIT", 'It says "EXIT" here', True),
        ("EXIT", "EXITS", True),  # contained, as in the paper
        ("EXIT", "E X I T", False),
        ("EXIT", "", False),
        ("EXIT", "exi", False),
        ("10-10 to 11", '"10-10  to\n11"', True),
        ("m&m's", "M&M'S", True),
        ("STRASSE", "straße", True),
    ],
)
def test_words_are_right_when_contained(truth, answer, right):
    assert judged(WORDS, truth, answer) is right


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("RK376AF", '"rk-376 af"', True),
        ("RK376AF", "“RK\u2013376AF”", True),
        ("RK376AF", "RK376A", False),
        ("RK376AF", "it is RK376AF", False),  # exact, not contained
        ("RK376AF", "RK376AF.", False),
        ("RK376AF", "", False),
        ("RK376AF", '"-"', False),
        ("OYO9FEU", "0YO9FEU", False),
    ],
)
def test_plates_are_right_when_all_characters_are(truth, answer, right):
    assert judged(PLATES, truth, answer) is right


@settings(max_examples=60, deadline=None)
@given(st.text("ABCDEFGH0123456789", min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_blanks_dashes_and_case_of_a_plate_do_not_count(plate, rng: random.Random):
    spaced = "".join(rng.choice(["", " ", "-", '"']) + rng.choice([c, c.lower()]) for c in plate)
    assert read_plate(spaced) == read_plate(plate)
    assert read_plate(plate + "Z") != read_plate(plate)


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("", "milk", False),
        ("the", "milk", False),
        ("milk", "milk", True),
        ('"The Milk."', "milk", True),
        ("oat milk", "milk", False),  # another thing, for all that the rule knows
        ("milk", "oat milk", False),
        ("oat-milk", "oat milk", True),
        ("\uff4d\uff49\uff4c\uff4b", "milk", True),  # full-width letters
    ],
)
def test_names_are_right_when_they_are_the_annotated_one(answer, truth, right):
    assert judged(NAMES, truth, answer) is right
