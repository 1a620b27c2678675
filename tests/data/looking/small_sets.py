"""Pictures and conversations that the tests of looking share."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from chatspot.messages import Conversation, Message, RegionPart, TextPart, ask
from chatspot.regions import Box, Region

SIZE = (200, 100)
BOX = Box.from_normalized(0.1, 0.1, 0.5, 0.5)  # 80 x 40 pixels of SIZE


def jpeg(size: tuple[int, int] = SIZE, color: str = "teal") -> bytes:
    """A JPEG file of one colour with a dark corner."""
    picture = Image.new("RGB", size, color)
    picture.paste((30, 30, 30), (0, 0, size[0] // 4, size[1] // 4))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def talk(*turns: tuple[str, Any], regions: tuple[Region, ...] = ()) -> Conversation:
    """A conversation of questions and answers; an answer that is a region is given as one. ``regions`` come with the
    first question."""
    messages: list[Message] = []
    for at, (question, answer) in enumerate(turns):
        first = at == 0
        messages.append(ask(question, *(regions if first else ()), style="short", images=int(first)))
        part = TextPart(answer) if isinstance(answer, str) else RegionPart(answer)
        messages.append(Message("assistant", (part,)))
    return Conversation(tuple(messages))
