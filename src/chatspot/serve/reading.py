"""From a body's bytes to a request that can be computed. Runs in the reading and preparing threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core
from pydantic import ValidationError

from chatspot.engine import Engine, Prepared, Request
from chatspot.engine.agreement import around
from chatspot.errors import ChatSpotError, MessageError, RegionError
from chatspot.messages import Conversation, ImagePart, Message, Part, RegionPart, TextPart
from chatspot.prompts import read_answer
from chatspot.regions import region_from_json
from chatspot.serve import protocol
from chatspot.serve.limits import (
    MOST_CHARACTERS,
    MOST_FIELDS,
    MOST_POINTS,
    MOST_RUNS,
    MOST_VALUES,
    PIXEL_BYTES,
    VIEW_BYTES,
    Limits,
)
from chatspot.serve.pictures import decoded, picture_bytes, pixel_count
from chatspot.serve.protocol import ChatRequest
from chatspot.serve.refusals import Refusal


@dataclass(frozen=True)
class Understood:
    """A request with its pictures decoded. ``image`` is the picture that regions of the answer are read on, ``beside``
    are the same requests about moved regions."""

    chat: ChatRequest
    request: Request
    image: int
    beside: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A request that can be computed; ``image`` and ``beside`` as in ``Understood``."""

    chat: ChatRequest
    prepared: Prepared
    image: int
    beside: tuple[Request, ...] = ()


def read_request(
    body: bytes, names: tuple[str, ...], limits: Limits, region_text: bool, hold: Callable[[int], None]
) -> Understood:
    """The request in ``body``. ``names`` are the model's; ``hold`` is told how many bytes its pictures will take,
    before they are decoded, and may refuse. Raises ``Refusal`` for whatever cannot be answered."""
    chat = parsed(body)
    if chat.model not in names:
        known = " or ".join(repr(name) for name in names)
        raise Refusal(404, "model_not_found", f"there is no model {chat.model[:100]!r} here, it is {known}",
                      param="model")  # fmt: skip
    if chat.region_text is not None:
        region_text = chat.region_text
    told = Telling(limits, region_text)
    for number, message in enumerate(chat.messages):
        told.take(message, f"messages.{number}", chat.style or "short")
    pixels = [pixel_count(raw, limits.pixels, param) for raw, param in told.pictures]
    more = chat.agreement or 0
    hold(sum(pixels) * PIXEL_BYTES + (len(pixels) + told.regions * (1 + more)) * VIEW_BYTES)
    images = tuple(decoded(raw, param) for raw, param in told.pictures)
    wanted = chat.max_completion_tokens or chat.max_tokens or limits.default_tokens
    try:
        request = Request(Conversation(tuple(told.messages)), images, min(wanted, limits.tokens))
    except MessageError as error:
        raise Refusal(400, "invalid_messages", str(error), param="messages") from error
    return Understood(chat, request, told.pointed_at, tuple(around(request, more)))


def asked(engine: Engine, understood: Understood) -> Asked:
    """The request with what the engine makes of it. Raises ``Refusal`` when it is too long."""
    (ready,) = prepared(engine, [understood.request])
    return Asked(understood.chat, ready, understood.image, understood.beside)


def prepared(engine: Engine, requests: Sequence[Request]) -> list[Prepared]:
    """Requests made ready by the engine: prompts and views. Raises ``Refusal`` when one is too long."""
    try:
        return [engine.prepare(request) for request in requests]
    except MessageError as error:
        raise Refusal(400, "context_length_exceeded", str(error), param="messages") from error


