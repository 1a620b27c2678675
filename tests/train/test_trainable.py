"""What trains in each stage and what stays bit-equal; low-rank updates, also over weights of 4 bits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from handmade import Made, row
from safetensors.torch import load_file, save_file
from tiny_training import RECIPE, Options, train_tiny
from torch import nn

from chatspot.errors import CheckpointError, RecipeError, TrainingError
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.model.nano_assembly import merge_lora
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN
from chatspot.train.lora import add_lora, load_lora, merge_and_save_lora, quantise
from chatspot.train.parallel import World, empty_shell, spread
from chatspot.train.recipe import parse_recipe
from chatspot.train.step import RegionLoss, collate
from chatspot.train.trainable import choose_trainable

LOW_RANK = {"low_rank": {"rank": 4}}
QUANTISED = {"low_rank": {"rank": 4, "quantised": True}}
has_bitsandbytes = importlib.util.find_spec("bitsandbytes") is not None
# Its own notes about kernels that it lacks, and torch's about the operators it registers.
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def opened(folder: Path, recipe: dict, dtype: torch.dtype = torch.float32) -> tuple[Checkpoint, dict[str, float]]:
    torch.manual_seed(0)
    checkpoint = load_checkpoint(folder, dtype=dtype)
    return checkpoint, choose_trainable(checkpoint, parse_recipe({**RECIPE, **recipe}, "test"))


@pytest.mark.parametrize(
    ("recipe", "moved"),
    [
        ({"stage": "align"}, {"linear_1"}),
        ({}, {"linear_1", "embed_tokens", "lm_head", "_proj.", "norm"}),
        (LOW_RANK, {"linear_1", "_proj."}),
    ],
)
def test_frozen_parts_stay_bit_equal(recipe: dict, moved: set[str], tiny_nano: Path, tmp_path: Path) -> None:
    train_tiny(Options(str(tiny_nano), str(tmp_path), {**recipe, "epochs": 0.5}), World())
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_nano, tmp_path / "checkpoint"))
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    kinds = {next((part for part in moved if part in name), name) for name in changed}
    assert kinds == moved & {*kinds, "linear_1", "_proj."}


@pytest.mark.parametrize(("recipe", "train"), [({"stage": "align"}, False), ({}, True), (LOW_RANK, False)])
def test_rows_of_the_box_tokens_train_where_the_language_model_does(recipe: dict, train: bool, tiny_nano: Path) -> None:
    """PAPER.md, decision 3. The rows are in the pass, as part of a prompt."""
    checkpoint, rates = opened(tiny_nano, recipe)
    tokenizer = checkpoint.processor.tokenizer
    ids = tokenizer.convert_tokens_to_ids([BOX_TOKEN, END_BOX_TOKEN])
    made = Made(checkpoint.model)
    one = made.talk(1)
    talk = type(one)(one.prefix + tuple(ids), one.branches, one.views)
    RegionLoss(checkpoint.model)(collate([row(talk)], 0, made.read)).backward()
    table = checkpoint.model.get_input_embeddings().weight
    assert ("model.language_model.embed_tokens.weight" in rates) == train
    assert (table.grad is not None and bool(table.grad[ids].any(dim=1).all())) == train


def test_rates_name_all_that_trains(tiny_nano: Path) -> None:
    checkpoint, rates = opened(tiny_nano, {})
    assert set(rates) == {name for name, p in checkpoint.model.named_parameters() if p.requires_grad}
    assert {rate for name, rate in rates.items() if "projector" in name} == {1e-3}
    assert {rate for name, rate in rates.items() if "projector" not in name} == {3e-3}
    _, alike = opened(tiny_nano, {"projector_learning_rate": None})
    assert set(alike.values()) == {3e-3}


@pytest.mark.parametrize(
    ("precision", "found"), [("auto", torch.bfloat16), ("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_precision(precision: str, found: torch.dtype, tiny_nano: Path) -> None:
    checkpoint, _ = opened(tiny_nano, {"precision": precision, **LOW_RANK}, torch.bfloat16)
    model = checkpoint.model
    assert {p.dtype for p in model.model.language_model.parameters()} == {found}
    assert {p.dtype for p in model.model.multi_modal_projector.parameters()} == {torch.float32}


def test_a_merged_update_is_the_update_beside_it(tiny_nano: Path, tmp_path: Path) -> None:
    options = Options(str(tiny_nano), str(tmp_path), {**LOW_RANK, "epochs": 0.5})
    train_tiny(options, World())
    model = load_checkpoint(tiny_nano, dtype=torch.float32).model
    merge_lora(model, tmp_path / "lora.safetensors")
    merged = load_checkpoint(tmp_path / "checkpoint").model
    for (name, expected), value in zip(
        model.model.language_model.named_parameters(), merged.model.language_model.parameters(), strict=True
    ):
        assert torch.allclose(value, expected, atol=1e-6), name


def test_an_update_that_cannot_be_written_is_told(tiny_nano: Path, tmp_path: Path) -> None:
    language_model = load_checkpoint(tiny_nano).model.model.language_model
    add_lora(language_model, 2, 4)
    with pytest.raises(TrainingError, match="could not be saved"):
        merge_and_save_lora(language_model, tmp_path / "nowhere" / "lora.safetensors", 1.0)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, None], ids=["empty", "zeros", "without scale"])
def test_an_update_that_cannot_be_read_is_told(content: bytes | None, tiny_nano: Path, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    save_file({"q_proj.lora_A.weight": torch.zeros(2, 8)}, file)
    if content is not None:
        file.write_bytes(content)
    model = load_checkpoint(tiny_nano).model
    with pytest.raises(CheckpointError, match=r"lora\.safetensors is (damaged|no low-rank update)"):
        merge_lora(model, file)
    add_lora(model.model.language_model, 2, 4)
    with pytest.raises(CheckpointError, match=r"lora\.safetensors is (damaged|no low-rank update)"):
        load_lora(model.model.language_model, file)


@pytest.mark.skipif(has_bitsandbytes, reason="bitsandbytes is installed")
def test_weights_of_4_bits_want_bitsandbytes(tiny_nano: Path) -> None:
    with pytest.raises(RecipeError, match="pip install bitsandbytes"):
        opened(tiny_nano, QUANTISED)


@quiet
@pytest.mark.skipif(not has_bitsandbytes, reason="bitsandbytes is not installed")
def test_weights_of_4_bits_train_and_are_saved_as_a_stock_checkpoint(tiny_nano: Path, tmp_path: Path) -> None:
    recipe = {**QUANTISED, "epochs": 10.0, "learning_rate": 2e-2}
    options = Options(str(tiny_nano), str(tmp_path), recipe, "bfloat16")
    assert train_tiny(options, World()).complete
    start = load_checkpoint(tiny_nano, dtype=torch.float32).model
    saved = load_checkpoint(tmp_path / "checkpoint").model
    assert {p.dtype for p in saved.parameters()} == {torch.bfloat16}
    made = Made(start)
    steps = made.steps()
    rows = [some for _ in range(4) for some in next(steps).rows]
    losses = [RegionLoss(model)(collate(rows, 0, made.read)).item() for model in (start, saved)]
    assert losses[1] < 0.96 * losses[0]  # as far as a low-rank update alone comes, of plain weights too


@quiet
@pytest.mark.skipif(not has_bitsandbytes, reason="bitsandbytes is not installed")
def test_weights_of_4_bits_are_near_what_they_were_and_are_merged_as_what_they_stand_for(tmp_path: Path) -> None:
    """Layers as wide as a block of 64 weights, which shares a scale. Normal weights of nf4 err by about 9 %."""
    torch.manual_seed(0)
    part = nn.ModuleDict({"q_proj": nn.Linear(128, 64, bias=False), "other": nn.Linear(128, 64)})
    nn.init.normal_(part["q_proj"].weight, std=0.02)
    before, x = part["q_proj"].weight.detach().clone(), torch.randn(3, 128)
    quantise(part)
    add_lora(part, 4, 4)
    part.to("cpu")  # where a model goes to its device
    layer = part["q_proj"]
    held = layer.get_base_layer().weight
    assert (held.dtype, held.numel()) == (torch.uint8, 128 * 64 // 2)
    assert type(part["other"]) is nn.Linear
    expected = x @ before.T
    assert 0.05 < (layer(x) - expected).norm() / expected.norm() < 0.13
    nn.init.normal_(layer.lora_B["default"].weight, std=0.02)
    with torch.no_grad():
        trained = layer(x)
    merge_and_save_lora(part, tmp_path / "lora.safetensors", 1.0)
    assert type(part["q_proj"]) is nn.Linear
    assert torch.allclose(part["q_proj"](x), trained, atol=1e-3)


@quiet
@pytest.mark.skipif(not has_bitsandbytes, reason="bitsandbytes is not installed")
def test_weights_of_4_bits_train_on_one_process_alone(tiny_nano: Path) -> None:
    trainee = spread(World(), lambda: opened(tiny_nano, QUANTISED))
    with pytest.raises(RecipeError, match="train on one process"):
        empty_shell(trainee.checkpoint)
