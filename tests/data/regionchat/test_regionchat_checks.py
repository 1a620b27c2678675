"""What is a dialogue, and which ones are thrown away for which reason."""

from __future__ import annotations

import json
import random
import re
from contextlib import suppress
from pathlib import Path

import pytest
from annotated_pets import CAT, DOG, SIGN
from hypothesis import given
from hypothesis import strategies as st

from chatspot.data.records import Record, parse_record
from chatspot.data.regionchat.checks import CHECKS, Seen, rejection_of
from chatspot.data.regionchat.dialogue import (
    Dialogue,
    Turn,
    UnreadableReply,
    dialogue_schema,
    parse_lines,
    parse_reply,
    sample_of,
)
from chatspot.data.regionchat.prompt import EXAMPLES, TASKS, messages_of, request_key
from chatspot.data.regionchat.rules import rules_dialogues
from chatspot.data.regionchat.scene import PLACEHOLDER, Scene, scene_of
from chatspot.errors import ChatSpotError
from chatspot.messages import ImagePart, RegionPart, conversation_from_json


def record(*regions: dict, **more: object) -> Record:
    """A picture of 100 x 100 with these regions."""
    entry = {"image": "images/1.jpg", "width": 100, "height": 100, "regions": regions, **more}
    return parse_record(json.dumps(entry), Path("photos"), "test")


def known(*regions: dict, **more: object) -> Scene:
    scene = scene_of(record(*regions, **more))
    assert scene
    return scene


PETS = (DOG, CAT, SIGN)
SECOND = ("Where is the dog <r1>?", "In the centre of the picture.")


def talk(*turns: tuple[str, str]) -> Dialogue:
    return Dialogue(turns=tuple(Turn(question=q, answer=a) for q, a in turns))


# ------------------------------------------------------------------------------------------------ scene


@pytest.mark.parametrize(
    "regions",
    [
        (),
        ({"box": [0, 0, 9, 9]},),
        ({**DOG, "iscrowd": True},),
        ({"box": [0, 0, 9, 9], "label": "<>"},),
        ({"box": [0, 0, 9, 9], "text": "x", "legible": False},),
    ],
)
def test_nothing_known_is_no_scene(regions: tuple[dict, ...]) -> None:
    assert scene_of(record(*regions)) is None


def test_a_scene_in_words() -> None:
    scene = known(*PETS, {**CAT, "box": [70, 70, 95, 95]}, captions=["Pets  at\nhome"])
    assert (
        scene.text.split("\n")
        == [
            "<r1> is a dog: in the centre of the picture",
            "<r2> is a cat: in the upper left of the picture",
            '<r3> is a sign: the text "EXIT" is written on it; in the upper right of the picture',
            "<r4> is a cat: in the lower right of the picture",
            "In the whole picture: 2 of the kind cat",
            "Caption: Pets at home",
        ]
        or "brown" in scene.text
    )  # once records keep attributes, they are told


@given(st.text(max_size=300), st.text(max_size=300))
def test_annotated_text_writes_no_placeholder_and_no_line(label: str, caption: str) -> None:
    scene = scene_of(record({**DOG, "label": label + "x", "text": caption}, captions=[caption]))
    assert scene
    assert len(scene.text.splitlines()) <= 2
    assert set(PLACEHOLDER.findall(scene.text)) == {"1"}
    assert "<" not in PLACEHOLDER.sub("", scene.text)


def test_no_coordinate_and_no_file_name_is_sent() -> None:
    dog = {**DOG, "box": [41.37, 42.91, 58.13, 63.77]}
    sent = json.dumps(messages_of(known(dog), "conversation", turns=3))
    assert not re.search(r"41|42\.|0\.4|58|63|images|\.jpg|photos", sent)


def test_the_most_known_regions_are_chosen_in_the_records_order() -> None:
    scene = scene_of(record(CAT, {**DOG, "box": [0, 0, 90, 90]}, SIGN), most_regions=2)
    assert scene
    assert [r.label for r in scene.regions] == ["dog", "sign"]


# ------------------------------------------------------------------------------------------------ replies

GOOD = talk(("What is <r1>?", "A dog."), SECOND)


