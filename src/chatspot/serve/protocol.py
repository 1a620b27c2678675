"""The request of OpenAI's chat completions as this server reads it: strict, with region parts.

A field that is not here is refused by name. Fields marked *no effect* are read because clients send them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from chatspot.engine.agreement import MOST_AROUND
from chatspot.messages import Style
from chatspot.serve.limits import LONGEST_STOP, MOST_MESSAGES, MOST_PARTS, MOST_STOPS

POINTS = {"type": "array", "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}}


class Strict(BaseModel):
    """Fields are named or refused, and no value is turned into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def numbers(count: int) -> WithJsonSchema:
    """The schema of so many numbers."""
    return WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count})


class TextContent(Strict):
    """Words."""

    type: Literal["text"]
    text: str


class ImageUrl(Strict):
    """A picture inside a ``data:`` URL. ``detail`` has no effect: pictures are shown as the model was trained."""

    url: str = Field(description="data:image/...;base64,...; files and addresses are refused")
    detail: Literal["auto", "low", "high"] | None = None


class ImageContent(Strict):
    """The next picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


class RegionContent(Strict):
    """A part of picture number ``image``: exactly one of the five forms, fractions of the upright picture.

    The values are read by ``chatspot.regions.region_from_json``.
    """

    type: Literal["region"]
    image: int = Field(0, description="number of the picture in the conversation, from 0")
    point: Annotated[Any, numbers(2)] = None
    box: Annotated[Any, numbers(4)] = None
    polygon: Annotated[Any, WithJsonSchema(POINTS)] = None
    scribble: Annotated[Any, WithJsonSchema(POINTS)] = None
    pen_wh: Annotated[Any, numbers(2)] = None
    mask: Annotated[Any, WithJsonSchema({"type": "object", "required": ["counts", "size_wh"]})] = None


def as_list(value: Any) -> Any:
    """A single text as a list of one."""
    return [value] if isinstance(value, str) else value


STOP_SCHEMA = {"type": "string", "minLength": 1, "maxLength": LONGEST_STOP}
StopTexts: TypeAlias = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]],
    Field(max_length=MOST_STOPS),
    BeforeValidator(as_list),
    WithJsonSchema({"anyOf": [STOP_SCHEMA, {"type": "array", "items": STOP_SCHEMA, "maxItems": MOST_STOPS}]}),
]


def content_tag(value: Any) -> str:
    """Which form a content has."""
    return "string" if isinstance(value, str) else "parts"


UserPart: TypeAlias = Annotated[TextContent | ImageContent | RegionContent, Field(discriminator="type")]
OtherPart: TypeAlias = Annotated[TextContent | RegionContent, Field(discriminator="type")]
UserContent: TypeAlias = Annotated[
    Annotated[str, Tag("string")] | Annotated[list[UserPart], Field(max_length=MOST_PARTS), Tag("parts")],
    Discriminator(content_tag),
]
OtherContent: TypeAlias = Annotated[
    Annotated[str, Tag("string")] | Annotated[list[OtherPart], Field(max_length=MOST_PARTS), Tag("parts")],
    Discriminator(content_tag),
]


class SystemMessage(Strict):
    """What holds for the whole conversation; the first message or none."""

    role: Literal["system", "developer"]
    content: OtherContent


class UserMessage(Strict):
    """A question. ``style`` asks for a short or a long answer (the paper's tag)."""

    role: Literal["user"]
    content: UserContent
    style: Style | None = None


class AssistantMessage(Strict):
    """An answer that was given. What else our own answers hold is read back without effect."""

    role: Literal["assistant"]
    content: OtherContent
    regions: list[Any] | None = Field(None, description="no effect: regions are read from the text")
    confidence: float | None = Field(None, description="no effect")
    sure: bool | None = Field(None, description="no effect")
    agreement: float | None = Field(None, description="no effect")
    refusal: None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None


class StreamOptions(Strict):
    """``include_usage`` asks for a last event with the counts of tokens; the other field has no effect."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class PlainText(Strict):
    """The one form of answer."""

    type: Literal["text"]


Message: TypeAlias = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class ChatRequest(Strict):
    """The body of ``POST /v1/chat/completions``."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: StopTexts | None = Field(None, description="texts before which the answer ends")
    style: Style | None = Field(None, description='of every question that names none; "short" by default')
    region_text: bool | None = Field(None, description="whether <box>...</box> in texts is read as a region")
    agreement: Annotated[int, Field(ge=0, le=MOST_AROUND)] | None = Field(
        None, description="ask so many times more about slightly moved regions"
    )
    n: Literal[1] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="no effect: answers are greedy")
    top_p: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="no effect: answers are greedy")
    seed: int | None = Field(None, description="no effect: answers are greedy")
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logprobs: Literal[False] | None = None
    response_format: PlainText | None = None
    store: Literal[False] | None = None
    metadata: dict[str, str] | None = Field(None, description="no effect")
    user: str | None = Field(None, description="no effect")
