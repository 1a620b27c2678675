"""``chatspot eval`` from end to end, on a tiny random checkpoint with the engine that answers for real."""

from __future__ import annotations

import json
import os

import pytest
from original_files import coco_val, detections
from reference import picture, write_folder
from typer.testing import CliRunner

from chatspot.cli.eval_commands import eval_app
from chatspot.errors import DataError
from chatspot.eval.predictions import read_predictions
from chatspot.eval.tables import BEGIN, END


def run(*arguments) -> str:
    """The output of a command that succeeds."""
    result = CliRunner().invoke(eval_app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def result_folder(tiny_nano, tmp_path_factory):
    """Predictions and results of the tiny model, with and without focal view."""
    folder = tmp_path_factory.mktemp("evaluated")
    boxes = [{"box": [0, 0, 50, 40], "label": "person"}, {"box": [10, 10, 60, 60], "label": "dog"}]
    data = write_folder(folder / "coco", [picture("one", *boxes), picture("two", *boxes, size=(60, 90))])
    for name, options in {"on": (), "off": ("--way", "text", "--form", "point")}.items():
        predictions = folder / f"{name}.jsonl"
        said = run("predict", "--task", "coco", "--data", data, "--out", predictions, "--model", tiny_nano, "--device",
                   "cpu", "--batch", 3, *options)  # fmt: skip
        assert "4 questions, 0 were answered before, 4 now" in said
        said = run("score", predictions, "--matching", "words", "--out", folder / "results" / f"{name}.json")
        assert "4 answers about 2 pictures" in said
        assert "always 'dog'" in said
    return folder


def test_predictions_and_results_say_what_they_were_made_from(result_folder):
    results = {
        name: json.loads((result_folder / "results" / f"{name}.json").read_text("utf-8")) for name in ("on", "off")
    }
    for name, result in results.items():
        header = read_predictions(result_folder / f"{name}.jsonl").header
        assert (result["n"], result["errors"], result["pictures"]) == (4, 0, 2)
        assert result["way"] == ("focal" if name == "on" else "text")
        assert result["form"] == ("box" if name == "on" else "point")
        assert list(result["model"]["files"]) == ["model.safetensors"]
        assert len(result["model"]["files"]["model.safetensors"]) == len(result["data"]["annotations_sha256"]) == 64
        assert result["model"]["dtype"] in ("float32", "bfloat16")
        assert result["commit"]
        assert result["command"] == header.command
        assert str(result_folder) not in json.dumps(result)  # no path of this machine
    assert results["off"]["command"] == (
        "chatspot eval predict --task coco --form point --data PHOTOS/heldout/coco --model nano --way text "
        "--batch 3 --out off.jsonl"
    )


def test_answers_do_not_depend_on_the_batch(result_folder, tiny_nano, tmp_path):
    run("predict", "--task", "coco", "--data", result_folder / "coco", "--out", tmp_path / "p.jsonl", "--model",
        tiny_nano, "--device", "cpu", "--batch", 1)  # fmt: skip
    alone = read_predictions(tmp_path / "p.jsonl").predictions
    together = read_predictions(result_folder / "on.jsonl").predictions
    assert {p.id: p.answer for p in alone.values()} == {p.id: p.answer for p in together.values()}


def test_a_second_run_asks_nothing(result_folder, tiny_nano):
    said = run("predict", "--task", "coco", "--data", result_folder / "coco", "--out", result_folder / "on.jsonl",
               "--model", tiny_nano, "--device", "cpu")  # fmt: skip
    assert "4 were answered before, 0 now" in said


def test_tables_are_written_where_markers_are(result_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"README.md": f"{BEGIN}\n{END}\n", "MODEL_CARD.md": "no markers\n"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    results = os.path.relpath(result_folder / "results")
    assert "README.md: updated" in run("tables", "--results", results)
    assert "README.md: up to date" in run("tables", "--results", results)
    assert (tmp_path / "README.md").read_text("utf-8").count("| nano |") == 2
    assert (tmp_path / "MODEL_CARD.md").read_text("utf-8") == "no markers\n"
    (tmp_path / "MODEL_CARD.md").write_text(f"{BEGIN}\n{END}\n", "utf-8")
    assert "MODEL_CARD.md: updated" in run("tables", "--results", results)
    (tmp_path / "page.md").write_text(f"{BEGIN}\n{END}\n", "utf-8")
    assert "page.md: updated" in run("tables", "--results", results, "--file", "page.md")


def test_a_transcript_is_written(result_folder, tiny_nano, tmp_path):
    said = run("transcript", "--data", result_folder / "coco", "--n", 2, "--out", tmp_path / "transcript", "--photos",
               tmp_path / "runs", "--model", tiny_nano, "--device", "cpu")  # fmt: skip
    assert f"wrote {tmp_path / 'transcript.md'}" in said
    page = (tmp_path / "transcript.md").read_text("utf-8")
    assert "`chatspot eval transcript --data PHOTOS/heldout/coco --n 2 --model nano --focal-view`" in page
    assert page.startswith("# 2 questions, as they fell")


def test_wrong_arguments_are_said(result_folder, tmp_path):
    data, out = ("--data", result_folder / "coco"), ("--out", tmp_path / "p")
    with pytest.raises(DataError, match="no task 'vqa'"):
        run("predict", "--task", "vqa", *data, *out)
    with pytest.raises(DataError, match="not by 'circle'"):
        run("predict", "--task", "coco", "--form", "circle", *data, *out)
    with pytest.raises(DataError, match="there are no predictions"):
        run("score", tmp_path / "nowhere")


def test_held_out_photos_are_asked_with_the_engine_that_answers_for_real(photos, tiny_nano, tmp_path):
    for task, folder in {"coco": "coco", "words": "icdar2015_word_crops", "plates": "license_plates"}.items():
        out = tmp_path / f"{task}.jsonl"
        run("predict", "--task", task, "--data", photos / "heldout" / folder, "--out", out, "--model", tiny_nano,
            "--device", "cpu", "--limit", 3)  # fmt: skip
        assert "3 answers about" in run("score", out, "--matching", "words")


def test_run_asks_and_scores_in_one(result_folder, tiny_nano, tmp_path):
    said = run("run", "--task", "coco", "--data", result_folder / "coco", "--out", tmp_path, "--noise", 0.2, "--model",
               tiny_nano, "--device", "cpu", "--matching", "words")  # fmt: skip
    assert "coco by box, s = 0.2, shown as focal view: 4 answers about 2 pictures" in said
    result = json.loads((tmp_path / "coco-s0.2.json").read_text("utf-8"))
    assert (result["noise"], result["matching"]) == (0.2, {"rule": "words", "agreement": None})
    assert "--noise 0.2" in result["command"]
    for title in ("right answers", "mean over classes", "names the neighbour, of all answers", "AP without ranking"):
        assert title in said


def test_two_files_are_compared(result_folder, tmp_path):
    said = run("compare", result_folder / "on.jsonl", result_folder / "off.jsonl", "--matching", "words", "--out",
               tmp_path / "c.json")  # fmt: skip
    assert "coco: nano by point (text, s = 0) against nano by box (focal, s = 0), 4 questions about 2 pictures" in said
    assert "accuracy" in said
    assert json.loads((tmp_path / "c.json").read_text("utf-8"))["kind"] == "comparison"


def test_the_tasks_are_listed():
    said = run("list")
    for name in ("coco", "detected", "presence", "count", "ground", "vizwiz", "pointqa"):
        assert f"\n{name} " in f"\n{said}"
    assert "or the original files of coco_val" in said


def test_pictures_are_drawn_and_asked_alone(tiny_nano, tmp_path):
    folder = coco_val(tmp_path / "coco")
    said = run("pictures", folder / "annotations" / "instances_val2017.json", "--n", 2, "--out", tmp_path / "two.txt")
    assert f"wrote {tmp_path / 'two.txt'}: 2 pictures, SHA-256 of their names" in said
    (tmp_path / "one.txt").write_text("# one\ncoco:285\n", "utf-8")
    boxes = detections(tmp_path / "dino.json", [(285, "cow", (20, 5, 160, 90), 0.8)])
    out = tmp_path / "p.jsonl"
    said = run("predict", "--task", "detected", "--data", folder, "--ids", tmp_path / "one.txt", "--detections", boxes,
               "--out", out, "--model", tiny_nano, "--device", "cpu")  # fmt: skip
    assert "1 questions, 0 were answered before, 1 now" in said
    header = read_predictions(out).header
    assert (header.data["source"], header.data["ids"], header.data["detections"]) == (
        "coco_val", "one.txt", "dino.json",
    )  # fmt: skip
    assert "--data ORIGINAL/coco" in header.command