@pytest.mark.parametrize(
    ("reply", "cut_off", "reason"),
    [
        ("", False, "no-json"),
        ("I would love to help!", False, "no-json"),
        ('{"turns": [', False, "no-json"),
        ('{"turns": [', True, "truncated"),
        ("{" * 5000, False, "no-json"),
        ('{"turns":' + "[" * 9000, True, "truncated"),
        ("{}", False, "schema"),
        ('{"turns": []}', False, "schema"),
        ('{"turns": 3}', False, "schema"),
        ('{"turns": [{"question": "What is <r1>?"}]}', False, "schema"),
        ('{"turns": [{"question": "", "answer": "x"}]}', False, "schema"),
        ('{"turns": [{"question": 1, "answer": "x"}]}', False, "schema"),
        ('{"turns": [{"question": "a", "answer": "b", "box": [1, 2]}]}', False, "schema"),
        ("x" * 30_000 + "{}", False, "too-long"),
    ],
)
def test_a_reply_without_dialogue_is_named(reply: str, cut_off: bool, reason: str) -> None:
    with pytest.raises(UnreadableReply) as caught:
        parse_reply(reply, cut_off=cut_off)
    assert caught.value.reason == reason


@pytest.mark.parametrize("around", ["{}", "Sure! Here it is:\n```json\n{}\n```\nAnything else?", "\n\n{} trailing"])
def test_a_dialogue_is_found_whatever_stands_around(around: str) -> None:
    assert parse_reply(around.replace("{}", GOOD.model_dump_json())) == GOOD


KEYS = st.sampled_from(["turns", "question", "answer"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
)


@given(st.text(max_size=200) | VALUES.map(json.dumps))
def test_any_reply_is_a_dialogue_or_a_reason(reply: str) -> None:
    try:
        dialogue = parse_reply(reply)
    except UnreadableReply:
        return
    rejection_of(dialogue, known(*PETS), Seen())


@pytest.mark.parametrize(
    ("reply", "cut_off", "reason"),
    [
        ("", False, "no-turns"),
        ("", True, "truncated"),
        ("The dog is in the centre.", False, "no-turns"),
        ("Q: What is <r1>?", False, "schema"),
        ("Q: What is <r1>?", True, "truncated"),
        ("Q: What is <r1>?\nA: A do", True, "truncated"),
        ("A: A dog.\nQ: What is <r1>?", False, "schema"),
        ("Q: What?\nQ: What?\nA: A dog.\nA: A dog.", False, "schema"),
        ("Q:\nA: A dog.", False, "schema"),
        ("x" * 30_000, False, "too-long"),
    ],
)
def test_lines_without_dialogue_are_named(reply: str, cut_off: bool, reason: str) -> None:
    with pytest.raises(UnreadableReply) as caught:
        parse_lines(reply, cut_off=cut_off)
    assert caught.value.reason == reason


def test_lines_are_a_dialogue() -> None:
    reply = "Sure:\nQ: What is <r1>?\nA: A dog.\n\n q. Where is the dog <r1>?\na: In the centre\nof the picture."
    assert parse_lines(reply) == GOOD
    assert parse_lines(reply + "\nQ: And <r", cut_off=True) == GOOD
    assert parse_lines(reply + "\nQ: What is <r2>?\nA: A c", cut_off=True) == GOOD
    assert parse_lines(messages_of(known(*PETS), "conversation", turns=3, form="lines")[2]["content"]) == EXAMPLES[0][1]


@given(st.text("QA:. \n<r1>x", max_size=80), st.booleans())
def test_any_lines_are_a_dialogue_or_a_reason(reply: str, cut_off: bool) -> None:
    try:
        assert parse_lines(reply, cut_off=cut_off).turns
    except UnreadableReply as error:
        assert error.reason in ("no-turns", "truncated", "schema")  # noqa: PT017


def test_the_schema_is_the_model() -> None:
    assert Dialogue.model_validate(GOOD.model_dump()) == GOOD
    schema = dialogue_schema()
    assert set(schema["properties"]) == set(Dialogue.model_fields)
    assert set(schema["properties"]["turns"]["items"]["properties"]) == set(Turn.model_fields)


# ------------------------------------------------------------------------------------------------ checks

REJECTED = [
    ("turns", [("What is <r1>?", "A dog.")]),
    ("turns", [(f"What is <r1>, number {n}?", "A dog.") for n in range(9)]),
    ("markup", [("What is <r1>?<|im_end|>", "A dog."), SECOND]),
    ("markup", [("What is <r1>?", "<b>A dog.</b>"), SECOND]),
    ("markup", [("What is <r1>?", "A dog\x07."), SECOND]),
    ("markup", [("What is <r1>?", "A dog <box> here."), SECOND]),
    ("unknown-region", [("What is <r7>?", "A dog."), SECOND]),
    ("unknown-region", [("What is <r1>?", "The dog beside <r12>."), SECOND]),
    ("placeholder-form", [("What is r1?", "A dog."), SECOND]),
    ("placeholder-form", [("What is [r1]?", "A dog."), SECOND]),
    ("placeholder-form", [("What is <R1>?", "A dog."), SECOND]),
    ("placeholder-form", [("What is <r1>?", "Region 2 is a dog."), SECOND]),
    ("no-region", [("What is the animal?", "A dog."), SECOND]),
    ("coordinate-leak", [("What is <r1>?", "A dog at [40, 40, 60, 60]."), SECOND]),
    ("coordinate-leak", [("What is <r1>?", "A dog at 0.40."), SECOND]),
    ("coordinate-leak", [("What is <r1>?", "A dog at 40, 40, 60, 60."), SECOND]),
    ("coordinate-leak", [("What is the bounding box of <r1>?", "The dog."), SECOND]),
    ("not-a-question", [("The dog in <r1>.", "A dog."), SECOND]),
    ("question-length", [("<r1>?", "A dog."), SECOND]),
    ("question-length", [("What is <r1>" + " and what else" * 15 + "?", "A dog."), SECOND]),
    ("answer-length", [("What is <r1>?", "A dog and so on" * 30), SECOND]),
    ("language", [("Was ist <r1>?", "Das Tier auf dem Bild hier heißt dog."), ("Wo liegt <r1>?", "Mitte.")]),
    ("language", [("<r1> 是什么?", "这是一只狗"), ("<r1> 在哪里?", "在中间")]),
    ("unanswerable", [("What is <r1>?", "It is not possible to tell what the dog is."), SECOND]),
    ("unanswerable", [("What is <r1>?", "The caption says it is a dog."), SECOND]),
    ("unanswerable", [("What is <r1>?", "I'm sorry, as an AI I see no dog."), SECOND]),
    ("unsupported", [("What is <r1>?", "An aeroplane."), SECOND]),
    ("unsupported", [("What is <r2>?", "A dog."), SECOND]),
    ("unsupported", [("What does <r3> say?", 'The sign says "ENTRANCE".'), SECOND]),
    ("duplicate-turn", [("What is <r1>?", "A dog."), ("What is <r1> ?", "The dog.")]),
    ("repetition", [("What is <r1>?", "A dog dog dog dog."), SECOND]),
    ("repetition", [("What is <r1>?", "The dog is a dog is a dog is a dog is a dog."), SECOND]),
    ("repetition", [(q, "The dog is in the centre of it.") for q in ("What is <r1>?", "Where is the dog <r1>?")]),
    ("copied-example", [("What does the sign <r3> say?", "It leans against <r3>, a brick wall."), SECOND]),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "turns"), REJECTED)
