"""The form in which a question points at a region: a noisy box, a point, a polygon, a mask or a scribble."""

from __future__ import annotations

import random

from chatspot.data.dialogues.settings import DialogueSettings
from chatspot.data.questions import inner_point, inner_scribble
from chatspot.data.records import RegionRecord
from chatspot.errors import RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble, jitter

MOST_CORNERS = 24  # of a polygon in a question: each corner costs about ten tokens (our choice)
MASK_SIDE_PX = 256  # longer side of a mask that is drawn from an outline (our choice)
STROKE_TRIES = 200  # places that are tried for a stroke inside an outline


def pointed_at(region: RegionRecord, size: tuple[int, int], settings: DialogueSettings, rng: random.Random) -> Region:
    """The region in a form drawn by the settings' shares; ``size`` is the picture's (width, height).

    Without an outline a polygon or a mask becomes a box; a region that is annotated as a point stays one.
    """
    draw = rng.random()
    if region.box is None:
        return region.region
    if draw < settings.point_share:
        return region.point if region.point and rng.random() < 0.5 else point_inside(region, rng)
    draw -= settings.point_share
    if draw < settings.polygon_share and region.polygon:
        return few_corners(region.polygon)
    draw -= settings.polygon_share
    if 0 <= draw < settings.mask_share and (mask := mask_of(region, size)):
        return mask
    draw -= settings.mask_share
    if 0 <= draw < settings.scribble_share:
        return stroke_inside(region, rng)
    return jitter(region.box, rng.uniform(0, settings.jitter), size=size, rng=rng)


def point_inside(region: RegionRecord, rng: random.Random) -> Point:
    """A point inside the region; of an outline that leaves out the middle of its box, one that is inside for sure."""
    point = inner_point(region, rng)
    if region.polygon is None or region.polygon.contains(point):
        return point
    place = region.polygon.geometry.representative_point()
    return Point.from_normalized(place.x, place.y, outside="clip")


def few_corners(polygon: Polygon) -> Polygon:
    """The polygon with at most MOST_CORNERS corners (Douglas and Peucker), or its box if it falls flat before."""
    from shapely import Polygon as Ring

    if len(polygon.points) <= MOST_CORNERS:
        return polygon
    ring, tolerance = Ring(polygon.points), 0.0005
    while tolerance < 1:
        outline = ring.simplify(tolerance, preserve_topology=False)
        tolerance *= 1.5
        if outline.geom_type != "Polygon" or outline.is_empty:
            break
        corners = list(outline.exterior.coords)[:-1]
        if len(corners) <= MOST_CORNERS:
            try:
                return Polygon.from_normalized(corners, outside="clip")
            except RegionError:
                break
    box = polygon.bounding_box()
    return Polygon.from_normalized([(box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2)])


def mask_of(region: RegionRecord, size: tuple[int, int]) -> Mask | None:
    """The region's mask: the annotated one, or its outline drawn with at most MASK_SIDE_PX pixels a side; None where
    there is neither."""
    if region.mask:
        return region.mask
    if region.polygon is None:
        return None
    scale = min(1.0, MASK_SIDE_PX / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    try:
        return Mask.from_bitmap(region.polygon.to_bitmap(small))
    except RegionError:  # an outline of more specks than a mask may have
        return None


def stroke_inside(region: RegionRecord, rng: random.Random) -> Scribble:
    """A freehand stroke over the region: through places inside its outline where one is known."""
    assert region.box is not None
    if region.polygon is None:
        return inner_scribble(region.box, rng)
    box, places = region.box, []
    wanted = rng.randint(3, 6)
    for _ in range(STROKE_TRIES):
        point = Point.from_normalized(rng.uniform(box.x1, box.x2), rng.uniform(box.y1, box.y2))
        if region.polygon.contains(point):
            places.append((point.x, point.y))
        if len(places) == wanted:
            break
    if len(places) < 2:
        return inner_scribble(box, rng)
    places.sort(key=lambda place: place[0] if box.x2 - box.x1 > box.y2 - box.y1 else place[1])  # along, not across
    return Scribble.from_normalized(places, pen_wh=pen_of(box))


def pen_of(box: Box) -> tuple[float, float]:
    """A pen of an eighth of the box's sides."""
    return max((box.x2 - box.x1) / 8, 1e-3), max((box.y2 - box.y1) / 8, 1e-3)
