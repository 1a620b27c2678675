"""Recoloured things: known colours, nothing but the thing changed, the photo's name kept."""

from __future__ import annotations

import json
import random
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.data import read_records
from chatspot.data.dialogues.colours import BASIC_TERMS, lab_of, measured_colour
from chatspot.data.dialogues.region_turns import known_colour
from chatspot.data.dialogues.scene import Scene
from chatspot.data.dialogues.settings import DialogueSettings
from chatspot.data.drawn import draw_training_pictures
from chatspot.data.recolouring import Thing, recolour_folder, rgb_of, target_of
from chatspot.errors import DataError
from chatspot.regions import Box

SIZE = (120, 90)
CORNERS = [[30, 20], [90, 20], [90, 70], [30, 70]]


def annotated(folder: Path, **changes: object) -> Path:
    """A folder with a photo of a noisy thing before a colourful ground; ``changes`` are its region's."""
    rng = np.random.default_rng(0)
    pixels = np.linspace([200, 240, 255], [90, 120, 60], SIZE[1])[:, None].repeat(SIZE[0], axis=1)
    pixels[20:70, 30:90] = [120, 100, 90]
    (folder / "images").mkdir(parents=True)
    noisy = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(folder / "images" / "1.png")
    region = {"polygon": CORNERS, "label": "car", **changes}
    line = {"image": "images/1.png", "width": SIZE[0], "height": SIZE[1], "coco_id": 139, "regions": [region]}
    (folder / "annotations.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    return folder


def test_things_bear_the_colour_that_is_said(tmp_path: Path):
    photos, out = annotated(tmp_path / "coco"), tmp_path / "colours"
    made = recolour_folder(out, [photos], 20)
    records = list(read_records(out))
    assert len(records) == made > 1
    before = np.asarray(Image.open(photos / "images" / "1.png"))
    for record in records:
        (region,) = record.regions
        assert record.image_ids == ("coco:139",), "the leak guard has to know the photo"
        assert region.label == "car"
        assert region.polygon is not None
        (term,) = region.attributes
        picture = np.asarray(Image.open(record.image))
        seen = measured_colour(picture, region.polygon)
        assert seen is not None
        assert seen.name == term
        assert known_colour(Scene(record, DialogueSettings(), 0), 0) == (term, seen.complex_background)
        beside = np.abs(picture.astype(int) - before)[:10]
        assert beside.mean() < 6, "the ground stays as it was, but for JPEG"
    assert len({record.regions[0].attributes for record in records}) == made


def test_the_same_seed_makes_the_same_pictures(tmp_path: Path):
    photos = annotated(tmp_path / "coco")
    for name in ("one", "two"):
        recolour_folder(tmp_path / name, [photos], 3, seed=5)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) > 2
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": None}, {"label": "person"}, {"iscrowd": 1}, {"area": 20}, {"area": 10_000},
        {"polygon": None, "box": [30, 20, 90, 70]},
    ],
)  # fmt: skip
def test_what_cannot_be_filled_is_left_out(changes: dict[str, object], tmp_path: Path):
    with pytest.raises(DataError, match="nothing to recolour"):
        recolour_folder(tmp_path / "out", [annotated(tmp_path / "coco", **changes)], 3)
    assert not (tmp_path / "out").exists()


def test_no_folder_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="does not exist"):
        recolour_folder(tmp_path / "out", [tmp_path / "missing"], 3)


@pytest.mark.parametrize(("changes", "folders"), [({}, {"words", "plates", "colours"}),
                                                  ({"label": "person"}, {"words", "plates"})])  # fmt: skip
def test_colours_are_drawn_where_things_have_outlines(changes: dict[str, object], folders: set[str], tmp_path: Path):
    photos = annotated(tmp_path / "train" / "coco", **changes).parent
    (photos / "coco" / "images" / "1.png").rename(photos / "coco" / "images" / "1.jpg")
    lines = photos / "coco" / "annotations.jsonl"
    lines.write_text(lines.read_text("utf-8").replace("1.png", "1.jpg"), "utf-8")
    fonts = [Path(matplotlib.get_data_path())]
    made = draw_training_pictures(photos, tmp_path / "out", fonts, ["Ġriver", "Ġapple"], scale=0.001)
    assert set(made) == folders
    assert all(len(list(read_records(tmp_path / "out" / name))) == count > 0 for name, count in made.items())


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=30))
def test_rgb_is_what_lab_was_made_of(colours: list[tuple[int, int, int]]):
    assert np.abs(rgb_of(lab_of(np.array(colours))) - colours).max() < 0.5


@given(seed=st.integers(0, 10_000), term=st.sampled_from(BASIC_TERMS))
@settings(deadline=None, max_examples=40)
def test_a_fill_has_its_targets_middle_and_keeps_all_around(seed: int, term: str):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    inside = Box.from_pixels(15, 12, 40, 30, size=(50, 40)).to_bitmap((50, 40))
    target = target_of(term, random.Random(seed))
    filled = Thing(pixels, inside).filled_with(target, random.Random(seed))
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[:6], pixels[:6])
    middle = np.median(lab_of(filled[16:26, 19:36]).reshape(-1, 3), axis=0)
    assert abs(middle[0] - target[0]) < 25
