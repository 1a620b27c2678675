"""The five ways to point at a part of a picture.

Every value lives in one frame: fractions of the whole upright image, x to the right and y down, so (0, 0) is the
top-left corner and (1, 1) the bottom-right one. Pixels enter and leave only through named methods that take the image's
``size`` = (width, height). A value cannot be built by calling its class, so an unnamed frame cannot slip in.

What leaves the image is an error unless the caller writes ``outside="clip"``: then points, boxes and strokes move to
the nearest place inside, and a polygon is cut at the border. Whatever else cannot be is a ``RegionError``: no numbers,
nothing left, more corners or runs than anybody draws (a limit on what a stranger's request can cost).
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from chatspot.errors import RegionError
from chatspot.regions.areas import (
    areas_of,
    check_crossings,
    cut_to_image,
    draw_geometry,
    joined_runs,
    opened_ring,
    pixels_between,
    thickened,
)
from chatspot.regions.coordinates import (
    PIXEL_DECIMALS,
    VANISHING,
    XY,
    Outside,
    Size,
    as_pairs,
    checked_size,
    clamped,
    numbers,
    placed,
    scaled_down,
    scaled_up,
    whole_number,
)

if TYPE_CHECKING:
    import numpy as np
    from shapely.geometry.base import BaseGeometry

MAX_CROSSINGS = 1_000  # of an outline with itself: making it valid takes 0.3 s by then, ten times that at twice as many
MAX_STROKE_CROSSINGS = 50_000  # of a scribble's path with itself
STROKE_PIECE = 64  # steps of a path that are thickened at once; far cheaper than all at once for a long path
LEAST_AREA = 1e-12  # of a polygon, as a share of the image; a pixel of 8,000 x 8,000 is ten thousand times as large
LEAST_PEN = 1e-6  # of the image's side
MAX_MASK_PIXELS, MAX_MASK_SIDE, MAX_RUNS = 64_000_000, 65_535, 20_000
MANY_SLABS = 5_000


class Shape:
    """What all five have in common. ``geometry`` is the area as a shapely value in the [0, 1] frame."""

    def __init__(self, *_: object, **__: object):
        name = type(self).__name__
        raise TypeError(f"{name}(...) does not say its frame: use {name}.from_pixels(..., size=(width, height)) or "
                        f"{name}.from_normalized(...)")  # fmt: skip

    @classmethod
    def _make(cls, **fields: Any) -> Self:
        value = object.__new__(cls)
        for name, field in fields.items():
            object.__setattr__(value, name, field)
        return value

    @cached_property
    def geometry(self) -> BaseGeometry:
        """The covered area as a shapely geometry in the [0, 1] frame (a point has no area)."""
        raise TypeError(f"{type(self).__name__} has no geometry")

    @property
    def bounds_xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in the [0, 1] frame."""
        return self.geometry.bounds

    @property
    def area(self) -> float:
        """Covered share of the image, 0 to 1."""
        return float(self.geometry.area)

    def bounding_box(self) -> Box:
        """The smallest box around the region. Raises ``RegionError`` for a point, which has no extent."""
        return Box.from_normalized(*self.bounds_xyxy, outside="clip")

    def iou(self, other: Region) -> float:
        """Intersection over union of the two areas, 0 to 1; 0 where both are without area."""
        union = self.geometry.union(other.geometry).area
        shared = self.geometry.intersection(other.geometry).area
        return min(float(shared / union), 1.0) if union > 0 else 0.0

    def contains(self, other: Region) -> bool:
        """Whether no part of ``other`` lies outside this region; a shared edge is inside."""
        return bool(self.geometry.covers(other.geometry))

    def to_bitmap(self, size: Size) -> np.ndarray:
        """The region drawn on an image of ``size``: bool array [height, width], true where the region is and along its
        outline; at least one pixel is set."""
        return draw_geometry(self.geometry, size)


