"""What regions are as values, and how they lie to each other."""

from __future__ import annotations

import copy
import dataclasses
import doctest
import json
import pickle
import random
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from chatspot.errors import RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble, jitter, region_from_json, shapes
from chatspot.regions.areas import draw_geometry
from strategies import areas, boxes, masks, polygons, regions, scribbles, sizes

quick = settings(deadline=None, max_examples=60)

ONE_OF_EACH: list[Region] = [
    Point.from_normalized(0.5, 0.25),
    Box.from_normalized(0.1, 0.2, 0.6, 0.9),
    Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.4, 0.8)]),
    Scribble.from_normalized([(0.2, 0.2), (0.8, 0.3)], pen_wh=(0.05, 0.1)),
    Mask.from_runs([1, 4, 1], size=(3, 2)),
]
each = pytest.mark.parametrize("region", ONE_OF_EACH, ids=lambda region: type(region).__name__)


# --- values


def test_docstring_examples_are_true() -> None:
    found = doctest.testmod(shapes)
    assert (found.failed, found.attempted > 0) == (0, True)


@each
def test_a_region_cannot_be_made_without_naming_its_frame(region: Region) -> None:
    fields = {field.name: getattr(region, field.name) for field in dataclasses.fields(region)}
    with pytest.raises(TypeError, match="frame: use"):
        type(region)(*fields.values())
    with pytest.raises(TypeError, match="frame: use"):
        type(region)(**fields)
    with pytest.raises(TypeError, match="frame: use"):
        dataclasses.replace(region)


@each
def test_a_region_is_frozen(region: Region) -> None:
    for field in dataclasses.fields(region):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(region, field.name, getattr(region, field.name))
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(region, field.name)


@each
def test_a_region_survives_copying_and_pickling_with_its_hash(region: Region) -> None:
    for ready in (region, copy.copy(region)):
        assert ready.geometry.is_valid  # also with the cached geometry
        for twin in (pickle.loads(pickle.dumps(ready)), copy.deepcopy(ready)):
            assert twin == region
            assert hash(twin) == hash(region)
            assert twin.area == region.area
    assert len({*ONE_OF_EACH, *copy.deepcopy(ONE_OF_EACH)}) == len(ONE_OF_EACH)


@quick
@given(regions, sizes)
def test_json_brings_a_region_back_exactly(region: Region, size: tuple[int, int]) -> None:
    text = json.dumps(region.to_json(), allow_nan=False)
    again = region_from_json(json.loads(text))
    assert again == region
    if not isinstance(region, Mask):
        assert again.to_pixels(size) == region.to_pixels(size)


@quick
@given(regions, sizes)
def test_pixels_bring_a_region_back_within_their_rounding(region: Region, size: tuple[int, int]) -> None:
    match region:
        case Point():
            again: Region = Point.from_pixels(*region.to_pixels(size), size=size)
            assert (again.x, again.y) == pytest.approx((region.x, region.y), abs=1e-6)
        case Box():
            corners = region.to_pixels(size)
            again = Box.from_pixels(*corners, size=size)
            assert again.bounds_xyxy == pytest.approx(region.bounds_xyxy, abs=1e-6)
        case Polygon() | Scribble():
            for pixel, point in zip(region.to_pixels(size), region.points, strict=True):
                assert (pixel[0] / size[0], pixel[1] / size[1]) == pytest.approx(point, abs=1e-6)
        case Mask():
            assert Mask.from_bitmap(region.to_bitmap()) == region


# --- areas


@quick
@given(areas, areas)
def test_iou_is_symmetric_and_a_share(one: Region, other: Region) -> None:
    found = one.iou(other)
    assert 0 <= found <= 1
    assert found == pytest.approx(other.iou(one), abs=1e-9)


@quick
@given(areas)
def test_iou_of_an_area_with_itself_is_one(region: Region) -> None:
    assert region.iou(region) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Point.from_normalized(0.5, 0.5), Point.from_normalized(0.5, 0.5), 0),  # nothing to share
        (Point.from_normalized(0.5, 0.5), Box.from_normalized(0, 0, 1, 1), 0),
        (Box.from_normalized(0, 0, 0.5, 1), Box.from_normalized(0.5, 0, 1, 1), 0),  # a shared edge
        (Box.from_normalized(0, 0, 0.5, 1), Box.from_normalized(0.25, 0, 0.75, 1), 1 / 3),
        (Box.from_normalized(0, 0, 1, 1), Polygon.from_normalized([(0, 0), (1, 0), (1, 1)]), 0.5),
        (Mask.from_runs([1, 4, 1], size=(3, 2)), Box.from_normalized(0, 0, 1, 1), 4 / 6),
    ],
)
def test_iou_by_hand(one: Region, other: Region, expected: float) -> None:
    assert one.iou(other) == pytest.approx(expected, abs=1e-12)


