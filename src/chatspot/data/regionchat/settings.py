"""What a RegionChat run is told: which model, how many dialogues, which ceilings. Kept in the run's folder."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from chatspot.data.regionchat.prompt import Form, Kind
from chatspot.data.strict import Strict, validated
from chatspot.errors import DataError

SCHEMA = 1


class ChatSettings(Strict):
    """Requests, their limits and the prices they are accounted with. Prices are the endpoint's, per million tokens.

    ``most_tokens`` and ``most_cost`` are ceilings of the run's folder over all its starts: a call that could pass one
    is not made. ``structured`` says how the form is asked for; a server that refuses "json_schema" takes "prompt",
    and a model that is too small for JSON "lines".
    """

    model: str = Field(min_length=1)
    base_url: str | None = None
    structured: Form = "json_schema"
    kinds: tuple[Kind, ...] = Field(default=("conversation",), min_length=1)
    samples: int = Field(default=1, ge=1, description="dialogues of each kind for a picture, with seeds of their own")
    turns: int = Field(default=4, ge=2, le=8)
    most_regions: int = Field(default=8, ge=1, le=99)
    examples: int = Field(default=2, ge=0, le=2)
    temperature: float | None = Field(default=0.7, ge=0, le=2)
    most_reply_tokens: int = Field(default=600, ge=16)
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_seed: bool = True
    seed: int = 0
    concurrency: int = Field(default=8, ge=1, le=1000)
    timeout_s: float = Field(default=120.0, gt=0, description="for one attempt, however slowly bytes come")
    attempts: int = Field(default=5, ge=1, le=50)
    first_wait_s: float = Field(default=1.0, ge=0)
    longest_wait_s: float = Field(default=60.0, ge=0)
    failures_to_stop: int = Field(default=10, ge=1, description="failed calls in a row that end the run")
    input_price: float = Field(default=0.0, ge=0)
    output_price: float = Field(default=0.0, ge=0)
    most_tokens: int | None = Field(default=None, ge=1)
    most_cost: float | None = Field(default=None, gt=0)


def parse_settings(values: Any, where: str) -> ChatSettings:
    """The settings that a mapping describes; ``DataError``, opened by ``where``, names the key at fault."""
    return validated(ChatSettings, values, where, DataError, whole="the settings")
