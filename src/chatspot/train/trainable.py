"""What trains: the projector (align), and the whole language model or a low-rank update of it (instruct).

The rows of ``<box>`` and ``</box>`` belong to the embedding, so they train where the language model trains as a whole
and stay at their start elsewhere (PAPER.md, decision 3).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from chatspot.model.checkpoint import Checkpoint, save_checkpoint
from chatspot.model.freezing import freeze_for
from chatspot.train.lora import add_lora, merge_and_save_lora, quantise
from chatspot.train.recipe import Recipe

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
UPDATE = "lora.safetensors"


def choose_trainable(checkpoint: Checkpoint, recipe: Recipe) -> dict[str, float]:
    """Bring the model to the recipe's precision, freeze what the stage freezes, and give back the learning rate of each
    parameter that trains, by its name in the model.

    The projector computes in float32, whatever the language model's precision. Low-rank layers are drawn from torch's
    own random numbers: seed them first. Raises ``RecipeError`` when 4-bit weights are asked for and bitsandbytes is not
    installed, ``CheckpointError`` when the projector is not one linear layer.
    """
    model, low_rank = checkpoint.model, recipe.low_rank
    if recipe.precision != "auto":
        model.to(PRECISIONS[recipe.precision])  # type: ignore[arg-type]
    freeze_for(model, "align" if low_rank.rank else recipe.stage)
    model.model.multi_modal_projector.float()
    if low_rank.rank:
        if low_rank.quantised:
            quantise(model.model.language_model)
        add_lora(model.model.language_model, low_rank.rank, low_rank.alpha)
    projector_rate = recipe.projector_learning_rate or recipe.learning_rate
    return {
        name: projector_rate if "multi_modal_projector." in name else recipe.learning_rate
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def save_trained(checkpoint: Checkpoint, recipe: Recipe, run: Path) -> Path:
    """Write the trained checkpoint to ``run``/checkpoint in the language model's precision and give back its path.

    A low-rank update is merged; the update itself stands beside it, as ``lora.safetensors``.
    """
    model, low_rank = checkpoint.model, recipe.low_rank
    if low_rank.rank:
        merge_and_save_lora(model.model.language_model, run / UPDATE, low_rank.alpha / low_rank.rank)
    nn.Module.to(model, model.lm_head.weight.dtype)
    return save_checkpoint(run / "checkpoint", model, checkpoint.processor, checkpoint.settings, checkpoint.box_head)
