"""The mean of low-rank updates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from chatspot.train.ship import mean_update

DOWN, UP = "layers.0.q_proj.lora_A.weight", "layers.0.q_proj.lora_B.weight"


def update(seed: int, rank: int = 3, size: tuple[int, int] = (7, 5)) -> dict[str, Tensor]:
    """An update of one layer of 5 inputs and 7 outputs."""
    generator = torch.Generator().manual_seed(seed)
    outputs, inputs = size
    return {
        DOWN: torch.randn(rank, inputs, generator=generator),
        UP: torch.randn(outputs, rank, generator=generator),
    }


def product(found: dict[str, Tensor]) -> Tensor:
    """What is added to the layer's weight."""
    return found[UP].float() @ found[DOWN].float()


def test_one_update_stays_as_it_is() -> None:
    only = update(0)
    assert mean_update([only]) is only


@pytest.mark.parametrize("times", [2, 3])
def test_the_mean_of_equals_is_the_same_update(times: int) -> None:
    found = mean_update([update(0)] * times)
    assert found.keys() == update(0).keys()
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
        name: (value.shape, value.dtype) for name, value in update(0).items()
    }
    torch.testing.assert_close(product(found), product(update(0)), rtol=1e-4, atol=1e-5)


def test_signs_within_an_update_do_not_matter() -> None:
    """The same update written with other factors: the mean of the factors would be nothing."""
    turned = {name: -value for name, value in update(0).items()}
    torch.testing.assert_close(product(mean_update([update(0), turned])), product(update(0)), rtol=1e-4, atol=1e-5)


def test_the_mean_is_the_nearest_of_its_rank() -> None:
    found = product(mean_update([update(0), update(1)]))
    mean = (product(update(0)) + product(update(1))) / 2
    outwards, sizes, inwards = torch.linalg.svd(mean, full_matrices=False)
    torch.testing.assert_close(found, (outwards[:, :3] * sizes[:3]) @ inwards[:3], rtol=1e-3, atol=1e-4)


def test_half_precision_stays() -> None:
    halves = [{name: value.half() for name, value in update(seed).items()} for seed in (0, 1)]
    assert {value.dtype for value in mean_update(halves).values()} == {torch.float16}
