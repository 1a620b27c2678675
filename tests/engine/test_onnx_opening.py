"""Which engine opens which model, and that nano answers with 8 bits as it does with all."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import torch
from PIL import Image

from chatspot.engine import opening
from chatspot.engine.onnx.onnx_engine import OnnxEngine
from chatspot.engine.opening import open_engine
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import CheckpointError, MessageError
from chatspot.model.weights import cache_folder
from chatspot.regions import Box, Point, Region
from chatspot.spot import ChatSpot


@pytest.fixture
def built(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are built into a folder of these tests."""
    monkeypatch.setenv("CHATSPOT_CACHE", str(tmp_path_factory.getbasetemp() / "onnx"))


@pytest.mark.parametrize(
    ("kind", "device", "dtype", "found"),
    [
        ("auto", "auto", "auto", "torch"),  # for a folder; nano is below
        ("torch", "cpu", "float32", "torch"),
        ("onnx", "auto", "auto", "int8"),
        ("onnx", "cpu", "int8", "int8"),
        ("onnx", torch.device("cpu"), torch.float32, "float32"),
    ],
)
def test_what_is_chosen(kind, device, dtype, found: str, lively_nano: Path, built: None):
    spot = ChatSpot.from_pretrained(lively_nano, device, dtype, engine=kind)
    assert isinstance(spot.engine, TorchEngine if found == "torch" else OnnxEngine)
    assert spot.engine.name == lively_nano.name
    if isinstance(spot.engine, OnnxEngine):
        assert spot.engine.precision == found
        assert spot.engine.device == "cpu"
    assert spot.ask(Image.new("RGB", (30, 20), "red"), "What?", max_new_tokens=2).text


@pytest.mark.parametrize(
    ("kind", "device", "dtype", "message"),
    [
        ("", "auto", "auto", "engine must be one of auto, torch, onnx, got ''"),
        ("ort", "auto", "auto", "engine must be one of"),
        (None, "auto", "auto", "engine must be one of"),
        ("onnx", "cuda:0", "auto", "computes on the CPU, not on 'cuda:0'"),
        ("onnx", "auto", "bfloat16", "takes the dtype auto, int8, float32, got 'bfloat16'"),
        ("onnx", "auto", torch.float16, "got 'float16'"),
        ("torch", "auto", "int8", "dtype must be"),
        ("torch", "nowhere", "auto", "no device 'nowhere'"),
    ],
)
def test_what_cannot_be_chosen(kind, device, dtype, message: str, lively_nano: Path, built: None):
    with pytest.raises(MessageError, match=message):
        open_engine(lively_nano, kind, device, dtype)


@pytest.mark.parametrize("kind", ["auto", "torch", "onnx"])
def test_no_checkpoint_is_an_error(kind, tmp_path: Path):
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        open_engine(tmp_path, kind)


def test_without_the_extra_torch_answers(lively_nano: Path, built: None):
    asking = """
import sys
sys.modules["onnxruntime"] = None  # as where it is not installed
from chatspot.engine.opening import installed, open_engine
from chatspot.errors import CheckpointError
assert not installed()
try:
    open_engine(sys.argv[1], "onnx")
except CheckpointError as error:
    print(error)
print(type(open_engine(sys.argv[1])).__name__)
"""
    command = [sys.executable, "-c", asking, str(lively_nano)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        "the engine 'onnx' needs onnxruntime, which is not installed: pip install 'chatspot[fast]'", "TorchEngine"
    ]  # fmt: skip


CUP = Box.from_pixels(172, 14, 416, 314, size=(600, 400))
QUESTIONS: list[tuple[str, str, Region]] = [  # whose answers are no near ties
    ("coffee.jpg", "What is this?", CUP),
    ("coffee.jpg", "What can you see in this region?", CUP),
    ("coffee.jpg", "What is this?", Point.from_pixels(362, 285, size=(600, 400))),
    ("cat.jpg", "What is this?", Box.from_pixels(60, 10, 420, 300, size=(451, 300))),
    ("cat.jpg", "What can you see in this region?", Point.from_normalized(0.5, 0.4)),
]


def test_nano_answers_with_eight_bits_as_with_all():
    fast, exact = ChatSpot.from_pretrained(), ChatSpot.from_pretrained(engine="torch", dtype="float32")
    assert opening.has_gpu() or isinstance(fast.engine, OnnxEngine)
    assert (cache_folder() / exact.engine.name).is_dir()
    for photo, question, region in QUESTIONS:
        image = Image.open(str(resources.files("chatspot").joinpath("examples", photo)))
        found, wanted = (spot.ask(image, question, region) for spot in (fast, exact))
        assert found.text == wanted.text
        assert found.confidence == pytest.approx(wanted.confidence, abs=0.1)
