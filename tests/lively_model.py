"""Random weights made louder, so that a tiny model's answers depend on what it sees and do not repeat one token."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration

from chatspot.model.checkpoint import load_checkpoint, save_checkpoint

LOUDER = 12.0  # weights drawn for training leave all tokens about equally likely


def speaks_up(model: LlavaForConditionalGeneration) -> None:
    """Make a random model's answers depend on pictures and words, and wander instead of repeating a token."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight", "up_proj.weight",
                          "gate_proj.weight", "down_proj.weight")):  # fmt: skip
            parameter.data *= LOUDER
        if name.endswith("embed_tokens.weight"):
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    first = model.model.multi_modal_projector.linear_1
    first.weight.data = torch.randn(first.weight.shape, generator=generator) * 0.3


def save_lively_nano(tiny_nano: Path, folder: Path) -> Path:
    """Save the tiny model (``tiny_model``) with louder weights."""
    opened = load_checkpoint(tiny_nano, dtype=torch.float32)
    speaks_up(opened.model)
    return save_checkpoint(folder, opened.model, opened.processor, opened.settings)
