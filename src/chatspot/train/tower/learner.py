"""The late layers of the picture encoder with the classifiers that teach them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatspot.data.dialogues.counting import MOST
from chatspot.model.efficientnet_lite import MIDDLE_STAGES, EfficientNetLite
from chatspot.model.sheet_tower import GRID
from chatspot.train.tower.examples import COLOURS, Shown

WEIGHTS = {"name": 1.0, "colour": 0.4, "count": 0.4, "cells": 8.0}  # of the losses (our choice)
SMOOTHING = 0.05  # of names (our choice)


class Learner(nn.Module):
    """``late`` is what ships; the classifiers and the teacher are thrown away.

    The classifiers see what the language model will be given: the maps' means over a GRID x GRID grid of cells, all of
    them and the four in the middle, where the region lies.
    """

    def __init__(self, picture: EfficientNetLite, names: int, teacher: tuple[Tensor, Tensor] | None, dropout: float):
        super().__init__()
        self.late = copy.deepcopy(picture)
        self.late.stem = nn.Identity()  # type: ignore[assignment]
        for number in range(len(self.late.stages)):
            if not any(name.startswith(f"stages.{number}.") for name in picture.late_names()):
                self.late.stages[number] = nn.Identity()
        width = picture.map_channels - picture.stages[MIDDLE_STAGES[0]][-1].project.out_channels  # type: ignore[index]
        self.scale = nn.Parameter(torch.ones(width), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.name = nn.Linear(2 * width, names)
        self.colour = nn.Linear(2 * width, len(COLOURS))
        self.count = nn.Linear(2 * width, MOST)
        self.cells = nn.Linear(width, names)
        self.dropout = dropout
        self.old: EfficientNetLite | None = copy.deepcopy(self.late).requires_grad_(False) if teacher else None
        self.imagenet = nn.ParameterList([nn.Parameter(t, requires_grad=False) for t in teacher or ()])

    def head_parameters(self) -> list[nn.Parameter]:
        """Those of the classifiers."""
        return [p for head in (self.name, self.colour, self.count, self.cells) for p in head.parameters()]

    def late_parameters(self) -> list[nn.Parameter]:
        """Those that ship."""
        return list(self.late.parameters())

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised cells [B, GRID², width] of early maps, and the head's map."""
        head, last = self.late.late(x)
        cells = torch.cat([functional.adaptive_avg_pool2d(found, GRID) for found in (head, last)], dim=1)
        return (cells.flatten(2).transpose(1, 2) - self.mean) * self.scale, head

    def seen(self, cells: Tensor) -> Tensor:
        """[B, 2 width]: the mean of all cells, and of those in the middle."""
        square = cells.unflatten(1, (GRID, GRID))
        return torch.cat([cells.mean(dim=1), square[:, 1:-1, 1:-1].mean(dim=(1, 2))], dim=1)

    def losses(self, x: Tensor, shown: Sequence[Shown], teacher: float) -> dict[str, Tensor]:
        """The weighted losses of a batch, by what they teach."""
        cells, head = self.grid(x)
        cells = functional.dropout(cells, self.dropout, self.training)
        seen = self.seen(cells)
        found: dict[str, Tensor] = {}
        for what, layer in (("name", self.name), ("colour", self.colour), ("count", self.count)):
            known = [at for at, one in enumerate(shown) if getattr(one, what) is not None]
            if known:
                targets = torch.tensor([getattr(shown[at], what) for at in known])
                smoothing = SMOOTHING if what == "name" else 0.0
                loss = functional.cross_entropy(layer(seen[known]), targets, label_smoothing=smoothing)
                found[what] = WEIGHTS[what] * loss * len(known) / len(shown)
        whole = [at for at, one in enumerate(shown) if one.cells is not None]
        if whole:
            logits = self.cells(cells[whole])
            targets = torch.zeros_like(logits)
            for row, at in enumerate(whole):
                for cell, name in shown[at].cells or ():
                    targets[row, cell, name] = 1
            loss = functional.binary_cross_entropy_with_logits(logits, targets)
            found["cells"] = WEIGHTS["cells"] * loss * len(whole) / len(shown)
        if self.old is not None and teacher:
            weight, bias = self.imagenet
            with torch.no_grad():
                opinion = (self.old.late(x)[0].mean(dim=(2, 3)) @ weight.T + bias).softmax(dim=1)
            said = (head.mean(dim=(2, 3)) @ weight.T + bias).log_softmax(dim=1)
            found["teacher"] = teacher * functional.kl_div(said, opinion, reduction="batchmean")
        return found

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Set the standardisation of the cells from early maps."""
        self.mean.zero_()
        self.scale.fill_(1.0)
        cells = self.grid(x)[0].flatten(0, 1)
        self.mean.copy_(cells.mean(dim=0))
        self.scale.copy_(1 / cells.var(dim=0).clamp(min=1e-4).sqrt())


def published_classifier(path: Any) -> tuple[Tensor, Tensor]:
    """Weight [1000, channels] and bias of EfficientNet-Lite2's own ImageNet classifier."""
    published = torch.load(path, weights_only=True)
    return published["_fc.weight"].float(), published["_fc.bias"].float()
