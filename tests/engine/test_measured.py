"""What ``chatspot bench`` measures is what it says, and bounds are counted from the checkpoint's weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from chatspot.engine.local_engine import LocalEngine
from chatspot.engine.measured import measure
from chatspot.engine.measured.asked import box, forget, noise, question
from chatspot.engine.measured.costs import Costs, Rates, counted
from chatspot.engine.measured.machine import onnx_products, peak_memory, read_bandwidth, timed, torch_products
from chatspot.engine.measured.stages import Bounds, Stage, Work, asked_alone
from chatspot.engine.onnx.onnx_engine import OnnxEngine
from chatspot.engine.opening import open_engine
from chatspot.engine.torch_engine import TorchEngine
from chatspot.model.checkpoint import load_checkpoint

COSTS = Costs(
    weight_bytes=900, token_bytes=600, layer_operations=40, head_operations=20, view_operations=500,
    region_operations=750, language="float32", tower="float32",
)  # fmt: skip
BOUNDS = Bounds(COSTS, Rates(read_bytes=300.0, language_operations=100.0, tower_operations=250.0))


@pytest.fixture(autouse=True)
def built(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are built into one folder of these tests."""
    monkeypatch.setenv("CHATSPOT_CACHE", str(tmp_path_factory.getbasetemp() / "onnx"))


def shapes(folder: Path) -> dict[str, list[int]]:
    """The shapes of a checkpoint's tensors."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def decoder_shapes(folder: Path) -> list[list[int]]:
    """Those of the language model's layers and last norm, without the table."""
    found = shapes(folder)
    return [shape for name, shape in found.items() if "language_model" in name and "embed_tokens" not in name]


def table_size(folder: Path) -> int:
    return math.prod(next(shape for name, shape in shapes(folder).items() if "embed_tokens" in name))


# ----------------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_costs_are_those_of_the_checkpoints_weights(kind: str, lively_nano: Path):
    engine: LocalEngine = (
        OnnxEngine(lively_nano, "float32")
        if kind == "onnx"
        else TorchEngine(load_checkpoint(lively_nano), device="cpu", dtype="float32")
    )
    found = counted(engine)
    layers, table = decoder_shapes(lively_nano), table_size(lively_nano)
    assert found.engine == kind
    assert found.costs.layer_operations == 2 * sum(math.prod(shape) for shape in layers if len(shape) == 2)
    assert found.costs.head_operations == 2 * table
    weights = 4 * (sum(map(math.prod, layers)) + table)  # the head is the table
    besides = 2048 * 16 * 4 if kind == "onnx" else 0  # cosines and sines of 2,048 positions, heads of 16
    assert weights <= found.costs.token_bytes <= 1.02 * weights + besides + 40_000
    assert (found.costs.language, found.costs.tower) == ("float32", "float32")
    total = (lively_nano / "model.safetensors").stat().st_size
    assert found.costs.token_bytes < found.costs.weight_bytes
    assert found.costs.weight_bytes > 0.5 * total


def test_both_engines_count_the_same_tower(lively_nano: Path, engine: TorchEngine):
    onnx, of_torch = (counted(one).costs for one in (OnnxEngine(lively_nano, "float32"), engine))
    assert onnx.view_operations == pytest.approx(of_torch.view_operations, rel=0.01)
    assert onnx.region_operations == pytest.approx(of_torch.region_operations, rel=0.01)
    assert onnx.view_operations > 1e6
    assert onnx.view_operations < onnx.region_operations < 3 * onnx.view_operations, "three squares, one line"


def test_a_table_that_is_not_the_head_is_not_read(lively_7b: Path):
    engine = TorchEngine(load_checkpoint(lively_7b), device="cpu", dtype="bfloat16")
    costs = counted(engine).costs
    head = engine.model.lm_head.weight
    assert head is not engine.model.get_input_embeddings().weight
    layers = [shape for shape in decoder_shapes(lively_7b) if shape != list(head.shape)]
    assert costs.token_bytes == 2 * (sum(map(math.prod, layers)) + head.numel())
    assert (costs.language, costs.tower) == ("bfloat16", "bfloat16")
    assert costs.view_operations > 0


