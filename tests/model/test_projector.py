"""The one linear layer in both stock layouts: exact, round trip, and refused when it is something else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from chatspot.errors import CheckpointError
from chatspot.model.projector import (
    one_linear_activation,
    read_linear,
    stock_state_dict,
    train_as_one_linear,
    write_linear,
)

SIZES = [(1, 2), (4, 8), (3, 8), (5, 8), (8, 8), (12, 4)]  # (vision_hidden, text_hidden): three split, three identity


def stock_projector(vision: int, text: int, activation: str | None = None, bias: bool = True):
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=vision, num_attention_heads=1),
        text_config=LlamaConfig(hidden_size=text, num_attention_heads=1),
        projector_hidden_act=activation or one_linear_activation(vision, text),
        multimodal_projector_bias=bias,
    )
    return LlavaMultiModalProjector(config)


@pytest.mark.parametrize(
    ("vision", "text", "expected"),
    [(1024, 4096, "relu"), (2048, 4096, "relu"), (2049, 4096, "linear"), (3008, 576, "linear")],
)
def test_activation_of_the_layout(vision: int, text: int, expected: str):
    assert one_linear_activation(vision, text) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("vision", "text"), SIZES)
def test_round_trip_and_output(vision: int, text: int, dtype: torch.dtype):
    torch.manual_seed(vision)
    linear = nn.Linear(vision, text).to(dtype)
    projector = stock_projector(vision, text).to(dtype)
    write_linear(projector, linear.weight, linear.bias)
    weight, bias = read_linear(projector)
    assert torch.equal(weight, linear.weight)
    assert torch.equal(bias, linear.bias)
    x = (torch.randn(50, vision) * 10).to(dtype)
    with torch.no_grad():
        found, expected = projector(x), linear(x)
    if one_linear_activation(vision, text) == "linear":
        assert torch.equal(found, expected)
    else:  # the same terms, perhaps summed in another order: a few roundings of the largest term
        bound = 4 * torch.finfo(dtype).eps * (x.abs().float() @ weight.abs().float().T + bias.abs().float())
        assert ((found.float() - expected.float()).abs() <= bound).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_split_halves_are_exact_for_every_finite_float(values: list[float]):
    projector = stock_projector(3, 8)
    write_linear(projector, torch.eye(8, 3), None)
    x = torch.tensor([values])
    with torch.no_grad():
        found = projector(x)
    assert torch.equal(found[:, :3], x)
    assert not found[:, 3:].any()


@pytest.mark.parametrize(("vision", "text"), [(3, 8), (8, 3)])
def test_a_layer_without_bias(vision: int, text: int):
    projector = stock_projector(vision, text, bias=False)
    weight = torch.randn(text, vision)
    write_linear(projector, weight, None)
    assert torch.equal(read_linear(projector)[0], weight)
    assert read_linear(projector)[1] is None
    with pytest.raises(CheckpointError, match="bias to write"):
        write_linear(projector, weight, torch.zeros(text))


def test_a_plain_linear_is_read_and_written_too():
    linear, weight, bias = nn.Linear(3, 8), torch.randn(8, 3), torch.randn(8)
    write_linear(linear, weight, bias)
    read_weight, read_bias = read_linear(linear)
    assert torch.equal(read_weight, weight)
    assert torch.equal(read_bias, bias)
    read_weight.zero_()
    assert torch.equal(linear.weight, weight)  # what is read is a copy


@pytest.mark.parametrize(
    "make", [lambda: stock_projector(3, 8), lambda: stock_projector(8, 3), lambda: nn.Linear(3, 8)]
)
@pytest.mark.parametrize("shape", [(8, 4), (3, 9), (0, 0)])
def test_misshapen_values_are_refused(make, shape: tuple[int, int]):
    with pytest.raises(CheckpointError, match="weight has shape"):
        write_linear(make(), torch.zeros(shape), None)


def test_a_misshapen_bias_is_refused():
    with pytest.raises(CheckpointError, match="bias has shape"):
        write_linear(stock_projector(3, 8), torch.zeros(8, 3), torch.zeros(3))


@pytest.mark.parametrize(
    ("projector", "reason"),
    [
        (stock_projector(3, 8), "linear_1 is not"),
        (stock_projector(8, 3), "linear_2 is not the identity"),
        (stock_projector(3, 8, "gelu"), "activation"),
        (stock_projector(8, 3, "relu"), "relu needs"),
        (nn.Sequential(nn.Linear(3, 8)), "Sequential"),
    ],
)
def test_another_projector_is_refused(projector: nn.Module, reason: str):
    with pytest.raises(CheckpointError, match=reason):
        read_linear(projector)


@pytest.mark.parametrize(
    ("sizes", "name", "index"),
    [
        ((3, 8), "linear_1.weight", (0, 0)),
        ((3, 8), "linear_1.weight", (4, 0)),
        ((3, 8), "linear_1.weight", (7, 2)),
        ((3, 8), "linear_1.bias", (0,)),
        ((3, 8), "linear_2.weight", (0, 4)),
        ((3, 8), "linear_2.weight", (0, 7)),
        ((8, 3), "linear_2.weight", (0, 1)),
        ((8, 3), "linear_2.bias", (2,)),
    ],
)
def test_one_number_off_is_refused(sizes: tuple[int, int], name: str, index: tuple[int, ...]):
    projector = stock_projector(*sizes)
    write_linear(projector, torch.randn(sizes[1], sizes[0]), torch.randn(sizes[1]))
    read_linear(projector)
    with torch.no_grad():
        projector.get_parameter(name)[index] += 0.5
    with pytest.raises(CheckpointError, match="one linear layer"):
        read_linear(projector)


def test_split_layout_trains_as_one_plain_linear(small_7b):
    model, _ = small_7b()
    stock = model.model.multi_modal_projector
    weight, bias = read_linear(stock)
    linear = train_as_one_linear(model)
    assert type(linear) is nn.Linear
    assert model.model.multi_modal_projector is linear
    assert torch.equal(linear.weight, weight)
    assert linear.weight.requires_grad
    assert linear.bias.requires_grad
    assert train_as_one_linear(model) is linear  # asking twice changes nothing
    with torch.no_grad():
        linear.weight += 1
    assert torch.equal(read_linear(stock)[0], weight)  # no memory is shared with the layer that was replaced

    random_state = torch.get_rng_state()
    state = stock_state_dict(model)
    assert torch.equal(torch.get_rng_state(), random_state)  # saving in the middle of training changes nothing
    assert set(state) == set(small_7b()[0].state_dict())
    prefix = "model.multi_modal_projector."
    stock.load_state_dict({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})
    assert torch.equal(read_linear(stock)[0], weight + 1)
    assert torch.equal(read_linear(stock)[1], bias)


def test_a_random_stock_projector_does_not_train_as_one_linear(small_7b):
    model, _ = small_7b()
    model.model.multi_modal_projector.linear_1.reset_parameters()
    with pytest.raises(CheckpointError, match="one linear layer"):
        train_as_one_linear(model)
