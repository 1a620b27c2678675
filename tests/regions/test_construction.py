"""What a region can be made of, and what it refuses."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon as ShapelyPolygon
from shapely import box as shapely_box

from chatspot.errors import RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Scribble, region_from_json
from strategies import pairs, sizes

NO_COORDINATE: list[Any] = [
    None, "", "0.5", b"0.5", True, False, np.True_, math.nan, math.inf, -math.inf, np.float32("nan"), 10**400, 1j, [],
    [0.5], {}, object,
]  # fmt: skip
SIZE = (640, 480)


@pytest.mark.parametrize("bad", NO_COORDINATE, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Point.from_normalized(bad, 0.5),
        lambda bad: Point.from_normalized(0.5, bad, outside="clip"),
        lambda bad: Point.from_pixels(bad, 5, size=SIZE),
        lambda bad: Box.from_normalized(0.1, bad, 0.5, 0.5),
        lambda bad: Box.from_normalized(0.1, 0.1, 0.5, bad, outside="clip"),
        lambda bad: Box.from_normalized_xywh(0.1, 0.1, bad, 0.5),
        lambda bad: Box.from_pixels(bad, 10, 20, 20, size=SIZE),
        lambda bad: Box.from_pixels_xywh(10, 10, 20, bad, size=SIZE),
        lambda bad: Polygon.from_normalized([(0.1, 0.1), (0.5, bad), (0.5, 0.1)]),
        lambda bad: Polygon.from_normalized([(0.1, 0.1), (0.5, bad), (0.5, 0.1)], outside="clip"),
        lambda bad: Polygon.from_pixels([(1, 1), (bad, 5), (5, 1)], size=SIZE),
        lambda bad: Scribble.from_normalized([(0.1, bad)]),
        lambda bad: Scribble.from_normalized([(0.1, 0.1)], pen_wh=(bad, 0.1)),
        lambda bad: Scribble.from_pixels([(10, 10)], pen=bad, size=SIZE),
        lambda bad: Point.from_pixels(0, 0, size=(bad, 480)),
        lambda bad: Point.from_normalized(0.5, 0.5).to_pixels((640, bad)),
        lambda bad: Mask.from_runs([0, bad], size=(2, 2)),
        lambda bad: Mask.from_runs([0, 4], size=(2, bad)),
    ],
)
def test_what_is_no_number_is_no_coordinate(make: Any, bad: Any) -> None:
    with pytest.raises(RegionError):
        make(bad)


@pytest.mark.parametrize("size", [(), (640,), (1, 2, 3), (0, 9), (9, -1), (640.5, 480), 640, None, "44", {1: 2, 3: 4}])
def test_a_size_is_two_whole_numbers(size: Any) -> None:
    with pytest.raises(RegionError, match="size"):
        Point.from_pixels(0, 0, size=size)


@pytest.mark.parametrize("size", [(640, 480), [640, 480], (640.0, 480.0), np.array([640, 480])])
def test_a_size_may_come_as_any_pair_of_whole_numbers(size: Any) -> None:
    assert Point.from_pixels(320, 120, size=size) == Point.from_normalized(0.5, 0.25)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((0.5, 0.1, 0.5, 0.9), "empty"),
        ((0.1, 0.5, 0.9, 0.5), "empty"),
        ((0, 0, 0, 0), "empty"),
        ((0.6, 0.1, 0.5, 0.9), "reversed"),
        ((0.1, 0.9, 0.5, 0.1), "reversed"),
        ((-0.1, 0.1, 0.5, 0.5), "leaves the image"),
        ((0.1, 0.1, 0.5, 1.001), "leaves the image"),
        ((10, 10, 20, 20), "leaves the image"),  # pixels given as fractions
    ],
)
def test_a_box_that_cannot_be(corners: tuple[float, float, float, float], expected: str) -> None:
    with pytest.raises(RegionError, match=expected):
        Box.from_normalized(*corners)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (None, "list of"),
        (5, "list of"),
        ("abc", "list of"),
        ({}, "list of"),
        ([], "at least 3"),
        ([(0.1, 0.1)], "at least 3"),
        ([(0.1, 0.1), (0.5, 0.5)], "at least 3"),
        ([(0.1, 0.1), (0.5, 0.5), (0.1, 0.1)], "at least 3"),  # closed
        ([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], "no area"),
        ([(0, 0), (1, 1), (0, 1e-145)], "no area"),
        ([(0.5, 0.5)] * 5, "at least 3|no area"),
        ([(0.1,), (0.5, 0.5), (0.9, 0.9)], "2 numbers"),
        ([(0.1, 0.2, 0.3), (0.5, 0.5), (0.9, 0.9)], "2 numbers"),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "2 numbers"),  # a flat list
        (["ab", "cd", "ef"], "2 numbers"),
        ([(0.1, 0.1), (0.5, 1.5), (0.9, 0.9)], "leaves the image"),
    ],
)
def test_a_polygon_that_cannot_be(corners: Any, expected: str) -> None:
    with pytest.raises(RegionError, match=expected):
        Polygon.from_normalized(corners)


@pytest.mark.parametrize(
    ("path", "pen", "expected"),
    [
        ([], (0.1, 0.1), "at least one point"),
        ("ab", (0.1, 0.1), "list of"),
        ([(0.1, 0.1)], None, "2 numbers"),
        ([(0.1, 0.1)], 0.1, "2 numbers"),
        ([(0.1, 0.1)], (0.1,), "2 numbers"),
        ([(0.1, 0.1)], (0, 0.1), "pen"),
        ([(0.1, 0.1)], (-0.1, 0.1), "pen"),
        ([(0.1, 0.1)], (0.1, 1.1), "pen"),
        ([(0.1, 0.1)], (5e-324, 0.1), "pen"),
        ([(0.1, 1.1)], (0.1, 0.1), "leaves the image"),
    ],
)
def test_a_scribble_that_cannot_be(path: Any, pen: Any, expected: str) -> None:
    with pytest.raises(RegionError, match=expected):
        Scribble.from_normalized(path, pen_wh=pen)


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([], (2, 2), "sum to"),
        (None, (2, 2), "list of whole numbers"),
        ("0 4", (2, 2), "list of whole numbers"),
        ([4], (2, 2), "empty"),
        ([0, 3], (2, 2), "sum to"),
        ([0, 5], (2, 2), "sum to"),
        ([-1, 5], (2, 2), "0 or more"),
        ([0.5, 3.5], (2, 2), "whole number"),
        (["0", "4"], (2, 2), "number"),
        ([0, 10**18], (10**9, 10**9), "too large"),
        ([0, 70_000], (70_000, 1), "too large"),
        ([1, 1] * 30_000, (300, 200), "runs"),
    ],
)
def test_a_mask_that_cannot_be(counts: Any, size: Any, expected: str) -> None:
    with pytest.raises(RegionError, match=expected):
        Mask.from_runs(counts, size=size)


@pytest.mark.parametrize(
    "bitmap",
    [
        np.zeros((0, 4)),
        np.zeros((4, 4)),
        np.ones(4),
        np.ones((2, 2, 2)),
        [[1, 0], [1]],
        np.array([["a"]]),
        np.array([[None]]),
        "bitmap",
        None,
    ],
    ids=repr,
)
def test_a_bitmap_that_cannot_be(bitmap: Any) -> None:
    with pytest.raises(RegionError, match="Mask"):
        Mask.from_bitmap(bitmap)


def some_corners(count: int) -> list[list[float]]:
    rng = random.Random(0)
    return [[rng.random(), rng.random()] for _ in range(count)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "box",
        5,
        {},
        {"circle": [0.5, 0.5, 0.1]},
        {1: 2, "a": 3},
        {"point": [0.5, 0.5], "box": [0, 0, 1, 1]},
        {"point": None},
        {"point": "ab"},
        {"point": {"0": 0.5, "1": 0.5}},
        {"point": [0.5]},
        {"point": [0.5, "0.5"]},
        {"point": [0.5, [0.5]]},
        {"box": [0, 0, 1]},
        {"box": [0, 0, 1, True]},
        {"box": [0, 0, 1, float("nan")]},
        {"box": [[0, 0], [1, 1]]},
        {"polygon": 5},
        {"polygon": {"0": [0, 0]}},
        {"polygon": [[0, 0], [1, 1], None]},
        {"polygon": some_corners(20_000)},  # too many
        {"polygon": some_corners(2_000)},  # crosses itself a million times
        {"polygon": [[i % 2, 0.5] for i in range(9_000)] + [[0.5, 1]]},  # runs over itself
        {"scribble": some_corners(2_000)},
        {"scribble": [[0.5, 0.5]], "pen_wh": None},
        {"scribble": [[0.5, 0.5]], "pen_wh": "ab"},
        {"scribble": [[0.5, 0.5]], "pen_wh": [1e-300, 1e-300]},
        {"mask": None},
        {"mask": [0, 4]},
        {"mask": {"counts": [0, 4]}},
        {"mask": {"counts": [0, 4], "size": [2, 2]}},
        {"mask": {"counts": 4, "size_wh": [2, 2]}},
        {"mask": {"counts": "04", "size_wh": [2, 2]}},
        {"mask": {"counts": [0, 4], "size_wh": [2, 2.5]}},
        {"mask": {"counts": [0, 10**18], "size_wh": [10**9, 10**9]}},
        {"mask": {"counts": [0, 4], "size_wh": 4}},
    ],
    ids=lambda value: str(value)[:60],
)
def test_json_that_is_no_region(value: Any) -> None:
    with pytest.raises(RegionError) as caught:
        region_from_json(value)
    assert len(str(caught.value)) < 600  # a stranger's megabyte is not echoed


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["point", "box", "polygon", "scribble", "mask"]), json_values, json_values)
def test_any_json_is_a_region_or_a_region_error(form: str, content: Any, other: Any) -> None:
    for value in ({form: content}, {form: content, "pen_wh": other}, {form: {"counts": content, "size_wh": other}}):
        try:
            region = region_from_json(value)
        except RegionError:
            continue
        assert region_from_json(region.to_json()) == region


def test_a_lasso_of_a_hundred_corners_that_crosses_itself_is_taken() -> None:
    turns = [(0.5 + (0.2 + 0.2 * math.sin(i / 7)) * math.cos(i / 5), 0.5 + 0.4 * math.sin(i / 5)) for i in range(100)]
    lasso = Polygon.from_normalized(turns)
    assert not ShapelyPolygon(lasso.points).is_valid
    assert 0 < lasso.area < 1


def test_an_outline_of_ten_thousand_corners_is_taken() -> None:
    circle = [(0.5 + 0.4 * math.cos(i / 1591.5), 0.5 + 0.4 * math.sin(i / 1591.5)) for i in range(10_000)]
    assert Polygon.from_normalized(circle).area == pytest.approx(math.pi * 0.16, abs=1e-4)


def test_a_long_scribble_over_one_place_is_taken() -> None:
    rounds = [(0.5 + 0.1 * math.cos(i / 9), 0.5 + 0.1 * math.sin(i / 9)) for i in range(1000)]
    area = Scribble.from_normalized(rounds, pen_wh=(0.02, 0.02)).area
    assert area == pytest.approx(math.pi * (0.11**2 - 0.09**2), rel=0.01)


@pytest.mark.parametrize("closing", [[], [(0.1, 0.1)], [(0.1, 0.1)] * 3])
def test_a_closed_ring_is_opened(closing: list[tuple[float, float]]) -> None:
    ring = [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)]
    assert Polygon.from_normalized(ring + closing).points == tuple(ring)


def test_a_ring_that_rounding_closed_is_opened() -> None:
    assert len(Polygon.from_normalized([(0, 0), (1, 0), (1, 1), (-1e-12, 0)]).points) == 3


def test_even_and_odd_areas_of_an_outline_that_crosses_itself() -> None:
    bow_tie = Polygon.from_normalized([(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)])
    assert bow_tie.area == pytest.approx(0.18)
    assert bow_tie.contains(Point.from_normalized(0.25, 0.5))
    assert not bow_tie.contains(Point.from_normalized(0.5, 0.3))


# --- outside: refused, or clipped where the caller says so


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: Point.from_pixels(-5, 500, size=SIZE, outside=o), Point.from_pixels(0, 480, size=SIZE)),
        (
            lambda o: Box.from_pixels(-10, -10, 64, 48, size=SIZE, outside=o),
            Box.from_pixels(0, 0, 64, 48, size=SIZE),
        ),
        (
            lambda o: Box.from_pixels_xywh(600, 440, 100, 100, size=SIZE, outside=o),
            Box.from_pixels(600, 440, 640, 480, size=SIZE),
        ),
        (
            lambda o: Polygon.from_normalized([(0.5, 0.5), (1.5, 0.5), (1.5, 0.75), (0.5, 0.75)], outside=o),
            Polygon.from_normalized([(0.5, 0.5), (1.0, 0.5), (1.0, 0.75), (0.5, 0.75)]),
        ),
        (
            lambda o: Scribble.from_normalized([(-1, 0.5), (0.5, 2)], outside=o),
            Scribble.from_normalized([(0, 0.5), (0.5, 1)]),
        ),
    ],
)
def test_outside_is_an_error_unless_clipping_is_asked_for(make: Any, expected: Any) -> None:
    with pytest.raises(RegionError, match="leaves the image"):
        make("error")
    assert make("clip") == expected


def test_a_way_to_treat_the_outside_must_be_known() -> None:
    with pytest.raises(RegionError, match="outside must be"):
        Point.from_normalized(0.5, 0.5, outside="wrap")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Box.from_normalized(1.1, 0.1, 1.5, 0.5, outside="clip"),
        lambda: Box.from_normalized(-0.5, 0.1, 0, 0.5, outside="clip"),
        lambda: Polygon.from_normalized([(2, 2), (3, 2), (3, 3)], outside="clip"),
        lambda: Polygon.from_normalized([(-1, 0.5), (0.5, -1), (-1, -1)], outside="clip"),  # past the corner
        lambda: Polygon.from_normalized([(-1, 0.2), (0, 0.5), (-1, 0.8)], outside="clip"),  # touches the border
    ],
)
def test_nothing_inside_is_empty_even_when_clipped(make: Any) -> None:
    with pytest.raises(RegionError, match="empty inside the image"):
        make()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(-20, 30), st.integers(-20, 30)), min_size=3, max_size=8))
def test_a_clipped_polygon_covers_what_the_whole_one_covers_of_the_image(corners: list[tuple[int, int]]) -> None:
    whole = ShapelyPolygon([(x / 10, y / 10) for x, y in corners]).convex_hull
    visible = whole.intersection(shapely_box(0, 0, 1, 1)).area
    assume(whole.geom_type == "Polygon" and visible > 1e-6)
    clipped = Polygon.from_normalized(list(whole.exterior.coords), outside="clip")
    assert clipped.area == pytest.approx(visible, abs=1e-9)


@given(st.lists(pairs, min_size=3, max_size=8))
def test_clipping_leaves_what_is_inside_as_it_is(corners: list[tuple[float, float]]) -> None:
    try:
        expected = Polygon.from_normalized(corners)
    except RegionError:
        return
    assert Polygon.from_normalized(corners, outside="clip") == expected


def test_corners_very_far_away_are_clipped() -> None:
    far = 1e300
    assert Polygon.from_normalized([(-far, -far), (far, -far), (far, far), (-far, far)], outside="clip").area == 1
    assert Box.from_normalized(-far, -far, far, far, outside="clip") == Box.from_normalized(0, 0, 1, 1)
    roof = Polygon.from_normalized([(-1.7e308, 0), (1.7e308, 0.1), (0, 1e308)], outside="clip")
    assert roof.bounds_xyxy == pytest.approx((0, 0.05, 1, 1))


@pytest.mark.parametrize("value", [-0.0, -1e-12, 0.0])
def test_rounding_slack_and_minus_zero_become_plain_zero(value: float) -> None:
    point = Point.from_normalized(value, 1 + 1e-12)
    assert (math.copysign(1, point.x), point.y) == (1.0, 1.0)


@given(sizes, st.data())
def test_whole_pixels_come_back_whole(size: tuple[int, int], data: st.DataObject) -> None:
    width, height = size
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    assert Point.from_pixels(x1, y1, size=size).to_pixels(size) == (x1, y1)
    box = Box.from_pixels(x1, y1, x2, y2, size=size)
    assert box.to_pixels(size) == (x1, y1, x2, y2)
    assert box.to_pixels_xywh(size) == (x1, y1, x2 - x1, y2 - y1)
    assert box == Box.from_pixels_xywh(x1, y1, x2 - x1, y2 - y1, size=size)
    corners = ((x1, y1), (x2, y1), (x2, y2))
    assert Polygon.from_pixels(corners, size=size).to_pixels(size) == corners
    assert Scribble.from_pixels(corners, pen=1, size=size).to_pixels(size) == corners