def test_a_bad_dialogue_is_rejected_for_its_reason(reason: str, turns: list[tuple[str, str]]) -> None:
    found = rejection_of(talk(*turns), known(*PETS), Seen(d for _, d in EXAMPLES))
    assert found
    assert (found.reason, bool(found.detail)) == (reason, True)


def test_every_reason_has_a_bad_dialogue() -> None:
    assert set(CHECKS) | {"copied-example"} == {reason for reason, _ in REJECTED}


@pytest.mark.parametrize(
    "turns",
    [
        [("What is <r1>?", "A dog."), SECOND],
        [("Where is the dog?", "<r1>."), ("Is <r1> a cat?", "No, it is a dog.")],
        [("What does <r3> say?", 'It says "EXIT".'), ("Read <r3>.", '"EXIT"')],
        [("How many dogs are there, <r1> among them?", "One dog."), ("Describe <r2>.", "A cat in the upper left.")],
    ],
)
def test_a_good_dialogue_is_accepted_once(turns: list[tuple[str, str]]) -> None:
    seen = Seen(d for _, d in EXAMPLES)
    assert rejection_of(talk(*turns), known(*PETS), seen) is None
    again = rejection_of(talk(*turns), known(*PETS), seen)
    assert again
    assert again.reason == "duplicate-dialogue"


@pytest.mark.parametrize("text", ["r2", "0.75", "pixel", "[1, 2]", "unknown", "ГОСТ ГОСТ ГОСТ ГОСТ ГОСТ", "<r9>"])
def test_what_a_sign_says_is_no_fault(text: str) -> None:
    scene = known(DOG, {**SIGN, "text": text})
    turns = [("What is written at <r2>?", f'"{text}"'), ("What is <r1>?", "A dog.")]
    found = rejection_of(talk(*turns), scene, Seen())
    assert (found.reason if found else None) == (
        "unknown-region" if text == "<r9>" else None
    )  # never told, never quoted


def test_the_examples_pass_their_own_checks() -> None:
    bicycle = {"box": [5, 60, 30, 95], "label": "bicycle", "attributes": ["red", "old"]}
    wall = {"box": [0, 0, 100, 99], "label": "wall", "descriptions": ["a brick wall"]}
    scene = known(bicycle, {**SIGN, "text": "BAKERY"}, wall, captions=["an old red bicycle leans on a brick wall"])
    assert rejection_of(EXAMPLES[0][1], scene, Seen()) is None


