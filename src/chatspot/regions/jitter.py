"""The noise of the paper's robustness test: a box moved and resized at random."""

from __future__ import annotations

import random

from chatspot.errors import RegionError
from chatspot.regions.shapes import Box, Size, checked_size, number


def jitter(box: Box, scale: float, *, size: Size, rng: random.Random) -> Box:
    """``box`` shifted and resized by up to ``scale`` times its sides, inside the image and at least 1 pixel a side.

    Centre x, centre y, width and height each move by an independent uniform draw from ±scale times the side (the paper
    names only the scale s; the distribution is our choice, see PAPER.md). ``rng`` makes it repeatable.

    Raises ``RegionError`` when ``scale`` is below 0 or at least 1.
    """
    scale, (columns, rows) = number(scale, "jitter's scale"), checked_size(size, "jitter")
    if not 0 <= scale < 1:
        raise RegionError(f"jitter's scale must be in [0, 1), got {scale}")
    width, height = box.x2 - box.x1, box.y2 - box.y1
    x = (box.x1 + box.x2) / 2 + rng.uniform(-scale, scale) * width
    y = (box.y1 + box.y2) / 2 + rng.uniform(-scale, scale) * height
    width *= 1 + rng.uniform(-scale, scale)
    height *= 1 + rng.uniform(-scale, scale)
    x1, x2 = span_inside(x, width, 1 / columns)
    y1, y2 = span_inside(y, height, 1 / rows)
    return Box.from_normalized(x1, y1, x2, y2)


def span_inside(center: float, length: float, least: float) -> tuple[float, float]:
    """The span around ``center`` clipped to [0, 1] and kept at least ``least`` long."""
    low, high = max(center - length / 2, 0.0), min(center + length / 2, 1.0)
    if high - low < least:
        low = min(max((low + high) / 2 - least / 2, 0.0), 1.0 - least)
        high = low + least
    return low, min(high, 1.0)
