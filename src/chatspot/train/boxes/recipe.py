"""The recipe of the box head's stage. Read from YAML; unknown keys and impossible values are errors."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from chatspot.data.strict import Strict, read_yaml, validated
from chatspot.errors import RecipeError
from chatspot.train.recipe import Rate, Share


class BoxSource(Strict):
    """A folder of region JSON lines."""

    folder: str = Field(description="below one of the run's data folders")
    cuts: int = Field(default=2, ge=0, description="of each picture, beside the whole one and its mirror image")


class BoxRecipe(Strict):
    """What the box head learns from, and how. All numbers are our choice (PAPER.md: box head)."""

    sources: tuple[BoxSource, ...] = Field(min_length=1)
    epochs: float = Field(default=6.0, gt=0)
    batch: int = Field(default=32, ge=2, description="views of pictures in a step")
    asked: int = Field(default=2, ge=1, description="names that are asked for in a view, at most")
    learning_rate: Rate = 2e-3
    weight_decay: float = Field(default=0.05, ge=0)
    dropout: Share = Field(default=0.1, description="of the maps' channels")
    held_share: Share = Field(default=0.05, description="of the pictures, to judge by; not learnt from")
    judge_every: int = Field(default=300, ge=1, description="steps")
    seed: int = 0


def load_box_recipe(path: Path) -> BoxRecipe:
    """The recipe in a YAML file; ``RecipeError`` names the file, the key and the nearest key."""
    values = read_yaml(path, "recipe", RecipeError)
    return validated(BoxRecipe, values, str(path), RecipeError, whole="the recipe")
