"""Regions of every form moved at random."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.errors import RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble, jitter, jittered
from chatspot.regions.jitter import POINT_SIDE

SIZE = (64, 48)
FORMS: list[Region] = [
    Box.from_normalized(0.1, 0.2, 0.6, 0.9),
    Point.from_normalized(1, 0),
    Polygon.from_normalized([(0.2, 0.2), (0.8, 0.3), (0.5, 0.9)]),
    Scribble.from_normalized([(0, 0)], pen_wh=(0.01, 0.01)),
    Scribble.from_normalized([(0.2, 0.2), (0.8, 0.8)], pen_wh=(0.1, 0.1)),
    Mask.from_runs([0, 1, 19], size=(5, 4)),
    Mask.from_runs([5, 2, 2, 2, 9], size=(5, 4)),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("scale", [-0.1, 1, float("nan"), None, "x"])
def test_scales_that_cannot_be(form: Region, scale: Any) -> None:
    with pytest.raises(RegionError):
        jittered(form, scale, size=SIZE, rng=random.Random(0))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(FORMS), st.floats(0, 0.99), st.integers(0, 10**6))
def test_a_moved_region_keeps_its_form_and_stays_inside(form: Region, scale: float, seed: int) -> None:
    moved = jittered(form, scale, size=SIZE, rng=random.Random(seed))
    assert type(moved) is type(form)
    x1, y1, x2, y2 = moved.bounds_xyxy
    assert -1e-9 <= x1 <= x2 <= 1 + 1e-9
    assert -1e-9 <= y1 <= y2 <= 1 + 1e-9
    assert moved == jittered(form, scale, size=SIZE, rng=random.Random(seed))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
def test_nothing_moves_by_nothing(form: Region) -> None:
    same = jittered(form, 0, size=(6400, 4800), rng=random.Random(0))
    assert same.bounds_xyxy == pytest.approx(form.bounds_xyxy, abs=1e-6)


def test_all_forms_move_as_the_box_around_them() -> None:
    rng = [random.Random(7) for _ in range(2)]
    polygon = FORMS[2]
    moved, box = (
        jittered(polygon, 0.3, size=SIZE, rng=rng[0]),
        jitter(polygon.bounding_box(), 0.3, size=SIZE, rng=rng[1]),
    )
    assert moved.bounds_xyxy == pytest.approx(box.bounds_xyxy, abs=1e-9)


def test_a_mask_moves_as_its_box() -> None:
    bitmap = np.zeros((100, 100), bool)
    bitmap[40:60, 30:70] = True
    mask = Mask.from_bitmap(bitmap)
    moved = jittered(mask, 0.2, size=(100, 100), rng=random.Random(3))
    box = jitter(mask.bounding_box(), 0.2, size=(100, 100), rng=random.Random(3))
    assert moved != mask
    assert moved.iou(box) > 0.9


def test_a_point_moves_by_a_share_of_the_picture() -> None:
    point, rng = Point.from_normalized(0.5, 0.5), random.Random(0)
    moved = [jittered(point, 0.1, size=SIZE, rng=rng) for _ in range(300)]
    far = max(abs(each.x - 0.5) for each in moved if isinstance(each, Point))
    assert 0.9 * 0.1 * POINT_SIDE < far <= 0.1 * POINT_SIDE
