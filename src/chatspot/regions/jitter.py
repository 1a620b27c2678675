"""The noise of the paper's robustness test: a box, or a region of another form, moved and resized at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from chatspot.errors import RegionError
from chatspot.regions.coordinates import XY, Size, checked_size, number
from chatspot.regions.shapes import Box, Mask, Point, Polygon, Region, Scribble

if TYPE_CHECKING:
    import numpy as np

POINT_SIDE = 0.25  # of the picture: the box that a point moves as (our choice)


def jitter(box: Box, scale: float, *, size: Size, rng: random.Random) -> Box:
    """``box`` shifted and resized by up to ``scale`` times its sides, inside the image and at least 1 pixel a side.

    Centre x, centre y, width and height each move by an independent uniform draw from ±scale times the side (the paper
    names only the scale s; the distribution is our choice, see PAPER.md). ``rng`` makes it repeatable.

    Raises ``RegionError`` when ``scale`` is below 0 or at least 1.
    """
    scale, (columns, rows) = checked_scale(scale), checked_size(size, "jitter")
    width, height = box.x2 - box.x1, box.y2 - box.y1
    x = (box.x1 + box.x2) / 2 + rng.uniform(-scale, scale) * width
    y = (box.y1 + box.y2) / 2 + rng.uniform(-scale, scale) * height
    width *= 1 + rng.uniform(-scale, scale)
    height *= 1 + rng.uniform(-scale, scale)
    x1, x2 = span_inside(x, width, 1 / columns)
    y1, y2 = span_inside(y, height, 1 / rows)
    return Box.from_normalized(x1, y1, x2, y2)


def checked_scale(scale: float) -> float:
    """The scale; ``RegionError`` when it is below 0 or at least 1."""
    scale = number(scale, "jitter's scale")
    if not 0 <= scale < 1:
        raise RegionError(f"jitter's scale must be in [0, 1), got {scale}")
    return scale


def span_inside(center: float, length: float, least: float) -> tuple[float, float]:
    """The span around ``center`` clipped to [0, 1] and kept at least ``least`` long."""
    low, high = max(center - length / 2, 0.0), min(center + length / 2, 1.0)
    if high - low < least:
        low = min(max((low + high) / 2 - least / 2, 0.0), 1.0 - least)
        high = low + least
    return low, min(high, 1.0)


def jittered(region: Region, scale: float, *, size: Size, rng: random.Random) -> Region:
    """A region of any form moved as ``jitter`` moves its bounding box, on an image of ``size``.

    A point moves by up to ``scale`` times POINT_SIDE of the image's sides. The corners of a polygon and the path of a
    scribble go with the box around them, as do a mask's pixels (the nearest is taken); the pen stays. A form that
    cannot be moved so (a mask that would break into too many runs) stays where it is. Raises ``RegionError`` as
    ``jitter`` does.
    """
    if isinstance(region, Box):
        return jitter(region, scale, size=size, rng=rng)
    if isinstance(region, Point):
        scale = checked_scale(scale)
        moves = [rng.uniform(-scale, scale) * POINT_SIDE for _ in range(2)]
        return Point.from_normalized(region.x + moves[0], region.y + moves[1], outside="clip")
    target = jitter(region.bounding_box(), scale, size=size, rng=rng)
    (left, top, right, bottom), (x1, y1, x2, y2) = region.bounds_xyxy, target.bounds_xyxy
    wider, higher = (x2 - x1) / (right - left), (y2 - y1) / (bottom - top)

    def moved(points: tuple[XY, ...]) -> list[XY]:
        return [(x1 + (x - left) * wider, y1 + (y - top) * higher) for x, y in points]

    try:
        if isinstance(region, Polygon):
            return Polygon.from_normalized(moved(region.points), outside="clip")
        if isinstance(region, Scribble):
            return Scribble.from_normalized(moved(region.points), pen_wh=region.pen_wh, outside="clip")
        return moved_mask(region, lambda x, y: (left + (x - x1) / wider, top + (y - y1) / higher))
    except RegionError:
        return region


def moved_mask(mask: Mask, origin: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Mask:
    """The mask whose pixels are those at ``origin`` of their own places, in the [0, 1] frame."""
    import numpy as np

    width, height = mask.size_wh
    x, y = origin((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    columns, rows = np.floor(x * width).astype(int), np.floor(y * height).astype(int)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    taken = mask.to_bitmap()[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    return Mask.from_bitmap(taken & inside)
