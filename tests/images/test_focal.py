"""The focal view: what of the picture a region's further picture shows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.images import focal_view
from chatspot.images.focal import (
    DIMMED,
    GREY,
    LEAST_SIDE,
    LOOSE_SIZES,
    MARGIN,
    MAX_ASPECT,
    POINT_WINDOW,
    SIZES,
    STROKE_MARGIN,
    focal_views,
    point_window,
    region_window,
)
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble
from strategies import areas, regions

quick = settings(deadline=None, max_examples=60)
small_sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
THIN = [(1, 1), (1, 1000), (1000, 1), (2, 3)]


def noise(size: tuple[int, int]) -> Image.Image:
    """A picture without two equal neighbours."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(1, 255, (size[1], size[0], 3), dtype=np.uint8))


@quick
@given(areas, small_sizes)
def test_the_window_holds_the_region_and_lies_inside(region: Region, size: tuple[int, int]) -> None:
    left, top, right, bottom = region_window(region, size)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    x1, y1, x2, y2 = region.bounds_xyxy
    assert left <= x1 * size[0] + 1e-6
    assert right >= x2 * size[0] - 1e-6
    assert top <= y1 * size[1] + 1e-6
    assert bottom >= y2 * size[1] - 1e-6


@quick
@given(areas.filter(lambda region: isinstance(region, Box | Scribble)), small_sizes)
def test_a_box_and_a_scribble_are_shown_as_the_picture_is(region: Region, size: tuple[int, int]) -> None:
    picture = noise(size)
    assert focal_view(picture, region).tobytes() == picture.crop(region_window(region, size)).tobytes()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((400, 400, 600, 500), (350, 375, 650, 525)),  # the margin on each side
        ((400, 400, 404, 404), (390, 390, 414, 414)),  # at least 24 pixels
        ((400, 400, 800, 420), (300, 260, 900, 560)),  # no flatter than 1 : 2
        ((0, 0, 100, 100), (0, 0, 125, 125)),  # cut at the border
        ((0, 0, 1000, 1000), (0, 0, 1000, 1000)),
    ],
)
def test_windows_by_hand(box: tuple[int, int, int, int], expected: tuple[int, int, int, int]) -> None:
    assert (MARGIN, LEAST_SIDE, MAX_ASPECT) == (0.25, 24, 2.0)
    found = region_window(Box.from_pixels(*box, size=(1000, 1000)), (1000, 1000))
    assert found == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("region", "size", "expected"),
    [
        (Box.from_pixels(400, 400, 600, 500, size=(1000, 1000)), 0.8, (380, 390, 620, 510)),
        (Box.from_pixels(400, 400, 600, 500, size=(1000, 1000)), 2.0, (200, 300, 800, 600)),
        (Box.from_pixels(0, 0, 1000, 1000, size=(1000, 1000)), 1.25, (0, 0, 1000, 1000)),
        (Box.from_pixels(400, 400, 404, 404, size=(1000, 1000)), 0.5, (390, 390, 414, 414)),  # at least 24 pixels
        (Scribble.from_pixels([(400, 400), (500, 500)], pen=100, size=(1000, 1000)), 1.0, (225, 225, 675, 675)),
    ],
)
def test_windows_of_other_sizes_by_hand(region: Region, size: float, expected: tuple[int, int, int, int]) -> None:
    assert STROKE_MARGIN == 0.625
    assert region_window(region, (1000, 1000), size) == pytest.approx(expected, abs=1)


@quick
@given(regions, small_sizes)
def test_several_sizes_grow_around_the_view_in_their_middle(region: Region, size: tuple[int, int]) -> None:
    picture = noise(size)
    sizes = LOOSE_SIZES if isinstance(region, Point | Scribble) else SIZES
    assert sorted(sizes) == list(sizes)
    views = focal_views(picture, region)
    assert [view.tobytes() for view in views] == [focal_view(picture, region, each).tobytes() for each in sizes]
    assert views[1].tobytes() == focal_view(picture, region).tobytes()
    assert all(a.width <= b.width and a.height <= b.height for a, b in pairwise(views))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5), (0.013, 0.987)])
def test_a_point_stays_in_the_middle_even_at_the_border(x: float, y: float) -> None:
    size = (200, 100)
    point = Point.from_normalized(x, y)
    left, top, right, bottom = point_window(point, size)
    assert right - left == bottom - top == POINT_WINDOW * 100
    assert (left + right) / 2 == pytest.approx(x * 200, abs=1)
    assert (top + bottom) / 2 == pytest.approx(y * 100, abs=1)
    picture = noise(size)
    view = np.asarray(focal_view(picture, point))
    for row in range(view.shape[0]):
        for column in range(view.shape[1]):
            inside = 0 <= left + column < 200 and 0 <= top + row < 100
            expected = picture.getpixel((left + column, top + row)) if inside else GREY
            assert tuple(view[row, column]) == expected


@quick
@given(areas.filter(lambda region: not isinstance(region, Box | Scribble)), small_sizes)
def test_outside_is_dimmed_and_inside_untouched(region: Region, size: tuple[int, int]) -> None:
    picture = noise(size)
    left, top, right, bottom = region_window(region, size)
    view = np.asarray(focal_view(picture, region))
    whole = np.asarray(picture)[top:bottom, left:right]
    shape = region.to_bitmap(size)[top:bottom, left:right]
    assert shape.any()
    assert (view[shape] == whole[shape]).all()
    assert (view[~shape] == (whole[~shape] * DIMMED).astype(np.uint8)).all()


@pytest.mark.parametrize("size", THIN)
@pytest.mark.parametrize("x", [0, 0.46, 1])
@pytest.mark.parametrize("y", [0, 0.46, 1])
def test_every_edge_of_the_thinnest_pictures_can_be_shown(x: float, y: float, size: tuple[int, int]) -> None:
    picture = noise(size)
    low, high = (min(x, 0.999), min(y, 0.999)), (min(x, 0.999) + 0.001, min(y, 0.999) + 0.001)
    column, row = min(int(x * size[0]), size[0] - 1), min(int(y * size[1]), size[1] - 1)
    dot = np.zeros((size[1], size[0]))
    dot[row, column] = 1
    for region in (
        Point.from_normalized(x, y),
        Box.from_normalized(*low, *high),
        Polygon.from_normalized([low, (high[0], low[1]), high]),
        Scribble.from_normalized([(x, y)], pen_wh=(0.001, 0.001)),
        Mask.from_bitmap(dot),
    ):
        view = focal_view(picture, region)
        assert view.mode == "RGB"
        assert min(view.size) >= 1
        own = np.asarray(picture)[row, column]
        assert (np.asarray(view).reshape(-1, 3) == own).all(axis=1).any()  # the pixel itself is to be seen


@quick
@given(regions, small_sizes)
def test_the_picture_is_left_as_it_is(region: Region, size: tuple[int, int]) -> None:
    picture = noise(size)
    before = picture.tobytes()
    focal_view(picture, region)
    assert picture.tobytes() == before


def test_a_mask_of_another_size_lies_over_the_whole_picture() -> None:
    left_half = Mask.from_bitmap(np.array([[1, 0]]))
    view = np.asarray(focal_view(Image.new("RGB", (100, 60), (200, 200, 200)), left_half))
    assert (view[:, :50] == 200).all()
    assert (view[:, 50:] == 70).all()
