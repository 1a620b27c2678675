"""Graphs that are built once: for checkpoints that they can compute, whole or not at all, made again when lost."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from chatspot.engine.onnx import session
from chatspot.engine.onnx.build import BUILT, LANGUAGE, TOWER, built_files
from chatspot.engine.onnx.onnx_engine import OnnxEngine
from chatspot.engine.onnx.products import BLOCK, block_bytes, row_bytes
from chatspot.engine.onnx.stored import StoredTensors
from chatspot.errors import CheckpointError

POSITIONS = 64


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("CHATSPOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def checkpoint(tiny_nano: Path, tmp_path: Path) -> Path:
    """A checkpoint to change."""
    return Path(shutil.copytree(tiny_nano, tmp_path / "nano"))


def folders(cache: Path) -> list[str]:
    """What lies in the cache, but for locks."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


# ------------------------------------------------------------------------------------------------- stored tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_stored_tensors_are_those_of_safetensors(dtype: torch.dtype, tmp_path: Path):
    whole = {"one": torch.randn(5, 3), "none": torch.zeros(0, 4), "alone": torch.tensor(2.5), "odd": torch.randn(7)}
    save_file({name: value.to(dtype) for name, value in whole.items()}, tmp_path / "model.safetensors", {"a": "b"})
    stored = StoredTensors(tmp_path)
    for name, value in whole.items():
        assert name in stored
        assert stored[name].dtype == np.float32
        assert np.array_equal(stored[name], value.to(dtype).float().numpy())
    assert np.array_equal(stored.rows("one", [4, 0, 4]), whole["one"].to(dtype).float().numpy()[[4, 0, 4]])
    with pytest.raises(IndexError):
        stored.rows("one", [5])
    assert "two" not in stored
    with pytest.raises(CheckpointError, match="no tensor two"):
        stored["two"]


