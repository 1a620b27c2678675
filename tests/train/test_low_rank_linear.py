"""A linear layer with its low-rank update in place answers and learns as PEFT's does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chatspot.train.lora import ADAPTER, LowRankLinear, add_lora


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (2, 4, 3), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients_are_those_of_the_formula(shape: tuple[int, ...], with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*size: int, learns: bool = True) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=generator).requires_grad_(learns)

    x, weight, down, up = drawn(*shape), drawn(4, 3, learns=False), drawn(2, 3), drawn(4, 2)
    bias = drawn(4, learns=False) if with_bias else None
    expected = nn.functional.linear(x, weight, bias) + 0.7 * (x @ down.T @ up.T)
    assert torch.allclose(LowRankLinear.apply(x, weight, bias, down, up, 0.7), expected)
    assert torch.autograd.gradcheck(
        lambda *learnt: LowRankLinear.apply(learnt[0], weight, bias, learnt[1], learnt[2], 0.7), (x, down, up)
    )


class Layers(nn.Module):
    """Two layers of the names that are updated; the first one's input learns nothing, as a frozen embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.o_proj = nn.Linear(6, 8), nn.Linear(8, 5, bias=False)

    def forward(self, x: Tensor) -> Any:
        return self.o_proj(torch.tanh(self.q_proj(x)))


def test_as_peft_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Layers().requires_grad_(False)
    add_lora(model, rank=3, alpha=6)
    updates = [p for name, p in model.named_parameters() if "lora_" in name]
    assert all(p.requires_grad for p in updates)
    for parameter in updates:
        nn.init.normal_(parameter)
    x = torch.randn(4, 7, 6)
    found = []
    for own in (True, False):
        if not own:
            for layer in (model.q_proj, model.o_proj):
                monkeypatch.delattr(layer, "forward")  # PEFT's own stands below it
        out = model(x)
        out.square().sum().backward()
        found.append([out.detach(), *(p.grad for p in updates)])
        for parameter in updates:
            parameter.grad = None
    assert len(found[0]) == 5
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert model.q_proj.lora_A[ADAPTER].weight.abs().sum() > 0