@quick
@given(areas)
def test_area_bounds_and_bounding_box_agree(region: Region) -> None:
    around = region.bounding_box()
    assert around.bounds_xyxy == pytest.approx(region.bounds_xyxy, abs=1e-12)
    assert 0 < region.area <= around.area * (1 + 1e-9)
    assert around.contains(region)


def test_a_point_has_no_bounding_box() -> None:
    with pytest.raises(RegionError, match="use Point"):
        Point.from_normalized(0.5, 0.5).bounding_box()


@quick
@given(boxes(least=1e-3), st.floats(0, 0.49), st.floats(0, 0.49))
def test_a_box_contains_its_middle_its_corners_and_what_is_shrunk(box: Box, less_x: float, less_y: float) -> None:
    width, height = box.x2 - box.x1, box.y2 - box.y1
    inner = Box.from_normalized(
        box.x1 + less_x * width, box.y1 + less_y * height, box.x2 - less_x * width, box.y2 - less_y * height
    )
    assert box.contains(inner)
    assert box.contains(box)
    assert box.contains(box.center)
    assert box.contains(Point.from_normalized(box.x1, box.y2))
    if less_x > 0.01:
        assert not inner.contains(box)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (Point.from_normalized(0.5, 0.5), Point.from_normalized(0.5, 0.5), True),
        (Point.from_normalized(0.5, 0.5), Box.from_normalized(0.4, 0.4, 0.6, 0.6), False),
        (Box.from_normalized(0, 0, 0.5, 0.5), Point.from_normalized(0.5, 0.5), True),
        (Box.from_normalized(0, 0, 0.5, 0.5), Point.from_normalized(0.5001, 0.5), False),
        (Polygon.from_normalized([(0, 0), (1, 0), (1, 1)]), Point.from_normalized(0.2, 0.9), False),
        (Mask.from_runs([1, 4, 1], size=(3, 2)), Point.from_normalized(0.1, 0.1), False),
        (Mask.from_runs([1, 4, 1], size=(3, 2)), Point.from_normalized(0.1, 0.9), True),
    ],
)
def test_containment_by_hand(outer: Region, inner: Region, expected: bool) -> None:
    assert outer.contains(inner) is expected


@quick
@given(scribbles)
def test_a_scribble_covers_its_path_and_stays_inside(scribble: Scribble) -> None:
    x1, y1, x2, y2 = scribble.bounds_xyxy
    assert min(x1, y1) >= 0
    assert max(x2, y2) <= 1
    for x, y in scribble.points:
        assert scribble.geometry.distance(shapely.Point(x, y)) < 1e-9


@pytest.mark.parametrize("tiny", [5e-324, 1e-200, 1e-170, 1e-30, 1e-16])
def test_corners_too_close_to_divide_by(tiny: float) -> None:
    """GEOS divides by products of their differences, which underflow: a warning, and warnings are errors."""
    low = [(0.994, 0.15784882739862793), (0.0, 5.415349433255019), (0.5, 5.460562428463448), (0.5, 0.23238361102753107)]
    corners = [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), *((x, y * tiny) for x, y in low)]
    plain = [(x, 0.0 if y < 1e-9 else y) for x, y in corners]
    assert Polygon.from_normalized(corners).area == pytest.approx(Polygon.from_normalized(plain).area, abs=1e-9)


@pytest.mark.parametrize("tiny", [5e-324, 2.6e-211, 1e-30])
def test_steps_too_small_to_divide_by(tiny: float) -> None:
    path = [(0.5, 0.6), (0.35, tiny), (0.9, 0.4), (0.35, 0.0), (tiny, 0.4), (0.0, 0.4), (1.0, 0.1)]
    stroke, plain = (
        Scribble.from_normalized(p, pen_wh=(0.4, 0.3)) for p in (path, [(round(x, 9), round(y, 9)) for x, y in path])
    )
    assert stroke.area == pytest.approx(plain.area, abs=1e-6)


def test_a_scribble_of_one_point_is_a_round_spot_in_pixels() -> None:
    spot = Scribble.from_pixels([(100, 50)], pen=20, size=(400, 100))
    x1, y1, x2, y2 = spot.bounds_xyxy
    assert (x1 * 400, y1 * 100, x2 * 400, y2 * 100) == pytest.approx((90, 40, 110, 60))


# --- masks


