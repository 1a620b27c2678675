"""The plan: counted and computed by hand, against what autograd really keeps, and the nearest recipe that fits."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from transformers import LlamaConfig, LlamaModel

from chatspot.errors import CheckpointError, RecipeError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.freezing import part_rows
from chatspot.train import spans
from chatspot.train.lora import TARGETS
from chatspot.train.planning import memory
from chatspot.train.planning.memory import FOUR_BIT, Pass, layer_activations, peak
from chatspot.train.planning.plan import Plan, config_of, fits, nearer, paper_config, plan, refuse
from chatspot.train.planning.workload import count_workload, probe
from chatspot.train.recipe import Recipe, parse_recipe
from chatspot.train.shape import Shape, shape_of
from chatspot.train.spans import SpanSizes, lay_out
from chatspot.train.stream.packing import Position, Step
from chatspot.train.stream.rows import Row
from chatspot.train.trainable import choose_trainable

GB = 1e9
BASE = {"stage": "instruct", "sources": [{"folder": "x"}], "learning_rate": 2e-5, "batch_dialogues": 128,
        "row_tokens": 2048, "micro_rows": 1, "epochs": 3}  # fmt: skip
# LLaMA-7B with 3 more tokens: 32 layers of 4 x 4096 x 4096 (attention), 3 x 4096 x 11008 (MLP) and 2 x 4096 (norms);
# an embedding and a head of 32003 x 4096; a last norm of 4096.
LAYER = 4 * 4096 * 4096 + 3 * 4096 * 11008 + 2 * 4096
LANGUAGE = 32 * LAYER + 2 * 32003 * 4096 + 4096
PROJECTOR = 1024 * 4096 + 4096


def recipe(**changes: Any) -> Recipe:
    return parse_recipe({**BASE, **changes}, "test")


@pytest.fixture(scope="module")
def paper() -> Shape:
    return shape_of(paper_config())


def planned(shape: Shape, processes: int = 1, **changes: Any) -> Plan:
    return Plan(recipe(**changes), shape, processes, "cuda", 0.0)


def sizes(of: Plan) -> dict[str, float]:
    return {term.name: term.size for term in of.terms}


def test_the_papers_model_is_counted_without_weights(paper: Shape) -> None:
    assert paper.language == LANGUAGE == 6_738_440_192
    assert paper.layer == LAYER
    assert paper.projector == PROJECTOR
    # CLIP ViT-L/14, 224 px: 24 layers of 4 attention and 2 MLP layers with biases and 2 norms; the patches, a class
    # token, 257 places; two more norms
    layer = 4 * (1024 + 1) * 1024 + (1024 + 1) * 4096 + (4096 + 1) * 1024 + 4 * 1024
    assert paper.vision == 24 * layer + 3 * 14 * 14 * 1024 + 1024 + 257 * 1024 + 4 * 1024
    assert paper.precision == torch.bfloat16
    assert paper.image_tokens == 256


def test_instruct_of_the_paper_on_8_gpus_by_hand(paper: Shape) -> None:
    found = sizes(planned(paper, processes=8))
    assert found["weights: vision tower"] == 4 * paper.vision  # whole on each; its features are kept, in float32
    assert sizes(planned(paper, processes=8, keep_features=False))["weights: vision tower"] == 2 * paper.vision
    assert found["weights: language model"] == 2 * LANGUAGE / 8
    assert found["masters"] == 4 * LANGUAGE / 8  # the projector computes in float32: it is its own master
    assert found["moments"] == 8 * (LANGUAGE + PROJECTOR) / 8
    assert found["gradients of the step"] == 4 * (LANGUAGE + PROJECTOR) / 8
    # a layer of one row of 2,048 tokens in bfloat16: norms' inputs 2 x (4 x 4096 + 4); their outputs before and after
    # the weight 2 x 2 x 2 x 4096; queries, keys, values, output, and the output in the rows' order, 5 x 2 x 4096, and
    # 4 x 32 log-sums; MLP 4 x 2 x 11008
    token = 2 * (4 * 4096 + 4) + 8 * 4096 + 10 * 4096 + 4 * 32 + 8 * 11008
    ends = 2 * 2 * 4096 + 4 * 4096 + 2 * 4096  # the embeddings twice, the last norm's input and output
    assert found["activations"] == 2048 * (32 * token + ends)
    assert found["logits"] == 12 * 2**24


def test_a_cpu_takes_more_than_the_tensors(paper: Shape) -> None:
    """Holes beside the activations; with low-rank layers the plain layers' outputs too."""
    whole, low_rank = (replace(planned(paper, **more), kind="cpu") for more in ({}, {"low_rank": {"rank": 8}}))
    assert sizes(whole)["holes"] == 0.45 * sizes(whole)["activations"]
    outputs = 2 * 2048 * 32 * (5 * 4096 + 2 * 11008)  # queries, keys, values, attention, MLP; gate and up
    assert sizes(low_rank)["holes"] == pytest.approx(0.45 * (sizes(low_rank)["activations"] + outputs))
    assert sizes(whole)["work space"] == 80e6
    assert "holes" not in sizes(planned(paper))


