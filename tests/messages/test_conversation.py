from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.errors import ChatSpotError, MessageError, RegionError
from chatspot.messages import (
    Conversation,
    ImagePart,
    Message,
    RegionPart,
    TextPart,
    ask,
    conversation_from_json,
)
from chatspot.regions import Box, Point, Region
from strategies import conversations, regions

quick = settings(deadline=None, max_examples=60)
BOX = Box.from_normalized(0.1, 0.2, 0.3, 0.4)
SPOT = Point.from_normalized(0.5, 0.5)


def user(*parts: Any, style: Any = None) -> Message:
    return Message("user", parts or (TextPart("Hello"),), style)


def assistant(text: str = "Hi") -> Message:
    return Message("assistant", (TextPart(text),))


SYSTEM = Message("system", (TextPart("Be brief."),))


# --- messages


@pytest.mark.parametrize(
    ("role", "parts", "style", "expected"),
    [
        ("user", (), None, "says nothing"),
        ("user", (ImagePart(),), None, "says nothing"),
        ("user", (TextPart(""),), None, "says nothing"),
        ("assistant", (TextPart(" \n\t"),), None, "says nothing"),
        ("", (TextPart("x"),), None, "a role is"),
        (None, (TextPart("x"),), None, "a role is"),
        ("tool", (TextPart("x"),), None, "a role is"),
        (["user"], (TextPart("x"),), None, "a role is"),
        ("user", (TextPart("x"),), "brief", "a style is"),
        ("user", (TextPart("x"),), True, "a style is"),
        ("user", (TextPart("x"),), "", "a style is"),
        ("assistant", (TextPart("x"),), "short", "only a user's message asks"),
        ("system", (TextPart("x"),), "long", "only a user's message asks"),
        ("assistant", (TextPart("x"), ImagePart()), None, "only a user's message can bring"),
        ("system", (TextPart("x"), ImagePart()), None, "only a user's message can bring"),
        ("user", "hello", None, "part 0.*expected a TextPart"),
        ("user", (TextPart("x"), None), None, "part 1.*expected a TextPart"),
        ("user", (BOX,), None, "part 0.*expected a TextPart"),
        ("user", (TextPart(5),), None, "its text is 5"),  # type: ignore[arg-type]
        ("user", (TextPart(None),), None, "its text is None"),  # type: ignore[arg-type]
        ("user", (TextPart("ab\ud800"),), None, "character 2.*surrogate"),
        ("user", (RegionPart(None),), None, "expected a region"),  # type: ignore[arg-type]
        ("user", (RegionPart((0, 0, 1, 1)),), None, "expected a region"),  # type: ignore[arg-type]
        ("user", (RegionPart(BOX, "0"),), None, "picture's number"),  # type: ignore[arg-type]
        ("user", (RegionPart(BOX, True),), None, "picture's number"),
    ],
)
def test_a_message_that_cannot_be(role: Any, parts: Any, style: Any, expected: str) -> None:
    with pytest.raises(MessageError, match=expected):
        Message(role, parts, style)


def test_a_message_of_a_list_of_parts_is_still_a_value() -> None:
    parts = [ImagePart(), TextPart("What is this? "), RegionPart(BOX), TextPart("And "), RegionPart(SPOT)]
    message = Message("user", parts)  # type: ignore[arg-type]
    assert message == Message("user", tuple(parts))
    assert hash(message) == hash(Message("user", tuple(parts)))
    assert message.text == "What is this? And "
    assert message.regions == (BOX, SPOT)


# --- conversations


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((), "at least one message"),
        ((assistant(),), "message 0 should be the user's"),
        ((user(), user()), "message 1 should be the assistant's"),
        ((user(), assistant(), assistant()), "message 2 should be the user's"),
        ((SYSTEM, assistant()), "message 1 should be the user's"),
        ((SYSTEM, SYSTEM), "message 1 should be the user's"),
        ((user(), SYSTEM), "message 1 should be the assistant's"),
        ((user(), assistant(), SYSTEM), "message 2 should be the user's"),
        (("hello",), "message 0: expected a Message"),
        ((user(), None), "message 1: expected a Message"),
        ((user(RegionPart(BOX)),), "points at picture 0, but 0"),
        ((user(RegionPart(BOX), ImagePart()),), "points at picture 0, but 0"),  # before it is shown
        ((user(ImagePart(), RegionPart(BOX, 1)),), "points at picture 1, but 1"),
        ((user(ImagePart(), RegionPart(BOX, -1)),), "points at picture -1"),
        ((user(ImagePart(), TextPart("x")), Message("assistant", (RegionPart(BOX, 1),))), "message 1 points"),
    ],
)
def test_a_conversation_that_cannot_be(messages: Any, expected: str) -> None:
    with pytest.raises(MessageError, match=expected):
        Conversation(messages)


