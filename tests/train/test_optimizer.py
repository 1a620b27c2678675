"""The learning-rate schedule, and steps that bfloat16 alone could not take."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from chatspot.train.optimizer import MasterAdamW, rate_share
from chatspot.train.recipe import Recipe, parse_recipe

PAPER = {  # section 4.1
    "align": {"learning_rate": 2e-3, "epochs": 3},
    "instruct": {"learning_rate": 2e-5, "epochs": 3},
}


@pytest.mark.parametrize(
    ("step", "steps", "warmup", "share"),
    [
        (0, 1, 0.03, 1.0),  # a single step is taken in full
        (0, 100, 0.1, 0.1),
        (4, 100, 0.1, 0.5),
        (9, 100, 0.1, 1.0),
        (10, 100, 0.1, 1.0),
        (55, 100, 0.1, 0.5),  # half way down the cosine
        (99, 100, 0.1, 0.5 * (1 + math.cos(math.pi * 89 / 90))),
    ],
)
def test_warm_up_then_half_a_cosine(step: int, steps: int, warmup: float, share: float) -> None:
    assert rate_share(step, steps, warmup) == pytest.approx(share)


def test_the_share_rises_then_falls_and_stays_within_0_and_1() -> None:
    shares = [rate_share(step, 200, 0.03) for step in range(200)]
    peak = shares.index(max(shares))
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert 0 < min(shares) < 1e-3
    assert max(shares) == 1


@pytest.mark.parametrize("stage", PAPER)
def test_the_papers_numbers_are_a_recipe_with_llavas_schedule(stage: str) -> None:
    recipe: Recipe = parse_recipe({"stage": stage, "sources": [{"folder": "coco"}], **PAPER[stage]}, "test")
    assert (recipe.learning_rate, recipe.epochs) == tuple(PAPER[stage].values())
    assert recipe.warmup_share == 0.03
    assert recipe.lora_rank == 0  # all weights train


def test_small_steps_of_a_bfloat16_weight_add_up() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = MasterAdamW([([weight], 1e-3)])  # bfloat16 next to 1 is 0.996: a step of 0.001 would be lost
    for _ in range(20):
        weight.grad = torch.ones_like(weight)
        optimizer.step(1.0, clip_norm=10.0)
    assert optimizer.masters[0].tolist() == pytest.approx([0.98] * 3, abs=1e-4)
    assert weight.tolist() == pytest.approx([0.98] * 3, abs=4e-3)


def test_nothing_decays_without_a_gradient() -> None:
    weight = nn.Parameter(torch.full((4,), 2.0))
    optimizer = MasterAdamW([([weight], 0.1)])
    weight.grad = torch.zeros_like(weight)
    optimizer.step(1.0, clip_norm=1.0)
    assert weight.tolist() == [2.0] * 4


def test_a_gradient_that_is_no_number_changes_nothing() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = MasterAdamW([([weight], 0.1)])
    weight.grad = torch.tensor([math.nan, 1.0])
    assert not math.isfinite(optimizer.step(1.0, clip_norm=1.0))
    assert weight.tolist() == [1.0, 1.0]


def test_large_gradients_are_clipped_and_their_norm_is_told() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = MasterAdamW([([weight], 0.1)])
    weight.grad = torch.tensor([30.0, 40.0])
    assert optimizer.step(1.0, clip_norm=1.0) == pytest.approx(50.0)
    assert optimizer.masters[0].grad is not None
    assert optimizer.masters[0].grad.norm().item() == pytest.approx(1.0, abs=1e-4)
