"""AdamW over float32 masters of what trains, whatever precision the model computes in, sharded where the model is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

MOMENTS = ("exp_avg", "exp_avg_sq")  # torch's names


class MasterAdamW:
    """AdamW whose state and master weights are float32, while the model may hold bfloat16.

    A bfloat16 weight cannot take a step of a thousandth of itself; its float32 master can. A float32 weight is its own
    master. Gradients of several passes add up in float32 (``accumulate``) before a ``step``.

    ``parameters``: the model's, by name; ``rates``: the learning rate of each that trains. No weight decay (LLaVA's
    choice; the paper is silent).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], rates: Mapping[str, float]):
        self.parameters = {name: parameters[name] for name in rates}
        self.masters: dict[str, Tensor] = {name: p.detach().float() for name, p in self.parameters.items()}
        groups: dict[float, list[Tensor]] = {}
        for name, rate in rates.items():
            groups.setdefault(rate, []).append(self.masters[name])
        self.adamw = torch.optim.AdamW(
            [{"params": masters, "lr": rate, "full_rate": rate} for rate, masters in groups.items()],
            betas=(0.9, 0.999),
            weight_decay=0.0,
            foreach=True,
        )
        for master in self.masters.values():  # from the start, so that a state has the same tensors at every step
            moments = {moment: torch.zeros_like(master) for moment in MOMENTS}
            self.adamw.state[master] = {"step": torch.zeros(()), **moments}

    def accumulate(self) -> None:
        """Add the parameters' gradients to what the masters have gathered for this step, and free them."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                gradient, master = parameter.grad.float(), self.masters[name]
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                parameter.grad = None

    def step(self, rate_share: float, clip_norm: float) -> float:
        """One update with the gathered gradients at ``rate_share`` of the learning rates; returns the gradient's norm
        before clipping. Where that is not finite, nothing changes."""
        self.accumulate()
        gradients = [master.grad for master in self.masters.values() if master.grad is not None]
        norm = whole_norm(gradients)
        if math.isfinite(norm):
            if norm > clip_norm:
                torch._foreach_mul_(gradients, clip_norm / norm)
            for group in self.adamw.param_groups:
                group["lr"] = group["full_rate"] * rate_share
            self.adamw.step()
            self.write_back()
        self.forget()
        return norm

    def forget(self) -> None:
        """Drop the gradients gathered so far."""
        self.adamw.zero_grad(set_to_none=True)

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the masters into the model. A float32 weight is its own master, unless it is sharded: fully_shard moves
        shards of uneven sizes to other memory when it first runs."""
        for name, parameter in self.parameters.items():
            if parameter.dtype != torch.float32 or isinstance(parameter, DTensor):
                parameter.copy_(self.masters[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Masters, moments and the count of steps by name, for a resumed run: the tensors themselves, no copies."""
        state: dict[str, Tensor] = {}
        for name, master in self.masters.items():
            kept = self.adamw.state[master]
            state |= {f"{name}/master": master} | {f"{name}/{key}": kept[key] for key in (*MOMENTS, "step")}
        return state

    def loaded(self) -> None:
        """To be called when the tensors of ``state_dict`` were overwritten: the model follows. Learning rates stay
        this recipe's own."""
        self.write_back()


def whole_norm(gradients: list[Any]) -> float:
    """The Euclidean norm of all gradients together, over all processes."""
    norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def rate_share(progress: float, warmup_share: float) -> float:
    """The share of the full learning rate when ``progress`` (0 to 1) of the training is done: a linear warm-up over
    ``warmup_share`` of it, then half a cosine down to 0."""
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup_share:
        return progress / warmup_share
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup_share) / max(1 - warmup_share, 1e-9)))
