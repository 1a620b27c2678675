"""Conversations as pure values: parts in a message, messages in a conversation, no markup and no pixels.

Pictures are counted in the order in which their parts appear, from 0; a region names its picture by that number. The
pixels travel beside the conversation, so the same conversation can be stored, hashed and compared.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from chatspot.errors import MessageError, RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble, region_from_json

Role: TypeAlias = Literal["system", "user", "assistant"]
Style: TypeAlias = Literal["short", "long"]


@dataclass(frozen=True)
class TextPart:
    """Plain text. Whatever it holds stays text: it can never become a control token."""

    text: str

    def to_json(self) -> dict[str, Any]:
        """``{"type": "text", "text": ...}``."""
        return {"type": "text", "text": self.text}


@dataclass(frozen=True)
class ImagePart:
    """The place of the next picture."""

    def to_json(self) -> dict[str, Any]:
        """``{"type": "image"}``."""
        return {"type": "image"}


@dataclass(frozen=True)
class RegionPart:
    """A region of picture number ``image`` (from 0)."""

    region: Region
    image: int = 0

    def to_json(self) -> dict[str, Any]:
        """``{"type": "region", "image": 0, "box": [...]}`` or another form of region."""
        return {"type": "region", "image": self.image, **self.region.to_json()}


Part: TypeAlias = TextPart | ImagePart | RegionPart


@dataclass(frozen=True)
class Message:
    """What one side says. ``style`` asks for a short or a long answer (the paper's response-style tag)."""

    role: Role
    parts: tuple[Part, ...]
    style: Style | None = None

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant"):
            raise MessageError(f'a role is "system", "user" or "assistant", got {reprlib.repr(self.role)}')
        if self.style not in (None, "short", "long"):
            raise MessageError(f'a style is "short", "long" or None, got {reprlib.repr(self.style)}')
        if self.style and self.role != "user":
            raise MessageError(f"only a user's message asks for an answer style, this one is the {self.role}'s")
        object.__setattr__(self, "parts", tuple(self.parts))  # a list would leave the message without a hash
        says_something = False
        for at, part in enumerate(self.parts):
            if fault := part_fault(part):
                raise MessageError(f"part {at} of the {self.role}'s message: {fault}")
            says_something |= isinstance(part, RegionPart) or (isinstance(part, TextPart) and bool(part.text.strip()))
            if isinstance(part, ImagePart) and self.role != "user":
                raise MessageError(f"only a user's message can bring a picture, this one is the {self.role}'s")
        if not says_something:
            raise MessageError(f"the {self.role}'s message says nothing: it needs a text or a region")

    @property
    def text(self) -> str:
        """The text parts alone, joined as they stand."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions in the order they are named."""
        return tuple(part.region for part in self.parts if isinstance(part, RegionPart))

    def to_json(self) -> dict[str, Any]:
        """Role, content parts and, where one is asked for, the style."""
        record: dict[str, Any] = {"role": self.role, "content": [part.to_json() for part in self.parts]}
        return {**record, "style": self.style} if self.style else record


def part_fault(part: Any) -> str | None:
    """What is wrong with a part, None where nothing is."""
    if isinstance(part, TextPart):
        if isinstance(part.text, str) and part.text.isascii():
            return None
        if not isinstance(part.text, str):
            return f"its text is {reprlib.repr(part.text)}, expected a string"
        try:
            part.text.encode()
        except UnicodeEncodeError as error:
            return (f"character {error.start} of its text is half of a surrogate pair, which is no Unicode; decode the "
                    "bytes again, or leave that character out")  # fmt: skip
    elif isinstance(part, RegionPart):
        if not isinstance(part.region, (Point, Box, Polygon, Mask, Scribble)):
            return f"expected a region, got {reprlib.repr(part.region)}"
        if not isinstance(part.image, int) or isinstance(part.image, bool):
            return f"a picture's number is 0, 1, ..., got {reprlib.repr(part.image)}"
    elif not isinstance(part, ImagePart):
        return f"expected a TextPart, ImagePart or RegionPart, got {reprlib.repr(part)}"
    return None


@dataclass(frozen=True)
class Conversation:
    """Messages that alternate between user and assistant, after at most one system message."""

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", tuple(self.messages))
        if not self.messages:
            raise MessageError("a conversation needs at least one message")
        seen = 0
        for index, message in enumerate(self.messages):
            if not isinstance(message, Message):
                raise MessageError(f"message {index}: expected a Message, got {reprlib.repr(message)}")
            expected = "user" if (index - self.has_system) % 2 == 0 else "assistant"
            if message.role != expected and not (index == 0 and self.has_system):
                raise MessageError(f"message {index} should be the {expected}'s, it is the {message.role}'s")
            for part in message.parts:
                seen += isinstance(part, ImagePart)
                if isinstance(part, RegionPart) and not 0 <= part.image < seen:
                    raise MessageError(f"message {index} points at picture {part.image}, but {seen} "
                                       "picture(s) were shown by then; pictures count from 0")  # fmt: skip

    @property
    def has_system(self) -> bool:
        """Whether the first message is the system's."""
        return self.messages[0].role == "system"

    @property
    def image_count(self) -> int:
        """How many pictures the conversation shows."""
        return sum(isinstance(part, ImagePart) for message in self.messages for part in message.parts)

    def with_messages(self, *more: Message) -> Conversation:
        """The conversation continued by ``more``."""
        return Conversation(self.messages + more)

    def to_json(self) -> list[dict[str, Any]]:
        """A list of messages in the shape of OpenAI's chat API, with region parts."""
        return [message.to_json() for message in self.messages]


def ask(question: str, *regions: Region, style: Style | None = None, images: int = 1, image: int = 0) -> Message:
    """A user's message: ``images`` new pictures, the question, then its regions on picture ``image``.

    A ``{region}`` in the question is where a region goes; regions without a place follow the text.
    """
    pieces = question.split("{region}")
    if len(pieces) - 1 > len(regions):
        raise MessageError(f"the question has {len(pieces) - 1} places for regions but {len(regions)} came with it")
    parts: list[Part] = [ImagePart()] * images
    rest = list(regions)
    for index, piece in enumerate(pieces):
        if index:
            parts.append(RegionPart(rest.pop(0), image))
        if piece:
            parts.append(TextPart(piece))
    for region in rest:
        parts += [TextPart(" "), RegionPart(region, image)]
    return Message("user", tuple(parts), style)


def conversation_from_json(value: Any) -> Conversation:
    """The conversation that ``Conversation.to_json`` wrote; a string as content is one text part.

    Raises ``MessageError`` (or ``RegionError``) that names the message and part at fault.
    """
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise MessageError(f"a conversation is a list of messages, got {type(value).__name__}")
    return Conversation(tuple(message_from_json(entry, index) for index, entry in enumerate(value)))


def message_from_json(entry: Any, index: int) -> Message:
    """Message number ``index`` of a stored conversation."""
    if not isinstance(entry, dict) or "role" not in entry or "content" not in entry:
        raise MessageError(f'message {index} needs "role" and "content", got {reprlib.repr(entry)}')
    content = entry["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise MessageError(f"message {index}: content is a text or a list of parts, got {type(content).__name__}")
    parts = []
    for at, part in enumerate(content):
        try:
            parts.append(part_from_json(part))
        except (MessageError, RegionError) as error:
            raise type(error)(f"message {index}, part {at}: {error}") from error
    try:
        return Message(entry["role"], tuple(parts), entry.get("style"))
    except MessageError as error:
        raise MessageError(f"message {index}: {error}") from error


def part_from_json(part: Any) -> Part:
    """One stored part. Raises ``MessageError``, or ``RegionError`` for a region that is none."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image":
        return ImagePart()
    if kind == "text":
        if not isinstance(part.get("text"), str):
            raise MessageError(f'a text part needs "text", got {reprlib.repr(part)}')
        return TextPart(part["text"])
    if kind == "region":
        image = part.get("image", 0)
        if not isinstance(image, int) or isinstance(image, bool):
            raise MessageError(f'"image" is the number of a picture from 0, got {reprlib.repr(image)}')
        return RegionPart(region_from_json(part), image)
    raise MessageError(f'a part\'s type is "text", "image" or "region", got {reprlib.repr(kind)}')