def parsed(body: bytes) -> ChatRequest:
    """The body's fields."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:  # before they take a hundred times the room
        raise Refusal(400, "request_too_complex", f"the request has more than {MOST_VALUES:,} values; send fewer "
                      "regions or simpler ones")  # fmt: skip
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, "invalid_json", f"the body is no JSON: {error}") from error
    check_fields(value)
    try:
        return ChatRequest.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(map(str, places(fault["loc"])))
        if fault["type"] == "extra_forbidden":
            raise Refusal(400, "unknown_field", f"the field {param} is not known here; leave it out",
                          param=param) from error  # fmt: skip
        raise Refusal(400, "invalid_value", f"{param or 'the body'}: {fault['msg']}", param=param or None) from error


def check_fields(value: Any) -> None:
    """Refuse an object with more fields than any has."""
    inside = [value]
    while inside:
        one = inside.pop()
        if isinstance(one, dict):
            if len(one) > MOST_FIELDS:
                raise Refusal(400, "request_too_complex", f"an object of the request has {len(one):,} fields, at most "
                              f"{MOST_FIELDS} can be")  # fmt: skip
            inside += one.values()
        elif isinstance(one, list):
            inside += one


def places(location: tuple[int | str, ...]) -> Iterator[int | str]:
    """Where a fault is, without the names of union members: they stand behind the number of a list's element and
    behind "content"."""
    before: int | str = ""
    for place in location:
        tag = isinstance(place, str) and (isinstance(before, int) or before == "content")
        if not tag:
            yield place
        before = "" if tag else place


@dataclass
class Telling:
    """A conversation as it is read, message after message."""

    limits: Limits
    region_text: bool
    messages: list[Message] = field(default_factory=list)
    pictures: list[tuple[bytes, str]] = field(default_factory=list)  # with the place in the request
    regions: int = 0
    characters: int = 0
    points: int = 0
    runs: int = 0
    pointed_at: int = 0

    def take(self, message: protocol.Message, param: str, style: str) -> None:
        """Read the next message. A message's pictures come before its words, as the model was trained."""
        content = message.content
        given = [protocol.TextContent(type="text", text=content)] if isinstance(content, str) else content
        parts: list[Part] = []
        for number, part in enumerate(given):
            if isinstance(part, protocol.ImageContent):
                place = f"{param}.content.{number}.image_url"
                if len(self.pictures) == self.limits.pictures:
                    raise Refusal(400, "too_many_images", f"at most {self.limits.pictures} pictures are taken",
                                  param=place)  # fmt: skip
                self.pictures.append((picture_bytes(part.image_url.url, place), place))
                parts.append(ImagePart())
        if parts:
            self.pointed_at = len(self.pictures) - 1
        named: list[int] = []
        for number, part in enumerate(given):
            if isinstance(part, protocol.TextContent):
                parts += self.words(part.text, message.role, f"{param}.content.{number}")
            elif isinstance(part, protocol.RegionContent):
                parts.append(self.region(part, f"{param}.content.{number}"))
                named.append(part.image)
        if message.role == "user" and named:
            self.pointed_at = named[0]
        self.count_regions(parts, param)
        self.messages.append(told(message, parts, param, style))

    def words(self, text: str, role: str, param: str) -> tuple[Part, ...]:
        """A text, with regions where region text stands. Whatever else it holds stays text."""
        self.characters += len(text)
        if self.characters > MOST_CHARACTERS:
            raise Refusal(400, "context_length_exceeded", f"the texts have more than {MOST_CHARACTERS:,} characters",
                          param=param)  # fmt: skip
        if self.region_text and self.pictures and role in ("user", "assistant"):
            return read_answer(text, len(self.pictures) - 1 if role == "user" else self.pointed_at)
        return (TextPart(text),)

    def region(self, part: protocol.RegionContent, param: str) -> RegionPart:
        """A region part."""
        given = part.model_dump(exclude_unset=True, exclude={"type", "image"})
        self.points += sum(len(line) for line in (part.polygon, part.scribble) if isinstance(line, list))
        counts = part.mask.get("counts") if isinstance(part.mask, dict) else None
        self.runs += len(counts) if isinstance(counts, list) else 0
        if self.points > MOST_POINTS or self.runs > MOST_RUNS:
            raise Refusal(400, "region_too_detailed", f"polygons and scribbles have at most {MOST_POINTS:,} points "
                          f"together, masks {MOST_RUNS:,} runs; simplify them first", param=param)  # fmt: skip
        try:
            return RegionPart(region_from_json(given), part.image)
        except RegionError as error:
            raise Refusal(400, "invalid_region", str(error), param=param) from error

    def count_regions(self, parts: list[Part], param: str) -> None:
        """Refuse a conversation that names too many."""
        self.regions += sum(isinstance(part, RegionPart) for part in parts)
        if self.regions > self.limits.regions:
            raise Refusal(400, "too_many_regions", f"the conversation names more than {self.limits.regions} regions; "
                          "ask about some of them, then about the others", param=param)  # fmt: skip


def told(message: protocol.Message, parts: list[Part], param: str, style: str) -> Message:
    """The message as a value."""
    role = "system" if message.role == "developer" else message.role
    wanted = (message.style or style) if isinstance(message, protocol.UserMessage) else None
    try:
        return Message(role, tuple(parts), wanted)  # type: ignore[arg-type]
    except ChatSpotError as error:
        raise Refusal(400, "invalid_messages", str(error), param=param) from error
