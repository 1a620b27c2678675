"""The recipe of the tower's stage. Read from YAML; unknown keys and impossible values are errors."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from chatspot.data.dialogues import DialogueSettings
from chatspot.data.strict import Strict, read_yaml, validated
from chatspot.errors import RecipeError
from chatspot.train.recipe import Rate, Share


class TowerSource(Strict):
    """A folder of region JSON lines, and how its regions are shown."""

    folder: str = Field(description="below one of the run's data folders")
    views: int = Field(default=2, ge=1, description="of each region, in a form drawn by the settings")
    forms: DialogueSettings = DialogueSettings()
    exhaustive: bool = Field(default=False, description="every object is annotated: whole pictures say what lies "
                             "where, and things can be counted")  # fmt: skip


class TowerRecipe(Strict):
    """What the tower learns from, and how. All numbers are our choice (PAPER.md: nano tower)."""

    sources: tuple[TowerSource, ...] = Field(min_length=1)
    epochs: float = Field(default=2.0, gt=0)
    batch: int = Field(default=32, ge=2, description="views in a step")
    learning_rate: Rate = 2e-4
    head_rate: Rate = Field(default=1e-3, description="of the classifiers, which are thrown away afterwards")
    heads_first: Share = Field(default=0.08, description="of the steps in which only the classifiers learn")
    weight_decay: float = Field(default=0.02, ge=0)
    dropout: Share = 0.2
    balance: Share = Field(default=0.4, description="a name n times as common as another is shown n ** -balance times "
                           "as often as it stands in the data")  # fmt: skip
    teacher: float = Field(default=0.3, ge=0, description="weight of the published ImageNet classifier's own opinion")
    held_share: Share = Field(default=0.05, description="of the pictures, to judge by; not learnt from")
    judge_every: int = Field(default=200, ge=1, description="steps")
    seed: int = 0


def load_tower_recipe(path: Path) -> TowerRecipe:
    """The recipe in a YAML file; ``RecipeError`` names the file, the key and the nearest key."""
    values = read_yaml(path, "recipe", RecipeError)
    return validated(TowerRecipe, values, str(path), RecipeError, whole="the recipe")
