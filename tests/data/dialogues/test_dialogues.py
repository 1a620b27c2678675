"""From a record to dialogues: what is asked, what is answered, what is left out, and that it is always the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.data import read_records
from chatspot.data.dialogues import DialogueSettings, samples_of_record
from chatspot.data.dialogues.names import COCO_NAMES, could_be_one
from chatspot.data.dialogues.settings import DEFAULT_TASKS
from chatspot.data.records import Question, Record, RegionRecord, Relation
from chatspot.data.samples import Sample
from chatspot.errors import DataError
from chatspot.messages import RegionPart
from chatspot.messages.conversation import Message, conversation_from_json
from chatspot.regions import Box, Mask, Point, Polygon, Scribble

SIZE = (200, 100)


def region(x1: float, y1: float, x2: float, y2: float, label: str | None = None, **more: object) -> RegionRecord:
    """A region of 200 x 100 pixels."""
    box = Box.from_pixels(x1, y1, x2, y2, size=SIZE)
    values = {"box": box, "polygon": None, "point": None, "label": label, "text": None, "askable": True,
              "area_px": (x2 - x1) * (y2 - y1)}  # fmt: skip
    return RegionRecord(**{**values, **more})


def outlined(x1: float, y1: float, x2: float, y2: float, label: str, **more: object) -> RegionRecord:
    """A region with an outline: the box's corners."""
    polygon = Polygon.from_pixels([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], size=SIZE)
    return region(x1, y1, x2, y2, label, polygon=polygon, **more)


def record(*regions: RegionRecord, source: str = "coco", image: Path = Path("no/1.jpg"), **more: object) -> Record:
    return Record(image, SIZE, regions, more.pop("captions", ()), source, **more)  # type: ignore[arg-type]


DOG = region(10, 10, 60, 60, "dog")
CAR = region(100, 10, 180, 60, "car")
SIGN = region(70, 70, 90, 80, "text", text="EXIT")
PLATE = region(120, 70, 160, 90, "license plate", text="AB 12")


def only(*tasks: str, **changes: object) -> DialogueSettings:
    """Settings that ask every possible question of these tasks, in short."""
    values = {"tasks": dict.fromkeys(tasks, 1.0), "long_share": 0.0, "wrapped_share": 0.0, "hard_repeats": 1,
              "mixed_share": 0.0, "first_share": 1.0}  # fmt: skip
    return DialogueSettings(**{**values, **changes})


def turns(samples: Sequence[Sample]) -> list[tuple[Message, Message]]:
    """All questions with their answers."""
    return [
        (question, answer)
        for sample in samples
        for question, answer in zip(sample.conversation.messages[::2], sample.conversation.messages[1::2], strict=True)
    ]


def asked(subject: Record, how: DialogueSettings, seed: int = 0) -> list[tuple[str, str]]:
    """Question and answer texts, sorted."""
    return sorted((q.text, a.text) for q, a in turns(list(samples_of_record(subject, how, seed))))


def answers(subject: Record, how: DialogueSettings, seed: int = 0) -> list[str]:
    return sorted(answer for _, answer in asked(subject, how, seed))


@pytest.mark.parametrize(
    "subject",
    [
        record(),
        record(region(0, 0, 50, 50)),  # nothing is known of it
        record(region(0, 0, 50, 50, "dog", askable=False)),
        record(region(0, 0, 5, 5, "fly")),  # below the least area
        record(region(0, 0, 50, 50, "  ", text=" ")),
        record(region(0, 0, 50, 50, "\ud800")),  # no Unicode: no prompt can hold it
        record(region(0, 0, 50, 50, "x" * 3000)),
        record(captions=("", " \n ")),
        record(questions=(Question("", ("a",)), Question("Who?", ()), Question("Who?", ("",)))),
        record(questions=(Question("What is <region7>?", ("a",)), Question("What?", ("a",), (9,)))),
        record(region(0, 0, 9, 9), relations=(Relation(0, "on", 0), Relation(0, "on", 5), Relation(-1, "on", 0))),
        record(region(0, 0, 50, 50), region(50, 0, 90, 50), relations=(Relation(0, "", 1),)),
    ],
)
def test_nothing_to_ask_gives_no_dialogue(subject: Record) -> None:
    assert asked(subject, only(*DEFAULT_TASKS)) == []


