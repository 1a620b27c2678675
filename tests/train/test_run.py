"""Both stages on a tiny model, as real processes where a kill is part of the story."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file

from chatspot.errors import RecipeError, TrainingError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.train.loop import METRICS, STATE, read_metrics
from chatspot.train.recipe import parse_recipe
from chatspot.train.run import Places, train

ALIGN = {"stage": "align", "learning_rate": 1e-3, "batch_tokens": 512, "checkpoint_every": 2, "epochs": 2.0,
         "projector_start": "answers", "sources": [{"folder": "shapes", "questions": {"captions": 1}}]}  # fmt: skip
INSTRUCT = {**ALIGN, "stage": "instruct", "projector_start": "random", "lora_rank": 4}
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def aligned(tiny_nano: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished align run."""
    folder = tmp_path_factory.mktemp("runs")
    train(parse_recipe(ALIGN, "test"), Places((drawn,), folder / "align", folder / "features", tiny_nano), QUIET)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_align_trains_the_projector_and_keeps_the_rest_bit_equal(aligned: Path, tiny_nano: Path) -> None:
    before, after = weights(tiny_nano), weights(aligned / "align" / "checkpoint")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    moved_on_purpose = {"vision_tower.feature_mean", "vision_tower.feature_scale"}  # the start measures them
    assert {name.split("model.")[-1] for name in changed} == moved_on_purpose | {
        "multi_modal_projector.linear_1.weight",
        "multi_modal_projector.linear_1.bias",
    }


