"""The sheet: a view above, the region alone as a line of text beneath, whatever the shapes are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chatspot.images import encoder_view, encoder_views, focal_view
from chatspot.images.focal import GREY, focal_views
from chatspot.images.sheet import LINE_HEIGHT, LINE_STRETCH, SIDE, region_alone
from chatspot.regions import Box, Mask, Point, Polygon, Scribble

PAGE = (SIDE, SIDE + LINE_HEIGHT)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(size: tuple[int, int] = (200, 100)) -> Image.Image:
    """Blue with a red part from (20, 10) to (60, 30)."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (20, 10, 60, 30))
    return image


def test_the_line_shows_the_region_alone_and_in_proportion() -> None:
    box = Box.from_pixels(20, 10, 60, 30, size=(200, 100))
    page = np.asarray(encoder_view(picture(), box, "sheet"))
    line = page[SIDE:]
    width = round(LINE_HEIGHT * LINE_STRETCH * 2)
    assert (line[:, :width] == RED).all(), "the region, no margin"
    assert (line[:, width:] == GREY).all(), "and grey to its right"
    assert (page[:SIDE] == BLUE).all(axis=2).any(), "the view above has a margin"


def test_the_view_is_the_focal_view_stretched() -> None:
    box = Box.from_pixels(20, 10, 60, 30, size=(200, 100))
    expected = focal_view(picture(), box).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    assert encoder_view(picture(), box, "sheet").crop((0, 0, SIDE, SIDE)).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "region",
    [Box.from_pixels(20, 10, 60, 30, size=(200, 100)), Point.from_normalized(0.2, 0.2)],
    ids=lambda region: type(region).__name__,
)
def test_several_sizes_share_their_line(region: Box | Point) -> None:
    pages = encoder_views(picture(), region, "sheet")
    middle = encoder_view(picture(), region, "sheet")
    assert [page.size for page in pages] == [PAGE] * 3
    assert pages[1].tobytes() == middle.tobytes()
    above, beneath = (0, 0, SIDE, SIDE), (0, SIDE, *PAGE)
    assert len({page.crop(above).tobytes() for page in pages}) == 3
    assert {page.crop(beneath).tobytes() for page in pages} == {middle.crop(beneath).tobytes()}
    assert [view.size for view in encoder_views(picture(), region, "pad")] == [
        view.size for view in focal_views(picture(), region)
    ]


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_other_fits_are_left_to_the_image_processor(fit: str) -> None:
    image, box = picture(), Box.from_pixels(20, 10, 60, 30, size=(200, 100))
    assert encoder_view(image, None, fit) is image
    assert encoder_view(image, box, fit).tobytes() == focal_view(image, box).tobytes()


@pytest.mark.parametrize(
    "region",
    [
        None,
        Point.from_normalized(0.0, 1.0),
        Box.from_normalized(0.0, 0.0, 1.0, 1e-6),
        Box.from_normalized(1 - 1e-9, 1 - 1e-9, 1.0, 1.0),
        Polygon.from_normalized([(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)]),
        Scribble.from_normalized([(0.2, 0.2), (0.8, 0.8)], pen_wh=(0.05, 0.05)),
        Mask.from_bitmap(np.eye(20, dtype=bool)),
    ],
    ids=lambda region: type(region).__name__,
)
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3000, 20)])
def test_every_region_of_every_picture_gives_a_page(region: object, size: tuple[int, int]) -> None:
    if isinstance(region, Mask):
        size = (20, 20)
    page = encoder_view(Image.new("RGB", size, RED), region, "sheet")  # type: ignore[arg-type]
    assert (page.size, page.mode) == (PAGE, "RGB")


@given(
    st.integers(1, 400), st.integers(1, 400),
    st.tuples(*[st.floats(0, 1)] * 4).filter(lambda e: min(abs(e[0] - e[2]), abs(e[1] - e[3])) > 1e-12),
)  # fmt: skip
def test_the_region_alone_covers_the_region(width: int, height: int, edges: tuple[float, ...]) -> None:
    x1, x2 = sorted((edges[0], edges[2]))
    y1, y2 = sorted((edges[1], edges[3]))
    box = Box.from_normalized(x1, y1, x2, y2)
    alone = region_alone(Image.new("RGB", (width, height)), box)
    assert 1 <= alone.width <= width
    assert 1 <= alone.height <= height
    assert alone.width + 1e-6 >= min((x2 - x1) * width, width)
    assert alone.width <= (x2 - x1) * width + 2
