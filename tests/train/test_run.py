"""Both stages on a tiny model, as real processes where a kill is part of the story."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
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
from chatspot.train.loop import METRICS, read_metrics
from chatspot.train.planning.forecast import PAPER, plan_training
from chatspot.train.recipe import load_recipe, parse_recipe
from chatspot.train.run import Places, train

ALIGN = {"stage": "align", "learning_rate": 1e-3, "batch_tokens": 512, "checkpoint_every": 2, "epochs": 2.0,
         "abilities": False, "sources": [{"folder": "shapes", "questions": {"captions": 1}}]}  # fmt: skip
INSTRUCT = {**ALIGN, "stage": "instruct", "low_rank": {"rank": 4}}
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def aligned(tiny_nano: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished align run."""
    folder = tmp_path_factory.mktemp("runs")
    train(parse_recipe(ALIGN, "test"), Places((drawn,), folder / "align", folder / "features", tiny_nano), QUIET)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def changed(before: Path, after: Path) -> set[str]:
    """The tensors that are not bit-equal in two checkpoints of the same names."""
    old, new = weights(before), weights(after)
    assert set(old) == set(new)
    return {name.removeprefix("model.") for name in old if not torch.equal(old[name], new[name])}


def test_align_trains_the_projector_and_keeps_the_rest_bit_equal(aligned: Path, tiny_nano: Path) -> None:
    assert changed(tiny_nano, aligned / "align" / "checkpoint") == {
        "multi_modal_projector.linear_1.weight",
        "multi_modal_projector.linear_1.bias",
    }