@pytest.mark.parametrize(
    ("bitmap", "counts"),
    [
        ([[0, 1, 1], [1, 1, 0]], (1, 4, 1)),  # columns: 0 1, 1 1, 1 0
        ([[1, 0], [0, 0]], (0, 1, 3)),  # a set pixel comes first, so the unset run before it is empty
        ([[0, 0], [0, 1]], (3, 1)),
        ([[1, 1, 1]], (0, 3)),
        ([[0], [1], [0]], (1, 1, 1)),
        ([[0, 1, 0, 1]], (1, 1, 1, 1)),
    ],
)
def test_runs_go_down_the_columns_unset_first_as_in_coco(bitmap: list[list[int]], counts: tuple[int, ...]) -> None:
    mask = Mask.from_bitmap(np.array(bitmap))
    assert mask.counts == counts
    assert mask.size_wh == (len(bitmap[0]), len(bitmap))
    assert (mask.to_bitmap() == np.array(bitmap, dtype=bool)).all()


@quick
@given(numpy_st.arrays(st.sampled_from([np.bool_, np.uint8, np.float32]), st.tuples(*[st.integers(1, 9)] * 2)))
def test_bitmap_to_runs_and_back(bitmap: np.ndarray) -> None:
    if not bitmap.any():
        with pytest.raises(RegionError, match="empty"):
            Mask.from_bitmap(bitmap)
        return
    mask = Mask.from_bitmap(bitmap)
    assert (mask.to_bitmap() == (bitmap != 0)).all()
    assert sum(mask.counts) == bitmap.size
    assert all(count > 0 for count in mask.counts[1:])


@quick
@given(masks(), st.data())
def test_one_mask_has_one_way_to_be_written(mask: Mask, data: st.DataObject) -> None:
    counts = list(mask.counts)
    at = data.draw(st.integers(0, len(counts) - 1))
    part = data.draw(st.integers(0, counts[at]))
    counts[at : at + 1] = [part, 0, counts[at] - part]
    assert Mask.from_runs([*counts, 0, 0], size=mask.size_wh) == mask


@quick
@given(masks())
def test_a_masks_area_is_the_share_of_set_pixels(mask: Mask) -> None:
    share = mask.to_bitmap().mean()
    assert mask.area == pytest.approx(share, abs=1e-12)
    assert mask.geometry.area == pytest.approx(share, abs=1e-9)


@quick
@given(masks())
def test_a_mask_contains_the_middle_of_just_its_pixels(mask: Mask) -> None:
    width, height = mask.size_wh
    for (row, column), is_set in np.ndenumerate(mask.to_bitmap()):
        middle = Point.from_normalized((column + 0.5) / width, (row + 0.5) / height)
        assert mask.contains(middle) == is_set


def test_many_separate_specks_are_joined_as_few_are() -> None:
    comb = Mask.from_runs([1, 1] * 6_000, size=(200, 60))  # every other row of each column
    assert comb.geometry.area == pytest.approx(0.5)
    assert len(comb.geometry.geoms) == 30


def test_a_mask_resampled_to_another_size() -> None:
    mask = Mask.from_bitmap(np.array([[0, 1], [0, 0]]))
    assert (mask.to_bitmap((4, 4)) == np.kron([[0, 1], [0, 0]], np.ones((2, 2)))).all()
    assert (mask.to_bitmap((2, 2)) == mask.to_bitmap()).all()


# --- bitmaps


@quick
@given(regions, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_every_region_shows_on_a_picture_of_any_size(region: Region, size: tuple[int, int]) -> None:
    bitmap = region.to_bitmap(size)
    assert bitmap.shape == (size[1], size[0])
    assert bitmap.dtype == bool
    assert bitmap.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (3, 7)])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5), (0.9999, 1e-9)])
def test_the_smallest_regions_show_at_every_edge(x: float, y: float, size: tuple[int, int]) -> None:
    side = 2e-6
    low = (min(x, 1 - side), min(y, 1 - side))
    tiny = Box.from_normalized(*low, low[0] + side, low[1] + side)
    corner = Polygon.from_normalized([low, (low[0] + side, low[1]), (low[0], low[1] + side)])
    stroke = Scribble.from_normalized([(x, y)], pen_wh=(1e-6, 1e-6))
    for region in (Point.from_normalized(x, y), tiny, corner, stroke):
        (pixel,) = np.argwhere(region.to_bitmap(size))
        assert np.abs(pixel + 0.5 - (y * size[1], x * size[0])).max() < 0.51