def test_instruct_trains_projector_and_decoder_layers(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    start = aligned / "align" / "checkpoint"
    run = tmp_path / "instruct"
    finished = train(parse_recipe(INSTRUCT, "test"), Places((drawn,), run, aligned / "features", start), QUIET)
    assert finished.complete
    before, after = weights(start), weights(run / "checkpoint")
    assert set(before) == set(after)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert all("vision_tower" in name or "linear_2" in name or "norm" in name or "embed" in name for name in same)
    assert any("q_proj" in name for name in set(before) - same)
    lines = read_metrics(run / METRICS)
    assert len(lines) == finished.steps
    assert sum(line["loss"] for line in lines[-3:]) < sum(line["loss"] for line in lines[:3])
    assert (run / "curve.png").stat().st_size > 1000
    load_checkpoint(run / "checkpoint")


def test_a_run_goes_on_after_another(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    """With a learning rate of next to nothing the second run ends where the first did, and not at its start."""
    start, features = aligned / "align" / "checkpoint", aligned / "features"
    first, second = tmp_path / "first", tmp_path / "second"
    train(parse_recipe(INSTRUCT, "test"), Places((drawn,), first, features, start), QUIET)
    still = parse_recipe({**INSTRUCT, "learning_rate": 1e-30, "projector_learning_rate": 1e-30, "seed": 1}, "test")
    train(still, Places((drawn,), second, features, start, after=first), QUIET)
    ended, begun = weights(first / "checkpoint"), weights(start)
    for name, value in weights(second / "checkpoint").items():
        assert torch.allclose(value.float(), ended[name].float(), atol=1e-3), name
    assert any(not torch.equal(ended[name], begun[name]) for name in ended)
    assert len(read_metrics(second / METRICS)) > 0
    other = parse_recipe({**INSTRUCT, "lora_rank": 2}, "test")
    with pytest.raises(RecipeError, match="does not fit this recipe"):
        train(other, Places((drawn,), tmp_path / "other", features, start, after=first), QUIET)
    with pytest.raises(RecipeError, match="holds no state"):
        train(still, Places((drawn,), tmp_path / "none", features, start, after=tmp_path), QUIET)


def test_full_instruct_trains_all_but_the_tower(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    recipe = parse_recipe({**INSTRUCT, "lora_rank": 0, "epochs": 0.3}, "test")
    start = aligned / "align" / "checkpoint"
    train(recipe, Places((drawn,), tmp_path / "run", aligned / "features", start), QUIET)
    before, after = weights(start), weights(tmp_path / "run" / "checkpoint")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert all("vision_tower" in name or "linear_2" in name for name in same)


def command(recipe: Path, drawn: Path, run: Path, features: Path, start: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("chatspot"))
    return [program, "train", "instruct", str(recipe), "--data", str(drawn), "--out", str(run),
            "--features", str(features), "--start", str(start)]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed_gives_the_same_loss_curve(
    number: signal.Signals, aligned: Path, drawn: Path, tmp_path: Path
) -> None:
    values = {**INSTRUCT, "epochs": 8.0}
    recipe, start = tmp_path / "recipe.yaml", aligned / "align" / "checkpoint"
    recipe.write_text(yaml.safe_dump(values))
    whole = tmp_path / "whole"
    train(parse_recipe(values, "test"), Places((drawn,), whole, aligned / "features", start), QUIET)
    run = tmp_path / "killed"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    arguments = command(recipe, drawn, run, aligned / "features", start)
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 120
        while len(read_metrics(run / METRICS)) < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        output = process.communicate(timeout=120)[0].decode()
    total = len(read_metrics(whole / METRICS))
    assert process.returncode == (0 if number == signal.SIGTERM else -signal.SIGKILL), output
    assert 5 <= len(read_metrics(run / METRICS)) < total, "the run ended before it was killed"
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    curve = [(line["step"], line["loss"]) for line in read_metrics(run / METRICS)]
    assert curve == [(line["step"], line["loss"]) for line in read_metrics(whole / METRICS)]


def test_a_damaged_state_falls_back_to_the_previous_one(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    run, start = tmp_path / "run", aligned / "align" / "checkpoint"
    places = Places((drawn,), run, aligned / "features", start)
    train(parse_recipe(INSTRUCT, "test"), places, QUIET)
    curve = read_metrics(run / METRICS)
    (run / STATE).write_bytes((run / STATE).read_bytes()[:100])
    train(parse_recipe(INSTRUCT, "test"), places, QUIET)
    assert [line["loss"] for line in read_metrics(run / METRICS)] == [line["loss"] for line in curve]


def test_a_loss_that_is_no_number_stops_the_run_and_loses_nothing(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    values = {**INSTRUCT, "lora_rank": 0, "learning_rate": 1e30, "warmup_share": 0.0, "checkpoint_every": 100}
    recipe, run = parse_recipe(values, "test"), tmp_path / "run"
    with pytest.raises(TrainingError, match="should be finite"):
        train(recipe, Places((drawn,), run, aligned / "features", aligned / "align" / "checkpoint"), QUIET)
    lines = read_metrics(run / METRICS)
    assert lines
    assert torch.load(run / STATE, weights_only=True)["step"] == len(lines)


def test_a_run_folder_belongs_to_one_recipe(aligned: Path, drawn: Path, tiny_nano: Path) -> None:
    other = parse_recipe({**ALIGN, "seed": 5}, "test")
    with pytest.raises(RecipeError, match="another recipe"):
        train(other, Places((drawn,), aligned / "align", aligned / "features", tiny_nano), QUIET)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sources": []}, "sources"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"learning_rte": 1e-3}, "did you mean 'learning_rate'"),
        ({"sources": [{"folder": "a", "questions": {"repeat": 2}}]}, "did you mean 'repeats'"),
        ({"stage": "tune"}, "stage"),
    ],
)
def test_recipes_that_cannot_run(change: dict, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        parse_recipe({**ALIGN, **change}, "recipe.yaml")


def test_missing_source_is_named(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    recipe = parse_recipe({**ALIGN, "sources": [{"folder": "nowhere"}]}, "test")
    with pytest.raises(RecipeError, match="nowhere"):
        train(recipe, Places((drawn,), tmp_path / "run", tmp_path / "features", tiny_nano), QUIET)


def test_the_run_stores_its_recipe(aligned: Path) -> None:
    stored = json.loads((aligned / "align" / "recipe.json").read_text())
    assert stored["stage"] == "align"
    assert stored["checkpoint_every"] == 2
