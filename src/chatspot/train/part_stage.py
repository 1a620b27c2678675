"""What the stages have in common that teach one part of nano, beside the paper's two: where they read and write, what
they start from, how frozen maps are computed, and the state by which a killed run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from chatspot.data.saving import saved_whole
from chatspot.errors import RecipeError
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.model.nano import nano_checkpoint
from chatspot.model.sheet_tower import SheetTower
from chatspot.progress import progress_bar
from chatspot.train.stream.features import CHUNK, FeatureCache, View

KEEP_EVERY = 100  # steps between states
STATE = "state.pt"


@dataclass(frozen=True)
class PartPlaces:
    """Where a stage reads and writes. ``start``: a checkpoint with a sheet tower, None for nano."""

    data: tuple[Path, ...]
    run: Path
    features: Path
    start: Path | None = None

    def opened(self, *, trained: bool) -> Checkpoint:
        """The start in float32: without one nano, as it ships or (not ``trained``) as published. Raises
        ``RecipeError`` where it has no sheet tower."""
        checkpoint = load_checkpoint(self.start or nano_checkpoint(trained=trained), dtype=torch.float32)
        if not isinstance(checkpoint.model.model.vision_tower, SheetTower):
            raise RecipeError(f"{self.start} has no sheet tower: this stage is nano's; leave --start out")
        return checkpoint


def filled(
    cache: FeatureCache,
    views: Sequence[View],
    encode: Callable[[Tensor], Tensor],
    pixels: Callable[[list[Image.Image]], Tensor],
) -> dict[View, str]:
    """``FeatureCache.fill`` on all of torch's threads, with a bar; the views whose picture cannot be decoded, with the
    reason."""
    reached = 0
    with progress_bar("views", len(views)) as advance:

        def progress(done: int, total: int) -> None:
            nonlocal reached
            advance(done - reached, title=f"views ({total:,})")
            reached = done

        return cache.fill(views, encode, pixels, progress, CHUNK, torch.get_num_threads())


def resumed(learner: nn.Module, optimizer: torch.optim.Optimizer, run: Path) -> int:
    """Load the state of a killed run, if there is one; the steps that are done."""
    file = run / STATE
    if not file.is_file():
        return 0
    state: dict[str, Any] = torch.load(file, weights_only=True)
    learner.load_state_dict(state["learner"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def keep(learner: nn.Module, optimizer: torch.optim.Optimizer, step: int, run: Path) -> None:
    """Write the state, whole or not at all."""
    with saved_whole(run / STATE, "state") as half, half.open("wb") as file:
        torch.save({"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, file)
        file.flush()
        os.fsync(file.fileno())
