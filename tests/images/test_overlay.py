"""Regions drawn over a picture."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from chatspot.errors import ImageError
from chatspot.images import draw_regions
from chatspot.images.overlay import COLORS, caption, overlap, placed_plates, plate_size
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble
from strategies import regions

quick = settings(deadline=None, max_examples=40)
GROUND = (120, 120, 120)


def drawn(region: Region, size: tuple[int, int]) -> np.ndarray:
    """Which pixels of a plain picture change, [height, width]."""
    return (np.asarray(draw_regions(Image.new("RGB", size, GROUND), [region])) != GROUND).any(axis=2)


@quick
@given(st.lists(regions, max_size=4), st.sampled_from([(1, 1), (1, 300), (300, 1), (17, 90), (120, 80)]))
def test_the_drawing_is_a_new_picture_of_the_same_size(pointed: list[Region], size: tuple[int, int]) -> None:
    ground = Image.new("RGB", size, GROUND)
    result = draw_regions(ground, pointed, ["label"] * len(pointed))
    assert result is not ground
    assert (result.mode, result.size) == ("RGB", size)
    assert (np.asarray(ground) == GROUND).all()
    assert (np.asarray(result) != GROUND).any() == bool(pointed)


@quick
@given(regions, st.sampled_from([(1, 1), (1, 300), (300, 1), (60, 90), (120, 80)]))
def test_something_is_drawn_upon_the_region(region: Region, size: tuple[int, int]) -> None:
    x1, y1, x2, y2 = region.bounds_xyxy
    left, top = min(int(x1 * size[0]), size[0] - 1), min(int(y1 * size[1]), size[1] - 1)
    changed = drawn(region, size)[max(top - 1, 0) : int(y2 * size[1]) + 2, max(left - 1, 0) : int(x2 * size[0]) + 2]
    assert changed.any()


def test_a_point_is_a_ring_with_a_dot() -> None:
    changed = drawn(Point.from_normalized(0.5, 0.5), (400, 400))
    row = changed[200, 150:251]
    assert row[50]  # the dot
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(int))))[::2]
    assert len(runs) == 3  # ring, dot, ring


def test_a_box_and_a_polygon_are_lines_and_a_mask_and_a_scribble_areas() -> None:
    size = (400, 400)
    outline = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]
    polygon = Polygon.from_normalized(outline)
    for region in (Box.from_normalized(0.2, 0.2, 0.8, 0.8), polygon):
        changed = drawn(region, size)
        assert changed[200, 80]  # left edge
        assert changed[320, 200]  # bottom edge
        assert not changed[200, 200]
    spot = Scribble.from_normalized([(0.5, 0.5)], pen_wh=(0.6, 0.6))
    for region in (Mask.from_bitmap(polygon.to_bitmap(size)), spot):
        changed = drawn(region, size)
        assert changed[200, 80]
        assert changed[200, 200]
        assert not changed[380, 200]


@pytest.mark.parametrize("size", [(100, 100), (300, 50), (50, 300)])
def test_a_box_around_everything_shows_on_all_four_sides(size: tuple[int, int]) -> None:
    changed = drawn(Box.from_normalized(0, 0, 1, 1), size)
    assert changed[0].all()
    assert changed[-1].all()
    assert changed[:, 0].all()
    assert changed[:, -1].all()


def test_regions_differ_in_colour_and_colours_come_round() -> None:
    assert len(set(COLORS)) == len(COLORS)
    boxes = [Box.from_normalized(i / 10 + 0.01, 0.5, i / 10 + 0.09, 0.9) for i in range(len(COLORS) + 1)]
    result = np.asarray(draw_regions(Image.new("RGB", (1000, 500), "black"), boxes)).astype(int)
    for index, box in enumerate(boxes):
        line = result[440, int(box.x1 * 1000) - 6 : int(box.x1 * 1000) + 7]
        assert np.abs(line - COLORS[index % len(COLORS)]).max(axis=1).min() < 10


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b", "c"]])
def test_labels_must_be_as_many_as_regions(labels: list[str]) -> None:
    two = [Point.from_normalized(0.1, 0.1), Point.from_normalized(0.9, 0.9)]
    with pytest.raises(ImageError, match=f"got {len(labels)} labels for 2 regions"):
        draw_regions(Image.new("RGB", (9, 9)), two, labels)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_any_mode_becomes_rgb(mode: str) -> None:
    assert draw_regions(Image.new(mode, (30, 20)), [Point.from_normalized(0.5, 0.5)]).mode == "RGB"


# --- captions

FONT = ImageFont.load_default(14)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (None, "3"),
        ("", "3"),
        ("  \n ", "3"),
        ("dog", "3  dog"),
        ("a\n\tdog ", "3  a dog"),
        ("x" * 10_000, "3  x…"),
    ],
)
def test_a_caption_is_one_line_of_number_and_label(label: str | None, expected: str) -> None:
    found = caption(2, label, FONT, (400, 300))
    if expected.endswith("…"):
        assert found.startswith(expected[:-1])
        assert found.endswith("…")
        assert 200 < FONT.getlength(found) <= 0.6 * 400
    else:
        assert found == expected


@pytest.mark.parametrize("label", ["dog", "{x}", "<b>", "日本語 🐕", "\x00\x07", "a" * 500, "‮abc", "é" * 30])
def test_any_label_can_be_drawn(label: str) -> None:
    result = draw_regions(Image.new("RGB", (90, 60), GROUND), [Box.from_normalized(0.3, 0.5, 0.6, 0.9)], [label])
    assert (np.asarray(result) != GROUND).any()


def test_captions_stay_inside_and_apart_where_there_is_room() -> None:
    size = (640, 480)
    crowd = [Box.from_normalized(0.4 + i / 100, 0.4 + i / 100, 0.6, 0.6) for i in range(8)]
    crowd += [Point.from_normalized(x, y) for x in (0, 1) for y in (0, 1)]
    crowd += [Box.from_normalized(0, 0, 1, 1), Box.from_normalized(0.01, 0.01, 0.99, 0.99)]
    wanted = [plate_size(caption(i, "traffic light", FONT, size), FONT) for i in range(len(crowd))]
    plates = placed_plates(wanted, crowd, size)
    for (width, height), (x1, y1, x2, y2) in zip(wanted, plates, strict=True):
        assert (x2 - x1, y2 - y1) == pytest.approx((width, height))
        assert min(x1, y1) >= 0
        assert (x2 <= 640, y2 <= 480) == (True, True)
    assert all(overlap(one, other) == 0 for one, other in combinations(plates, 2))


def test_a_caption_does_not_hide_its_small_region() -> None:
    size = (640, 480)
    small = Box.from_pixels(300, 0, 330, 12, size=size)  # no room above
    (plate,) = placed_plates([plate_size("1  a long label", FONT)], [small], size)
    assert overlap(plate, (300, 0, 330, 12)) < 0.3 * 30 * 12