@pytest.mark.parametrize(
    ("subject", "task", "expected"),
    [
        (record(DOG, CAR), "name", ["car", "dog"]),
        (record(SIGN), "name", []),  # "text" is not its name
        (record(SIGN, PLATE), "text", ['"AB 12"', '"EXIT"']),
        (record(replace(DOG, text="Rex")), "name", ["dog"]),
        (record(captions=("A dog .", "Two dogs .")), "caption", ["Two dogs ."]),
        (record(replace(DOG, descriptions=("a dog asleep",))), "describe", ["a dog asleep"]),
        (record(replace(DOG, attributes=("brown", "small", "brown"))), "describe", ["brown, small"]),
        (record(replace(DOG, attributes=("grey", "small"))), "colour", ["gray"]),
        (record(replace(DOG, attributes=("black", "white"))), "colour", []),  # ambiguous
        (record(replace(DOG, label="man", attributes=("black",))), "colour", []),  # people are not asked for theirs
        (record(replace(DOG, label="window", attributes=("blue",))), "colour", []),
        (record(replace(DOG, label="snow", attributes=("blue",))), "colour", []),
        (record(DOG, CAR, replace(DOG)), "count", ["1", "2"]),
        (record(DOG, replace(DOG, askable=False)), "count", []),  # a crowd is never counted
        (record(*[DOG] * 11), "count", []),
        (record(region(0, 0, 99, 99, "sky")), "count", []),
        (record(region(0, 0, 99, 99, "lamp")), "count", []),  # no class of COCO: not all are annotated
        (record(DOG, source="visual_genome"), "count", []),  # not everything is annotated
        (record(DOG, CAR, relations=(Relation(0, "ON", 1), Relation(0, "near", 1))), "relation", ["on"]),
        (record(replace(DOG, area_px=1.0), CAR, relations=(Relation(0, "on", 1),)), "relation", []),
        (record(DOG, questions=(Question("Who?", ("me", "you")),)), "vqa", ["me"]),
    ],
)
def test_the_answer_is_the_annotation(subject: Record, task: str, expected: list[str]) -> None:
    for seed in range(40):  # some choices are drawn: those seeds that draw another form are passed over
        found = answers(subject, only(task), seed)
        if found == expected:
            return
        assert task in ("caption", "relation", "count"), found
    pytest.fail(f"never {expected}")


