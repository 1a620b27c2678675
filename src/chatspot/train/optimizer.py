"""AdamW over float32 copies of what trains, whatever precision the model computes in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class MasterAdamW:
    """AdamW whose state and master weights are float32, while the model may hold bfloat16.

    A bfloat16 weight cannot take a step of a thousandth of itself; its float32 master can. ``groups`` pairs parameters
    with their learning rate. No weight decay (LLaVA's choice; the paper is silent).
    """

    def __init__(self, groups: Sequence[tuple[Sequence[nn.Parameter], float]]):
        self.parameters = [p for parameters, _ in groups for p in parameters]
        self.masters = [p.detach().clone().float() for p in self.parameters]
        self.rates = [rate for parameters, rate in groups for _ in parameters]
        at, param_groups = 0, []
        for parameters, rate in groups:
            masters = self.masters[at : at + len(parameters)]
            at += len(parameters)
            if masters:
                param_groups.append({"params": masters, "lr": rate, "full_rate": rate})
        self.adamw = torch.optim.AdamW(param_groups, betas=(0.9, 0.999), weight_decay=0.0, foreach=True)

    def step(self, rate_share: float, clip_norm: float) -> float:
        """One update at ``rate_share`` of the learning rates; returns the gradient's norm before clipping."""
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = float(torch.nn.utils.clip_grad_norm_(self.masters, clip_norm))
        if math.isfinite(norm):
            for group in self.adamw.param_groups:
                group["lr"] = group["full_rate"] * rate_share
            self.adamw.step()
            self.write_back()
        return norm

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the masters into the model."""
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            parameter.copy_(master)

    def state_dict(self) -> dict[str, Any]:
        """Masters and moments, for a resumed run."""
        return {"masters": self.masters, "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave, in the model too. Learning rates stay this recipe's own."""
        rates = [group["full_rate"] for group in self.adamw.param_groups]
        for master, kept in zip(self.masters, state["masters"], strict=True):
            master.data.copy_(kept)
        self.adamw.load_state_dict(state["adamw"])
        for group, rate in zip(self.adamw.param_groups, rates, strict=True):
            group["full_rate"] = rate
        self.write_back()


def rate_share(step: int, steps: int, warmup_share: float) -> float:
    """The share of the full learning rate at ``step`` (from 0): a linear warm-up, then half a cosine down to 0."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
