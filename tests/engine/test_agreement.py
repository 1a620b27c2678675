"""Agreement under jitter: what is asked beside a question, and when two answers are alike."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from chatspot.engine import Reply, Request
from chatspot.engine.agreement import MOST_AROUND, agreement_of, around
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import MessageError
from chatspot.messages import Conversation, ask
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble
from chatspot.spot import ChatSpot

BOX = Box.from_normalized(0.1, 0.2, 0.6, 0.9)
FORMS: list[Region] = [
    BOX,
    Point.from_normalized(0.7, 0.3),
    Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.5, 0.8)]),
    Scribble.from_normalized([(0.2, 0.2), (0.8, 0.8)]),
    Mask.from_runs([100, 300, 9200], size=(120, 80)),
]


def replies(*texts: str) -> list[Reply]:
    return [Reply(text, (0,), 0.0, "end") for text in texts]


@pytest.mark.parametrize(
    ("text", "others", "share"),
    [
        ("cup", [], None),
        ("", [""], 1.0),
        ("cup", ["", "cups"], 0.0),
        ("cup", ["Cup", " cup.\n", "CUP", "a cup"], 0.75),
        ("two  cups", ["two cups"], 1.0),
    ],
)
def test_what_agrees(text: str, others: list[str], share: float | None) -> None:
    assert agreement_of(replies(text)[0], replies(*others)) == share


@pytest.mark.parametrize("count", [-1, MOST_AROUND + 1, True, 1.0, "1", None])
def test_counts_that_cannot_be(image: Image.Image, count: Any) -> None:
    request = Request(Conversation((ask("What?", BOX),)), (image,))
    with pytest.raises(MessageError, match="0 to 8"):
        around(request, count)


def test_a_question_without_a_region_has_nothing_around_it(image: Image.Image) -> None:
    assert around(Request(Conversation((ask("What?"),)), (image,)), 3) == []
    assert around(Request(Conversation((ask("What?", BOX),)), (image,)), 0) == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
def test_every_form_moves_and_the_rest_stays(image: Image.Image, form: Region) -> None:
    request = Request(Conversation((ask("Is {region} beside {region}?", form, BOX),)), (image,), 7)
    found = around(request, 4)
    assert found == around(request, 4), "equal draws"
    messages = [each.conversation.messages[-1] for each in found]
    assert len({message.regions for message in messages}) == 4
    for each, message in zip(found, messages, strict=True):
        assert (each.images, each.max_new_tokens) == (request.images, 7)
        assert message.text == request.conversation.messages[-1].text
        assert [type(region) for region in message.regions] == [type(form), Box]
        assert message.regions[1].iou(BOX) > 0.6


def test_the_picture_is_encoded_once(spot: ChatSpot, engine: TorchEngine, image: Image.Image) -> None:
    alone = spot.ask(image, "What?", BOX, max_new_tokens=4)
    assert (alone.agreement, alone.sure) == (None, None)
    seen: list[int] = []
    tower = engine.tower
    engine.tower = lambda pixels: seen.append(len(pixels)) or tower(pixels)  # type: ignore[method-assign,func-returns-value]
    found = spot.ask(image, "What?", BOX, max_new_tokens=4, agreement=3)
    assert sum(seen) == 3, "focal views of the three moved boxes alone"
    assert (found.text, found.confidence) == (alone.text, pytest.approx(alone.confidence, abs=1e-3))
    assert found.agreement in (0, 1 / 3, 2 / 3, 1)
    many = spot.ask_many(image, [("What?", BOX), ("What?", None), ("Who?", BOX)], max_new_tokens=4, agreement=3)
    assert [each.agreement is None for each in many] == [False, True, False]
    assert (many[0].text, many[0].agreement) == (found.text, found.agreement)
    chat = spot.chat(image, max_new_tokens=4)
    assert chat.ask("What?", BOX, agreement=3).agreement == found.agreement
    assert chat.conversation is not None
    assert chat.conversation.messages[0].regions == (BOX,)
