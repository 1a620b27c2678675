"""Questions with lettered choices, as the bench reads them and training asks them."""

from __future__ import annotations

import random

import pytest

from chatspot.data.dialogues.choices import choices_of, dealt_choices
from chatspot.data.records import Question
from chatspot.eval.tasks.vqa import chosen_letter, plain_words

WOOD = Question("What is it made of?\nA. Wood.\nB. Glass.\nC. Metal.", ("Glass.",), (0,), "material")


@pytest.mark.parametrize(
    "asked",
    [
        Question("", ("a",)),
        Question("What?", ("a",)),
        Question("What?\nA. one", ("one",)),  # one choice is none
        Question("What?\nA. one\nsome line", ("one",)),
        Question("What?\nA. one\nB. two", ()),
        Question("What?\nA. one\nB. two", ("three",)),
        Question("What?\nA. one\nB. one", ("one",)),
        Question("What?\nA. one\nB. two", ("A",)),
    ],
)
def test_what_has_no_one_right_choice_is_left_as_it_is(asked: Question) -> None:
    assert dealt_choices(asked, random.Random(0)) is None


def test_choices_change_places_and_the_answer_goes_with_them() -> None:
    orders = set()
    for seed in range(40):
        dealt = dealt_choices(WOOD, random.Random(seed))
        assert dealt is not None
        question, answer = dealt
        choices = choices_of(Question(question, (answer,)))
        assert list(choices) == ["A", "B", "C"]
        assert sorted(choices.values()) == ["Glass.", "Metal.", "Wood."]
        assert answer == next(f"{letter}. {text}" for letter, text in choices.items() if text == "Glass.")
        assert chosen_letter(answer, {k: plain_words(v) for k, v in choices.items()}) == answer[0]
        orders.add(tuple(choices.values()))
    assert len(orders) == 6


@pytest.mark.parametrize("last", ["None of the above", "Both are", "Neither is", "All of them"])
def test_a_choice_that_speaks_of_others_keeps_them_in_place(last: str) -> None:
    asked = Question(f"Which?\nA. one\nB. two\nC. {last}", ("two",))
    for seed in range(10):
        assert dealt_choices(asked, random.Random(seed)) == (asked.question, "B. two")


def test_a_choice_of_regions_is_answered_by_its_letter() -> None:
    asked = Question("Which of <region0> and <region1>?\nA. <region0>\nB. <region1>", ("<region1>",), (0, 1))
    for seed in range(10):
        dealt = dealt_choices(asked, random.Random(seed))
        assert dealt is not None
        assert f"{dealt[1]}. <region1>" in dealt[0].splitlines()