@pytest.mark.parametrize(
    "content",
    [b"", b"1234567", b"\xff" * 64, (10**6).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]",
     (60).to_bytes(8, "little") + b'{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}      '.ljust(68),
     (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}      '.ljust(68)],
)  # fmt: skip
def test_damaged_weights_are_an_error(content: bytes, tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        StoredTensors(tmp_path)


# ---------------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("columns", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 5])
def test_rounded_weights_are_near(columns: int):
    weight = np.random.default_rng(0).normal(size=(6, columns)).astype(np.float32)
    weight[2] = 0
    values, scales = block_bytes(weight)
    assert values.shape == (6, -(-columns // BLOCK), BLOCK)
    assert scales.shape == values.shape[:2]
    by_blocks = ((values.astype(np.float32) - 128) * scales[..., None]).reshape(6, -1)[:, :columns]
    signed, steps = row_bytes(weight)
    for back in (by_blocks, signed * steps[:, None]):
        assert np.abs(back - weight).max() <= np.abs(weight).max() / 127 * 0.51
        assert (back[2] == 0).all()


# --------------------------------------------------------------------------------------------------- built once


def test_built_once_and_found_again(checkpoint: Path, cache: Path):
    folder = built_files(checkpoint, "int8", POSITIONS)
    assert {LANGUAGE, f"{LANGUAGE}.data", TOWER, f"{TOWER}.data", BUILT} == {path.name for path in folder.iterdir()}
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert built_files(checkpoint, "int8", POSITIONS) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert folders(cache) == [folder.name]


def test_other_weights_settings_or_precision_are_other_files(checkpoint: Path, cache: Path):
    found = [built_files(checkpoint, "int8", POSITIONS), built_files(checkpoint, "float32", POSITIONS)]
    found.append(built_files(checkpoint, "int8", POSITIONS + 1))
    weights = load_file(checkpoint / "model.safetensors")
    weights["vision_tower.feature_mean"] += 1
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    found.append(built_files(checkpoint, "int8", POSITIONS))
    assert len(set(found)) == len(folders(cache)) == 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path) -> None:
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


FILES = (LANGUAGE, f"{LANGUAGE}.data", TOWER, f"{TOWER}.data", BUILT)
# Weights that are other numbers of the same size cannot be told from the right ones at once.
HARMS = [(harm, name) for name in FILES for harm in (Path.unlink, cut)] + [(flipped, LANGUAGE), (flipped, TOWER)]
HARMS.append((flipped, BUILT))


@pytest.mark.parametrize(("harm", "name"), HARMS)
def test_damaged_files_are_built_again(harm: Callable[[Path], None], name: str, checkpoint: Path, cache: Path):
    folder = built_files(checkpoint, "float32", 2048)
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    harm(folder / name)
    engine = OnnxEngine(checkpoint, "float32")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == sound
    assert engine.decoder.layers == 2


BUILDING = """
import sys
from pathlib import Path
from chatspot.engine.onnx.build import built_files
print(built_files(Path(sys.argv[1]), "int8", 64))
"""


def builder(checkpoint: Path, before: str = "") -> subprocess.Popen[str]:
    """A process that builds."""
    command = [sys.executable, "-c", before + BUILDING, str(checkpoint)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def test_a_killed_build_leaves_nothing_in_the_way(checkpoint: Path, cache: Path):
    limited = "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    process = builder(checkpoint, limited + "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n")
    process.communicate()
    assert process.returncode == -signal.SIGXFSZ
    assert any(cache.glob(".*/*")), "it was killed as it wrote"
    folder = built_files(checkpoint, "int8", POSITIONS)
    assert folders(cache) == [folder.name]


def test_several_processes_build_once(checkpoint: Path, cache: Path):
    processes = [builder(checkpoint) for _ in range(3)]
    said = [process.communicate() for process in processes]
    assert all(process.returncode == 0 for process in processes), said
    assert len({out for out, _ in said}) == 1
    assert len(folders(cache)) == 1


def test_a_disk_that_is_full_is_an_error(checkpoint: Path, cache: Path):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    process = builder(checkpoint, full)
    _, said = process.communicate()
    assert "CheckpointError" in said
    assert "make room there, set CHATSPOT_CACHE to another folder, or use the engine 'torch'" in said
    assert folders(cache) == []


def test_a_cache_that_is_a_file_is_an_error(checkpoint: Path, cache: Path):
    cache.write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        built_files(checkpoint, "int8", POSITIONS)


# ----------------------------------------------------------------------------- which checkpoints there are graphs for


@pytest.mark.parametrize(
    ("part", "name", "value", "needed"),
    [
        ("text_config", "hidden_act", "gelu", "a LLaMA language model"),
        ("text_config", "model_type", "mistral", "a LLaMA language model"),
        ("text_config", "attention_bias", True, "no biases"),
        ("text_config", "mlp_bias", True, "no biases"),
        ("text_config", "head_dim", 24, "heads of a multiple of 16 numbers"),
        ("text_config", "rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}, "plain rotary positions"),
        ("vision_config", "model_type", "clip_vision_model", "nano's vision tower"),
    ],
)
def test_other_models_are_refused(part: str, name: str, value: object, needed: str, checkpoint: Path, cache: Path):
    config = json.loads((checkpoint / "config.json").read_text())
    config[part][name] = value
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"needs {needed}; use the engine 'torch'"):
        built_files(checkpoint, "int8", POSITIONS)
    assert folders(cache) == []


@pytest.mark.parametrize(
    ("part", "name"),
    [("text_config", "rope_parameters"), ("text_config", "hidden_size"), ("vision_config", "model_type")],
)
def test_a_configuration_that_lacks_values_is_refused(part: str, name: str, checkpoint: Path, cache: Path):
    config = json.loads((checkpoint / "config.json").read_text())
    del config[part][name]
    config[part].pop("head_dim", None)
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config.json lacks a value .* use the engine 'torch'"):
        built_files(checkpoint, "int8", POSITIONS)


def test_another_kind_of_checkpoint_is_refused(lively_7b: Path, cache: Path):
    with pytest.raises(CheckpointError, match="nano's vision tower, a single linear layer as projector"):
        OnnxEngine(lively_7b)


def test_a_second_projector_layer_is_refused(checkpoint: Path, cache: Path):
    weights = load_file(checkpoint / "model.safetensors")
    weights["multi_modal_projector.linear_2.weight"][0, 1] = 1
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="needs a single linear layer as projector;"):
        built_files(checkpoint, "int8", POSITIONS)


# -------------------------------------------------------------------------------------------- without torch, threads


def test_neither_torch_nor_transformers_is_imported(checkpoint: Path, cache: Path):
    asking = """
import sys
from pathlib import Path
from PIL import Image
from chatspot.engine.onnx.onnx_engine import OnnxEngine
from chatspot.regions import Box
from chatspot.spot import ChatSpot
spot = ChatSpot(OnnxEngine(Path(sys.argv[1])))
spot.ask(Image.new("RGB", (60, 40)), "What?", Box.from_normalized(0.1, 0.1, 0.5, 0.5), max_new_tokens=3)
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", asking, str(checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("asked", "siblings", "quota", "threads"),
    [
        ("3", {0: "0", 1: "1"}, "max 100000", 3),
        ("", {0: "0-1", 1: "0-1"}, "max 100000", 1),
        ("", {0: "0", 1: "1"}, "max 100000", 2),
        ("", {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, "max 100000", 2),
        ("", {0: "0", 1: "1", 2: "2", 3: "3"}, "150000 100000", 2),
        ("", {0: "0", 1: "1"}, "10000 100000", 1),
        ("", {0: "0", 1: "1"}, "damaged", 2),
        ("", {0: None, 1: None}, None, 2),
        ("0", {0: "0"}, None, 1),
        ("many", {0: "0"}, None, 1),
    ],
)
def test_threads(
    asked: str, siblings: dict[int, str | None], quota: str | None, threads: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(session, "CPU_FOLDER", tmp_path)
    monkeypatch.setattr(session, "QUOTA_FILE", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    for number, listed in siblings.items():
        if listed is not None:
            topology = tmp_path / f"cpu{number}" / "topology"
            topology.mkdir(parents=True)
            (topology / "thread_siblings_list").write_text(f"{listed}\n")
    assert session.thread_count() == threads


@pytest.mark.parametrize(
    ("machine", "facts", "found"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512_vnni amx_int8\n", True),
        ("AMD64", "flags : avx2 avx_vnni", True),
        ("x86_64", "flags : avx2 avx512f", False),
        ("x86_64", "", False),
        ("x86_64", None, False),
        ("aarch64", None, True),
        ("arm64", None, True),
    ],
)
def test_what_the_processor_is_good_at(
    machine: str, facts: str | None, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(session, "CPU_FACTS", tmp_path / "cpuinfo")
    if facts is not None:
        (tmp_path / "cpuinfo").write_text(facts)
    assert session.multiplies_bytes() is found
