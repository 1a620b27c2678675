"""Figures of dialogues: what is counted, in which class, and which samples are chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sets import BOX, SIZE, talk

from chatspot.data.looking import Dialogue, Picture, Survey, figures, survey
from chatspot.data.looking.figures import LENGTH_BINS, Tally, size_class
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.regions import Box, Mask, Point, Polygon, Scribble
from strategies import regions


def test_nothing_gives_nothing() -> None:
    figures = survey([])
    assert (figures.pictures, figures.dialogues, figures.answers, figures.regions) == (0, 0, 0, 0)
    assert list(figures.samples(10)) == []


def test_a_picture_without_dialogue_is_counted(picture: Callable) -> None:
    figures = survey([picture()])
    assert (figures.pictures, figures.dialogues, figures.without_dialogue) == (1, 0, 1)


@pytest.mark.parametrize(
    ("area", "name"),
    [(0, "small"), (1023.9, "small"), (1024, "medium"), (9215.9, "medium"), (9216, "large"), (1e9, "large")],
)
def test_size_classes_are_cocos(area: float, name: str) -> None:
    assert size_class(area) == name


@pytest.mark.parametrize(
    ("region", "key"),
    [
        (BOX, ("Box", "medium")),  # 80 x 40 pixels
        (Box.from_normalized(0, 0, 0.1, 0.1), ("Box", "small")),
        (Box.from_normalized(0, 0, 1, 1), ("Box", "large")),
        (Point.from_normalized(0.5, 0.5), ("Point", "no area")),
        (Polygon.from_normalized([(0, 0), (1, 0), (1, 1)]), ("Polygon", "large")),
        (Mask.from_runs([0, 3, 3], size=(2, 3)), ("Mask", "large")),
        (Scribble.from_normalized([(0.5, 0.5)], pen_wh=(0.02, 0.02)), ("Scribble", "small")),
    ],
)
def test_regions_are_counted_by_form_and_size(region: object, key: tuple[str, str], picture: Callable) -> None:
    figures = survey([picture(talk(("What is this?", "a dog"), regions=(region,)))])
    assert dict(figures.forms) == {("asked", *key): 1}


def test_a_dialogue_is_counted_once_in_each_place(picture: Callable) -> None:
    conversation = talk(("What is this?", "a brown dog"), ("Is it red?", "No."), ("Where?", BOX), regions=(BOX,))
    figures = survey([picture(conversation, task="name"), picture(talk(("Sure?", "yes")), id="set/2", task="presence")])
    assert (figures.pictures, figures.dialogues, figures.answers, figures.regions) == (2, 2, 4, 2)
    assert figures.forms == {("asked", "Box", "medium"): 1, ("answered", "Box", "medium"): 1}
    assert (figures.yes, figures.no, figures.region_answers) == (1, 1, 1)
    assert figures.lengths == {0: 2, LENGTH_BINS.index(3): 1}
    assert figures.turns == {3: 1, 1: 1}
    assert (figures.short_style, figures.long_style) == (4, 0)
    assert figures.tasks["name"].median_words == 1
    assert figures.tasks["name"].questions.counts["What is this? {region}"] == 1
    assert figures.sources["set"].licences == {"CC0": 2}


@pytest.mark.parametrize(("words", "column"), [(1, 0), (2, 1), (4, 3), (5, 3), (6, 4), (89, 9), (90, 10), (500, 10)])
def test_lengths_of_answers(words: int, column: int, picture: Callable) -> None:
    assert survey([picture(talk(("Tell me.", "word " * words)))]).lengths == {column: 1}


@given(st.lists(st.lists(regions, min_size=1, max_size=3), max_size=4))
def test_every_region_is_counted_everywhere(asked: list) -> None:
    pictures = [
        Picture(str(at), "s", b"", SIZE, "", (Dialogue(f"{at}", "name", talk(("What?", "it"), regions=tuple(each))),))
        for at, each in enumerate(asked)
    ]
    figures = survey(pictures)
    total = sum(map(len, asked))
    points = sum(isinstance(region, Point) for each in asked for region in each)
    assert figures.regions == figures.forms.total() == figures.middles.total() == total
    assert figures.area_shares.total() == total - points


def test_questions_about_other_regions_are_one_phrasing(picture: Callable) -> None:
    here, there = (
        talk(("What is at {region}?", "x"), regions=(region,)) for region in (BOX, Point.from_normalized(0, 0))
    )
    figures = survey([picture(here, there)])
    assert figures.tasks["name"].questions.distinct == 1


def test_a_tally_stays_small_and_keeps_the_commonest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "TALLY_LIMIT", 10)
    tally = Tally()
    for number in range(200):
        tally.add("often")
        tally.add(f"once {number}")
        assert len(tally.counts) <= 10
    assert tally.commonest(1) == [("often", 200)]
    assert (tally.total, tally.exact) == (400, False)


def test_a_small_tally_is_exact() -> None:
    tally = Tally()
    for text in "abca":
        tally.add(text)
    assert tally.commonest(5) == [("a", 2), ("b", 1), ("c", 1)]
    assert (tally.distinct, tally.exact) == (3, True)


def test_samples_come_from_every_source_and_task(picture: Callable) -> None:
    pictures = [
        picture(talk(("What?", "it")), id=f"{source}/{number}", source=source, task=task)
        for source, count in (("large", 50), ("small", 1))
        for number in range(count)
        for task in ("name", "text")
    ]
    chosen = [(where.source, dialogue.task) for where, dialogue in survey(pictures).samples(4)]
    assert len(set(chosen)) >= 3
    every = {(where.source, dialogue.task) for where, dialogue in survey(pictures).samples(100)}
    assert every == {("large", "name"), ("large", "text"), ("small", "name"), ("small", "text")}


def test_samples_depend_on_the_seed_and_not_on_the_order(picture: Callable) -> None:
    pictures = [picture(talk(("What?", "it")), id=f"set/{number}") for number in range(40)]

    def chosen(given: list, seed: int) -> list[str]:
        figures = Survey(seed)
        for each in given:
            figures.add(each, keep=5)
        return [dialogue.id for _, dialogue in figures.samples(5)]

    assert len(chosen(pictures, 0)) == 5
    assert chosen(pictures, 0) == chosen(pictures[::-1], 0)
    assert chosen(pictures, 0) != chosen(pictures, 1)


def test_a_systems_message_is_no_answer(picture: Callable) -> None:
    system = Message("system", (TextPart("Be short."),))
    conversation = Conversation((system, ask("What?"), Message("assistant", (TextPart("a dog"),))))
    figures = survey([picture(conversation)])
    assert (figures.answers, figures.tasks["name"].answers.total) == (1, 1)