@dataclass(frozen=True, init=False)
class Point(Shape):
    """One place. ``x`` and ``y`` are in [0, 1].

    >>> Point.from_pixels(320, 120, size=(640, 480))
    Point(x=0.5, y=0.25)
    """

    x: float
    y: float

    @classmethod
    def from_normalized(cls, x: float, y: float, *, outside: Outside = "error") -> Point:
        """A point from fractions of the image's width and height."""
        x, y = placed(as_pairs([(x, y)], "Point"), outside, "Point")[0]
        return cls._make(x=x, y=y)

    @classmethod
    def from_pixels(cls, x: float, y: float, *, size: Size, outside: Outside = "error") -> Point:
        """A point from pixels of an image of ``size`` = (width, height)."""
        return cls.from_normalized(*scaled_down([(x, y)], size, "Point")[0], outside=outside)

    def to_pixels(self, size: Size) -> XY:
        """(x, y) in pixels of an image of ``size`` = (width, height)."""
        return scaled_up([(self.x, self.y)], size)[0]

    @cached_property
    def geometry(self) -> BaseGeometry:
        from shapely import Point as ShapelyPoint

        return ShapelyPoint(self.x, self.y)

    def to_json(self) -> dict[str, Any]:
        """``{"point": [x, y]}``."""
        return {"point": [self.x, self.y]}


