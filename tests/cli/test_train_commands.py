"""``chatspot train`` from the command line: what is refused beforehand, a plan, a run on one's own data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from chatspot.cli.main import app
from chatspot.model.box_head import BoxHead, maps_of
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from lively_model import save_lively_nano

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["--set", "epochs=1", "--set", "abilities=false", "--set", "batch_tokens=512", "--set", "low_rank.rank=2"]


def train(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of somebody's own, with their regions in ``my_regions.jsonl``."""
    folder = tmp_path_factory.mktemp("own")
    lines = []
    for number in range(8):
        name, colour = ("jam", "red") if number % 2 else ("tea", "green")
        picture = Image.new("RGB", (96, 64), "white")
        picture.paste(colour, (8, 8, 60, 56))
        picture.save(folder / f"{number}.png")
        regions = [{"box": [8, 8, 60, 56], "label": name}]
        lines.append(json.dumps({"image": f"{number}.png", "width": 96, "height": 64, "regions": regions}))
    (folder / "my_regions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def start(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint to start from."""
    return save_lively_nano(tiny_nano, tmp_path_factory.mktemp("start") / "nano")


@pytest.mark.parametrize("command", [[], ["tower"], ["align"], ["instruct"], ["boxes"], ["rehearse"]])
def test_help(command: list[str]) -> None:
    assert train(*command, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["align", "--data", ".", "--out", "run"], 2, "recipe"),
        (["instruct", "--out", "run"], 2, "--data"),
        (["instruct", "--data", "."], 2, "--out"),
        (["align", "none.yaml", "--data", ".", "--out", "run"], 7, "no recipe at none.yaml"),
        (["align", CONFIGS / "tiny/instruct.yaml", "--data", ".", "--out", "run"], 7, "for 'chatspot train instruct'"),
        (["instruct", CONFIGS / "tiny/align.yaml", "--data", ".", "--out", "run"], 7, "for 'chatspot train align'"),
        (["instruct", CONFIGS / "tiny/instruct.yaml", "--data", "a.jsonl", "--out", "run"], 7, "is no folder"),
        (["instruct", "--data", "nowhere", "--out", "run"], 7, "nowhere is neither"),
        (["instruct", "--data", "nowhere", "--out", "run", "--mean"], 7, "--after RUN and --ship FOLDER"),
        (["instruct", "--data", "nowhere", "--out", "run", "--after", "nano", "--start", "."], 7, "leave --start"),
        (["instruct", CONFIGS / "tiny/instruct.yaml", "--data", ".", "--out", "run", "--set", "epochs"], 7,
         "key=value"),
        (["instruct", CONFIGS / "tiny/instruct.yaml", "--data", ".", "--out", "run", "--set", "epoch=1"], 7,
         "did you mean 'epochs'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_and_leaves_nothing(
    arguments: list[Any], exit_code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(*arguments)
    assert result.exit_code == exit_code, result.output
    assert says in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_called_nano_is_a_run(own: Path, start: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """``--after nano`` means what ships only where no folder has that name."""
    monkeypatch.chdir(tmp_path)
    Path("nano").mkdir()
    result = train("instruct", "--data", own / "my_regions.jsonl", "--out", "run", "--start", start, "--after", "nano",
                   *QUICK)  # fmt: skip
    assert result.exit_code == 7, result.output
    assert "nano holds no state" in result.output


def test_a_plan_trains_nothing(own: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train("instruct", "--data", own / "my_regions.jsonl", "--out", run, "--start", start, "--plan", *QUICK)
    assert result.exit_code == 0, result.output
    assert "memory" in result.output
    assert not (run / "checkpoint").exists()
    assert not (run / "metrics.jsonl").exists()


def test_a_file_of_ones_own_is_enough(own: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train("instruct", "--data", own / "my_regions.jsonl", "--out", run, "--start", start, *QUICK)
    assert result.exit_code == 0, result.output
    recipe = json.loads((run / "recipe.json").read_text("utf-8"))
    assert "my_regions.jsonl" in json.dumps(recipe)
    assert (run / "checkpoint" / "model.safetensors").is_file()
    answer = CliRunner().invoke(app, ["ask", "--model", str(run / "checkpoint"), str(own / "0.png"), "What is this?"])
    assert answer.exit_code == 0, answer.output


def test_a_tuned_checkpoint_keeps_its_box_head(own: Path, start: Path, tmp_path: Path) -> None:
    opened = load_checkpoint(start)
    maps = maps_of(opened.model.model.vision_tower.picture.float(), torch.zeros(1, 3, 64, 64))
    head = BoxHead([found.shape[1] for found in maps], opened.model.config.text_config.hidden_size).state_dict()
    folder = save_checkpoint(tmp_path / "start", opened.model, opened.processor, opened.settings, head)
    result = train("instruct", "--data", own / "my_regions.jsonl", "--out", tmp_path / "run", "--start", folder, *QUICK)
    assert result.exit_code == 0, result.output
    kept = load_checkpoint(tmp_path / "run" / "checkpoint").box_head
    assert kept is not None
    assert all(torch.equal(kept[name], head[name]) for name in head)
    assert load_checkpoint(start).box_head is None


def test_boxes_are_learnt_from_a_folder_of_ones_own(own: Path, start: Path, tmp_path: Path) -> None:
    data, recipe, run = tmp_path / "data", tmp_path / "boxes.yaml", tmp_path / "run"
    shutil.copytree(own, data / "own")
    (data / "own" / "my_regions.jsonl").rename(data / "own" / "annotations.jsonl")
    recipe.write_text("sources: [{folder: own, cuts: 0}]\nepochs: 1\nbatch: 8\nheld_share: 0.3\n")
    result = train("boxes", recipe, "--data", data, "--out", run, "--start", start)
    assert result.exit_code == 0, result.output
    assert f"{run / 'nano-box-head.safetensors'}: iou50" in result.output
    assert (tmp_path / "box-maps").is_dir()
    failed = train("boxes", recipe, "--data", tmp_path / "none", "--out", tmp_path / "other", "--start", start)
    assert failed.exit_code == 7


def test_rehearsal_texts_are_written(start: Path, tmp_path: Path) -> None:
    file = tmp_path / "rehearsal.jsonl"
    result = train("rehearse", "--out", file, "--start", start, "--max-new-tokens", 3)
    assert result.exit_code == 0, result.output
    count = len(file.read_text("utf-8").splitlines())
    assert result.output.endswith(f"{count} of 172 conversations\n")


def test_a_model_that_invents_no_question_says_so(start: Path, tmp_path: Path) -> None:
    result = train("rehearse", "--out", tmp_path / "own.jsonl", "--start", start, "--invented", 1)
    assert result.exit_code == 8, result.output
    assert "invents no question that ends" in result.stderr
    assert not (tmp_path / "own.jsonl").exists()
