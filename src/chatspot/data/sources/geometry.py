"""Annotated pixels to regions: turned with the picture, clipped at its border, and reported where they cannot be used.

Every reader of original files passes its coordinates through here, so all treat the same faults in the same way.
Coordinates are pixels of the picture as its annotators saw it; what comes back is in the frame of the upright picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from chatspot.data.faults import Faults, Frame
from chatspot.data.records import RegionRecord
from chatspot.errors import RegionError
from chatspot.regions import Box, Mask, Point, Polygon
from chatspot.regions.coordinates import as_pairs, number, numbers

XY: TypeAlias = tuple[float, float]

LEAST_INSIDE = 0.5  # of a region's area; field/formats on Visual Genome: "drop if less than half the box is inside"
OVERHANG_PX = 1.0  # boxes that leave the picture by less are clipped without a word: rounding (our choice)


def annotated_box(xyxy: Any, frame: Frame, where: str, faults: Faults) -> Box | None:
    """The box of left, top, right and bottom in annotated pixels, or None after a fault.

    Faults: "unusable entry" for what is no four numbers, "degenerate region" for a reversed or empty box or one that
    is no number, "outside region" for one that is clipped or, with less than LEAST_INSIDE of it inside, left out.
    """
    try:
        x1, y1, x2, y2 = numbers(xyxy, 4, "Box")
    except RegionError as error:
        faults.add("unusable entry", where, str(error))
        return None
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    finite = all(map(math.isfinite, (x1, y1, x2, y2)))
    (ax, ay), (bx, by) = turned(frame, [(x1, y1), (x2, y2)])
    edges = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    # turning may round a hair's breadth to nothing, so both are looked at
    if not finite or x1 >= x2 or y1 >= y2 or edges[0] == edges[2] or edges[1] == edges[3]:
        faults.add("degenerate region", where, f"{shown}: expected x1 < x2 and y1 < y2")
        return None
    inside = span_inside(edges[0], edges[2], frame.size[0]) * span_inside(edges[1], edges[3], frame.size[1])
    if not keep(inside, overhang_px([edges[:2], edges[2:]], frame), shown, frame, where, faults):
        return None
    try:
        return Box.from_pixels(*edges, size=frame.size, outside="clip")
    except RegionError as error:  # too thin to be told from nothing
        faults.add("degenerate region", where, f"{shown}: {error}")
        return None


def annotated_box_xywh(xywh: Any, frame: Frame, where: str, faults: Faults) -> Box | None:
    """``annotated_box`` of left, top, width and height, as COCO and Visual Genome write them."""
    try:
        x, y, w, h = numbers(xywh, 4, "Box")
    except RegionError as error:
        faults.add("unusable entry", where, str(error))
        return None
    return annotated_box((x, y, x + w, y + h), frame, where, faults)


def annotated_polygon(points: Any, frame: Frame, where: str, faults: Faults) -> Polygon | None:
    """The polygon of [x, y] corners in annotated pixels, cut at the picture's border, or None after a fault (the same
    kinds as of ``annotated_box``; fewer than three corners or no area are "degenerate region")."""
    try:
        corners = as_pairs(points, "Polygon")
    except RegionError as error:
        faults.add("unusable entry", where, str(error))
        return None
    shown = f"polygon of {len(corners)} corners"
    if not all(math.isfinite(value) for corner in corners for value in corner):
        faults.add("degenerate region", where, f"{shown}: a coordinate is no number")
        return None
    corners = turned(frame, corners)
    width, height = frame.size
    overhang = overhang_px(corners, frame)
    try:
        whole_px = whole_area_px(corners) if overhang else 0.0
        if overhang and all(reaches_in(corners, axis, side) for axis, side in ((0, width), (1, height))):
            polygon = Polygon.from_pixels(corners, size=frame.size, outside="clip")
            inside = polygon.area * width * height / whole_px if whole_px > 0 else 1.0
        elif overhang:
            polygon, inside = None, 0.0
        else:
            polygon, inside = Polygon.from_pixels(corners, size=frame.size, outside="clip"), 1.0
    except RegionError as error:
        faults.add("degenerate region", where, f"{shown}: {error}")
        return None
    return polygon if keep(inside, overhang, shown, frame, where, faults) else None


def annotated_point(xy: Any, frame: Frame, where: str, faults: Faults) -> Point | None:
    """The point of x and y in annotated pixels, or None after a fault; one outside is left out."""
    try:
        x, y = numbers(xy, 2, "Point")
    except RegionError as error:
        faults.add("unusable entry", where, str(error))
        return None
    if not (math.isfinite(x) and math.isfinite(y)):
        faults.add("degenerate region", where, f"point ({x:g}, {y:g}): a coordinate is no number")
        return None
    place = turned(frame, [(x, y)])[0]
    overhang = overhang_px([place], frame)
    if not keep(float(overhang <= OVERHANG_PX), overhang, f"point ({x:g}, {y:g})", frame, where, faults):
        return None
    return Point.from_pixels(*place, size=frame.size, outside="clip")


def annotated_mask(counts: Any, size_wh: Any, frame: Frame, where: str, faults: Faults) -> Mask | None:
    """The mask of COCO's run lengths, plain or compressed, in the annotated frame, or None after a fault. A mask of
    another size than the picture's is "wrong size"."""
    try:
        width, height = (int(number(side, "Mask's size")) for side in size_wh)
        mask = Mask.from_runs(decompressed_runs(counts) if isinstance(counts, str) else counts, size=(width, height))
    except (RegionError, TypeError, ValueError, OverflowError) as error:
        faults.add("degenerate region", where, f"mask: {error}")
        return None
    if (width, height) != annotated_size(frame):
        expected = annotated_size(frame)
        faults.add("wrong size", where, f"mask is {width} x {height}, expected {expected[0]} x {expected[1]}")
        return None
    return mask if frame.turned == 1 else Mask.from_bitmap(turned_bitmap(mask.to_bitmap(), frame.turned))