@quick
@given(st.tuples(st.integers(1, 50), st.integers(1, 50)), st.data())
def test_a_box_of_whole_pixels_is_drawn_as_just_these(size: tuple[int, int], data: st.DataObject) -> None:
    x1, y1 = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, size[0])), data.draw(st.integers(y1 + 1, size[1]))
    expected = np.zeros((size[1], size[0]), dtype=bool)
    expected[y1:y2, x1:x2] = True
    assert (Box.from_pixels(x1, y1, x2, y2, size=size).to_bitmap(size) == expected).all()


def test_a_mask_too_thin_for_a_small_picture_still_shows() -> None:
    hair = np.zeros((100, 100))
    hair[:, 3] = 1
    assert Mask.from_bitmap(hair).to_bitmap((5, 5))[:, 0].all()


@quick
@given(polygons())
def test_a_polygon_is_drawn_where_it_is(polygon: Polygon) -> None:
    width, height = 60, 40
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    drawn = polygon.to_bitmap((width, height))
    with np.errstate(invalid="ignore"):  # corners 1e-310 apart are no numbers to GEOS
        inner, outer = polygon.geometry.buffer(-0.03), polygon.geometry.buffer(0.05)
    assert drawn[shapely.contains_xy(inner, x, y)].all()
    assert not drawn[~shapely.contains_xy(outer, x, y)].any()


def test_what_lies_in_a_hole_is_drawn() -> None:
    ring_and_core = shapely.MultiPolygon([
        shapely.box(0.45, 0.45, 0.55, 0.55),
        shapely.Polygon(shapely.box(0.1, 0.1, 0.9, 0.9).exterior, [shapely.box(0.3, 0.3, 0.7, 0.7).exterior]),
    ])  # fmt: skip
    bitmap = draw_geometry(ring_and_core, (100, 100))
    assert [bool(bitmap[50, x]) for x in (5, 20, 35, 50, 65, 80)] == [False, True, False, True, False, True]


@pytest.mark.parametrize("size", [(0, 5), (5.5, 5), None])
@each
def test_a_bitmap_needs_a_size(region: Region, size: Any) -> None:
    if size is None and isinstance(region, Mask):
        assert region.to_bitmap(size).shape == (2, 3)  # its own
        return
    with pytest.raises(RegionError, match="size"):
        region.to_bitmap(size)


# --- jitter


@pytest.mark.parametrize("scale", [-0.1, 1, 2, float("nan"), float("inf"), True, "0.1", None])
def test_a_jitter_scale_that_cannot_be(scale: Any) -> None:
    with pytest.raises(RegionError, match="scale"):
        jitter(Box.from_normalized(0, 0, 1, 1), scale, size=(10, 10), rng=random.Random(0))


def test_jitter_needs_a_size() -> None:
    with pytest.raises(RegionError, match="size"):
        jitter(Box.from_normalized(0, 0, 1, 1), 0.1, size=(0, 10), rng=random.Random(0))


@quick
@given(boxes(), st.floats(0, 0.999), sizes, st.integers())
def test_a_jittered_box_stays_inside_and_keeps_a_pixel(
    box: Box, scale: float, size: tuple[int, int], seed: int
) -> None:
    moved = jitter(box, scale, size=size, rng=random.Random(seed))
    assert 0 <= moved.x1 < moved.x2 <= 1
    assert 0 <= moved.y1 < moved.y2 <= 1
    assert (moved.x2 - moved.x1) * size[0] >= 1 - 1e-9
    assert (moved.y2 - moved.y1) * size[1] >= 1 - 1e-9
    assert moved == jitter(box, scale, size=size, rng=random.Random(seed))


@quick
@given(boxes(least=1 / 64))
def test_jitter_by_nothing_changes_nothing(box: Box) -> None:
    same = jitter(box, 0, size=(64, 64), rng=random.Random(0))
    assert same.bounds_xyxy == pytest.approx(box.bounds_xyxy, abs=1e-12)


def test_jitter_moves_and_resizes_by_up_to_its_scale() -> None:
    box, rng = Box.from_normalized(0.4, 0.4, 0.6, 0.6), random.Random(1)
    moved = [jitter(box, 0.3, size=(1000, 1000), rng=rng) for _ in range(500)]
    shifts = [(m.x1 + m.x2) / 2 - 0.5 for m in moved]
    lengths = [m.y2 - m.y1 for m in moved]
    assert max(map(abs, shifts)) == pytest.approx(0.06, rel=0.05)
    assert (min(lengths), max(lengths)) == pytest.approx((0.14, 0.26), rel=0.05)
    assert np.mean(shifts) == pytest.approx(0, abs=0.005)
    assert len({m.x1 for m in moved}) == 500
