"""Counting in a region: what is asked has one right answer, whatever boxes annotators drew and whatever is drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.data.dialogues import DialogueSettings, samples_of_record
from chatspot.data.dialogues.counting import INSIDE, MOST, OUTSIDE, around, countable, inside
from chatspot.data.records import Record, RegionRecord
from chatspot.regions import Box

SIZE = (200, 100)


def thing(label: str, x1: float, y1: float, x2: float, y2: float, *, askable: bool = True) -> RegionRecord:
    """A region of 200 x 100 pixels."""
    box = Box.from_pixels(x1, y1, x2, y2, size=SIZE)
    return RegionRecord(box, None, None, label, None, askable, (x2 - x1) * (y2 - y1))


def picture(*things: RegionRecord, source: str = "coco") -> Record:
    return Record(Path("no/1.jpg"), SIZE, things, (), source)


def row(label: str, count: int) -> list[RegionRecord]:
    """Things beside each other that do not touch."""
    return [thing(label, 2 + 20 * at, 10, 17 + 20 * at, 40) for at in range(count)]


def settings_for(**changes: object) -> DialogueSettings:
    values = {"tasks": {"count_here": 1.0}, "long_share": 0.0, "first_share": 1.0, "mixed_share": 0.0, **changes}
    return DialogueSettings(**values)  # type: ignore[arg-type]


def asked(subject: Record, seed: int, **changes: object) -> list[tuple[str, Box, str]]:
    """Questions with their box and their answer."""
    found = []
    for sample in samples_of_record(subject, settings_for(**changes), seed):
        messages = sample.conversation.messages
        for question, answer in zip(messages[::2], messages[1::2], strict=True):
            (box,) = question.regions
            assert isinstance(box, Box)
            found.append((question.text.strip(), box, answer.text))
    return found


@pytest.mark.parametrize(
    "subject",
    [
        picture(),
        picture(*row("dog", 3), source="visual_genome"),  # not everything is annotated
        picture(*row("dog", 3), thing("dog", 100, 60, 190, 90, askable=False)),  # a crowd
        picture(*row("dog", 3), thing("dog", 100, 60, 105, 65)),  # too small to be asked about
        picture(*row("lamp", 3)),  # no class of COCO
        picture(*[thing("dog", 2, 10, 40, 40)] * 8),  # all in one place: no box holds 1 to 7 of them
    ],
)
def test_what_cannot_be_counted_is_not_asked(subject: Record) -> None:
    assert not [found for seed in range(12) for found in asked(subject, seed)]


def test_a_count_is_of_the_box_and_every_possible_one_is_asked() -> None:
    dogs = row("dog", 5)
    counts: Counter[str] = Counter()
    for seed in range(60):
        for words, box, answer in asked(picture(*dogs), seed, hard_repeats=1):
            if words == "How many dogs are in this region?":
                counts[answer] += 1
                assert sum(inside(dog.box, box) >= INSIDE for dog in dogs if dog.box) == int(answer)
            else:
                assert answer == "0"
    assert set(counts) == set("12345")
    assert min(counts.values()) >= 4  # of 12 that are due


def test_one_class_is_counted_in_boxes_of_different_counts() -> None:
    for seed in range(20):
        found = [answer for words, _, answer in asked(picture(*row("dog", 6)), seed, hard_repeats=4) if "dogs" in words]
        assert len(found) == len(set(found)) == 4
    assert {answer for seed in range(20) for words, _, answer in asked(picture(*row("dog", 9)), seed, hard_repeats=9)
            if "dogs" in words} == set("1234567")  # fmt: skip


def test_a_single_object_is_asked_about_now_and_then() -> None:
    found = sum(bool(asked(picture(*row("dog", 1)), seed)) for seed in range(200))
    assert 25 <= found <= 75  # a quarter


def test_none_is_an_answer_for_what_is_elsewhere_or_nowhere() -> None:
    subject = picture(*row("dog", 4), *[thing("car", 20 + 60 * at, 60, 60 + 60 * at, 90) for at in range(3)])
    none = [(words, box) for seed in range(150) for words, box, answer in asked(subject, seed) if answer == "0"]
    assert none
    names = {words.removeprefix("How many ").removesuffix(" are in this region?") for words, _ in none}
    assert {"dogs", "cars"} & names
    assert names - {"dogs", "cars"}
    for words, box in none:
        for region in subject.regions:
            if f" {region.label}s " in words and region.box:
                assert inside(region.box, box) == 0


def test_what_a_box_gave_away_is_not_asked_after_it() -> None:
    """Its question names the dogs in it, so their names are asked before or in another dialogue."""
    how = settings_for(tasks={"count_here": 1.0, "name": 1.0}, mixed_share=1.0, jitter=0.0, point_share=0.0,
                       polygon_share=0.0, mask_share=0.0, scribble_share=0.0)  # fmt: skip
    for seed in range(20):
        for sample in samples_of_record(picture(*row("dog", 4)), how, seed):
            counted: list[Box] = []
            for question in sample.conversation.messages[::2]:
                (box,) = question.regions
                assert isinstance(box, Box)
                if question.text.strip() == "How many dogs are in this region?":
                    counted.append(box)
                elif not question.text.strip().startswith("How many"):
                    assert all(inside(box, other) == 0 for other in counted)


def test_long_answers_say_where() -> None:
    said = {answer for seed in range(30) for _, _, answer in asked(picture(*row("dog", 2)), seed, long_share=1.0)}
    assert {"There is 1 dog in this region.", "There are 2 dogs in this region."} <= said


@st.composite
def crowded(draw: st.DrawFn) -> list[RegionRecord]:
    """Up to twelve dogs anywhere."""
    things = []
    for _ in range(draw(st.integers(0, 12))):
        x, y = draw(st.floats(0, 180)), draw(st.floats(0, 85))
        wide, high = draw(st.floats(10.1, 120)), draw(st.floats(10.1, 60))
        things.append(thing("dog", x, y, min(x + wide, 200), min(y + high, 100)))
    return things


@settings(deadline=None, max_examples=60)
@given(things=crowded(), seed=st.integers(0, 5))
def test_whatever_boxes_the_answer_is_theirs(things: list[RegionRecord], seed: int) -> None:
    boxes = [one.box for one in things if one.box]
    for count, windows in countable(things).items():
        assert 1 <= count <= MOST
        for window in windows:
            within = [box for box in boxes if inside(box, window) > 1 - 1e-6]
            assert len(within) == count == sum(inside(box, window) >= OUTSIDE for box in boxes)
            assert around(within) == window
    for words, box, answer in asked(picture(*things), seed, least_area_px=0.0):
        if words == "How many dogs are in this region?":
            assert sum(inside(own, box) >= OUTSIDE for own in boxes) == int(answer)