def annotated_size(frame: Frame) -> tuple[int, int]:
    """Width and height of the picture as its annotators saw it."""
    width, height = frame.size
    return (height, width) if frame.turned in (5, 6, 7, 8) else (width, height)


def turned(frame: Frame, points: Iterable[Sequence[float]]) -> list[XY]:
    """Points in annotated pixels to pixels of the upright picture, by EXIF's orientations (Exif 2.3, tag 0x0112)."""
    w, h = annotated_size(frame)
    turns = {
        1: lambda x, y: (x, y),
        2: lambda x, y: (w - x, y),
        3: lambda x, y: (w - x, h - y),
        4: lambda x, y: (x, h - y),
        5: lambda x, y: (y, x),
        6: lambda x, y: (h - y, x),
        7: lambda x, y: (h - y, w - x),
        8: lambda x, y: (y, w - x),
    }
    return [turns[frame.turned](x, y) for x, y in points]


def turned_bitmap(bitmap: Any, orientation: int) -> Any:
    """An array [height, width] of the annotated frame as one of the upright picture."""
    if orientation in (5, 6, 7, 8):
        bitmap = bitmap.T
    if orientation in (2, 3, 6, 7):
        bitmap = bitmap[:, ::-1]
    return bitmap[::-1] if orientation in (3, 4, 7, 8) else bitmap


def keep(inside: float, overhang: float, shown: str, frame: Frame, where: str, faults: Faults) -> bool:
    """Whether a region with this share ``inside`` is used; what hangs over the border is reported."""
    picture = f"a picture of {frame.size[0]} x {frame.size[1]}"
    if inside < LEAST_INSIDE:
        faults.add("outside region", where, f"{shown}: {inside:.0%} of it is inside {picture}; left out")
        return False
    if overhang > OVERHANG_PX:
        faults.add("outside region", where, f"{shown}: {overhang:.0f} px outside {picture}; clipped")
    return True


