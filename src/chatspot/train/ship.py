"""Nano's trained parts as the two small files that travel inside the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.nano import SHIPPED
from chatspot.model.projector import read_linear


def ship_nano(run: Path, target: Path) -> Iterator[Path]:
    """Write the projector (float16, with the tower's standardisation) and the low-rank update of a finished instruct
    run into ``target``; yields the two files. Their metadata hold the recipe that made them."""
    if not (run / "lora.safetensors").is_file():
        raise CheckpointError(f"{run} holds no lora.safetensors: ship the run of a finished low-rank instruct stage")
    model = load_checkpoint(run / "checkpoint", dtype=torch.float32).model
    weight, bias = read_linear(model.model.multi_modal_projector)
    tower = model.model.vision_tower
    target.mkdir(parents=True, exist_ok=True)
    recipe = json.dumps(json.loads((run / "recipe.json").read_text("utf-8")), separators=(",", ":"))
    tensors = {
        "weight": weight.half(),
        "bias": (bias if bias is not None else torch.zeros(len(weight))).float(),
        "feature_mean": tower.feature_mean.float(),
        "feature_scale": tower.feature_scale.float(),
    }
    projector, lora = target / SHIPPED["projector"], target / SHIPPED["lora"]
    temporary = projector.with_suffix(".part")
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary, metadata={"recipe": recipe})
    temporary.chmod(0o644)  # safetensors writes files that only their owner can read
    temporary.replace(projector)
    yield projector
    shutil.copyfile(run / "lora.safetensors", lora.with_suffix(".part"))
    lora.with_suffix(".part").replace(lora)
    yield lora
