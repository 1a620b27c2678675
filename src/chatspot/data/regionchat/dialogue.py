"""The form in which a writer hands in a dialogue, and how it becomes a sample.

The form is a JSON schema that pydantic makes and checks. Regions stand in the text as ``<r1>``; here, and nowhere else,
they become regions again.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatspot.data.questions import QuestionSettings, asked_form
from chatspot.data.records import Record
from chatspot.data.regionchat.scene import PLACEHOLDER, Scene
from chatspot.data.samples import Sample
from chatspot.messages import Conversation, ImagePart, Message, RegionPart, TextPart
from chatspot.messages.conversation import Part
from chatspot.regions import Region

SHORT_WORDS = 6  # an answer of at most so many words is one that was asked to be short (our choice)
LONGEST_REPLY = 20_000  # characters; a reply beyond is not searched (our choice)
LINE = re.compile(r"\s*([QqAa])[:.]\s*(.*)$")


class Turn(BaseModel):
    """One question and its answer; regions are named in them as <r1>, <r2> ..."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class Dialogue(BaseModel):
    """A conversation about regions of one picture."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    turns: tuple[Turn, ...] = Field(min_length=1)

    @property
    def text(self) -> str:
        """All that is said, one line a side."""
        return "\n".join(side for turn in self.turns for side in (turn.question, turn.answer))


def dialogue_schema() -> dict[str, Any]:
    """The dialogue's JSON schema, in the subset that structured output accepts: every field required, no length."""
    turn = {
        "type": "object",
        "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
        "required": ["question", "answer"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"turns": {"type": "array", "items": turn}},
        "required": ["turns"],
        "additionalProperties": False,
    }


class UnreadableReply(ValueError):
    """A reply that holds no dialogue; ``reason`` is its code."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def parse_lines(reply: str, *, cut_off: bool = False) -> Dialogue:
    """The dialogue in a reply of lines that begin with ``Q:`` and ``A:`` in turn; other lines go on the one before.

    For models too small for JSON. A reply that was ``cut_off`` loses its last turn. Raises ``UnreadableReply`` with
    reason "too-long", "truncated", "no-turns" or "schema".
    """
    check_length(reply)
    said: list[tuple[str, str]] = []
    for line in reply.splitlines():
        begins = LINE.match(line)
        if begins:
            said.append((begins[1].upper(), begins[2]))
        elif said and line.strip():
            said[-1] = (said[-1][0], f"{said[-1][1]} {line.strip()}")
    if cut_off and said:
        said = said[: -1 if said[-1][0] == "Q" else -2]
    if not said:
        raise UnreadableReply("truncated" if cut_off else "no-turns", f"it begins with {reply[:100]!r}")
    if [side for side, _ in said] != ["Q", "A"] * (len(said) // 2):
        raise UnreadableReply("schema", f"sides come as {''.join(side for side, _ in said)[:40]}, expected QAQA...")
    texts = [text.strip() for _, text in said]
    try:
        return Dialogue(turns=tuple(Turn(question=q, answer=a) for q, a in zip(texts[::2], texts[1::2], strict=True)))
    except ValidationError as error:
        raise UnreadableReply("schema", "an empty question or answer") from error


def check_length(reply: str) -> None:
    """Refuse to search a reply without end."""
    if len(reply) > LONGEST_REPLY:
        raise UnreadableReply("too-long", f"a reply of {len(reply):,} characters, at most {LONGEST_REPLY:,}")


def parse_reply(reply: str, *, cut_off: bool = False) -> Dialogue:
    """The dialogue in a model's reply: the first JSON object in it, whatever stands around.

    ``cut_off`` says that the endpoint stopped at its length limit. Raises ``UnreadableReply`` with reason "too-long",
    "truncated", "no-json" or "schema".
    """
    check_length(reply)
    start = reply.find("{")
    try:
        if start < 0:
            raise ValueError("no '{' in it")
        value, _ = json.JSONDecoder().raw_decode(reply, start)
    except (ValueError, RecursionError) as error:
        raise UnreadableReply("truncated" if cut_off else "no-json", str(error)[:200]) from error
    try:
        return Dialogue.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UnreadableReply("schema", f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error


def sample_of(dialogue: Dialogue, record: Record, scene: Scene, name: str) -> Sample:
    """The dialogue as a sample named ``name``. A question names a region in a form drawn by that name (a noisy box, a
    point, an outline), the same one throughout; an answer gives the annotated region."""
    rng = random.Random(name)
    asked = {r.placeholder: asked_form(record, r.known, QuestionSettings(), rng) for r in scene.regions}
    told = {r.placeholder: r.known.region for r in scene.regions}
    messages = []
    for at, turn in enumerate(dialogue.turns):
        style = "short" if len(turn.answer.split()) <= SHORT_WORDS else "long"
        question = parts_of(turn.question, asked)
        messages.append(Message("user", (ImagePart(), *question) if at == 0 else question, style))  # type: ignore[arg-type]
        messages.append(Message("assistant", parts_of(turn.answer, told)))
    return Sample(name, record.source, (record.image,), Conversation(tuple(messages)), "dialogue")


def parts_of(text: str, regions: dict[str, Region]) -> tuple[Part, ...]:
    """Text with placeholders as parts of a message. KeyError for a placeholder without region: checks come before."""
    pieces = PLACEHOLDER.split(text.strip())
    parts: list[Part] = [TextPart(pieces[0])] if pieces[0] else []
    for number, after in zip(pieces[1::2], pieces[2::2], strict=True):
        parts.append(RegionPart(regions[f"<r{number}>"]))
        if after:
            parts.append(TextPart(after))
    return tuple(parts)