def test_the_same_record_settings_and_seed_give_the_same_dialogues() -> None:
    subject = record(DOG, CAR, SIGN, PLATE, captions=("A dog .",))
    first, again, other = (list(samples_of_record(subject, DialogueSettings(), seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len({sample.id for sample in first}) == len(first)


def test_another_task_changes_no_other_question() -> None:
    subject = record(DOG, CAR, captions=("A dog .",))
    alone, more = asked(subject, only("name")), asked(subject, only("name", "caption", "ground"))
    assert set(alone) < set(more)


def test_dialogues_hold_one_picture_and_at_most_so_many_turns() -> None:
    subject = record(*[DOG] * 7)
    samples = list(samples_of_record(subject, only("name", turns=3)))
    assert [len(sample.conversation.messages) // 2 for sample in samples] == [3, 3, 1]
    assert all(sample.conversation.image_count == 1 and sample.task == "name" for sample in samples)
    assert len(list(samples_of_record(subject, only("name", turns=3, dialogues=2)))) == 2


@pytest.mark.parametrize(
    ("points", "lengths"), [(None, [4]), (8, [4]), (5, [2, 2]), (4, [2, 2]), (3, [1, 1, 1, 1]), (1, [1, 1, 1, 1])]
)
def test_dialogues_hold_at_most_so_many_written_points(points: int | None, lengths: list[int]) -> None:
    """A box is written with two; a question that has more stands alone."""
    boxes = dict.fromkeys(("point_share", "polygon_share", "mask_share", "scribble_share"), 0.0)
    samples = list(samples_of_record(record(*[DOG] * 4), only("name", points=points, **boxes)))
    assert [len(sample.conversation.messages) // 2 for sample in samples] == lengths


@pytest.mark.parametrize(("share", "points"), [("polygon_share", 4), ("mask_share", 8), ("scribble_share", 8)])
def test_outlines_are_written_with_more_points(share: str, points: int) -> None:
    outlines = record(*[outlined(10, 10, 60, 60, "dog")] * 3)
    shares = {**dict.fromkeys(("point_share", "polygon_share", "mask_share", "scribble_share"), 0.0), share: 1.0}
    for most, dialogues in ((3 * points, 1), (3 * points - 1, 2), (2 * points - 1, 3)):
        assert len(list(samples_of_record(outlines, only("name", points=most, **shares)))) == dialogues


def test_a_dialogue_of_several_tasks_says_so() -> None:
    subject = record(DOG, CAR, captions=("A dog .",))
    (sample,) = samples_of_record(subject, only("name", "caption", mixed_share=1.0))
    assert sample.task == "dialogue"


def test_no_turn_asks_what_was_told_before() -> None:
    """One region: its name is asked, told by the colour's question and by its place, so each has its own dialogue."""
    subject = record(replace(DOG, attributes=("brown",)))
    for seed in range(20):
        samples = list(samples_of_record(subject, only("name", "colour", "ground", "presence", mixed_share=1.0), seed))
        for sample in samples:
            tasks = [q.text for q, _ in turns([sample])]
            assert len(tasks) <= 2, tasks
            if len(tasks) == 2:  # only the colour can be asked after the name
                assert "colour" in tasks[1]


def forms(how: DialogueSettings, *regions: RegionRecord) -> Counter[type]:
    samples = [s for seed in range(30) for s in samples_of_record(record(*regions), how, seed)]
    return Counter(type(q.regions[0]) for q, _ in turns(samples))


@pytest.mark.parametrize(
    ("share", "kind"),
    [("point_share", Point), ("polygon_share", Polygon), ("mask_share", Mask), ("scribble_share", Scribble)],
)
def test_regions_are_pointed_at_in_every_form(share: str, kind: type) -> None:
    shares = dict.fromkeys(("point_share", "polygon_share", "mask_share", "scribble_share"), 0.0)
    outline = outlined(10, 10, 60, 60, "dog")
    assert set(forms(only("name", **{**shares, share: 1.0}), outline)) == {kind}
    assert set(forms(only("name", **shares), outline)) == {Box}
    without = Box if kind in (Polygon, Mask) else kind
    assert set(forms(only("name", **{**shares, share: 1.0}), DOG)) == {without}


def test_every_form_lies_on_its_region() -> None:
    ring = [(10, 10), (90, 10), (90, 20), (20, 20), (20, 90), (10, 90)]  # an L: the middle of its box is outside
    polygon = Polygon.from_pixels(ring, size=SIZE)
    bent = RegionRecord(polygon.bounding_box(), polygon, None, "dog", None, True, 6400.0)
    shares = {"point_share": 0.25, "polygon_share": 0.25, "mask_share": 0.25, "scribble_share": 0.25}
    samples = [s for seed in range(40) for s in samples_of_record(record(bent), only("name", **shares), seed)]
    for question, _ in turns(samples):
        (form,) = question.regions
        if isinstance(form, Point):
            assert polygon.contains(form)
        else:
            assert form.iou(polygon) > (0.05 if isinstance(form, Scribble) else 0.9)


def test_a_polygon_in_a_question_has_few_corners() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = Polygon.from_normalized([(0.5 + 0.4 * np.cos(a), 0.5 + 0.4 * np.sin(a)) for a in angles])
    many = RegionRecord(circle.bounding_box(), circle, None, "plate", None, True, 9000.0)
    shares = {"point_share": 0.0, "polygon_share": 1.0, "mask_share": 0.0, "scribble_share": 0.0}
    ((question, _),) = turns(list(samples_of_record(record(many), only("name", **shares))))
    (form,) = question.regions
    assert isinstance(form, Polygon)
    assert len(form.points) <= 24
    assert form.iou(circle) > 0.95


def test_yes_and_no_are_balanced_and_true() -> None:
    labels = ["dog", "car", "tv", "banana", "clock", "kite"]
    rows = [region(10 + 30 * at, 10, 30 + 30 * at, 40, label) for at, label in enumerate(labels)]
    total: Counter[str] = Counter()
    for seed in range(30):
        for question, answer in turns(list(samples_of_record(record(*rows), only("presence", point_share=0.0,
                polygon_share=0.0, mask_share=0.0, scribble_share=0.0, jitter=0.0), seed))):  # fmt: skip
            total[answer.text] += 1
            (box,) = question.regions
            (label,) = [row.label for row in rows if row.box.iou(box) > 0.99]
            assert (f" {label} " in f"{question.text.replace('?', ' ')} ") == (answer.text == "yes")
    assert total["yes"] == total["no"] == 90


def test_what_overlaps_is_never_denied() -> None:
    """A dog on a couch: the couch is there too. And a man is a person."""
    rows = (region(10, 10, 60, 60, "dog"), region(5, 5, 90, 90, "couch"), region(40, 10, 80, 50, "man"))
    how = only("presence", names=("dog", "couch", "sofa", "person", "kite"))
    denied = {question for seed in range(60) for question, answer in asked(record(*rows), how, seed) if answer == "no"}
    assert denied
    assert all("kite" in question for question in denied), denied


def test_only_where_all_is_annotated_it_is_asked_what_is_in_a_region() -> None:
    questions = {q for seed in range(30) for q, _ in asked(record(DOG, source="visual_genome"), only("presence"), seed)}
    assert all(question.startswith("Is this ") for question in questions)


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [("dog", "dog", True), ("Dogs", "dog", True), ("man", "person", True), ("hot dog", "dog", True),
     ("tv_monitor", "screen", True), ("dog", "car", False), ("", "car", False), ("young woman", "boy", True)],
)  # fmt: skip
def test_names_that_one_thing_may_bear(first: str, second: str, alike: bool) -> None:
    assert could_be_one(first, second) is could_be_one(second, first) is alike


def boxes(subject: Record, how: DialogueSettings, seed: int = 0) -> list[tuple[str, tuple[object, ...]]]:
    found = turns(list(samples_of_record(subject, how, seed)))
    return sorted((q.text, tuple(a.regions)) for q, a in found)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (record(DOG, CAR), [("Where is the car?", (CAR.box,)), ("Where is the dog?", (DOG.box,))]),
        (record(CAR, replace(CAR, box=DOG.box)), [("Where are the cars?", (DOG.box, CAR.box))]),  # from left to right
        (record(CAR, DOG, replace(DOG, askable=False)), [("Where is the car?", (CAR.box,))]),  # a crowd of dogs
        (record(CAR, replace(DOG, label="truck"), source="visual_genome"), []),  # a truck could be called a car
        (record(region(0, 0, 200, 100, "shirt")), []),  # the whole picture
        (record(SIGN), [('Where does it say "EXIT"?', (SIGN.box,))]),
        (record(SIGN, replace(SIGN, text="exit", askable=False)), []),
        (record(replace(DOG, label=None, descriptions=("a dog.",))), [("Where is this: a dog?", (DOG.box,))]),
        (record(*[replace(DOG, label=None, descriptions=("a dog",))] * 2), []),
        (
            record(replace(DOG, label=None), source="vizwiz_grounding", questions=(Question("Which?", ("a",), (0,)),)),
            [("Which? Mark the part of the photo that shows it.", (DOG.box,))],
        ),
    ],
)
def test_an_answer_that_is_a_box_is_exact_and_the_only_one(
    subject: Record, expected: list[tuple[str, tuple[object, ...]]]
) -> None:
    assert boxes(subject, only("ground")) == expected


@pytest.mark.parametrize("task", ["name", "presence", "colour", "ground"])
def test_common_names_are_thinned_out_and_no_other_question_changes(task: str) -> None:
    rows = (replace(DOG, attributes=("brown",)), replace(CAR, attributes=("red",)))
    all_of, few, none = (only(task, thin=thin) for thin in ({}, {"Dog": 0.4}, {"dog": 0.0}))
    dogs = 0
    for seed in range(100):
        whole, thinned, without = (asked(record(*rows), how, seed) for how in (all_of, few, none))
        if task != "presence":  # whose answers alternate over those that are asked
            assert set(without) <= set(thinned) <= set(whole)
        dogs += len(thinned) - len(without)
        assert len(without) == 1
    assert 25 <= dogs <= 55


def test_hard_cases_are_thinned_out_too(photo: Path) -> None:
    thing = outlined(10, 10, 60, 60, "kite")
    how = only("colour", hard_repeats=3, thin={"kite": 0.5})
    found = Counter(len(answers(record(thing, image=photo), how, seed)) for seed in range(24))
    assert set(found) == {0, 3}


def test_a_known_colour_is_asked_again_in_other_words(photo: Path) -> None:
    plain, before_many = replace(DOG, attributes=("brown",)), outlined(10, 10, 60, 60, "kite")
    how = only("colour", hard_repeats=2, colour_repeats=3, first_share=0.0)
    assert answers(record(plain, image=photo), how) == ["brown"] * 3
    found = asked(record(before_many, image=photo), how)
    assert [answer for _, answer in found] == ["red"] * 6
    assert len({question for question, _ in found}) > 2


def test_names_asked_for_in_vain_do_not_repeat_what_the_picture_repeats() -> None:
    """Nine people and a clock elsewhere: "no" is said of people no more often than of clocks."""
    rows = [region(10, 10, 40, 40, "dog"), region(50, 10, 60, 30, "clock"), *[region(100, 10, 120, 60, "person")] * 9]
    denied = Counter(
        name
        for seed in range(300)
        for question, answer in asked(record(*rows), only("presence", names=("kite",)), seed)
        for name in ("clock", "person")
        if answer == "no" and f" {name}" in question
    )
    assert denied["clock"] > 0.6 * denied["person"]


def test_plates_and_symbols_are_asked_again_and_spelled() -> None:
    subject = record(PLATE, replace(SIGN, text="€ 4,50"), replace(SIGN, text="plain"))
    how = only("text", hard_repeats=3, tasks={"text": 0.001})
    assert answers(subject, how) == ['"AB 12"'] * 3 + ['"€ 4,50"'] * 3
    spelled = answers(record(PLATE), only("text", long_share=1.0))
    assert spelled == ['The plate reads "AB 12": A, B, 1, 2.']
    assert answers(record(PLATE), only("caption", hard_repeats=3)) == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A red thing at the left before noise, and one of two colours at the right."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(100, 200, 3), dtype=np.uint8)
    pixels[10:60, 10:60] = (220, 20, 20)
    pixels[10:60, 100:140], pixels[10:60, 140:180] = (20, 60, 220), (250, 240, 40)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    return tmp_path / "1.png"


def test_colours_are_measured_and_ambiguous_ones_dropped(photo: Path) -> None:
    thing, mixed = outlined(10, 10, 60, 60, "kite"), outlined(100, 10, 180, 60, "car")
    how = only("colour", tasks={"colour": 0.001}, hard_repeats=2)
    assert answers(record(thing, mixed, image=photo), how) == ["red", "red"]  # before a complex background: asked again
    said = replace(thing, attributes=("blue",))
    assert answers(record(said, image=photo), how) == []  # its annotators and its pixels disagree
    assert answers(record(replace(thing, attributes=("red",)), image=photo), how) == ["red", "red"]
    assert answers(record(thing, image=photo.with_name("2.png")), only("colour")) == []  # no picture, no colour
    assert answers(record(region(10, 10, 60, 60, "kite"), image=photo), only("colour")) == []  # a box holds its ground
    on_it = region(10, 10, 40, 40, "cup")
    assert answers(record(thing, on_it, image=photo), only("colour")) == []  # its outline has no hole for the cup


def test_questions_name_their_regions_as_values() -> None:
    subject = record(
        DOG, CAR, replace(CAR, askable=False),
        questions=(
            Question("Is <region0> near <region1> or {region}?", ("near <region1>",), (0, 1, 2)),
            Question("What is it?\nA. dog\nB. car", ("A",), (0,), "choice"),
            Question("Is <region2> there?", ("yes",)),
        ),
    )  # fmt: skip
    found = turns(list(samples_of_record(subject, only("vqa", wrapped_share=1.0))))
    shown = {q.text: (len(q.regions), a.text, a.regions) for q, a in found}
    assert shown == {
        "What is it?\nA. dog\nB. car ": (1, "A", ()),
        "Is  near  or {region}?": (2, "near ", (CAR.box,)),
    }


def test_questions_are_put_into_the_words_of_their_source() -> None:
    subject = record(source="doc_vqa", questions=(Question("Who signed?", ("Ann",)),))
    wrapped = {q for s in range(50) for q, _ in asked(subject, only("vqa", wrapped_share=1.0, first_share=0.0), s)}
    assert len(wrapped) > 10
    assert all("Who signed?" in question for question in wrapped)


def test_a_dialogue_of_the_source_stays_as_it_is() -> None:
    """LLaVA's JSON: later questions lean on earlier ones."""
    said = [(f"Question {number}?\n\nWell?", f"<region0> answer {number}") for number in range(8)]
    subject = record(source="llava_json", questions=tuple(Question(q, (a, "other")) for q, a in said))
    how = only("vqa", wrapped_share=1.0)
    (sample,) = samples_of_record(subject, how)
    assert [(q.text, a.text) for q, a in turns([sample])] == said
    assert sample.task == "dialogue"
    cut = replace(subject, questions=(*subject.questions[:2], Question("\ud800", ("x",)), *subject.questions[3:]))
    (shorter,) = samples_of_record(cut, how)
    assert len(turns([shorter])) == 2
    assert shorter.id != sample.id  # one picture may have several dialogues
    assert list(samples_of_record(subject, only("caption"))) == []


@pytest.mark.parametrize(("words", "style"), [(1, "short"), (15, "short"), (16, "long")])
def test_the_style_asks_for_the_length_of_the_answer(words: int, style: str) -> None:
    ((question, _),) = turns(list(samples_of_record(record(captions=("dog " * words,)), only("caption"))))
    assert question.style == style


def test_long_answers_are_sentences_and_asked_for() -> None:
    subject = record(replace(DOG, attributes=("brown", "small")), CAR, CAR, captions=("A dog .",))
    how = only("name", "count", "presence", long_share=1.0)
    for question, answer in turns(list(samples_of_record(subject, how))):
        assert question.style == "long"
        assert answer.text.endswith(".")
    assert "This is a brown dog." in answers(subject, only("name", long_share=1.0))
    assert "There are 2 cars in the picture." in {
        a for seed in range(9) for a in answers(subject, only("count", long_share=1.0), seed)
    }


def test_what_is_not_there_is_counted_too() -> None:
    zero = [a for seed in range(60) for q, a in asked(record(DOG), only("count", names=("kite",)), seed) if "kite" in q]
    assert set(zero) == {"0"}
    assert len(zero) > 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tasks": {"color": 1}}, "no task 'color'; did you mean colour"),
        ({"tasks": {"name": 2}}, r"tasks\.name is a share"),
        ({"tasks": {"name": float("nan")}}, "is a share"),
        ({"point_share": -0.1}, "point_share is a share"),
        ({"point_share": 0.6, "mask_share": 0.6}, "together exceed 1"),
        ({"jitter": 1.0}, "jitter lies in"),
        ({"turns": 0}, "at least 1"),
        ({"dialogues": 0}, "at least 1"),
        ({"points": 0}, "points is at least 1"),
        ({"hard_repeats": 0}, "hard_repeats"),
        ({"captions": -1}, "captions"),
        ({"colour_repeats": 0}, "colour_repeats"),
        ({"thin": {"person": 1.5}}, r"thin\.person is a share"),
        ({"least_area_px": float("nan")}, "least_area_px"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes: dict, says: str) -> None:
    with pytest.raises(DataError, match=says):
        DialogueSettings(**changes)


TEXTS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(["dog", "license plate", "<region0>", "{region}", "</box>", "\ud800", "a\nb", "red"]),
)  # fmt: skip


@st.composite
def hostile_records(draw: st.DrawFn) -> Record:
    """Records with whatever text, and relations and questions about regions that may not exist."""
    regions = []
    for _ in range(draw(st.integers(0, 4))):
        x, y = draw(st.floats(0, 0.8)), draw(st.floats(0, 0.8))
        w, h = draw(st.floats(0.01, 0.2)), draw(st.floats(0.01, 0.2))
        box = Box.from_normalized(x, y, x + w, y + h)
        polygon = Polygon.from_normalized([(x, y), (x + w, y), (x + w, y + h)]) if draw(st.booleans()) else None
        words = tuple(text or "" for text in draw(st.lists(TEXTS, max_size=2)))
        point = None if draw(st.booleans()) else box.center
        regions.append(RegionRecord(None if point and not polygon else box, polygon, point, draw(TEXTS), draw(TEXTS),
                                    draw(st.booleans()), w * h * 20_000, None, words, words))  # fmt: skip
    texts = [text or "" for text in draw(st.lists(TEXTS, max_size=3))]
    numbers = st.integers(-2, 5)
    relations = [Relation(draw(numbers), text, draw(numbers)) for text in texts]
    questions = [Question(text, tuple(texts), (draw(numbers),) if draw(st.booleans()) else ()) for text in texts]
    source = draw(st.sampled_from(["coco", "vizwiz_grounding", "llava_json", "x"]))
    return Record(Path("no/1.jpg"), SIZE, tuple(regions), tuple(texts), source, tuple(questions), tuple(relations))


@settings(deadline=None, max_examples=150)
@given(subject=hostile_records(), seed=st.integers(0, 3), exhaustive=st.sampled_from([None, True]))
def test_whatever_annotators_wrote_gives_sound_dialogues(subject: Record, seed: int, exhaustive: bool | None) -> None:
    how = DialogueSettings(tasks=dict.fromkeys(DEFAULT_TASKS, 1.0), exhaustive=exhaustive, least_area_px=0.0)
    samples = list(samples_of_record(subject, how, seed))
    assert len({sample.id for sample in samples}) == len(samples)
    for sample in samples:
        assert sample.task in {*DEFAULT_TASKS, "dialogue"}
        assert conversation_from_json(sample.conversation.to_json()) == sample.conversation
        for question, answer in turns([sample]):
            assert question.style in ("short", "long")
            assert all(isinstance(part, RegionPart) or part.text for part in answer.parts)


def test_names_in_vain_are_cocos_eighty() -> None:
    assert len(set(COCO_NAMES)) == 80


def test_photos_give_dialogues_of_every_task(photos: Path) -> None:
    """Extra, over real annotations: each task occurs, every sample is sound, and yes and no are balanced."""
    how = DialogueSettings(tasks=dict.fromkeys(DEFAULT_TASKS, 1.0), mixed_share=0.0)
    tasks: Counter[str] = Counter()
    truth: Counter[str] = Counter()
    for folder in ("coco", "gar_bench", "license_plates", "mdvp_bench"):
        for at, subject in enumerate(read_records(photos / "train" / folder)):
            if at == 25:
                break
            for sample in samples_of_record(subject, how):
                tasks[sample.task] += 1
                if sample.task == "presence":
                    truth.update(answer.text[:2].lower() for _, answer in turns([sample]))
    assert set(tasks) == set(DEFAULT_TASKS)
    assert 0.4 < truth["no"] / truth.total() < 0.6
