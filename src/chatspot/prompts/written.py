"""How a region is written as text: one point, two corners of a box, or three and more corners of an outline.

The count of points tells the form (N = 1 point, N = 2 box, N >= 3 polygon; our rule, see PAPER.md). The numbers
themselves are formatted by the chat template alone.
"""

from __future__ import annotations

from chatspot.regions import Box, Point, Polygon, Region
from chatspot.regions.coordinates import XY

STEP = 0.001  # three decimals; half a step is 0.5 px on a 1,000 px side (Shikra's choice)
OUTLINE_CORNERS = 8  # a mask's or scribble's outline is simplified to at most so many (our choice, see PAPER.md)


def written_points(region: Region) -> tuple[XY, ...]:
    """The points to write for ``region``, (x, y) in [0, 1] of the upright image: 1, 2 or at least 3 of them.

    A mask or scribble has no text form of its own: its largest part's outline, simplified to at most
    OUTLINE_CORNERS corners, stands for it.
    """
    if isinstance(region, Point):
        return ((region.x, region.y),)
    if isinstance(region, Box):
        return ((region.x1, region.y1), (region.x2, region.y2))
    if isinstance(region, Polygon):
        return region.points
    return simplified_outline(region)


def simplified_outline(region: Region) -> tuple[XY, ...]:
    """The largest part's outer ring with at most OUTLINE_CORNERS corners."""
    import shapely

    part = max(shapely.get_parts(region.geometry), key=lambda g: g.area)
    outline = part.exterior
    tolerance = STEP / 2
    while len(outline.coords) - 1 > OUTLINE_CORNERS:
        outline = part.exterior.simplify(tolerance)
        tolerance *= 1.5
        if tolerance > 1 or len(outline.coords) < 4:  # the outline fell flat: the rectangle around it still stands
            outline = part.envelope.exterior
    return tuple((float(x), float(y)) for x, y in outline.coords[:-1])
