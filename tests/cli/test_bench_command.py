"""``chatspot bench`` as a process of its own, and what it refuses."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import chatspot as package
from chatspot.cli.main import app
from lively_model import save_lively_nano
from tiny_model import save_tiny_nano


@pytest.fixture(scope="session")
def wide_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with heads of 16, as ONNX Runtime's attention needs them."""
    folder = tmp_path_factory.mktemp("wide")
    return save_lively_nano(save_tiny_nano(folder / "tiny", hidden=64), folder / "nano")


def test_a_run_tells_every_stage_and_its_bound(wide_nano: Path, tmp_path: Path):
    command = [sys.executable, "-m", "chatspot", "bench", "--runs", "1", "--engine", "onnx", "--json", "speed.json"]
    done = subprocess.run(
        [*command, "--model", str(wide_nano)], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "CHATSPOT_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "speed.json").read_text("utf-8"))
    assert (found["chatspot"], found["runs"]) == (package.__version__, 1)
    assert (found["checkpoint"], found["engine"], found["device"]) == (wide_nano.name, "onnx", "cpu")
    (built,) = (tmp_path / "cache").glob("onnx-*/language.onnx.data")
    costs, rates = found["costs"], found["rates"]
    assert costs["token_bytes"] == built.stat().st_size
    assert costs["weight_bytes"] == built.stat().st_size + (built.parent / "tower.onnx.data").stat().st_size
    assert all(0 < rate < math.inf for rate in rates.values())
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert len(stages) == len(found["stages"]) == 10
    for name, stage in stages.items():
        assert name in done.stdout
        assert 0 < stage["measured"] < math.inf
        if stage["bound"] is None:
            assert stage["share"] is None
        else:
            assert 0 < stage["bound"] < math.inf
            ratio = stage["measured"] / stage["bound"]
            assert stage["share"] == pytest.approx(ratio if stage["unit"] == "tokens/s" else 1 / ratio)
    assert {name for name, stage in stages.items() if stage["bound"] is None} == {"opening again", "... times as fast"}
    token_s = costs["token_bytes"] / rates["read_bytes"]
    operations_s = (costs["layer_operations"] + costs["head_operations"]) / rates["language_operations"]
    assert stages["decoding"]["bound"] == pytest.approx(1 / max(token_s, operations_s))
    view_s = costs["view_operations"] / rates["tower_operations"]
    assert stages["vision tower, a view"]["bound"] == pytest.approx(view_s)
    times = stages["16 questions by turns"]["measured"] / stages["16 questions together"]["measured"]
    assert stages["... times as fast"]["measured"] == pytest.approx(times)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--runs", "0"], 2, "Invalid value for '--runs'"),
        (["--runs", "many"], 2, "Invalid value for '--runs'"),
        (["--engine", "remote"], 2, "Invalid value for '--engine'"),
        (["--model", ""], 5, "checkpoint"),
        (["--model", "no/such/folder"], 5, "there is no checkpoint folder"),
        (["--model", "http://127.0.0.1:8000/v1"], 5, "run it on the server's machine"),
        (["--model", "HTTPS://example.org"], 5, "run it on the server's machine"),
        (["--engine", "onnx", "--device", "cuda"], 4, "computes on the CPU"),
        (["--json", "no/such/folder/speed.json"], 6, "should be a file in a folder that exists"),
        (["--json", "."], 6, "should be a file in a folder that exists"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(arguments: list[str], code: int, told: str):
    result = CliRunner().invoke(app, ["bench", *arguments], env={"COLUMNS": "200"})
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