def test_pictures_count_over_the_whole_conversation() -> None:
    talk = Conversation(
        (
            SYSTEM,
            user(ImagePart(), TextPart("This "), RegionPart(BOX, 0)),
            Message("assistant", (TextPart("There: "), RegionPart(SPOT, 0))),
            user(ImagePart(), ImagePart(), RegionPart(BOX, 2), RegionPart(SPOT, 0)),
        )
    )
    assert talk.image_count == 3
    assert talk.has_system
    longer = talk.with_messages(assistant(), user(TextPart("And "), RegionPart(BOX, 1)))
    assert longer.messages[:4] == talk.messages
    assert longer.image_count == 3
    with pytest.raises(MessageError, match="points at picture 3"):
        longer.with_messages(assistant(), user(RegionPart(BOX, 3)))


@quick
@given(conversations())
def test_a_conversation_comes_back_from_json_and_pickle(talk: Conversation) -> None:
    text = json.dumps(talk.to_json(), allow_nan=False)
    again = conversation_from_json(json.loads(text))
    assert again == talk
    assert hash(again) == hash(talk)
    assert pickle.loads(pickle.dumps(talk)) == talk


@quick
@given(conversations(), st.data())
def test_every_beginning_of_a_conversation_is_one(talk: Conversation, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(talk.messages)))
    start = Conversation(talk.messages[:count])
    assert start.with_messages(*talk.messages[count:]) == talk


# --- ask


@pytest.mark.parametrize(
    ("question", "pointed", "expected"),
    [
        ("What is this?", (), (ImagePart(), TextPart("What is this?"))),
        ("What is this?", (BOX,), (ImagePart(), TextPart("What is this?"), TextPart(" "), RegionPart(BOX))),
        ("Is {region} left?", (BOX,), (ImagePart(), TextPart("Is "), RegionPart(BOX), TextPart(" left?"))),
        ("{region}{region}", (BOX, SPOT), (ImagePart(), RegionPart(BOX), RegionPart(SPOT))),
        ("{region}?", (BOX, SPOT), (ImagePart(), RegionPart(BOX), TextPart("?"), TextPart(" "), RegionPart(SPOT))),
        ("{0} {} {x", (), (ImagePart(), TextPart("{0} {} {x"))),  # braces are plain text
    ],
)
def test_ask_puts_regions_where_they_belong(question: str, pointed: tuple[Region, ...], expected: Any) -> None:
    assert ask(question, *pointed) == Message("user", expected)


def test_ask_about_a_further_picture_in_a_style() -> None:
    message = ask("What is this?", BOX, style="short", images=0, image=1)
    assert message == Message("user", (TextPart("What is this?"), TextPart(" "), RegionPart(BOX, 1)), "short")
    assert ask("Compare.", images=2).parts[:2] == (ImagePart(), ImagePart())


@pytest.mark.parametrize(
    ("question", "pointed"), [("", ()), (" ", ()), ("{region}", ()), ("{region} {region}", (BOX,)), ("\ud800", (BOX,))]
)
def test_a_question_that_cannot_be(question: str, pointed: tuple[Region, ...]) -> None:
    with pytest.raises(MessageError):
        ask(question, *pointed)


# --- JSON


def test_a_conversation_reads_as_openai_writes_it() -> None:
    talk = conversation_from_json(
        [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "image"},
                    {"type": "text", "text": "What is this?"},
                    {"type": "region", "box": [0.1, 0.2, 0.3, 0.4]},  # of picture 0
                ],
                "style": "short",
            },
            {"role": "assistant", "content": "A dog."},
        ]
    )
    assert talk == Conversation(
        (SYSTEM, user(ImagePart(), TextPart("What is this?"), RegionPart(BOX), style="short"), assistant("A dog."))
    )


