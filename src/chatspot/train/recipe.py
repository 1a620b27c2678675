"""A training recipe: what is trained, on what, how. Read from YAML; unknown keys and impossible values are errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from chatspot.data import QuestionSettings
from chatspot.data.strict import Strict, read_yaml, validated
from chatspot.errors import RecipeError

KINDS = ("folder", "shards", "lines", "texts")
BUILTIN = "builtin"  # as ``texts``: the packaged rehearsal conversations

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Source(Strict):
    """Where dialogues come from: exactly one of ``folder``, ``shards``, ``lines`` and ``texts``.

    A relative place is below one of the run's data folders.
    """

    folder: str | None = Field(default=None, description="a folder of region JSON lines and pictures")
    shards: str | None = Field(default=None, description="a build of 'chatspot data build': a folder or an fsspec URL")
    lines: str | None = Field(default=None, description="a .jsonl file of region JSON lines or of ready dialogues")
    texts: str | None = Field(default=None, description='a .jsonl file of text-only conversations, or "builtin"')
    questions: QuestionSettings = QuestionSettings()
    limit: int | None = Field(default=None, ge=1, description="at most so many dialogues")
    weight: float = Field(default=1.0, gt=0, le=1000, description="0.5: half of it in an epoch; 2: all of it twice")

    @model_validator(mode="after")
    def check_kind(self) -> Source:
        """One place; questions only where they are made here."""
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a source has exactly one of {', '.join(KINDS)}; this one has {' and '.join(given) or 'none'}"
            )
        if given[0] in ("shards", "texts") and self.questions != QuestionSettings():
            raise ValueError(
                f"questions are made for a folder or lines; {given[0]} hold theirs already: drop 'questions'"
            )
        return self


class LowRank(Strict):
    """A low-rank update of the language model (LoRA, arXiv 2106.09685) in place of training all of its weights.

    ``quantised``: the language model beneath it is held in 4 bits (QLoRA, arXiv 2305.14314) by bitsandbytes.
    """

    rank: int = Field(default=0, ge=0, description="0: no low-rank update; instruct then trains all weights")
    alpha: int = Field(default=64, ge=1)
    quantised: bool = False

    @model_validator(mode="after")
    def check_rank(self) -> LowRank:
        """Weights in 4 bits cannot be trained themselves."""
        if self.quantised and not self.rank:
            raise ValueError("quantised weights cannot take a step themselves: give a rank, such as 64")
        return self


class Recipe(Strict):
    """One stage of training. The paper's numbers (section 4.1): AdamW, learning rate 2e-3 in align and 2e-5 in
    instruct, batch 128, 3 epochs; warm-up and schedule are LLaVA's (cosine, 3 %). Other defaults are our choice."""

    stage: Literal["align", "instruct"]
    sources: tuple[Source, ...] = Field(min_length=1)
    learning_rate: Rate
    projector_learning_rate: Rate | None = Field(default=None, description="default: learning_rate")
    epochs: Rate = 1.0
    batch_tokens: int | None = Field(default=None, ge=64, description="tokens in a step, over all processes")
    batch_dialogues: int | None = Field(default=None, ge=1, description="or dialogues in a step, over all processes")
    row_tokens: int = Field(default=640, ge=32, description="dialogues are packed into rows of at most so many tokens; "
                            "a longer dialogue is left out, and counted")  # fmt: skip
    micro_rows: int = Field(default=4, ge=1, description="rows that pass the model at once on one process")
    share_pictures: bool = Field(default=True, description="dialogues about one picture share its visual tokens")
    keep_features: bool = Field(default=True, description="vision features are computed once and kept on disk")
    attention: Literal["sdpa", "flex"] = "sdpa"
    recompute: bool = Field(default=False, description="compute activations again in the backward pass: less memory")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="auto: as saved")
    window: int = Field(default=512, ge=1, description="pictures or texts whose dialogues are packed together")
    most_skipped: Share = Field(default=0.01, description="a run stops when more of its samples are corrupt")
    warmup_share: Share = 0.03
    clip_norm: Rate = 1.0
    low_rank: LowRank = LowRank()
    projector_start: Literal["answers", "random"] = "random"
    without_focal_share: Share = 0.0
    checkpoint_every: int = Field(default=50, ge=1, description="steps")
    abilities: bool = Field(default=True, description="measure before and after what the model can do with texts alone")
    held_out: str | None = Field(default=None, description="folder of region JSON lines below the data: the loss of "
                                 "its captions is measured before and after")  # fmt: skip
    seed: int = 0

    @model_validator(mode="after")
    def check_together(self) -> Recipe:
        """What only makes sense together."""
        if (self.batch_tokens is None) == (self.batch_dialogues is None):
            raise ValueError("a step holds either batch_tokens or batch_dialogues: give one of them, and null or "
                             "nothing for the other")  # fmt: skip
        if self.stage == "align" and self.low_rank.rank:
            raise ValueError("align trains the projector alone, so low_rank has nothing to update: drop it")
        return self


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with ``changes`` such as ``sources.0.limit=10`` made to it.

    ``RecipeError`` names the file, the key and, for an unknown one, the nearest key.
    """
    values = read_yaml(path, "recipe", RecipeError)
    return parse_recipe(changed(values, changes), " with ".join([str(path), *changes]))


def parse_recipe(values: Any, where: str) -> Recipe:
    """The recipe that a mapping describes; ``where`` opens the message of any error."""
    return validated(Recipe, values, where, RecipeError, whole="the recipe")


def changed(values: Any, changes: Sequence[str]) -> Any:
    """A mapping with each change ``key.key=value`` made to it; a number as key counts in a list, values are YAML.

    Sections that are not there yet are begun, as ``low_rank.rank=8`` needs. Raises ``RecipeError``.
    """
    for change in changes:
        path, equals, text = change.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise RecipeError(f"a change is written key=value, such as learning_rate=1e-4; got {change!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"the value of the change {change!r} is no YAML: {error}") from error
        values = put(values, keys, value, change)
    return values


def put(values: Any, keys: Sequence[str], value: Any, change: str) -> Any:
    """A copy of ``values`` with ``value`` at the path ``keys``; ``change`` is what an error shows."""
    key, rest = keys[0], keys[1:]
    if isinstance(values, list):
        if not key.isdecimal() or int(key) >= len(values):
            raise RecipeError(f"the change {change!r} should name one of {len(values)} entries by its number, from 0; "
                              f"got {key!r}")  # fmt: skip
        at = int(key)
        return [*values[:at], put(values[at], rest, value, change) if rest else value, *values[at + 1 :]]
    if not isinstance(values, dict | None):
        raise RecipeError(f"the change {change!r} asks for {key!r} within {values!r}, which has no keys")
    inner = values or {}
    return {**inner, key: put(inner.get(key), rest, value, change) if rest else value}
