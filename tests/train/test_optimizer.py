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
    ("progress", "warmup", "share"),
    [
        (0.5, 0.0, 0.5),  # a run of a single step, in its middle
        (0.0, 0.0, 1.0),
        (0.0, 0.1, 0.0),
        (0.05, 0.1, 0.5),
        (0.1, 0.1, 1.0),
        (0.55, 0.1, 0.5),  # half way down the cosine
        (0.99, 0.1, 0.5 * (1 + math.cos(math.pi * 89 / 90))),
        (1.0, 0.1, 0.0),
        (1.2, 0.1, 0.0),  # a last step may go beyond the recipe's epochs
        (0.5, 1.0, 0.5),  # nothing but warm-up
        (1.0, 1.0, 1.0),
    ],
)
def test_warm_up_then_half_a_cosine(progress: float, warmup: float, share: float) -> None:
    assert rate_share(progress, warmup) == pytest.approx(share)


def test_the_share_rises_then_falls_and_stays_within_0_and_1() -> None:
    shares = [rate_share((step + 0.5) / 200, 0.03) for step in range(200)]
    peak = shares.index(max(shares))
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert 0 < min(shares) < 1e-3
    assert max(shares) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("stage", PAPER)
def test_the_papers_numbers_are_a_recipe_with_llavas_schedule(stage: str) -> None:
    values = {"stage": stage, "sources": [{"folder": "coco"}], "batch_dialogues": 128, **PAPER[stage]}
    recipe: Recipe = parse_recipe(values, "test")
    assert (recipe.learning_rate, recipe.epochs) == tuple(PAPER[stage].values())
    assert recipe.warmup_share == 0.03
    assert recipe.low_rank.rank == 0  # all weights train


def over(weight: nn.Parameter, rate: float) -> MasterAdamW:
    return MasterAdamW({"weight": weight, "frozen": nn.Parameter(torch.ones(2))}, {"weight": rate})


def test_small_steps_of_a_bfloat16_weight_add_up() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = over(weight, 1e-3)  # bfloat16 next to 1 is 0.996: a step of 0.001 would be lost
    for _ in range(20):
        weight.grad = torch.ones_like(weight)
        optimizer.step(1.0, clip_norm=10.0)
    assert optimizer.masters["weight"].tolist() == pytest.approx([0.98] * 3, abs=1e-4)
    assert weight.tolist() == pytest.approx([0.98] * 3, abs=4e-3)


def test_a_float32_weight_is_its_own_master() -> None:
    weight = nn.Parameter(torch.ones(3))
    assert over(weight, 0.1).masters["weight"].data_ptr() == weight.data_ptr()


def test_gradients_of_passes_add_up_in_float32() -> None:
    """256 and 1 and 1 are 256 in bfloat16, step by step."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = over(weight, 0.1)
    for gradient in (256.0, 1.0, 1.0):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.accumulate()
        assert weight.grad is None
    assert optimizer.step(1.0, clip_norm=1e9) == 258


def test_nothing_decays_without_a_gradient() -> None:
    weight = nn.Parameter(torch.full((4,), 2.0))
    weight.grad = torch.zeros_like(weight)
    over(weight, 0.1).step(1.0, clip_norm=1.0)
    assert weight.tolist() == [2.0] * 4


def test_each_parameter_has_its_own_rate_and_the_share_is_of_it() -> None:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = MasterAdamW({"first": first, "second": second}, {"first": 0.1, "second": 0.02})
    first.grad, second.grad = torch.ones(1), torch.ones(1)
    optimizer.step(0.5, clip_norm=10.0)
    assert (first.item(), second.item()) == pytest.approx((-0.05, -0.01), rel=1e-4)


def test_a_gradient_that_is_no_number_changes_nothing_and_is_forgotten() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = over(weight, 0.1)
    weight.grad = torch.tensor([math.nan, 1.0])
    assert not math.isfinite(optimizer.step(1.0, clip_norm=1.0))
    assert weight.tolist() == [1.0, 1.0]
    weight.grad = torch.ones(2)
    optimizer.step(1.0, clip_norm=10.0)
    assert weight.tolist() == pytest.approx([0.9, 0.9])


def test_large_gradients_are_clipped_and_their_norm_is_told() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = over(weight, 0.1)
    weight.grad = torch.tensor([30.0, 40.0])
    assert optimizer.step(1.0, clip_norm=1.0) == pytest.approx(50.0)
    moment = optimizer.state_dict()["weight/exp_avg"]  # a tenth of the gradient that was taken
    assert moment.tolist() == pytest.approx([0.06, 0.08], abs=1e-4)
