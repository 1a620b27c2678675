"""The box head's stage: frozen tower, frozen table of words; the head learns to find what questions name.

A run folder holds ``recipe.json``, ``metrics.jsonl`` (a line each time it is judged), ``state.pt`` while it runs, and
``nano-box-head.safetensors``, the head in 8 bits as it ships.

*Deviation*: the paper has no such head. See PAPER.md: box head.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chatspot.errors import RecipeError, TrainingError
from chatspot.model.box_head import folded, packed
from chatspot.model.checkpoint import Checkpoint
from chatspot.model.nano import SHIPPED_HEAD
from chatspot.progress import progress_bar
from chatspot.prompts import Tokens
from chatspot.train.boxes.examples import Shown, box_data, question
from chatspot.train.boxes.learner import Learner, loss_of, overlaps, targets
from chatspot.train.boxes.maps import KeptMaps
from chatspot.train.boxes.recipe import BoxRecipe
from chatspot.train.part_stage import KEEP_EVERY, STATE, PartPlaces, keep, resumed
from chatspot.train.run import claim_folder
from chatspot.train.ship import written

MEASURED = 256  # views from which the maps are standardised
WARM_UP = 100  # steps in which the learning rate rises (our choice)
RIGHT_IOU = 0.5  # as the bench's task "ground" has it
LOSSES = ("scores", "boxes")


def train_boxes(recipe: BoxRecipe, places: PartPlaces) -> dict[str, float]:
    """Train, and write the head below ``places.run``; called again, it goes on where it stopped.

    The measures on pictures that it did not learn from come back. Raises ``RecipeError`` when the folder belongs to
    another recipe or there is nothing to learn from, ``TrainingError`` when the loss is no number.
    """
    claim_folder(places.run, recipe)
    checkpoint = places.opened(trained=True)
    maps = KeptMaps(checkpoint, places.features)
    learnt, held = (maps.prepare(views) for views in box_data(recipe, places.data))
    if not learnt:
        raise RecipeError("the sources hold no region with a name in a picture that can be read: the box head has "
                          "nothing to learn from")  # fmt: skip
    data = BoxData(maps, learnt, held, Words(checkpoint))
    torch.manual_seed(recipe.seed)
    learner = Learner(maps.channels, data.words.width, recipe.dropout)
    learner.measure(maps.read(learnt[:: max(1, len(learnt) // MEASURED)]))
    to_channels_last: Any = learner.to
    to_channels_last(memory_format=torch.channels_last)
    found = run_steps(learner, recipe, data, places.run)
    head = folded(learner.head.eval(), list(learner.means), list(learner.scales))
    written(packed(head), places.run / SHIPPED_HEAD, {"recipe": recipe.model_dump_json()})
    (places.run / STATE).unlink(missing_ok=True)
    return found


class Words:
    """The language model's table of embeddings, by which the head reads."""

    def __init__(self, checkpoint: Checkpoint):
        embeddings: Any = checkpoint.model.get_input_embeddings()
        self.table: Tensor = embeddings.weight.detach().float()
        self.tokens = Tokens.of(checkpoint.processor.tokenizer)
        self.width = self.table.shape[1]

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings [texts, words, width] and how many of the words are each text's."""
        ids = [self.tokens.ids(text, control=False) for text in texts]
        count = torch.tensor([len(each) for each in ids])
        embedded = torch.zeros(len(ids), max(map(len, ids)), self.width)
        for row, each in enumerate(ids):
            embedded[row, : len(each)] = self.table[torch.tensor(each)]
        return embedded, count


@dataclass(frozen=True)
class BoxData:
    """Views that can be read, to learn from and to judge by."""

    maps: KeptMaps
    learnt: list[Shown]
    held: list[Shown]
    words: Words