def test_instruct_trains_projector_and_decoder_layers(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    start, run = aligned / "align" / "checkpoint", tmp_path / "instruct"
    recipe = parse_recipe({**INSTRUCT, "learning_rate": 3e-3, "epochs": 4.0}, "test")
    finished = train(recipe, Places((drawn,), run, aligned / "features", start), QUIET)
    assert finished.complete
    moved = changed(start, run / "checkpoint")
    assert {name.split(".")[-2] for name in moved} == {
        "linear_1", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    lines = read_metrics(run / METRICS)
    assert len(lines) == finished.step
    assert sum(line["loss"] for line in lines[-3:]) < sum(line["loss"] for line in lines[:3])
    assert (run / "curve.png").stat().st_size > 1000
    page = html.unescape(re.sub("<[^>]*>", "", (run / "first_sample.html").read_text("utf-8")))
    assert "Answer in short." in page
    assert "language model" in (run / "parts.txt").read_text("utf-8")
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
    other = parse_recipe({**INSTRUCT, "low_rank": {"rank": 2}}, "test")
    with pytest.raises(RecipeError, match="does not fit this recipe"):
        train(other, Places((drawn,), tmp_path / "other", features, start, after=first), QUIET)
    with pytest.raises(RecipeError, match="holds no state"):
        train(still, Places((drawn,), tmp_path / "none", features, start, after=tmp_path), QUIET)


def test_a_run_goes_on_from_the_file_of_an_update(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    """As nano does: what ships is an update and no state. The decoder ends where the first run's did."""
    start, features = aligned / "align" / "checkpoint", aligned / "features"
    first, second = tmp_path / "first", tmp_path / "second"
    train(parse_recipe(INSTRUCT, "test"), Places((drawn,), first, features, start), QUIET)
    update = first / "lora.safetensors"
    still = parse_recipe({**INSTRUCT, "learning_rate": 1e-30, "epochs": 0.5, "seed": 1}, "test")
    train(still, Places((drawn,), second, features, start, update=update), QUIET)
    ended, begun = weights(first / "checkpoint"), weights(start)
    decoder = [name for name in ended if name.endswith("_proj.weight")]
    assert any(not torch.equal(ended[name], begun[name]) for name in decoder)
    for name, value in weights(second / "checkpoint").items():
        wanted = ended if name in decoder else begun
        assert torch.allclose(value.float(), wanted[name].float(), atol=1e-3), name
    for low_rank in ({"rank": 2}, {"rank": 4, "alpha": 8}, {}):
        other = parse_recipe({**INSTRUCT, "low_rank": low_rank}, "test")
        with pytest.raises(RecipeError, match=r"low_rank\.rank=4 and low_rank\.alpha=64"):
            train(other, Places((drawn,), tmp_path / "other", features, start, update=update), QUIET)
        shutil.rmtree(tmp_path / "other")


def test_full_instruct_trains_all_but_the_tower(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    recipe = parse_recipe({**INSTRUCT, "low_rank": {}, "epochs": 0.3}, "test")
    start = aligned / "align" / "checkpoint"
    train(recipe, Places((drawn,), tmp_path / "run", aligned / "features", start), QUIET)
    moved = changed(start, tmp_path / "run" / "checkpoint")
    still = {name.removeprefix("model.") for name in weights(start)} - moved
    assert all("vision_tower" in name or "linear_2" in name for name in still)


def test_pixels_in_each_step_train_as_kept_features_do(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    """Kept features are float16, so the curves agree to their precision."""
    curves = []
    for keep in (True, False):
        recipe = parse_recipe({**INSTRUCT, "keep_features": keep, "epochs": 1.0}, "test")
        run = tmp_path / str(keep)
        places = Places((drawn,), run, tmp_path / "features", aligned / "align" / "checkpoint")
        train(recipe, places, QUIET)
        curves.append([line["loss"] for line in read_metrics(run / METRICS)])
    assert curves[0] == pytest.approx(curves[1], abs=2e-3)


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
    found, wanted = ([line["loss"] for line in read_metrics(folder / METRICS)] for folder in (run, whole))
    assert found == pytest.approx(wanted, abs=1e-5)  # another process sums in another order: its memory lies otherwise


def test_what_cannot_be_used_is_skipped_and_listed(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "shapes" / "images").mkdir(parents=True)
    for file in (drawn / "shapes" / "images").iterdir():
        (data / "shapes" / "images" / file.name).write_bytes(file.read_bytes())
    lines = (drawn / "shapes" / "annotations.jsonl").read_text().splitlines()
    (data / "shapes" / "annotations.jsonl").write_text("\n".join(["{cut", *lines]) + "\n")
    broken = data / "shapes" / "images" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    recipe, run = parse_recipe({**INSTRUCT, "epochs": 1.0}, "test"), tmp_path / "run"
    train(recipe, Places((data,), run, tmp_path / "f", aligned / "align" / "checkpoint"), QUIET)
    listed = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert {Path(line["where"].rpartition(":")[0] or line["where"]).name for line in listed} == {
        "annotations.jsonl", "3.png",
    }  # fmt: skip
    assert read_metrics(run / METRICS)[-1]["skipped"] >= 2  # what is read ahead counts too


def test_a_loss_that_is_no_number_stops_the_run_and_loses_nothing(aligned: Path, drawn: Path, tmp_path: Path) -> None:
    values = {**INSTRUCT, "low_rank": {}, "learning_rate": 1e30, "warmup_share": 0.0, "checkpoint_every": 100}
    recipe, run = parse_recipe(values, "test"), tmp_path / "run"
    with pytest.raises(TrainingError, match="should be finite"):
        train(recipe, Places((drawn,), run, aligned / "features", aligned / "align" / "checkpoint"), QUIET)
    lines = read_metrics(run / METRICS)
    assert lines
    states = [json.loads((folder / "state.json").read_text()) for folder in (run / "state").iterdir()]
    assert max(state["step"] for state in states) == len(lines)


def test_a_run_folder_belongs_to_one_recipe(aligned: Path, drawn: Path, tiny_nano: Path) -> None:
    other = parse_recipe({**ALIGN, "seed": 5}, "test")
    with pytest.raises(RecipeError, match="another recipe"):
        train(other, Places((drawn,), aligned / "align", aligned / "features", tiny_nano), QUIET)


def test_a_run_folder_that_cannot_be_made_is_named(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="cannot be written"):
        train(parse_recipe(ALIGN, "test"), Places((drawn,), tmp_path / "file" / "run", tmp_path, tiny_nano), QUIET)


def test_missing_source_is_named(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    recipe = parse_recipe({**ALIGN, "sources": [{"folder": "nowhere"}]}, "test")
    with pytest.raises(RecipeError, match="nowhere"):
        train(recipe, Places((drawn,), tmp_path / "run", tmp_path / "features", tiny_nano), QUIET)


def test_the_run_stores_its_recipe(aligned: Path) -> None:
    stored = json.loads((aligned / "align" / "recipe.json").read_text())
    assert parse_recipe(stored, "test") == parse_recipe(ALIGN, "test")


def test_a_plan_counts_the_data_and_measures_the_machine(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    said: list[str] = []
    planned = plan_training(
        parse_recipe(INSTRUCT, "test"), Places((drawn,), tmp_path / "run", tmp_path / "f", tiny_nano), say=said.append
    )
    assert planned.workload is not None
    assert planned.workload.dialogues == pytest.approx(12, abs=1)
    assert planned.seconds is not None
    assert planned.seconds > 0
    assert not said
    assert not (tmp_path / "run").exists(), "a plan trains nothing"


def test_a_plan_without_data_or_weights_says_so(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = parse_recipe({**INSTRUCT, "sources": [{"folder": "nowhere"}]}, "test")
    planned = plan_training(recipe, Places((drawn,), tmp_path, tmp_path / "f", tiny_nano), say=said.append)
    assert planned.workload is None
    assert "nowhere" in said.pop()
    paper = load_recipe(Path(__file__).parents[2] / "configs" / "chatspot-7b" / "instruct.yaml")
    places = Places((drawn,), tmp_path, tmp_path / "f", Path(PAPER))
    assert plan_training(paper, places, processes=8, gpu_gb=80, say=said.append).bytes < 80e9
    assert "published sizes" in said.pop()
    with pytest.raises(RecipeError, match="nearest that fits is"):
        plan_training(paper, places, gpu_gb=80)


def test_what_cannot_fit_is_refused_before_anything_starts(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    recipe = parse_recipe({**INSTRUCT, "row_tokens": 2048, "micro_rows": 10_000_000}, "test")
    places = Places((drawn,), tmp_path / "run", tmp_path / "f", tiny_nano)
    with pytest.raises(RecipeError, match="nearest that fits is --set micro_rows="):
        train(recipe, places, QUIET)
    assert not (tmp_path / "run" / "parts.txt").exists()