def test_eight_bits_are_a_quarter_of_the_bytes(lively_nano: Path):
    whole, rounded = (counted(OnnxEngine(lively_nano, precision)).costs for precision in ("float32", "int8"))
    assert rounded.language.startswith("8 bits by ")
    assert rounded.token_bytes < 0.7 * whole.token_bytes  # of a model so small much else is stored
    assert rounded.layer_operations == whole.layer_operations
    assert rounded.view_operations == whole.view_operations


# ---------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    ("tokens", "rows", "seconds", "limit"),
    [
        (1, 1, 2.0, "memory"),  # 600 bytes at 300 a second; 60 operations take 0.6 s
        (4, 1, 2.0, "memory"),  # 180 operations
        (10, 1, 4.2, "products"),  # 10 tokens of 40 operations and a head's 20
        (10, 10, 6.0, "products"),
    ],
)
def test_a_pass_waits_for_memory_or_for_products(tokens: int, rows: int, seconds: float, limit: str):
    assert BOUNDS.reading(tokens, rows) == pytest.approx(seconds)
    assert BOUNDS.limit(tokens, rows) == limit


def test_bounds_of_questions_are_those_of_their_parts():
    assert BOUNDS.seeing(3) == pytest.approx(6)
    assert BOUNDS.seeing(1, 2) == pytest.approx(8)
    works = [Work(1, 1, 10), Work(0, 1, 1)]
    assert BOUNDS.first_token(works[0]) == pytest.approx(5 + 4.2)
    assert BOUNDS.one_by_one(works, 3) == pytest.approx(5 + 4.2 + 3 + 2 + 2 * 2 * 2)
    assert BOUNDS.together(works, 3) == pytest.approx(8 + (11 * 40 + 2 * 20) / 100 + 2 * 2)


@pytest.mark.parametrize(
    ("unit", "measured", "bound", "share"),
    [("s", 4.0, 1.0, 0.25), ("tokens/s", 30.0, 40.0, 0.75), ("MB", 10.0, 5.0, 0.5), ("times", 3.0, None, None)],
)
def test_a_share_is_1_where_the_bound_is_reached(unit: str, measured: float, bound: float | None, share: float | None):
    assert Stage("stage", measured, unit, bound, "why").share == share


# ------------------------------------------------------------------------------------------------- what is measured


def test_pictures_and_boxes_are_others_for_each_number():
    assert noise(1).tobytes() == noise(1).tobytes() != noise(2).tobytes()
    assert noise(3, (20, 10)).size == (20, 10)
    assert box(1) == box(1) != box(2)


def test_the_warm_up_is_not_counted():
    seen: list[int] = []
    assert len(timed(3, seen.append)) == 3
    assert seen == [0, 1, 2, 3]


def test_an_engine_that_forgets_sees_and_reads_all_again(engine: TorchEngine):
    first, other = (question(noise(0), number, 1) for number in range(2))
    prompt = engine.prompt(first, 0, {})
    whole = asked_alone(engine, first)[0]
    assert whole == (1, 1, len(prompt.ids))
    again = asked_alone(engine, other)[0]
    assert again[:2] == (0, 1)
    assert 0 < again.tokens < whole.tokens
    forget(engine)
    assert asked_alone(engine, first)[0] == whole


def test_rates_are_those_of_a_real_machine():
    """Between a byte and a petabyte: an error in a unit shows, a slow machine does not."""
    rates = [read_bandwidth(), torch_products(torch.device("cpu"), torch.float32)]
    rates += [onnx_products("float32"), onnx_products("blocks")]
    assert all(1e7 < rate < 1e15 for rate in rates)
    (peak,) = peak_memory("cpu").values()
    assert 5e7 < peak < 1e12


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_every_stage_is_measured(kind, lively_nano: Path):
    told: list[str] = []
    report = measure(lambda: open_engine(lively_nano, kind, "cpu"), 1, told.append)
    assert (report.checkpoint, report.engine, report.device) == (lively_nano.name, kind, "cpu")
    assert len(told) == len(set(told)) > 5
    found = {stage.name: stage for stage in report.stages}
    assert len(found) == len(report.stages) == 10
    for stage in report.stages:
        assert 0 < stage.measured < math.inf
        assert stage.bound is None or 0 < stage.bound < math.inf
        assert stage.why
    assert found["decoding"].bound == pytest.approx(1 / Bounds(report.costs, report.rates).reading(1))
    assert found["... of another region"].why.startswith("1 view ")
    assert found["first token, new picture"].why.startswith("2 views ")
