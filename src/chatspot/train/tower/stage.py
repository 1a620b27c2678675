"""The tower's stage: the late layers of the picture encoder learn to name regions, tell colours, count, and say what
lies where in a whole picture. The paper freezes the vision tower; nano's is a small classifier of centred photos, and a
linear layer cannot teach it regions.

A run folder holds ``recipe.json``, ``metrics.jsonl`` (a line each time it is judged), ``state.pt`` while it runs, and
``checkpoint/``, a start for the align stage: published weights with these late layers.

*Deviation*: the paper's tower stays as it is. See PAPER.md: nano tower.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from chatspot.errors import RecipeError, TrainingError
from chatspot.images.sheet import SIDE
from chatspot.model.checkpoint import Checkpoint, save_checkpoint
from chatspot.model.vision import tower_identity
from chatspot.model.weights import picture_weights
from chatspot.progress import progress_bar
from chatspot.train.part_stage import KEEP_EVERY, STATE, PartPlaces, filled, keep, resumed
from chatspot.train.run import claim_folder
from chatspot.train.stream.features import FeatureCache, View
from chatspot.train.stream.vision import pixels_of
from chatspot.train.tower.examples import Shown, TowerData, tower_data
from chatspot.train.tower.learner import Learner, published_classifier
from chatspot.train.tower.recipe import TowerRecipe

STRIDE = 16  # of the maps that the late layers are given
MEASURED = 512  # views from which the cells are standardised
JUDGED = 1500  # held views of each kind at most


def train_tower(recipe: TowerRecipe, places: PartPlaces) -> dict[str, float]:
    """Train, and save the checkpoint below ``places.run``; called again, it goes on where it stopped.

    The measures on pictures that it did not learn from come back. Raises ``RecipeError`` when the folder belongs to
    another recipe, ``TrainingError`` when the loss is no number.
    """
    claim_folder(places.run, recipe)
    checkpoint = places.opened(trained=False)
    data = tower_data(recipe, places.data)
    if not data.learnt or not data.names:
        raise RecipeError("the sources hold no region with a name: the tower has nothing to learn from")
    early = EarlyMaps(checkpoint, places.features)
    for part in (data.learnt, data.held):
        bad = early.prepare([one.view for one in part])
        part[:] = [one for one in part if one.view not in bad]
    torch.manual_seed(recipe.seed)
    picture = checkpoint.model.model.vision_tower.picture
    teacher = published_classifier(picture_weights()) if recipe.teacher else None
    learner = Learner(picture, len(data.names), teacher, recipe.dropout)
    learner.measure(early.read([one.view for one in data.learnt[:: max(1, len(data.learnt) // MEASURED)]]))
    found = run_steps(learner, recipe, data, early, places.run)
    late = learner.late.state_dict()
    picture.load_state_dict({name: late[name] for name in picture.late_names()}, strict=False)
    nn.Module.to(checkpoint.model, torch.bfloat16)
    save_checkpoint(places.run / "checkpoint", checkpoint.model, checkpoint.processor, checkpoint.settings)
    (places.run / STATE).unlink(missing_ok=True)
    return found


class EarlyMaps:
    """What the late layers are given for a view, computed once and kept: float16 [88, 16, 16] each."""

    def __init__(self, checkpoint: Checkpoint, folder: Path):
        self.picture = checkpoint.model.model.vision_tower.picture.eval().to(memory_format=torch.channels_last)
        self.processor = checkpoint.processor
        side = SIDE // STRIDE
        with torch.inference_mode():
            channels = self.picture.early(torch.zeros(1, 3, SIDE, SIDE))[1].shape[1]
        identity = f"early/{tower_identity(checkpoint.model)}"
        self.cache = FeatureCache(folder, (side * side, channels), identity, checkpoint.settings.image_fit)
        self.side = side

    def prepare(self, views: Sequence[View]) -> dict[View, str]:
        """Compute and keep what is missing; the views whose picture cannot be decoded, with the reason."""

        def encode(sheets: Tensor) -> Tensor:
            return self.picture.early(sheets[:, :, :SIDE])[1].flatten(2).transpose(1, 2)

        return filled(self.cache, views, encode, lambda some: pixels_of(self.processor, some))

    def read(self, views: Sequence[View]) -> Tensor:
        """Maps [views, channels, side, side], float32."""
        found = torch.from_numpy(self.cache.read(views).astype(np.float32))  # [views, side², channels]
        return found.transpose(1, 2).unflatten(2, (self.side, self.side)).contiguous(memory_format=torch.channels_last)


def run_steps(learner: Learner, recipe: TowerRecipe, data: TowerData, early: EarlyMaps, run: Path) -> dict[str, float]:
    """All steps, from where a killed run stopped; the last measures on held views."""
    order = shares(data.learnt, recipe.balance)
    total = max(1, math.ceil(recipe.epochs * len(data.learnt) / recipe.batch))
    frozen = round(recipe.heads_first * total)
    optimizer = torch.optim.AdamW(
        [{"params": learner.head_parameters(), "top": recipe.head_rate, "weight_decay": 0.05},
         {"params": learner.late_parameters(), "top": recipe.learning_rate, "weight_decay": recipe.weight_decay}],
        lr=0.0,
    )  # fmt: skip
    done, found = resumed(learner, optimizer, run), {}
    sums: Counter[str] = Counter()
    started = time.monotonic()
    with progress_bar("steps", total, done=done) as advance:
        for step in range(done, total):
            chosen = np.random.default_rng((recipe.seed, step)).choice(len(order), recipe.batch, p=order)
            some = [data.learnt[at] for at in chosen]
            rise = min(1.0, (step + 1) / max(1, frozen))
            fall = 0.5 + 0.5 * math.cos(math.pi * step / total)
            optimizer.param_groups[0]["lr"] = recipe.head_rate * rise * fall
            optimizer.param_groups[1]["lr"] = recipe.learning_rate * fall if step >= frozen else 0.0
            for parameter in learner.late_parameters():
                parameter.requires_grad_(step >= frozen)
            learner.train()
            torch.manual_seed(recipe.seed * 1_000_003 + step)
            losses = learner.losses(early.read([one.view for one in some]), some, recipe.teacher)
            loss = torch.stack(list(losses.values())).sum()
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss of step {step} is {loss.item()}; lower learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 5.0)
            optimizer.step()
            sums.update({what: value.item() for what, value in losses.items()})
            sums["steps"] += 1
            advance()
            if (step + 1) % recipe.judge_every == 0 or step + 1 == total:
                found = judged(learner, data.held, early)
                line: dict[str, float] = {"step": step + 1, "of": total, "seconds": round(time.monotonic() - started)}
                line |= {
                    f"loss_{what}": round(value / sums["steps"], 4) for what, value in sums.items() if what != "steps"
                }
                with (run / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
                    metrics.write(json.dumps(line | found) + "\n")
                sums.clear()
            if (step + 1) % KEEP_EVERY == 0:
                keep(learner, optimizer, step + 1, run)
    return found


def shares(shown: Sequence[Shown], balance: float) -> np.ndarray:
    """How often each view is drawn: names as ``balance`` says, all others as often as a middling name."""
    counts = Counter(one.name for one in shown if one.name is not None)
    middle = float(np.median(list(counts.values()) or [1]))
    weights = np.array([1.0 if one.name is None else (middle / counts[one.name]) ** balance for one in shown])
    weights = np.clip(weights, None, 2.0)  # a name with one photo is not shown time and again
    return weights / weights.sum()


@torch.no_grad()
def judged(learner: Learner, held: Sequence[Shown], early: EarlyMaps) -> dict[str, float]:
    """Shares of right answers on held views: names (all, and by name), colours, counts; none of these without any."""
    learner.eval()
    found: dict[str, float] = {}
    for what, layer in (("name", learner.name), ("colour", learner.colour), ("count", learner.count)):
        known = [one for one in held if getattr(one, what) is not None]
        known = known[:: max(1, len(known) // JUDGED)]
        right: dict[int, list[bool]] = {}
        for start in range(0, len(known), 32):
            some = known[start : start + 32]
            said = layer(learner.seen(learner.grid(early.read([one.view for one in some]))[0])).argmax(dim=1)
            for one, answer in zip(some, said.tolist(), strict=True):
                right.setdefault(getattr(one, what), []).append(answer == getattr(one, what))
        if right:
            found[what] = round(sum(map(sum, right.values())) / len(known), 4)
            found[f"{what}_by_class"] = round(float(np.mean([np.mean(some) for some in right.values()])), 4)
    return found
