"""The box head's stage: what it shows and asks, what cells are told, that it learns, stops and goes on."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from chatspot.errors import RecipeError, TrainingError
from chatspot.images.whole import standardised
from chatspot.model.box_head import CELLS, BoxHead, cell_middles, maps_of, unpacked
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.nano import SHIPPED_HEAD
from chatspot.regions import Box
from chatspot.train.boxes.examples import WHOLE, Cut, Shown, box_data, drawn_cut, question, seen_in
from chatspot.train.boxes.learner import loss_of, overlaps, targets
from chatspot.train.boxes.maps import KeptMaps
from chatspot.train.boxes.recipe import BoxRecipe, load_box_recipe
from chatspot.train.boxes.stage import train_boxes
from chatspot.train.part_stage import PartPlaces
from chatspot.train.stream.features import View


def recipe(**changes: object) -> BoxRecipe:
    return BoxRecipe.model_validate({"sources": [{"folder": "shapes"}], "held_share": 0.0, **changes})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the recipe"),
        ("sources: []", "sources"),
        ("sources: [{folder: coco, cut: 3}]", "did you mean 'cuts'"),
        ("sources: [{folder: coco, cuts: -1}]", "cuts"),
        ("sources: [{folder: coco}]\nbatch: 1", "batch"),
        ("sources: [{folder: coco}]\nlearning_rate: .inf", "learning_rate"),
    ],
)
def test_a_recipe_that_is_none(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "boxes.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_box_recipe(file)


@pytest.mark.parametrize(
    ("cut", "mirrored", "found"),
    [
        (WHOLE, False, (0.2, 0.1, 0.6, 0.5)),
        (WHOLE, True, (0.4, 0.1, 0.8, 0.5)),
        ((0.2, 0.1, 0.6, 0.5), False, WHOLE),
        ((0.0, 0.0, 0.4, 0.5), False, (0.5, 0.2, 1.0, 1.0)),  # half of it
        ((0.0, 0.0, 0.4, 0.5), True, (0.0, 0.2, 0.5, 1.0)),
        ((0.0, 0.0, 0.3, 0.5), False, None),  # a quarter
        ((0.7, 0.7, 1.0, 1.0), False, None),
        ((0.6, 0.0, 1.0, 1.0), False, None),  # they touch
    ],
)
def test_what_a_cut_shows_of_a_box(cut, mirrored: bool, found) -> None:
    seen = seen_in(Box.from_normalized(0.2, 0.1, 0.6, 0.5), cut, mirrored)
    assert seen == (None if found is None else pytest.approx(found))


def test_cuts_lie_in_the_picture() -> None:
    rng = random.Random(0)
    for _ in range(500):
        left, top, right, bottom = drawn_cut(rng)
        assert 0 <= left < right <= 1 + 1e-12
        assert 0 <= top < bottom <= 1 + 1e-12


def test_the_views_of_annotated_pictures(drawn: Path) -> None:
    learnt, held = box_data(recipe(), (drawn,))
    assert (len(learnt), held) == (12 * 4, [])  # whole, mirrored, two cuts
    whole, mirrored = learnt[:2]
    lines = (drawn / "shapes" / "annotations.jsonl").read_text().splitlines()
    boxes = [region for region in json.loads(lines[0])["regions"] if region["label"] != "text"]
    assert dict(whole.named).keys() == {region["label"] for region in boxes}
    x1, y1, x2, y2 = boxes[0]["box"]
    edges = (x1 / 96, y1 / 64, x2 / 96, y2 / 64)
    assert any(found == pytest.approx(edges) for found in dict(whole.named)[boxes[0]["label"]])
    flipped = (1 - edges[2], edges[1], 1 - edges[0], edges[3])
    assert any(found == pytest.approx(flipped) for found in dict(mirrored.named)[boxes[0]["label"]])
    pixels = [one.view.picture.open() for one in (whole, mirrored)]
    middle = [int((e[0] + e[2]) / 2 * 384) for e in (edges, flipped)]
    seen = [view.getpixel((x, 192)) for view, x in zip(pixels, middle, strict=True)]
    assert seen[0] == seen[1] != (255, 255, 255)
    assert box_data(recipe(), (drawn,))[0] == learnt
    held_too = box_data(recipe(held_share=0.4), (drawn,))
    assert held_too[1]
    cuts = [[cut_of(one) for one in part] for part in held_too]
    assert all(cut.window == WHOLE and not cut.mirrored for cut in cuts[1])
    assert not {cut.source for cut in cuts[0]} & {cut.source for cut in cuts[1]}
    assert len({one.view.key("tower") for part in held_too for one in part}) == sum(map(len, held_too))


def test_questions_name_what_is_asked_for() -> None:
    rng = random.Random(1)
    said = {question("hot dog", alone=True, rng=rng) for _ in range(200)}
    many = {question("hot dog", alone=False, rng=rng) for _ in range(200)}
    assert all("hot dog" in text for text in said | many)
    assert all("hot dogs" in text for text in many)
    assert not any("{" in text for text in said | many)
    assert len(said) > 30


EDGES = st.tuples(st.floats(0, 0.99), st.floats(0, 0.99), st.floats(0.001, 1), st.floats(0.001, 1)).map(
    lambda e: (e[0], e[1], min(e[0] + e[2], 1.0), min(e[1] + e[3], 1.0))
)


@given(st.lists(EDGES, min_size=1, max_size=5))
@settings(deadline=None)
def test_cells_are_told_of_the_boxes_that_they_lie_in_the_middle_of(boxes) -> None:
    share, wanted = targets(boxes)
    assert share.sum() == pytest.approx(1, abs=1e-4)
    assert (share >= 0).all()
    own = share > 0
    assert {tuple(row) for row in wanted[own].tolist()} <= {tuple(torch.tensor(box).tolist()) for box in boxes}
    if len(boxes) == 1:  # the best cell is the one nearest to the middle
        x1, y1, x2, y2 = boxes[0]
        near = ((cell_middles() - torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2])) ** 2).sum(1)
        assert near[share.argmax()] <= near.min() + (1.5 / CELLS) ** 2


def test_the_smaller_of_two_boxes_is_told_where_both_are() -> None:
    small, large = (0.4, 0.4, 0.6, 0.6), (0.1, 0.1, 0.9, 0.9)
    for boxes in ([small, large], [large, small]):
        _, wanted = targets(boxes)
        middle = wanted[CELLS // 2 * CELLS + CELLS // 2]
        assert middle.tolist() == pytest.approx(small)


@pytest.mark.parametrize(
    ("one", "other", "iou", "giou"),
    [
        ((0, 0, 1, 1), (0, 0, 1, 1), 1, 1),
        ((0, 0, 0.5, 1), (0.5, 0, 1, 1), 0, 0),
        ((0, 0, 0.25, 1), (0.75, 0, 1, 1), 0, -0.5),
        ((0, 0, 1, 1), (0, 0, 0.5, 0.5), 0.25, 0.25),
        ((0.5, 0.5, 0.5, 0.5), (0, 0, 1, 1), 0, 0),  # without an extent
    ],
)
def test_overlaps(one, other, iou: float, giou: float) -> None:
    found = overlaps(torch.tensor(one).float(), torch.tensor(other).float())
    assert [value.item() for value in found] == pytest.approx([iou, giou], abs=1e-6)


def test_the_loss_falls_with_what_is_right() -> None:
    box = (0.25, 0.25, 0.75, 0.5)
    share, wanted = (part[None] for part in targets([box]))
    right = (share.clamp(min=1e-9).log(), torch.tensor(box).expand(1, CELLS * CELLS, 4))
    wrong = (torch.zeros(1, CELLS * CELLS), torch.tensor(WHOLE).expand(1, CELLS * CELLS, 4))
    good, bad = loss_of(*right, share, wanted), loss_of(*wrong, share, wanted)
    assert good[0] < bad[0]
    assert good[1].item() == pytest.approx(0, abs=1e-5)
    assert bad[1] > 1


def test_nothing_to_learn_from_is_said(tiny_nano: Path, tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "annotations.jsonl").write_text("")
    with pytest.raises(RecipeError, match="no region with a name"):
        train_boxes(recipe(), PartPlaces((tmp_path,), tmp_path / "run", tmp_path / "maps", tiny_nano))


def test_no_picture_that_can_be_read_is_nothing_to_learn_from(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "data")
    for picture in (tmp_path / "data" / "shapes" / "images").iterdir():
        picture.write_bytes(b"no picture")
    with pytest.raises(RecipeError, match="picture that can be read"):
        train_boxes(recipe(), PartPlaces((tmp_path / "data",), tmp_path / "run", tmp_path / "maps", tiny_nano))


def test_it_learns(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    places = PartPlaces((drawn,), tmp_path / "run", tmp_path / "maps", tiny_nano)
    chosen = recipe(epochs=20, batch=8, held_share=0.2, judge_every=10)
    found = train_boxes(chosen, places)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == lines[-1]["of"]
    assert lines[-1]["loss_scores"] < lines[0]["loss_scores"] - 0.6  # never below what the cells' shares leave open
    assert lines[-1]["loss_boxes"] < 0.5 * lines[0]["loss_boxes"]
    assert set(found) == {"iou50", "mean_iou", "pointed"}
    assert found["mean_iou"] > 0.25  # all boxes lie in one row: even a guess of their place is better than none
    state = unpacked(load_file(tmp_path / "run" / SHIPPED_HEAD))
    head = BoxHead([state[f"{name}.weight"].shape[1] for name in ("fine", "middle", "coarse")], 32)
    head.load_state_dict(state)
    assert not (tmp_path / "run" / "state.pt").exists()
    with pytest.raises(RecipeError, match="another recipe"):
        train_boxes(recipe(epochs=21), places)


def test_a_picture_that_cannot_be_read_is_left_out(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    learnt, _ = box_data(recipe(), (drawn,))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Shown(View(Cut.of(tmp_path / "broken.png", WHOLE, False)), learnt[0].named)
    checkpoint = load_checkpoint(tiny_nano, dtype=torch.float32)
    maps = KeptMaps(checkpoint, tmp_path / "maps")
    assert maps.prepare([learnt[0], broken, *learnt[1:4]]) == learnt[:4]
    read = maps.read([learnt[1], learnt[3]])
    images = checkpoint.processor.image_processor
    picture = checkpoint.model.model.vision_tower.picture
    for at, one in enumerate((learnt[1], learnt[3])):
        shown = standardised([one.view.picture.open()], images.image_mean, images.image_std)
        with torch.no_grad():
            wanted = maps_of(picture, torch.from_numpy(shown))
        for found, each in zip(read, wanted, strict=True):
            torch.testing.assert_close(found[at], each[0], rtol=5e-3, atol=5e-3)  # they are kept in 16 bits
    again = KeptMaps(checkpoint, tmp_path / "maps")
    again.prepare(learnt[:4])
    assert all(torch.equal(a, b) for a, b in zip(read, again.read([learnt[1], learnt[3]]), strict=True))


def test_a_full_disk_is_told_and_keeps_what_was_computed(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    """No file may grow beyond so many bytes: what a full disk looks like to who writes."""
    learnt, _ = box_data(recipe(), (drawn,))
    maps = KeptMaps(load_checkpoint(tiny_nano, dtype=torch.float32), tmp_path / "maps")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 * maps.cache.row_bytes, hard))
    try:
        with pytest.raises(TrainingError, match=r"cannot grow .*free some space"):
            maps.prepare(learnt[:12])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert maps.prepare(learnt[:12]) == learnt[:12]


def cut_of(one: Shown) -> Cut:
    assert isinstance(one.view.picture, Cut)
    return one.view.picture


def test_killed_and_started_again_it_ends_where_it_would_have(drawn: Path, tiny_nano: Path, tmp_path: Path) -> None:
    file = tmp_path / "boxes.yaml"
    file.write_text(json.dumps(recipe(epochs=7, batch=2, asked=1).model_dump(mode="json")))
    command = [sys.executable, "-m", "chatspot", "train", "boxes", str(file), "--data", str(drawn), "--start",
               str(tiny_nano)]  # fmt: skip
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
    ended = [load_file(run / SHIPPED_HEAD) for run in runs]
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])
    assert not (runs[1] / "state.pt").exists()
