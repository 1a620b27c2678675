"""From records to dialogues: seeded, true to the annotation, without markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from chatspot.data import QuestionSettings, samples_of
from chatspot.data.records import Record, parse_record
from chatspot.messages import RegionPart
from chatspot.regions import Box, Point, Polygon, Scribble


def record(*regions: dict, captions: tuple[str, ...] = (), name: str = "1") -> Record:
    """A picture of 100 x 100 with these regions."""
    entry = {"image": f"images/{name}.jpg", "width": 100, "height": 100, "regions": regions, "captions": captions}
    return parse_record(json.dumps(entry), Path("photos"), "test")


DOG = {"box": [10, 10, 60, 60], "label": "dog"}
SIGN = {"box": [70, 70, 90, 80], "label": "text", "text": "EXIT"}
PLATE = {"box": [70, 70, 95, 80], "label": "license plate", "text": "AB12"}
CAT = {"box": [0, 0, 50, 50], "label": "cat", "polygon": [[0, 0], [50, 0], [50, 50]]}


def turns(subject: Record, **settings: object) -> list[tuple[str, str]]:
    """Question and answer texts."""
    found = []
    for sample in samples_of([subject], QuestionSettings(**settings)):
        messages = sample.conversation.messages
        found += [(q.text, a.text) for q, a in zip(messages[::2], messages[1::2], strict=True)]
    return found


@pytest.mark.parametrize(
    "regions",
    [
        (),
        ({**DOG, "iscrowd": True},),
        ({"box": [0, 0, 5, 5], "label": "fly"},),  # below the least area
        ({"box": [0, 0, 50, 50]},),  # nothing is known of it
    ],
)
def test_nothing_to_ask_gives_no_dialogue(regions: tuple[dict, ...]) -> None:
    assert turns(record(*regions)) == []


@pytest.mark.parametrize(
    ("region", "answer"), [(DOG, "dog"), (SIGN, '"EXIT"'), (PLATE, '"AB12"'), ({**DOG, "text": "Rex"}, '"Rex"')]
)
def test_the_answer_is_the_annotation(region: dict, answer: str) -> None:
    assert [a for _, a in turns(record(region))] == [answer]


def test_the_same_settings_give_the_same_dialogues() -> None:
    records = [record(DOG, SIGN, CAT, name=str(n)) for n in range(5)]
    settings = QuestionSettings(presence_share=0.3)
    assert list(samples_of(records, settings)) == list(samples_of(records, settings))
    assert list(samples_of(records, settings)) != list(
        samples_of(records, QuestionSettings(presence_share=0.3, seed=1))
    )


def test_dialogues_hold_at_most_so_many_turns_and_one_picture() -> None:
    samples = list(samples_of([record(*[DOG] * 7)], QuestionSettings(turns=3)))
    assert [len(s.conversation.messages) // 2 for s in samples] == [3, 3, 1]
    assert all(s.conversation.image_count == 1 for s in samples)
    assert len({s.id for s in samples}) == 3


def test_captions_are_asked_once() -> None:
    captioned = record(DOG, captions=("A dog runs .",))
    assert [answer for _, answer in turns(captioned, captions=1, repeats=2)] == ["A dog runs .", "dog", "dog"]
    assert [answer for _, answer in turns(captioned)] == ["dog"]


def forms(settings: QuestionSettings, *regions: dict) -> set[type]:
    """The forms in which the regions of 40 pictures are pointed at."""
    samples = samples_of([record(*regions, name=str(n)) for n in range(40)], settings)
    return {
        type(part.region)
        for sample in samples
        for message in sample.conversation.messages
        for part in message.parts
        if isinstance(part, RegionPart)
    }


def test_forms_follow_their_shares() -> None:
    assert forms(QuestionSettings(point_share=0, outline_share=0), DOG, CAT) == {Box}
    assert forms(QuestionSettings(point_share=1, outline_share=0), DOG, CAT) == {Point}
    assert forms(QuestionSettings(point_share=0, outline_share=1), DOG) == {Scribble}
    assert forms(QuestionSettings(point_share=0, outline_share=1), CAT) == {Polygon}
    assert forms(QuestionSettings(point_share=0.3, outline_share=0.3), DOG, CAT) == {Box, Point, Scribble, Polygon}


def test_points_lie_within_the_outline() -> None:
    settings = QuestionSettings(point_share=1)
    cat = record(CAT).regions[0]
    for sample in samples_of([record(CAT, name=str(n)) for n in range(40)], settings):
        point = sample.conversation.messages[0].regions[0]
        assert cat.polygon.contains(point)


def test_presence_questions_are_balanced_and_true() -> None:
    settings = QuestionSettings(presence_share=1.0)
    samples = samples_of([record(DOG, CAT, name=str(n)) for n in range(100)], settings)
    truth = {"yes": 0, "no": 0}
    for sample in samples:
        for question, answer in zip(sample.conversation.messages[::2], sample.conversation.messages[1::2], strict=True):
            truth[answer.text] += 1
            assert re.search(r"\ba (dog|cat)\b", question.text)
    assert sum(truth.values()) == 200
    assert 70 <= truth["yes"] <= 130  # 200 fair draws leave this range once in 40,000 seeds


def test_samples_hold_no_markup() -> None:
    for sample in samples_of([record(DOG, SIGN, PLATE, CAT)], QuestionSettings(repeats=4)):
        stored = json.dumps(sample.conversation.to_json())
        assert not re.search(r"<box>|<image>|<\|im_|Answer in", stored)


def test_balance_thins_common_names_alone_and_changes_no_question() -> None:
    """100 dogs, 4 cats and 1 owl, whose median is 4: a share of (4 / 100) ** 0.5 = 0.2 of the dogs is asked about."""
    names = ["dog"] * 100 + ["cat"] * 4 + ["owl"]
    boxes = [{"box": [10, 5, 60, 45], "label": name} for name in names]
    subjects = [record(box, name=str(number)) for number, box in enumerate(boxes)]

    def asked(balance: float) -> list[object]:
        samples = samples_of(subjects, QuestionSettings(balance=balance, repeats=10))
        return [sample.conversation for sample in samples]

    everything, thinned = asked(0.0), asked(0.5)
    count = lambda name: sum(talk.messages[-1].text == name for talk in thinned)  # type: ignore[attr-defined] # noqa: E731
    assert (count("cat"), count("owl")) == (40, 10)
    assert 150 < count("dog") < 250
    assert [talk for talk in everything if talk in thinned] == thinned, "what is left is asked as before"