def span_inside(low: float, high: float, side: int) -> float:
    """The share of the span from ``low`` to ``high`` that lies within 0 and ``side``."""
    within = min(high, side) - max(low, 0.0)
    return max(within / (high - low), 0.0)


def overhang_px(points: Iterable[Sequence[float]], frame: Frame) -> float:
    """How far the farthest of the points lies outside the upright picture, in pixels; 0 when none does."""
    width, height = frame.size
    return max((max(-x, x - width, -y, y - height, 0.0) for x, y in points), default=0.0)


def reaches_in(corners: Sequence[XY], axis: int, side: int) -> bool:
    """Whether the corners reach into the picture along one axis."""
    values = [corner[axis] for corner in corners]
    return bool(values) and min(values) < side and max(values) > 0


def whole_area_px(corners: Sequence[XY]) -> float:
    """The area that corners enclose, in square pixels, outside the picture too. Raises ``RegionError`` where none."""
    if len(corners) < 3:
        return 0.0
    left, top = (min(corner[axis] for corner in corners) for axis in (0, 1))
    wide, high = (max(corner[axis] for corner in corners) - low for axis, low in ((0, left), (1, top)))
    if not (0 < wide < math.inf and 0 < high < math.inf):
        raise RegionError(f"it encloses no area: {wide:g} x {high:g} px")
    return Polygon.from_normalized([((x - left) / wide, (y - top) / high) for x, y in corners]).area * wide * high


def decompressed_runs(text: str) -> list[int]:
    """COCO's compressed run lengths (cocoapi's ``maskApi.c``, rleFrString): 5 bits a character from "0" on, bit 6 says
    that more follow; from the fourth run on, the difference to the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise RegionError(f"Mask's compressed runs have the character {character!r}, which is none of the format's")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise RegionError("Mask's compressed runs end in the middle of a number")
    return runs


def region_record(
    frame: Frame,
    *,
    box: Box | None = None,
    polygon: Polygon | None = None,
    point: Point | None = None,
    mask: Mask | None = None,
    label: str | None = None,
    text: str | None = None,
    askable: bool = True,
    area_px: float | None = None,
    attributes: Iterable[str] = (),
    descriptions: Iterable[str] = (),
) -> RegionRecord | None:
    """The region that the usable ones of these forms describe, or None where there is none. A missing box is drawn
    around the outline; ``area_px`` is the box's where the annotation has none that can be."""
    outline = polygon or mask
    if box is None and outline is not None:
        box = outline.bounding_box()
    if box is None and point is None:
        return None
    width, height = frame.size
    if area_px is None or not 0 < area_px <= width * height:
        area_px = box.area * width * height if box else 0.0
    return RegionRecord(box, polygon, point, label or None, text or None, askable, area_px, mask,
                        tuple(dict.fromkeys(attributes)), tuple(dict.fromkeys(descriptions)))  # fmt: skip


def rotated_corners(left: float, top: float, width: float, height: float, degrees: float, around: XY) -> list[XY]:
    """The corners of a box in pixels, turned clockwise by ``degrees`` about a place, as label tools keep them."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return [
        (around[0] + (x - around[0]) * cosine - (y - around[1]) * sine,
         around[1] + (x - around[0]) * sine + (y - around[1]) * cosine)
        for x, y in corners
    ]  # fmt: skip


def ellipse_corners(center: XY, radii: XY, degrees: float = 0.0, count: int = 32) -> list[XY]:
    """``count`` corners (our choice) on an ellipse in pixels, turned clockwise by ``degrees``."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    angles = [2 * math.pi * step / count for step in range(count)]
    points = [(radii[0] * math.cos(angle), radii[1] * math.sin(angle)) for angle in angles]
    return [(center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine) for x, y in points]