def run_steps(learner: Learner, recipe: BoxRecipe, data: BoxData, run: Path) -> dict[str, float]:
    """All steps, from where a killed run stopped; the last measures on held pictures."""
    each = max(1, len(data.learnt) // recipe.batch)
    total = max(1, math.ceil(recipe.epochs * each))
    optimizer = torch.optim.AdamW(learner.head.parameters(), lr=0.0, weight_decay=recipe.weight_decay)
    done, found = resumed(learner, optimizer, run), dict[str, float]()
    sums, summed, started = [0.0, 0.0], 0, time.monotonic()
    with progress_bar("steps", total, done=done) as advance:
        for step in range(done, total):
            rng = random.Random(f"{recipe.seed}/{step}")
            torch.manual_seed(recipe.seed * 1_000_003 + step)
            if step == done or step % each == 0:
                order = random.Random(f"{recipe.seed}/epoch {step // each}").sample(data.learnt, len(data.learnt))
            some = order[step % each * recipe.batch :][: recipe.batch]
            rate = (
                recipe.learning_rate * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / total))
            )
            optimizer.param_groups[0]["lr"] = rate
            learner.train()
            losses = step_losses(learner, data, some, recipe.asked, rng)
            loss = losses[0] + losses[1]
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss of step {step} is {loss.item()}; lower learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learner.head.parameters(), 5.0)
            optimizer.step()
            sums, summed = [had + new.item() for had, new in zip(sums, losses, strict=True)], summed + 1
            advance()
            if (step + 1) % recipe.judge_every == 0 or step + 1 == total:
                found = judged(learner, data)
                line: dict[str, float] = {"step": step + 1, "of": total, "seconds": round(time.monotonic() - started)}
                line |= {f"loss_{what}": round(value / summed, 4) for what, value in zip(LOSSES, sums, strict=True)}
                with (run / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
                    metrics.write(json.dumps({**line, **found}) + "\n")
                sums, summed = [0.0, 0.0], 0
            if (step + 1) % KEEP_EVERY == 0:
                keep(learner, optimizer, step + 1, run)
    return found


def step_losses(
    learner: Learner, data: BoxData, some: Sequence[Shown], asked: int, rng: random.Random
) -> tuple[Tensor, Tensor]:
    """The losses of scores and boxes of a step's views, of each of which up to ``asked`` names are asked for."""
    of, texts, aims = [], [], []
    for row, view in enumerate(some):
        for name, boxes in rng.sample(view.named, min(asked, len(view.named))):
            of.append(row)
            texts.append(question(name, len(boxes) == 1, rng))
            aims.append(targets(boxes))
    share, wanted = (torch.stack(part) for part in zip(*aims, strict=True))
    words, count = data.words.read(texts)
    with torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        scores, boxes = learner(data.maps.read(some), torch.tensor(of), words, count)
    return loss_of(scores, boxes, share, wanted)


@torch.no_grad()
def judged(learner: Learner, data: BoxData) -> dict[str, float]:
    """Of the things in held pictures that alone bear their name: the share whose box is found with an IoU of RIGHT_IOU,
    the mean IoU, and the share of boxes whose middle lies in the thing; nothing without such things."""
    learner.eval()
    hits, ious, pointed = 0, 0.0, 0
    asked = 0
    for number, view in enumerate(data.held):
        alone = [(name, boxes[0]) for name, boxes in view.named if len(boxes) == 1]
        if not alone:
            continue
        rng = random.Random(f"judged/{number}")
        words, count = data.words.read([question(name, True, rng) for name, _ in alone])
        scores, boxes = learner(data.maps.read([view]), torch.zeros(len(alone), dtype=torch.long), words, count)
        best = boxes[torch.arange(len(alone)), scores.argmax(dim=1)]
        true = torch.tensor([edges for _, edges in alone])
        iou = overlaps(best.clamp(0, 1), true)[0]
        middle = (best[:, :2] + best[:, 2:]) / 2
        inside = ((middle >= true[:, :2]) & (middle <= true[:, 2:])).all(dim=1)
        hits, ious, pointed = hits + int((iou >= RIGHT_IOU).sum()), ious + float(iou.sum()), pointed + int(inside.sum())
        asked += len(alone)
    if not asked:
        return {}
    return {"iou50": round(hits / asked, 4), "mean_iou": round(ious / asked, 4), "pointed": round(pointed / asked, 4)}
