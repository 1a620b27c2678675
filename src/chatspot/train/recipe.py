"""A training recipe: what is trained, on what, how. Read from YAML; unknown keys and impossible values are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from chatspot.data import QuestionSettings
from chatspot.data.strict import Strict, read_yaml, validated
from chatspot.errors import RecipeError


class Source(Strict):
    """A folder of region JSON lines and how its questions are made; a relative folder is below the recipe's data."""

    folder: str
    questions: QuestionSettings = QuestionSettings()
    limit: int | None = Field(default=None, ge=1, description="at most so many dialogues")


class Recipe(Strict):
    """One stage of training. The paper's numbers (section 4.1): AdamW, learning rate 2e-3 in align and 2e-5 in
    instruct, batch 128, 3 epochs; warm-up and schedule are LLaVA's (cosine, 3 %)."""

    stage: Literal["align", "instruct"]
    sources: tuple[Source, ...] = Field(min_length=1)
    learning_rate: float = Field(gt=0)
    projector_learning_rate: float | None = Field(default=None, gt=0)
    epochs: float = Field(default=1.0, gt=0)
    batch_tokens: int = Field(default=2048, ge=64, description="padded tokens in a step")
    longest: int = Field(default=640, ge=32, description="longer dialogues are left out, and counted")
    warmup_share: float = Field(default=0.03, ge=0, le=1)
    clip_norm: float = Field(default=1.0, gt=0)
    lora_rank: int = Field(default=0, ge=0, description="0: no low-rank update; instruct then trains all weights")
    lora_alpha: int = Field(default=64, ge=1)
    projector_start: Literal["answers", "random"] = "random"
    without_focal_share: float = Field(default=0.0, ge=0, le=1)
    checkpoint_every: int = Field(default=50, ge=1)
    seed: int = 0


def load_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file. ``RecipeError`` names the file, the key and, for an unknown one, the nearest key."""
    return parse_recipe(read_yaml(path, "recipe", RecipeError), str(path))


def parse_recipe(values: Any, where: str) -> Recipe:
    """The recipe that a mapping describes; ``where`` opens the message of any error."""
    return validated(Recipe, values, where, RecipeError)
