"""What trains in which stage, and a table that says so.

::

    part             align (stage 1)   instruct (stage 2)
    vision tower     frozen            frozen
    projector        trains            trains
    language model   frozen            trains
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import LlavaForConditionalGeneration

from chatspot.errors import RecipeError
from chatspot.model.projector import train_as_one_linear

STAGES = ("align", "instruct")
PARTS = {  # the part's name and what the names of its parameters hold, also inside a PEFT wrapper
    "vision tower": ("vision_tower.",),
    "projector": ("multi_modal_projector.",),
    "language model": ("language_model.", "lm_head."),
}


@dataclass(frozen=True)
class PartRow:
    """A part of the model: how many ``parameters`` it has and how many of them are ``trainable``."""

    name: str
    parameters: int
    trainable: int


def freeze_for(model: LlavaForConditionalGeneration, stage: str) -> list[PartRow]:
    """Freeze and unfreeze for ``stage`` ("align" or "instruct") and give back what trains now, part by part.

    The projector trains as the one linear layer it is: where its stock layout cannot (see ``projector``), a plain
    ``nn.Linear`` takes its place in the model, so call this before the optimiser takes the parameters. For low-rank
    training of the language model, freeze for "align", add the low-rank layers, and call ``train_as_one_linear`` on the
    bare model again, as PEFT freezes all that it finds.

    Raises ``RecipeError`` for another stage, ``CheckpointError`` when the projector is not one linear layer.
    """
    if stage not in STAGES:
        raise RecipeError(f"there is no stage {stage!r}; expected one of {STAGES}")
    model.requires_grad_(False)
    train_as_one_linear(model)
    if stage == "instruct":
        model.model.language_model.requires_grad_(True)
        model.lm_head.requires_grad_(True)
    return part_rows(model)


def part_rows(model: nn.Module) -> list[PartRow]:
    """One row for each part of the model, as it stands; weights that two layers share count once."""
    parameters = list(model.named_parameters())
    rows = []
    for part, keys in PARTS.items():
        own = [value for name, value in parameters if any(key in name for key in keys)]
        trained = sum(value.numel() for value in own if value.requires_grad)
        rows.append(PartRow(part, sum(value.numel() for value in own), trained))
    return rows


def freezing_table(rows: list[PartRow]) -> str:
    """The rows and their total as lines of text, numbers in columns."""
    total = PartRow("total", sum(row.parameters for row in rows), sum(row.trainable for row in rows))
    lines = [f"{'part':<16}{'parameters':>16}{'trainable':>16}"]
    lines += [f"{row.name:<16}{row.parameters:>16,}{row.trainable:>16,}" for row in (*rows, total)]
    return "\n".join(lines)