def test_align_of_the_paper_trains_next_to_nothing(paper: Shape) -> None:
    found = sizes(planned(paper, processes=1, stage="align"))
    assert found["masters"] == 0
    assert found["moments"] == 8 * PROJECTOR
    assert found["activations"] < sizes(planned(paper))["activations"]  # no inputs are kept for frozen weights


def test_four_bits_by_hand(paper: Shape) -> None:
    found = sizes(planned(paper, low_rank={"rank": 64, "quantised": True}, recompute=True))
    linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    assert pytest.approx(4.127 / 8, rel=1e-3) == FOUR_BIT  # bits a weight, QLoRA section 3
    assert found["weights: language model"] == pytest.approx(FOUR_BIT * linear + 2 * (LANGUAGE - linear))
    low_rank = 64 * 32 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    assert found["weights: low-rank update"] == 2 * low_rank
    assert found["masters"] == 4 * low_rank


@pytest.mark.parametrize("most_written", [0, 512], ids=["fused", "written out"])
@pytest.mark.parametrize("shared", [0, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("trains", ["whole", "low rank", "nothing"])
def test_a_layers_activations_are_what_autograd_keeps(
    trains: str, dtype: torch.dtype, shared: int, most_written: int, paper: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of all tensors that a real decoder layer saves for its backward pass, parameters and what its spans are
    laid out with left out. Two rows of three dialogues each, of which ``shared`` tokens stand there once."""
    monkeypatch.setattr(spans, "WRITTEN_OUT_KEYS", most_written)
    monkeypatch.setattr(memory, "WRITTEN_OUT_KEYS", most_written)
    width, inner, heads, rank, rows, length = 64, 160, 4, 4, 2, 48
    text = LlamaConfig(vocab_size=64, hidden_size=width, intermediate_size=inner, num_hidden_layers=1,
                       num_attention_heads=heads, num_key_value_heads=2)  # fmt: skip
    text._attn_implementation = spans.NAME
    model = LlamaModel(text).to(dtype).requires_grad_(trains == "whole")  # type: ignore[arg-type]
    if trains == "low rank":
        inject_adapter_in_model(LoraConfig(r=rank, target_modules=TARGETS), model)
        for name, parameter in model.named_parameters():
            parameter.data = parameter.data.to(dtype) if "lora_" in name else parameter.data
    given = torch.randn(rows, length, width, dtype=dtype, requires_grad=True) * 1
    owners = [0] * shared + [1] * 14 + [2] * (14 - shared) + [3] * 20
    one = replace(row(length, 0), branches=tuple(owners))
    laid = lay_out([one] * rows, length)
    places = model.rotary_emb(given, torch.arange(length).expand(rows, -1))
    known = (
        *model.parameters(),
        *places,
        laid.places,
        *(part for batch in laid.batches for part in vars(batch).values()),
    )
    others = {value.untyped_storage().data_ptr() for value in known}
    kept: dict[int, torch.Tensor] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        if value.untyped_storage().data_ptr() not in others:
            kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        model.layers[0](given, position_embeddings=places, spans=laid)
    shape = replace(paper, hidden=width, inner=inner, heads=heads, keys=2 * width // heads, precision=dtype)
    changes = {"whole": {}, "low rank": {"low_rank": {"rank": rank}}, "nothing": {"stage": "align"}}[trains]
    predicted = layer_activations(recipe(**changes), shape, Pass(rows, length, 0, 0, 0, laid.sizes), "cpu")
    measured = sum(value.untyped_storage().nbytes() for value in kept.values())
    assert predicted == measured


@pytest.mark.parametrize(
    "changes",
    [{"stage": "align"}, {}, {"low_rank": {"rank": 4}}, {"precision": "float32"}],
    ids=["align", "whole", "low rank", "float32"],
)
def test_parameters_are_those_of_the_model_that_trains(changes: dict[str, Any], tiny_nano: Path) -> None:
    """What the plan says without weights is what stands there with them."""
    said = plan(recipe(**changes), config_of(tiny_nano), kind="cpu", program=0.0)
    checkpoint = load_checkpoint(tiny_nano)
    choose_trainable(checkpoint, said.recipe)
    rows = {row.name: row for row in part_rows(checkpoint.model)}
    table = said.table()
    for name, row in rows.items():
        assert re.search(rf"{name} +{row.parameters:,} +{row.trainable:,}\n", table), table
    weights = sizes(said)["weights: language model"] + sizes(said).get("weights: low-rank update", 0)
    if "precision" not in changes:
        held = sum(p.numel() * p.element_size() for p in checkpoint.model.model.language_model.parameters())
        assert weights == held


def test_a_step_and_a_pass_are_not_added_up(paper: Shape) -> None:
    of = planned(paper)
    held = {when: sum(t.size for t in of.terms if t.when == when) for when in ("always", "pass", "step")}
    assert peak(of.terms) == held["always"] + max(held["pass"], held["step"])
    assert min(held.values()) > 0
    on_cpu = replace(of, kind="cpu")
    assert not [term for term in on_cpu.terms if term.when == "step"], "a step reuses nothing of a pass"
    assert peak(on_cpu.terms) == sum(term.size for term in on_cpu.terms)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"recompute": True}, {}),
        ({}, {"micro_rows": 2}),
        ({"row_tokens": 1024}, {}),
        ({"low_rank": {"rank": 16}}, {}),
        ({"low_rank": {"rank": 16, "quantised": True}}, {"low_rank": {"rank": 16}}),
        ({}, {"precision": "float32"}),
    ],
)
def test_what_saves_memory_saves_it(less: dict[str, Any], more: dict[str, Any], paper: Shape) -> None:
    processes = 1 if "low_rank" in less else 8  # 4-bit weights train on one
    assert planned(paper, processes, **less).bytes < planned(paper, processes, **more).bytes


def test_more_processes_need_less_each_and_never_nothing(paper: Shape) -> None:
    needs = [planned(paper, processes=n).bytes for n in (2, 4, 8, 1024)]
    assert needs == sorted(needs, reverse=True)
    assert needs[-1] > 2 * paper.vision


@pytest.mark.parametrize(
    ("changes", "processes", "available", "advice"),
    [
        ({"micro_rows": 4}, 8, 60, r"is --set micro_rows=2: \d"),  # the nearest is the smallest change
        ({"micro_rows": 4}, 8, 40, r"is --set micro_rows=1: \d"),
        ({"micro_rows": 4}, 8, 32, r"is --set recompute=true: \d"),
        ({"micro_rows": 4, "recompute": True}, 4, 43.5, r"is --set micro_rows=1: \d"),
        ({"micro_rows": 1}, 1, 80, r"is --set low_rank.rank=64: \d"),
        ({"micro_rows": 1}, 1, 24, r"is --set low_rank.rank=64 (--set recompute=true)?"),
        ({"micro_rows": 4}, 1, 16, r"--set low_rank.rank=64 --set low_rank.quantised=true --set "),
        ({"stage": "align"}, 1, 13, r"is 2 processes"),  # nothing to make low rank: the weights alone are too many
        ({}, 1, 2, "Nothing near fits: the least is"),
    ],
)
def test_the_impossible_is_refused_with_the_nearest_possible(
    changes: dict[str, Any], processes: int, available: float, advice: str, paper: Shape
) -> None:
    of = planned(paper, processes, **changes)
    with pytest.raises(RecipeError, match=advice) as refused:
        refuse(of, available * GB)
    assert f"there are {available:.2f} GB" in str(refused.value)


def test_what_is_advised_fits_and_parses(paper: Shape) -> None:
    of = planned(paper, micro_rows=4)
    for changes, other in nearer(of):
        if other.processes == of.processes:
            values = dict(change.split("=") for change in changes)
            assert all(hasattr(of.recipe, name.split(".")[0]) for name in values)
            assert Recipe.model_validate(other.recipe.model_dump()) == other.recipe  # it could stand in a file
            assert other.bytes < of.bytes
        assert fits(other, other.bytes / 0.9)


def test_what_fits_is_not_refused(paper: Shape) -> None:
    refuse(planned(paper, processes=8), 80 * GB)


def test_four_bits_on_several_processes_is_no_plan() -> None:
    with pytest.raises(RecipeError, match="one process"):
        plan(recipe(low_rank={"rank": 8, "quantised": True}), paper_config(), processes=2, kind="cuda")


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        config_of(tmp_path)


def row(length: int, supervised: int, branch: int = 1) -> Row:
    targets = (7,) * supervised + (-100,) * (length - supervised)
    return Row((5,) * length, targets, tuple(range(length)), (0,) * length, (branch,) * length, (), 1)


def test_a_workload_is_an_epoch_by_its_first_window() -> None:
    steps = [
        Step((row(100, 10), row(60, 5)), 2, 15, Position(0, 0, 1), 0.125),
        Step((row(90, 9),), 1, 9, Position(0, 1, 0), 0.25),
        Step((row(999, 9),), 1, 9, Position(0, 1, 1), 0.375),  # of another window: not counted
    ]
    found = count_workload(iter(steps), recipe(micro_rows=2))
    assert (found.steps, found.dialogues, found.tokens, found.supervised) == (8, 12, 1000, 96)
    assert found.load == Pass(rows=2, tokens=100, supervised=15, views=0, step_views=0,
                              spans=SpanSizes(160, 160, 100 * 100 + 60 * 60), alone=True)  # fmt: skip
    shared = count_workload([replace(steps[0], rows=(row(8, 1), row(8, 1, branch=2)))], recipe(micro_rows=1), 2)
    assert shared.load == Pass(rows=1, tokens=8, supervised=1, views=0, step_views=0,
                               spans=SpanSizes(8, 8, 64), alone=True)  # fmt: skip
    with pytest.raises(RecipeError, match="give no step"):
        count_workload([], recipe())


def test_time_and_disk_follow_from_what_was_counted(paper: Shape) -> None:
    work = count_workload([Step((row(1000, 10),), 1, 10, Position(1), 0.5)], recipe())
    of = replace(planned(paper, processes=4), workload=replace(work, views=10.0), tokens_per_second=100.0)
    assert of.seconds == pytest.approx(3 * 2000 / (100 * 4))
    disk = dict(of.disk)
    assert disk["vision features"] == 2 * 256 * 1024 * 10
    assert disk["states"] == 2 * 12 * (LANGUAGE + PROJECTOR)  # master and two moments, the newest and the previous
    assert "15 s in all" in of.table()
    assert "not measured" in replace(of, tokens_per_second=None).table()
    assert "at most (no data to count)" in replace(of, workload=None).table()


def test_a_probe_counts_no_padding_and_leaves_no_gradient() -> None:
    from chatspot.train.step import collate

    weight = torch.nn.Parameter(torch.ones(()))
    seen = []

    def loss_of(batch: Any) -> torch.Tensor:
        seen.append(int((batch.groups >= 0).sum()))
        return weight * 1.0

    batch = collate([row(30, 3), row(10, 1)], 0, lambda _: torch.zeros(0))
    assert probe(loss_of, [batch], [weight]) > 0
    assert set(seen) == {40}
    assert weight.grad is None
    with pytest.raises(RecipeError, match="no batch"):
        probe(loss_of, [], [weight])
