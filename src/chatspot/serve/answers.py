"""Answers in the shape of OpenAI's chat completions, whole and in pieces."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chatspot.engine import Reply
from chatspot.engine.agreement import agreement_of
from chatspot.messages import RegionPart
from chatspot.prompts import read_answer
from chatspot.serve.reading import Asked
from chatspot.serve.refusals import as_json

DONE = b"data: [DONE]\n\n"
FINISHES = {"end": "stop", "length": "length"}


@dataclass(frozen=True)
class Completion:
    """What is said around one answer."""

    asked: Asked
    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with counts of tokens."""
        options = self.asked.chat.stream_options
        return options is not None and bool(options.include_usage)

    def whole(self, reply: Reply, others: Sequence[Reply] = ()) -> dict[str, Any]:
        """The answer at once; ``others`` are those about moved regions."""
        message = {"role": "assistant", "content": reply.text, **self.told(reply, others)}
        choice = {"index": 0, "message": message, "finish_reason": FINISHES[reply.finish], "logprobs": None}
        return {**self.head("chat.completion"), "choices": [choice], "usage": self.usage(reply)}

    def first_event(self) -> bytes:
        """Who speaks."""
        return self.event({"role": "assistant", "content": ""}, None)

    def piece_event(self, text: str) -> bytes:
        """A piece of the answer."""
        return self.event({"content": text}, None)

    def last_events(self, reply: Reply, others: Sequence[Reply] = ()) -> bytes:
        """How the answer ended, and what it took where the client asked for that."""
        last = self.event(self.told(reply, others), FINISHES[reply.finish])
        if self.with_usage:
            last += event({**self.head("chat.completion.chunk"), "choices": [], "usage": self.usage(reply)})
        return last + DONE

    def event(self, delta: dict[str, Any], finish: str | None) -> bytes:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        chunk = {**self.head("chat.completion.chunk"), "choices": [choice]}
        return event({**chunk, "usage": None} if self.with_usage else chunk)

    def head(self, kind: str) -> dict[str, Any]:
        """What every part of an answer says."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def usage(self, reply: Reply) -> dict[str, int]:
        """Tokens read and written."""
        read, written = token_counts(self.asked, reply)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def told(self, reply: Reply, others: Sequence[Reply]) -> dict[str, Any]:
        """What is said of an answer: the regions that it names, how likely it is right, whether that is enough, and how
        many of the ``others`` say the same."""
        shared = agreement_of(reply, others)
        return {
            "regions": self.regions(reply),
            "confidence": None if reply.confidence is None else round(reply.confidence, 4),
            "sure": reply.sure,
            "agreement": None if shared is None else round(shared, 4),
        }

    def regions(self, reply: Reply) -> list[dict[str, Any]]:
        """The regions that the answer names, in the form in which a request names them."""
        return [part.to_json() for part in read_answer(reply.text, self.asked.image) if isinstance(part, RegionPart)]


def token_counts(asked: Asked, reply: Reply) -> tuple[int, int]:
    """Tokens read and written."""
    return reply.counted or (asked.prepared.prompt_tokens, len(reply.token_ids))


def event(value: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + as_json(value) + b"\n\n"
