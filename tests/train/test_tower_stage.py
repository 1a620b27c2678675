"""The tower's stage: what views it learns from, that it learns, stops, goes on and hands its layers over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from chatspot.errors import RecipeError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.vision import tower_identity
from chatspot.regions import Box
from chatspot.train.part_stage import PartPlaces
from chatspot.train.tower.examples import tower_data
from chatspot.train.tower.recipe import TowerRecipe, load_tower_recipe
from chatspot.train.tower.stage import shares, train_tower

FORMS = {"point_share": 0, "polygon_share": 0, "mask_share": 0, "scribble_share": 0, "jitter": 0}
SHAPES = {"folder": "shapes", "views": 2, "exhaustive": True, "forms": FORMS}


def recipe(**changes: object) -> TowerRecipe:
    return TowerRecipe.model_validate({"sources": [SHAPES], "teacher": 0.0, "held_share": 0.0, **changes})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the recipe"),
        ("sources: []", "sources"),
        ("sources: [{folder: coco, view: 3}]", "did you mean 'views'"),
        ("sources: [{folder: coco}]\nbatch: 1", "batch"),
        ("sources: [{folder: coco}]\nlearning_rate: .nan", "learning_rate"),
        ("sources: [{folder: coco, forms: {jitter: 2}}]", "jitter"),
    ],
)
def test_a_recipe_that_is_none(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "tower.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_tower_recipe(file)


def test_the_views_of_annotated_pictures(drawn: Path) -> None:
    data = tower_data(recipe(), (drawn,))
    named = [one for one in data.learnt if one.name is not None]
    assert len(named) == 12 * 2 * 2  # two labelled boxes a picture, the third is text; two views of each
    assert set(data.names) == {"red", "green", "blue"}
    lines = (drawn / "shapes" / "annotations.jsonl").read_text().splitlines()
    first = json.loads(lines[0])["regions"][1]
    x1, y1, x2, y2 = first["box"]
    view = named[0].view.region
    assert isinstance(view, Box)
    assert view.bounds_xyxy == pytest.approx((x1 / 96, y1 / 64, x2 / 96, y2 / 64))
    assert list(data.names)[named[0].name or 0] == first["label"]
    whole = [one for one in data.learnt if one.cells is not None]
    assert len(whole) == 12
    middle = {list(data.names)[name] for cell, name in whole[0].cells or () if cell % 4 in (1, 2)}
    assert first["label"] in middle
    assert all(0 <= (one.count or 0) < 7 for one in data.learnt)
    assert data.held == []


def test_held_pictures_are_whole_pictures(drawn: Path) -> None:
    data = tower_data(recipe(held_share=0.4), (drawn,))
    pictures = [{one.view.picture for one in part} for part in (data.learnt, data.held)]
    assert not pictures[0] & pictures[1]
    assert all(pictures)


def test_common_names_are_shown_less_often_than_they_stand(drawn: Path) -> None:
    learnt = tower_data(recipe(), (drawn,)).learnt
    even = shares(learnt, 0.0)
    assert np.allclose(even, 1 / len(learnt))
    thinned = shares(learnt, 1.0)
    assert thinned.sum() == pytest.approx(1)
    counts = {name: sum(one.name == name for one in learnt) for name in {one.name for one in learnt} - {None}}
    common, rare = max(counts, key=lambda n: counts[n]), min(counts, key=lambda n: counts[n])
    assert counts[common] > counts[rare]
    by_name = {name: thinned[[one.name == name for one in learnt]][0] for name in (common, rare)}
    assert by_name[common] < by_name[rare]


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "annotations.jsonl").write_text("")
    with pytest.raises(RecipeError, match="no region with a name"):
        train_tower(recipe(), PartPlaces((tmp_path,), tmp_path / "run", tmp_path / "early"))


def test_it_learns_and_hands_over_its_layers(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    chosen = recipe(epochs=30, batch=16, learning_rate=1e-3, head_rate=1e-2, held_share=0.2, judge_every=20)
    places = PartPlaces((drawn,), tmp_path / "run", tmp_path / "early", tiny_nano)
    found = train_tower(chosen, places)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == lines[-1]["of"]
    assert lines[-1]["loss_name"] < 0.7 * lines[0]["loss_name"]
    assert {"name", "name_by_class", "count", "count_by_class"} == set(found)
    assert all(0 <= share <= 1 for share in found.values())
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_nano, tmp_path / "run" / "checkpoint"))
    moved = {name for name in before if not torch.equal(before[name].bfloat16(), after[name].bfloat16())}
    assert moved
    picture = load_checkpoint(tiny_nano).model.model.vision_tower.picture
    late = {f"vision_tower.picture.{name}" for name in picture.late_names()}
    assert {name.removeprefix("model.") for name in moved} <= late
    models = [load_checkpoint(folder).model for folder in (tiny_nano, tmp_path / "run" / "checkpoint")]
    assert tower_identity(models[0]) != tower_identity(models[1])  # kept features of one are not taken for the other's
    with pytest.raises(RecipeError, match="another recipe"):
        train_tower(recipe(epochs=31), places)


def test_killed_and_started_again_it_ends_where_it_would_have(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    file = tmp_path / "tower.yaml"
    file.write_text(json.dumps({**recipe(epochs=12, batch=4).model_dump(mode="json")}))
    command = [
        sys.executable,
        "-m",
        "chatspot",
        "train",
        "tower",
        str(file),
        "--data",
        str(drawn),
        "--start",
        str(tiny_nano),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [tmp_path / "one", tmp_path / "two"]
    subprocess.run([*command, "--out", str(runs[0])], env=environment, check=True, capture_output=True)
    with subprocess.Popen([*command, "--out", str(runs[1])], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while not (runs[1] / "state.pt").is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (runs[1] / "state.pt").is_file(), "it ended before it could be killed"
    subprocess.run([*command, "--out", str(runs[1])], env=environment, check=True, capture_output=True)
    ended = [load_file(run / "checkpoint" / "model.safetensors") for run in runs]
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])
    assert not (runs[1] / "state.pt").exists()