@dataclass(frozen=True, init=False)
class Box(Shape):
    """An upright rectangle, corners ``x1 < x2`` and ``y1 < y2`` in [0, 1].

    >>> Box.from_pixels(64, 48, 320, 240, size=(640, 480))
    Box(x1=0.1, y1=0.1, x2=0.5, y2=0.5)
    """

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def from_normalized(cls, x1: float, y1: float, x2: float, y2: float, *, outside: Outside = "error") -> Box:
        """A box from the fractions of its left, top, right and bottom edges."""
        plain = outside == "error" and type(x1) is type(y1) is type(x2) is type(y2) is float
        if plain and 0.0 <= x1 < x2 <= 1.0 and 0.0 <= y1 < y2 <= 1.0 and x2 > VANISHING < y2:
            return cls._make(x1=clamped(x1), y1=clamped(y1), x2=x2, y2=y2)  # nearly always, in a third of the time
        x1, y1, x2, y2 = numbers((x1, y1, x2, y2), 4, "Box")
        if all(map(math.isfinite, (x1, y1, x2, y2))) and (x1 > x2 or y1 > y2):
            raise RegionError(f"Box is reversed: expected x1 < x2 and y1 < y2, got ({x1:g}, {y1:g}, {x2:g}, {y2:g}); "
                              "swap the corners, or use from_pixels_xywh for a width and a height")  # fmt: skip
        (left, top), (right, bottom) = placed([(x1, y1), (x2, y2)], outside, "Box")
        if left >= right or top >= bottom:
            where = " inside the image" if outside == "clip" else ""
            raise RegionError(f"Box is empty{where}: expected a width and a height above 0, got "
                              f"({x1:g}, {y1:g}, {x2:g}, {y2:g}); use Point for a single place")  # fmt: skip
        return cls._make(x1=left, y1=top, x2=right, y2=bottom)

    @classmethod
    def from_normalized_xywh(cls, x: float, y: float, w: float, h: float, *, outside: Outside = "error") -> Box:
        """A box from the fractions of its left and top edges, width and height."""
        x, y, w, h = numbers((x, y, w, h), 4, "Box")
        return cls.from_normalized(x, y, x + w, y + h, outside=outside)

    @classmethod
    def from_pixels(cls, x1: float, y1: float, x2: float, y2: float, *, size: Size, outside: Outside = "error") -> Box:
        """A box from its edges in pixels of an image of ``size`` = (width, height); edges, not pixel centres."""
        corners = scaled_down([(x1, y1), (x2, y2)], size, "Box")
        return cls.from_normalized(*corners[0], *corners[1], outside=outside)

    @classmethod
    def from_pixels_xywh(cls, x: float, y: float, w: float, h: float, *, size: Size, outside: Outside = "error") -> Box:
        """A box from left, top, width and height in pixels, as COCO writes it."""
        x, y, w, h = numbers((x, y, w, h), 4, "Box")
        return cls.from_pixels(x, y, x + w, y + h, size=size, outside=outside)

    def to_pixels(self, size: Size) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) in pixels of an image of ``size`` = (width, height)."""
        (x1, y1), (x2, y2) = scaled_up([(self.x1, self.y1), (self.x2, self.y2)], size)
        return x1, y1, x2, y2

    def to_pixels_xywh(self, size: Size) -> tuple[float, float, float, float]:
        """(left, top, width, height) in pixels, as COCO writes it."""
        x1, y1, x2, y2 = self.to_pixels(size)
        return x1, y1, round(x2 - x1, PIXEL_DECIMALS), round(y2 - y1, PIXEL_DECIMALS)

    @property
    def bounds_xyxy(self) -> tuple[float, float, float, float]:
        return self.x1, self.y1, self.x2, self.y2

    @property
    def center(self) -> Point:
        """The middle of the box."""
        return Point.from_normalized((self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2)

    @cached_property
    def geometry(self) -> BaseGeometry:
        from shapely import box

        return box(self.x1, self.y1, self.x2, self.y2)

    def to_bitmap(self, size: Size) -> np.ndarray:
        """The box drawn on an image of ``size``: bool array [height, width], true where a pixel's middle is inside; at
        least one pixel is set."""
        import numpy as np

        width, height = checked_size(size, "to_bitmap")
        bitmap = np.zeros((height, width), dtype=bool)
        bitmap[pixels_between(self.y1, self.y2, height), pixels_between(self.x1, self.x2, width)] = True
        return bitmap

    def to_json(self) -> dict[str, Any]:
        """``{"box": [x1, y1, x2, y2]}``."""
        return {"box": list(self.bounds_xyxy)}


@dataclass(frozen=True, init=False)
class Polygon(Shape):
    """An outline of three or more corners, in order; it closes by itself. Outlines that cross themselves are allowed.

    >>> Polygon.from_normalized([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]).area
    0.5
    """

    points: tuple[XY, ...]

    @classmethod
    def from_normalized(cls, points: Iterable[Sequence[float]], *, outside: Outside = "error") -> Polygon:
        """A polygon from corners as fractions of the image's width and height."""
        corners = opened_ring(as_pairs(points, "Polygon"))
        if len(corners) < 3:
            raise RegionError(f"Polygon needs at least 3 corners, got {len(corners)}; use Box or Point")
        kept = placed(cut_to_image(corners) if outside == "clip" else corners, outside, "Polygon")
        value = cls._make(points=tuple(opened_ring(kept)))
        if len(value.points) < 3 or value.geometry.area < LEAST_AREA:
            where = " inside the image" if outside == "clip" else ""
            raise RegionError(f"Polygon is empty{where}: its {len(corners)} corners enclose no area; got "
                              f"{reprlib.repr(corners)}")  # fmt: skip
        return value

    @classmethod
    def from_pixels(cls, points: Iterable[Sequence[float]], *, size: Size, outside: Outside = "error") -> Polygon:
        """A polygon from corners in pixels of an image of ``size`` = (width, height)."""
        return cls.from_normalized(scaled_down(points, size, "Polygon"), outside=outside)

    def to_pixels(self, size: Size) -> tuple[XY, ...]:
        """The corners in pixels of an image of ``size`` = (width, height)."""
        return tuple(scaled_up(self.points, size))

    @cached_property
    def geometry(self) -> BaseGeometry:
        from shapely import Polygon as ShapelyPolygon
        from shapely import make_valid

        outline = ShapelyPolygon(self.points)
        if outline.is_valid:
            return outline
        check_crossings([*self.points, self.points[0]], MAX_CROSSINGS, "Polygon")
        return areas_of(make_valid(outline))

    def to_json(self) -> dict[str, Any]:
        """``{"polygon": [[x, y], ...]}``."""
        return {"polygon": [list(point) for point in self.points]}


