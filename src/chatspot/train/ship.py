"""Nano's trained parts as the three small files that travel inside the package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.nano import SHIPPED
from chatspot.model.projector import read_linear


def ship_nano(runs: Sequence[Path], target: Path) -> Iterator[Path]:
    """Write three files into ``target`` and yield them: the tower's late layers (bfloat16), the projector (float16,
    with the tower's standardisation) and the low-rank update of a finished instruct run. Of several runs that went on
    one after the other, the mean of their weights is written (a "model soup", arXiv 2203.05482), of the updates as
    nearly as their rank allows. The files' metadata hold the recipes that made them."""
    for run in runs:
        if not (run / "lora.safetensors").is_file():
            raise CheckpointError(
                f"{run} holds no lora.safetensors: ship the run of a finished low-rank instruct stage"
            )
    recipes = [json.loads((run / "recipe.json").read_text("utf-8")) for run in runs]
    facts = {"recipe": json.dumps(recipes[0] if len(recipes) == 1 else recipes, separators=(",", ":"))}
    target.mkdir(parents=True, exist_ok=True)
    yield written(late_layers_of(runs[0]), target / SHIPPED["tower"], {"format": "pt"})
    yield written(mean_of([projector_of(run) for run in runs]), target / SHIPPED["projector"], facts)
    with safe_open(runs[0] / "lora.safetensors", framework="pt") as file:
        scale = file.metadata()["scale"]
    updates = [load_file(run / "lora.safetensors") for run in runs]
    yield written(mean_update(updates), target / SHIPPED["lora"], {"format": "pt", "scale": scale})


def late_layers_of(run: Path) -> dict[str, Tensor]:
    """The tensors of the late layers of the run's picture encoder, which both stages freeze."""
    picture = load_checkpoint(run / "checkpoint").model.model.vision_tower.picture
    state = picture.state_dict()
    return {name: state[name].bfloat16() for name in picture.late_names()}


def projector_of(run: Path) -> dict[str, Tensor]:
    """The tensors of the run's projector, and of its tower's standardisation."""
    model = load_checkpoint(run / "checkpoint", dtype=torch.float32).model
    weight, bias = read_linear(model.model.multi_modal_projector)
    tower = model.model.vision_tower
    return {
        "weight": weight.half(),
        "bias": (bias if bias is not None else torch.zeros(len(weight))).float(),
        "feature_mean": tower.feature_mean.float(),
        "feature_scale": tower.feature_scale.float(),
    }


def mean_of(several: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, in its own number format."""
    return {
        name: torch.stack([tensors[name].float() for tensors in several]).mean(dim=0).to(first.dtype)
        for name, first in several[0].items()
    }


def mean_update(several: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of low-rank updates B A of the same layers, cut to the first one's rank.

    The cut is the nearest matrix of that rank (Eckart and Young 1936); the mean of the factors would be another update.
    """
    if len(several) == 1:
        return several[0]
    found = {}
    for down_name, first in several[0].items():
        if not down_name.endswith(".lora_A.weight"):
            continue
        up_name = down_name.removesuffix(".lora_A.weight") + ".lora_B.weight"
        up = torch.cat([update[up_name].float() for update in several], dim=1) / len(several)
        down = torch.cat([update[down_name].float() for update in several])
        left, of_left = torch.linalg.qr(up)
        right, of_right = torch.linalg.qr(down.T)
        outwards, sizes, inwards = torch.linalg.svd(of_left @ of_right.T)
        kept, share = slice(len(first)), sizes[: len(first)].sqrt()
        found[down_name] = (share[:, None] * (inwards[kept] @ right.T)).to(first.dtype)
        found[up_name] = ((left @ outwards[:, kept]) * share).to(first.dtype)
    return found


def written(tensors: dict[str, Tensor], file: Path, facts: dict[str, str]) -> Path:
    """The tensors as a safetensors file that everybody may read, renamed into place."""
    temporary = file.with_suffix(".part")
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, temporary, metadata=facts)
    temporary.chmod(0o644)  # safetensors writes files that only their owner can read
    return temporary.replace(file)