def content(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


IMAGE = {"type": "image"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "list of messages"),
        ("hello", "list of messages"),
        (b"[]", "list of messages"),
        ({}, "list of messages"),
        (5, "list of messages"),
        ([], "at least one message"),
        ([None], "message 0 needs"),
        (["hello"], "message 0 needs"),
        ([{}], "message 0 needs"),
        ([{"role": "user"}], "message 0 needs"),
        ([{"content": "x"}], "message 0 needs"),
        ([{"role": "user", "content": None}], "message 0: content is"),
        ([{"role": "user", "content": 5}], "message 0: content is"),
        ([{"role": "user", "content": {"type": "text"}}], "message 0: content is"),
        ([{"role": "user", "content": ""}], "message 0: .*says nothing"),
        ([{"role": "user", "content": []}], "message 0: .*says nothing"),
        ([{"role": "user", "content": "\ud800"}], "message 0: .*surrogate"),
        ([{"role": 5, "content": "x"}], "message 0: a role is"),
        ([{"role": ["user"], "content": "x"}], "message 0: a role is"),
        ([{"role": "user", "content": "x", "style": "loud"}], "message 0: a style is"),
        ([{"role": "user", "content": "x", "style": ["short"]}], "message 0: a style is"),
        ([{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}], "message 1: a role is"),
        ([{"role": "assistant", "content": "x"}], "message 0 should be"),
        (content(None), "message 0, part 0: a part's type"),
        (content("x"), "message 0, part 0: a part's type"),
        (content({}), "message 0, part 0: a part's type"),
        (content({"type": None}), "message 0, part 0: a part's type"),
        (content({"type": ["text"]}), "message 0, part 0: a part's type"),
        (content({"type": "image_url", "image_url": "file:///etc/passwd"}), "message 0, part 0: a part's type"),
        (content({"type": "text"}), 'message 0, part 0: a text part needs "text"'),
        (content({"type": "text", "text": 5}), 'message 0, part 0: a text part needs "text"'),
        (content(IMAGE, {"type": "region"}), "message 0, part 1: a region is"),
        (content(IMAGE, {"type": "region", "box": [0, 0, 1]}), "message 0, part 1: Box: expected 4"),
        (content(IMAGE, {"type": "region", "box": [0, 0, 1, 1], "point": [0, 0]}), "message 0, part 1: a region"),
        (content(IMAGE, {"type": "region", "box": [9, 9, 99, 99]}), "message 0, part 1: Box leaves the image"),
        (content(IMAGE, {"type": "region", "image": "0", "point": [0, 0]}), 'message 0, part 1: "image"'),
        (content(IMAGE, {"type": "region", "image": True, "point": [0, 0]}), 'message 0, part 1: "image"'),
        (content(IMAGE, {"type": "region", "image": None, "point": [0, 0]}), 'message 0, part 1: "image"'),
        (content(IMAGE, {"type": "region", "image": 1, "point": [0, 0]}), "message 0 points at picture 1"),
        (content(IMAGE, {"type": "region", "image": -1, "point": [0, 0]}), "message 0 points at picture -1"),
        (content(IMAGE, {"type": "region", "image": 10**30, "point": [0, 0]}), "message 0 points at picture 1"),
        (content({"type": "region", "point": [0, 0]}), "message 0 points at picture 0, but 0"),
        (content({"type": "x" * 10**6}), "message 0, part 0"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_json_that_is_no_conversation(value: Any, expected: str) -> None:
    with pytest.raises((MessageError, RegionError), match=expected) as caught:
        conversation_from_json(value)
    assert len(str(caught.value)) < 600


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-1, 2) | st.sampled_from(["user", "text", "image", "region"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image", "box", "style"]), inner, max_size=5
        )
    ),
    max_leaves=15,
)


@quick
@given(json_values)
def test_any_json_is_a_conversation_or_an_error_of_ours(value: Any) -> None:
    for candidate in (value, [value], [{"role": "user", "content": value}], content(IMAGE, value)):
        try:
            talk = conversation_from_json(candidate)
        except ChatSpotError:
            continue
        assert conversation_from_json(talk.to_json()) == talk


@quick
@given(regions, st.integers(0, 3))
def test_a_region_part_keeps_its_picture_in_json(region: Region, image: int) -> None:
    record = RegionPart(region, image).to_json()
    talk = conversation_from_json(content(IMAGE, IMAGE, IMAGE, IMAGE, record))
    assert talk.messages[0].parts[-1] == RegionPart(region, image)
