"""What shapes are made of: rings, runs and strokes; what they cover, and how that is drawn in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from chatspot.errors import RegionError
from chatspot.regions.coordinates import ROUNDING_SLACK, XY, Size, checked_size

if TYPE_CHECKING:
    import numpy as np
    from shapely.geometry.base import BaseGeometry


def opened_ring(corners: list[XY]) -> list[XY]:
    """A ring without repeats of its first corner at its end, as files close their rings."""
    end = len(corners)
    while end > 1 and corners[end - 1] == corners[0]:
        end -= 1
    return corners[:end]


def cut_to_image(corners: list[XY]) -> list[XY]:
    """A ring cut at the image's border (Sutherland and Hodgman 1974); where it leaves and enters again, it runs along
    the border. A ring inside comes back as it is, one outside as an empty list."""
    values = [value for corner in corners for value in corner]
    if not all(map(math.isfinite, values)) or all(-ROUNDING_SLACK <= value <= 1 + ROUNDING_SLACK for value in values):
        return corners  # ``placed`` refuses the one and rounds the other
    for axis in (0, 1):
        for edge, sign in ((0.0, 1.0), (1.0, -1.0)):
            ring, corners = corners, []
            for before, corner in zip(ring[-1:] + ring[:-1], ring, strict=True):
                inside, was_inside = (sign * (point[axis] - edge) >= 0 for point in (corner, before))
                if inside != was_inside:
                    share = (edge / 2 - before[axis] / 2) / (corner[axis] / 2 - before[axis] / 2)  # no overflow
                    along = before[1 - axis] * (1 - share) + corner[1 - axis] * share
                    corners.append((edge, along) if axis == 0 else (along, edge))
                if inside:
                    corners.append(corner)
    return corners


def check_crossings(path: Sequence[XY], most: int, name: str) -> None:
    """Raise ``RegionError`` when the path crosses (or touches) itself more than ``most`` times, without counting on."""
    import shapely

    steps = [step for step in pairwise(path) if step[0] != step[1]]
    if len(steps) * (len(steps) - 1) // 2 <= most:
        return
    segments = shapely.linestrings(steps)
    tree = shapely.STRtree(segments)
    found = 0
    for at in range(0, len(segments), 64):
        piece = segments[at : at + 64]
        # every step meets itself and its two neighbours; every other meeting is seen from both sides
        found += len(tree.query(piece, predicate="intersects")[0]) - 3 * len(piece)
        if found > 2 * most:
            raise RegionError(f"{name} crosses itself more than {most:,} times; simplify it first")


def joined_runs(runs: Iterable[int]) -> list[int]:
    """Run lengths without empty runs (but the first), so that one mask has one way to be written."""
    joined = [0]
    for index, run in enumerate(runs):
        if index % 2 == (len(joined) - 1) % 2:
            joined[-1] += run
        elif run:
            joined.append(run)
    return joined


def pixels_between(low: float, high: float, count: int) -> slice:
    """The pixels of a row of ``count`` whose middles lie in [low, high); the one under the span's middle when none
    does."""
    first, end = math.ceil(low * count - 0.5), math.ceil(high * count - 0.5)
    if first >= end:
        first = min(int((low + high) / 2 * count), count - 1)
        end = first + 1
    return slice(first, end)


def thickened(path: Sequence[XY]) -> BaseGeometry:
    """What a round pen of diameter 1 covers along ``path`` (two or more points)."""
    from shapely import LineString, unary_union

    line = LineString(path)
    area = line.buffer(0.5)
    if area.covers(line):
        return area
    return unary_union([LineString(step).buffer(0.5) for step in pairwise(path)])  # GEOS errs where a line runs back


def areas_of(geometry: BaseGeometry) -> BaseGeometry:
    """Only the parts of a geometry that have area."""
    import shapely

    parts = [g for g in shapely.get_parts(geometry) if g.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.unary_union(parts) if parts else shapely.Polygon()


def draw_geometry(geometry: BaseGeometry, size: Size) -> np.ndarray:
    """A geometry in the [0, 1] frame drawn on ``size`` = (width, height): bool array [height, width]."""
    import numpy as np
    import shapely
    from PIL import Image, ImageDraw

    width, height = checked_size(size, "to_bitmap")
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)

    def pixels(ring: Any) -> list[XY]:
        return [(x * width - 0.5, y * height - 0.5) for x, y in ring.coords]

    for part in sorted(shapely.get_parts(geometry), key=lambda g: -g.area):  # what lies in a hole comes after the hole
        if part.geom_type == "Polygon":
            pen.polygon(pixels(part.exterior), fill=1)
            for hole in part.interiors:
                pen.polygon(pixels(hole), fill=0)
    x1, y1, x2, y2 = geometry.bounds
    if (x2 - x1) * width < 1 and (y2 - y1) * height < 1:  # a speck: rounding may have set its neighbour
        canvas.paste(0, (0, 0, width, height))
    if canvas.getbbox() is None:  # also when it is thinner than its own holes' outlines
        place = geometry.representative_point()
        pen.point((min(int(place.x * width), width - 1), min(int(place.y * height), height - 1)), fill=1)
    return np.array(canvas)
