"""Annotated pixels: turned with the picture, clipped at its border, reported where they cannot be used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from small_files import ANYTHING, found

from chatspot.data.faults import Faults, Frame
from chatspot.data.sources.geometry import (
    annotated_box,
    annotated_box_xywh,
    annotated_mask,
    annotated_point,
    annotated_polygon,
    annotated_size,
    decompressed_runs,
    ellipse_corners,
    region_record,
    rotated_corners,
    turned_bitmap,
)
from chatspot.regions import Mask

FRAME = Frame((100, 50))
ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize(
    ("xyxy", "kind"),
    [
        (None, "unusable entry"),
        ("1234", "unusable entry"),
        ([1, 2, 3], "unusable entry"),
        ([1, 2, "3", 4], "unusable entry"),
        ([1, 2, True, 4], "unusable entry"),
        ([math.nan, 2, 3, 4], "degenerate region"),
        ([0, 0, math.inf, 4], "degenerate region"),
        ([10, 10, 10, 20], "degenerate region"),
        ([20, 10, 10, 20], "degenerate region"),
        ([10, 10, 10 + 1e-300, 20], "degenerate region"),
        ([-60, 10, 40, 20], "outside region"),  # 40% of it is inside
        ([0, -904, 10, -900], "outside region"),  # Visual Genome's region 5851305
        ([-1e308, -1e308, 1e308, 1e308], "outside region"),
    ],
)
def test_boxes_that_cannot_be_used_are_reported(xyxy: Any, kind: str) -> None:
    faults = Faults()
    assert annotated_box(xyxy, FRAME, "here", faults) is None
    assert found(faults) == {kind: 1}
    assert faults.kept[0].where == "here"


@pytest.mark.parametrize(
    ("xyxy", "kept", "count"),
    [
        ([10, 5, 60, 45], (10, 5, 60, 45), 0),
        ([-1, 5, 60, 50.9], (0, 5, 60, 50), 0),  # a pixel of overhang is no fault
        ([-40, 5, 60, 45], (0, 5, 60, 45), 1),
        ([0, 0, 100, 100], (0, 0, 100, 50), 1),  # exactly half is inside
    ],
)
def test_boxes_are_clipped(xyxy: Any, kept: tuple[float, ...], count: int) -> None:
    faults = Faults()
    box = annotated_box(xyxy, FRAME, "here", faults)
    assert box is not None
    assert box.to_pixels(FRAME.size) == pytest.approx(kept)
    assert found(faults) == ({"outside region": count} if count else {})


def test_a_box_that_turning_rounds_to_nothing_is_reported() -> None:
    faults = Faults()
    assert annotated_box([-1e-89, -1, 0, 0], Frame((100, 50), 2), "here", faults) is None
    assert found(faults) == {"degenerate region": 1}


def test_a_width_and_a_height_are_no_corner() -> None:
    box = annotated_box_xywh([10, 5, 50, 40], FRAME, "here", Faults())
    assert box is not None
    assert box.to_pixels(FRAME.size) == pytest.approx((10, 5, 60, 45))
    for hostile in (None, [1, 2, 3], [1, 2, -3, 4], [0, 0, 10**400, 1]):
        faults = Faults()
        assert annotated_box_xywh(hostile, FRAME, "here", faults) is None
        assert sum(faults.counts.values()) == 1


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        (None, "unusable entry"),
        ([[1, 2], [3]], "unusable entry"),
        ([[1, 2], [3, "4"], [5, 6]], "unusable entry"),
        ([], "degenerate region"),
        ([[1, 2], [3, 4]], "degenerate region"),
        ([[1, 2], [3, 4], [5, 6]], "degenerate region"),  # a line
        ([[1, 2], [math.nan, 4], [5, 9]], "degenerate region"),
        ([[-90, 10], [10, 10], [10, 20], [-90, 20]], "outside region"),
        ([[-90, 10], [-10, 10], [-10, 20]], "outside region"),
        ([[-1, 10], [-2, 10], [-3, 10]], "degenerate region"),
    ],
)
def test_outlines_that_cannot_be_used_are_reported(points: Any, kind: str) -> None:
    faults = Faults()
    assert annotated_polygon(points, FRAME, "here", faults) is None
    assert found(faults) == {kind: 1}


def test_an_outline_is_cut_at_the_border() -> None:
    faults = Faults()
    polygon = annotated_polygon([[-20, 10], [40, 10], [40, 30], [-20, 30]], FRAME, "here", faults)
    assert polygon is not None
    assert polygon.area * 5000 == pytest.approx(40 * 20)
    assert found(faults) == {"outside region": 1}


@pytest.mark.parametrize(
    ("xy", "kind"),
    [
        (None, "unusable entry"),
        ([1], "unusable entry"),
        ([math.inf, 1], "degenerate region"),
        ([102, 10], "outside region"),
        ([-5, 10], "outside region"),
    ],
)
def test_points_that_cannot_be_used_are_reported(xy: Any, kind: str) -> None:
    faults = Faults()
    assert annotated_point(xy, FRAME, "here", faults) is None
    assert found(faults) == {kind: 1}


def test_a_point_on_the_last_pixel_is_inside() -> None:
    point = annotated_point([100.5, 50], FRAME, "here", Faults())
    assert point is not None
    assert (point.x, point.y) == (1.0, 1.0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_regions_turn_as_the_picture_does(orientation: int) -> None:
    stored = np.zeros((50, 100), dtype=np.uint8)
    stored[5:15, 20:60] = 255
    picture = Image.fromarray(stored)
    picture.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(picture))
    frame = Frame((upright.shape[1], upright.shape[0]), orientation)
    assert annotated_size(frame) == (100, 50)
    rows, columns = upright.nonzero()
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    faults = Faults()
    box = annotated_box([20, 5, 60, 15], frame, "here", faults)
    polygon = annotated_polygon([[20, 5], [60, 5], [60, 15], [20, 15]], frame, "here", faults)
    point = annotated_point([20.5, 5.5], frame, "here", faults)
    mask = annotated_mask(Mask.from_bitmap(stored).counts, [100, 50], frame, "here", faults)
    assert box is not None
    assert polygon is not None
    assert point is not None
    assert mask is not None, faults.kept
    assert box.to_pixels(frame.size) == pytest.approx(expected)
    assert polygon.bounding_box().to_pixels(frame.size) == pytest.approx(expected)
    x, y = point.to_pixels(frame.size)
    assert upright[int(y), int(x)] == 255
    assert (mask.to_bitmap() == (upright > 0)).all()
    assert (turned_bitmap(stored, orientation) == upright).all()
    assert not faults.counts


def test_cocos_compressed_runs() -> None:
    # the examples of cocoapi's comments: runs below 16 are one character, later ones differences
    assert decompressed_runs("") == []
    assert decompressed_runs("123") == [1, 2, 3]
    assert decompressed_runs("1231") == [1, 2, 3, 3]
    assert decompressed_runs("P1") == [32]
    faults = Faults()
    for text in ("P", "~~~", "\x00", "é", "123"):
        assert annotated_mask(text, [100, 50], FRAME, "here", faults) is None
    assert found(faults) == {"degenerate region": 5}


@pytest.mark.parametrize("size", [None, [100], ["a", "b"], [10**400, 1], [math.nan, 1], [100, 49]])
def test_a_mask_of_another_size_is_reported(size: Any) -> None:
    faults = Faults()
    assert annotated_mask([0, 4900], size, FRAME, "here", faults) is None
    assert sum(faults.counts.values()) == 1


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
def test_compressed_runs_come_back(runs: list[int]) -> None:
    text = ""
    for at, run in enumerate(runs):  # cocoapi's rleToString
        rest = run - (runs[at - 2] if at > 2 else 0)
        more = True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != -1 if bits & 16 else rest != 0
            text += chr((bits | (32 if more else 0)) + 48)
    assert decompressed_runs(text) == runs


@given(ANYTHING, st.sampled_from(ORIENTATIONS))
def test_whatever_the_values_something_is_given_or_reported(value: Any, orientation: int) -> None:
    frame = Frame((100, 50), orientation)
    for reader in (annotated_box, annotated_box_xywh, annotated_polygon, annotated_point):
        faults = Faults()
        region = reader(value, frame, "here", faults)
        assert (region is None) == any(fault.what.find("clipped") < 0 for fault in faults.kept)


@given(st.lists(st.floats(-300, 300), min_size=4, max_size=4), st.sampled_from(ORIENTATIONS))
def test_a_kept_box_is_inside(values: list[float], orientation: int) -> None:
    faults = Faults()
    frame = Frame((50, 100) if orientation > 4 else (100, 50), orientation)
    box = annotated_box(values, frame, "here", faults)
    outline = annotated_polygon([(values[at], values[side]) for at, side in ((0, 1), (2, 1), (2, 3), (0, 3))], frame,
                                "here", Faults())  # fmt: skip
    if box is not None and outline is not None:
        assert outline.bounding_box().bounds_xyxy == pytest.approx(box.bounds_xyxy, abs=1e-6)


def test_turned_shapes() -> None:
    quarter = rotated_corners(10, 10, 20, 10, 90, (20, 15))
    assert sorted((round(x), round(y)) for x, y in quarter) == [(15, 5), (15, 25), (25, 5), (25, 25)]
    about_corner = rotated_corners(10, 10, 20, 10, 90, (10, 10))
    assert sorted((round(x), round(y)) for x, y in about_corner) == [(0, 10), (0, 30), (10, 10), (10, 30)]
    ellipse = ellipse_corners((50, 25), (20, 10), 90)
    assert max(y for _, y in ellipse) == pytest.approx(45)
    assert max(x for x, _ in ellipse) == pytest.approx(60)


def test_a_region_needs_a_form() -> None:
    assert region_record(FRAME, label="dog") is None
    outline = annotated_polygon([[10, 10], [30, 10], [30, 20]], FRAME, "here", Faults())
    region = region_record(FRAME, polygon=outline, area_px=1e9, attributes=["a", "a"])
    assert region is not None
    assert region.box is not None
    assert region.area_px == pytest.approx(200)  # the annotated area cannot be
    assert region.attributes == ("a",)