@dataclass(frozen=True, init=False)
class Scribble(Shape):
    """A freehand stroke: a path and the pen's width, kept as fractions of the image's width and height."""

    points: tuple[XY, ...]
    pen_wh: tuple[float, float]

    @classmethod
    def from_normalized(
        cls, points: Iterable[Sequence[float]], *, pen_wh: XY = (0.02, 0.02), outside: Outside = "error"
    ) -> Scribble:
        """A stroke from points and ``pen_wh``, the pen's size as fractions of the image's width and height."""
        path = as_pairs(points, "Scribble")
        if not path:
            raise RegionError("Scribble needs at least one point, got none")
        pen = numbers(pen_wh, 2, "Scribble's pen")
        if not all(LEAST_PEN <= p <= 1 for p in pen):
            raise RegionError(f"Scribble's pen must be at least {LEAST_PEN:g} and at most 1 of the image's width and "
                              f"height, got ({pen[0]:g}, {pen[1]:g})")  # fmt: skip
        value = cls._make(points=tuple(placed(path, outside, "Scribble")), pen_wh=(pen[0], pen[1]))
        check_crossings(value.points, MAX_STROKE_CROSSINGS, "Scribble")
        return value

    @classmethod
    def from_pixels(
        cls, points: Iterable[Sequence[float]], *, pen: float, size: Size, outside: Outside = "error"
    ) -> Scribble:
        """A stroke from points in pixels and a round pen ``pen`` pixels wide, on an image of ``size``."""
        path = scaled_down(points, size, "Scribble")
        return cls.from_normalized(path, pen_wh=scaled_down([(pen, pen)], size, "Scribble")[0], outside=outside)

    def to_pixels(self, size: Size) -> tuple[XY, ...]:
        """The path in pixels of an image of ``size`` = (width, height)."""
        return tuple(scaled_up(self.points, size))

    @cached_property
    def geometry(self) -> BaseGeometry:
        from shapely import Point as ShapelyPoint
        from shapely import box, unary_union
        from shapely.affinity import scale

        w, h = self.pen_wh
        path = [(x / w, y / h) for x, y in self.points]
        if len(set(path)) == 1:
            stroke = ShapelyPoint(path[0]).buffer(0.5)
        else:
            pieces = [path[at : at + STROKE_PIECE + 1] for at in range(0, len(path) - 1, STROKE_PIECE)]
            stroke = unary_union([thickened(piece) for piece in pieces])
        return scale(stroke, w, h, origin=(0, 0)).intersection(box(0, 0, 1, 1))

    def to_json(self) -> dict[str, Any]:
        """``{"scribble": [[x, y], ...], "pen_wh": [w, h]}``."""
        return {"scribble": [list(point) for point in self.points], "pen_wh": list(self.pen_wh)}