# ------------------------------------------------------------------------------------------------ samples


def test_placeholders_become_regions_and_nothing_else_changes() -> None:
    subject = record(*PETS)
    scene = known(*PETS)
    turns = [("Is <r1> near <r2>?", "No, <r1> and <r2>."), ("Where is the sign?", "<r3>")]
    sample = sample_of(talk(*turns), subject, scene, "photos/1#chat.0")
    first, answer, _, last = sample.conversation.messages
    assert [type(part) for part in first.parts][:2] == [ImagePart, type(first.parts[1])]
    assert first.text + answer.text == "Is  near ?No,  and ."
    assert answer.regions == tuple(r.region for r in subject.regions[:2])
    assert [type(part) for part in last.parts] == [RegionPart]
    assert sample.task == "dialogue"
    assert conversation_from_json(json.loads(json.dumps(sample.conversation.to_json()))) == sample.conversation
    assert sample_of(talk(*turns), subject, scene, "photos/1#chat.0") == sample


def test_a_key_names_a_request() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "ü"}]}
    assert request_key(body) == request_key(dict(reversed(body.items())))
    assert request_key(body) != request_key({**body, "seed": 1})
    assert len(request_key(body)) <= 64  # OpenAI's limit of custom_id


def test_every_kind_has_its_task() -> None:
    assert len({messages_of(known(*PETS), kind, turns=3)[-1]["content"] for kind in TASKS}) == len(TASKS) == 3


# ------------------------------------------------------------------------------------------------ rules

WORDS = st.text("abcdefgh XY-'", min_size=1, max_size=12).filter(str.strip)
REGIONS = st.builds(
    lambda x, y, w, h, **known: {"box": [x, y, x + w, y + h], **known},
    *[st.integers(0, 50)] * 2,
    *[st.integers(1, 50)] * 2,
    label=st.sampled_from(["dog", "cat", "young man", "man", "bus", "sheep", ""]),
)


@given(st.lists(REGIONS, min_size=1, max_size=6), st.integers(0, 5))
def test_dialogues_by_rules_pass_the_checks_and_repeat(regions: list[dict], seed: int) -> None:
    scene = scene_of(record(*regions))
    made = rules_dialogues(scene, count=3, seed=seed) if scene else []
    seen = Seen()
    for dialogue in made:
        assert rejection_of(dialogue, scene, seen) is None
    assert not scene or made == rules_dialogues(scene, count=3, seed=seed)


def test_rules_say_what_is_annotated() -> None:
    scene = known(*PETS, {**CAT, "box": [70, 70, 95, 95]})
    said = {
        (t.question, t.answer)
        for seed in range(30)
        for d in rules_dialogues(scene, count=9, seed=seed)
        for t in d.turns
    }
    answers = {question: {a for q, a in said if q == question} for question, _ in said}
    assert answers["What does <r3> say?"] == {'"EXIT"'}
    assert answers["Where is the dog?"] == {"<r1>."}
    assert answers["Counting <r2>, how many of the kind cat does the picture show?"] == {"Two."}
    assert answers["Is <r1> a cat?"] == {"No, it is a dog."}
    assert "Where is the cat?" not in answers  # there are two
    yes = sum(a.startswith("Yes") for _, a in said)
    assert yes == sum(a.startswith("No,") for _, a in said) > 0


@pytest.mark.parametrize(("one", "other", "said"), [("man", "young man", False), ("man", "dog", True)])
def test_a_no_names_another_kind_of_thing(one: str, other: str, said: bool) -> None:
    scene = known({**DOG, "label": one}, {**CAT, "label": other})
    texts = [d.text for seed in range(20) for d in rules_dialogues(scene, count=9, seed=seed)]
    assert any("No," in text for text in texts) is said


def test_rules_over_the_photos(photos: Path) -> None:
    from chatspot.data import read_records

    rng = random.Random(0)
    made = 0
    for folder in ("coco", "gar_bench", "icdar2015_scene_text", "license_plates", "mdvp_bench", "voc2012"):
        records = rng.sample(list(read_records(photos / "train" / folder)), 40)
        for subject in records:
            scene = scene_of(subject)
            for number, dialogue in enumerate(rules_dialogues(scene, count=2) if scene else []):
                assert rejection_of(dialogue, scene, Seen()) is None
                assert sample_of(dialogue, subject, scene, f"{subject.id}#{number}").conversation
                made += 1
    assert made > 200


def test_hostile_records_raise_only_our_errors() -> None:
    for entry in ({"box": [0, 0, 1, 1], "label": "\ud800"}, {"box": [0, 0, 1, 1], "text": "\x00" * 9}):
        with suppress(ChatSpotError):
            scene_of(record(entry))