@dataclass(frozen=True, init=False)
class Mask(Shape):
    """Chosen pixels of an image of ``size_wh``, as run lengths down the columns, the first run unset (COCO's order)."""

    counts: tuple[int, ...]
    size_wh: Size

    @classmethod
    def from_runs(cls, counts: Iterable[int], *, size: Size) -> Mask:
        """A mask from COCO's uncompressed run lengths: columns top to bottom, left to right, unset run first."""
        width, height = checked_size(size, "Mask")
        if max(width, height) > MAX_MASK_SIDE or width * height > MAX_MASK_PIXELS:
            raise RegionError(f"Mask is too large: {width} x {height}, at most {MAX_MASK_PIXELS:,} pixels and "
                              f"{MAX_MASK_SIDE:,} a side; shrink it first")  # fmt: skip
        if isinstance(counts, (str, bytes)) or not isinstance(counts, Iterable):
            raise RegionError(f"Mask's runs are a list of whole numbers (COCO's compressed text is not read), got "
                              f"{reprlib.repr(counts)}")  # fmt: skip
        runs = [whole_number(count, "Mask's run") for count in islice(counts, MAX_RUNS + 1)]
        if len(runs) > MAX_RUNS:
            raise RegionError(f"Mask has more than {MAX_RUNS:,} runs; smooth it first")
        if any(count < 0 for count in runs) or sum(runs) != width * height:
            raise RegionError(f"Mask's runs must be 0 or more and sum to {width} x {height} = {width * height} pixels, "
                              f"got a sum of {sum(runs)} and a smallest run of {min(runs, default=0)}")  # fmt: skip
        if sum(runs[1::2]) == 0:
            raise RegionError(f"Mask is empty: none of its {width} x {height} pixels is set")
        return cls._make(counts=tuple(joined_runs(runs)), size_wh=(width, height))

    @classmethod
    def from_bitmap(cls, bitmap: np.ndarray) -> Mask:
        """A mask from an array [height, width]; every value other than 0 is set."""
        import numpy as np

        try:
            array = np.asarray(bitmap)
        except ValueError as error:
            raise RegionError(f"Mask's bitmap must be [height, width] with rows of one length ({error})") from error
        if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
            raise RegionError("Mask's bitmap must be numbers or true/false as [height, width], got an array of shape "
                              f"{array.shape} of {array.dtype}")  # fmt: skip
        flat = (array != 0).T.reshape(-1)
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
        counts = ([0] if flat[0] else []) + runs.tolist()
        return cls.from_runs(counts, size=(array.shape[1], array.shape[0]))

    def to_bitmap(self, size: Size | None = None) -> np.ndarray:
        """Bool array [height, width], of its own size or resampled (nearest pixel) to ``size`` = (width, height); at
        least one pixel is set."""
        import numpy as np

        width, height = self.size_wh
        values = np.arange(len(self.counts)) % 2 == 1
        own = np.repeat(values, self.counts).reshape(width, height).T
        if size is None or size == self.size_wh:
            return own
        wide, high = checked_size(size, "Mask")
        rows = ((np.arange(high) + 0.5) * height / high).astype(int)
        columns = ((np.arange(wide) + 0.5) * width / wide).astype(int)
        bitmap = own[rows][:, columns]
        if not bitmap.any():  # all that is set fell between the pixels that were looked at
            down, right = own.nonzero()
            bitmap[down * high // height, right * wide // width] = True
        return bitmap

    @property
    def area(self) -> float:
        return sum(self.counts[1::2]) / (self.size_wh[0] * self.size_wh[1])

    @cached_property
    def geometry(self) -> BaseGeometry:
        import shapely

        width, height = self.size_wh
        slabs, at = [], 0
        for index, count in enumerate(self.counts):
            start, at = at, at + count
            while index % 2 and start < at:  # a run may flow over into the next column
                column, top = divmod(start, height)
                length = min(at - start, height - top)
                slabs.append((column / width, top / height, (column + 1) / width, (top + length) / height))
                start += length
        # separate specks take unary_union the square of their number
        union = shapely.unary_union if len(slabs) <= MANY_SLABS else shapely.disjoint_subset_union_all
        return union(shapely.box(*zip(*slabs, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """``{"mask": {"counts": [...], "size_wh": [width, height]}}``."""
        return {"mask": {"counts": list(self.counts), "size_wh": list(self.size_wh)}}


Region: TypeAlias = Point | Box | Polygon | Mask | Scribble


def region_from_json(value: dict[str, Any]) -> Region:
    """The region that ``to_json`` wrote. Raises ``RegionError`` for anything else, naming what was found."""
    forms = [key for key in ("point", "box", "polygon", "scribble", "mask") if isinstance(value, dict) and key in value]
    if len(forms) != 1:
        raise RegionError('a region is an object with exactly one of "point", "box", "polygon", "scribble" or "mask"; '
                          f"got {reprlib.repr(list(value) if isinstance(value, dict) else value)}")  # fmt: skip
    form, content = forms[0], value[forms[0]]
    if form == "point":
        return Point.from_normalized(*numbers(content, 2, "Point"))
    if form == "box":
        return Box.from_normalized(*numbers(content, 4, "Box"))
    if form == "polygon":
        return Polygon.from_normalized(content)
    if form == "scribble":
        return Scribble.from_normalized(content, pen_wh=value.get("pen_wh", (0.02, 0.02)))
    if not isinstance(content, dict) or "counts" not in content or "size_wh" not in content:
        raise RegionError(f'a mask is an object with "counts" and "size_wh", got {reprlib.repr(content)}')
    return Mask.from_runs(content["counts"], size=content["size_wh"])
