"""The five ways to point at a part of a picture.

Every value lives in one frame: fractions of the whole upright image, x to the right and y down, so (0, 0) is the
top-left corner and (1, 1) the bottom-right one. Pixels enter and leave only through named methods that take the image's
``size`` = (width, height). A value cannot be built by calling its class, so an unnamed frame cannot slip in.

What leaves the image is an error unless the caller writes ``outside="clip"``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from chatspot.errors import RegionError

if TYPE_CHECKING:
    import numpy as np
    from shapely.geometry.base import BaseGeometry

Size: TypeAlias = tuple[int, int]
"""Width and height of an upright image, in pixels."""
XY: TypeAlias = tuple[float, float]
Outside: TypeAlias = Literal["error", "clip"]

ROUNDING_SLACK = 1e-9  # a coordinate that floating point pushed this far outside is inside
PIXEL_DECIMALS = 6  # to_pixels rounds here, so that whole pixels come back whole


class Shape:
    """What all five have in common. ``geometry`` is the area as a shapely value in the [0, 1] frame."""

    def __init__(self, *_: object, **__: object):
        name = type(self).__name__
        raise TypeError(f"{name}(...) does not say its frame: use {name}.from_pixels(..., size=(width, height)) or "
                        f"{name}.from_normalized(...)")  # fmt: skip

    @classmethod
    def _make(cls, **fields: Any):  # -> Self
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
        return float(self.geometry.intersection(other.geometry).area / union) if union > 0 else 0.0

    def contains(self, other: Region) -> bool:
        """Whether no part of ``other`` lies outside this region; a shared edge is inside."""
        return bool(self.geometry.covers(other.geometry))

    def to_bitmap(self, size: Size) -> np.ndarray:
        """The region drawn on an image of ``size``: bool array [height, width], true where the region is."""
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
        (x, y) = placed([(x, y)], outside, "Point")[0]
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
        return cls.from_normalized(x, y, x + w, y + h, outside=outside)

    @classmethod
    def from_pixels(
        cls, x1: float, y1: float, x2: float, y2: float, *, size: Size, outside: Outside = "error"
    ) -> Box:
        """A box from its edges in pixels of an image of ``size`` = (width, height); edges, not pixel centres."""
        corners = scaled_down([(x1, y1), (x2, y2)], size, "Box")
        return cls.from_normalized(*corners[0], *corners[1], outside=outside)

    @classmethod
    def from_pixels_xywh(
        cls, x: float, y: float, w: float, h: float, *, size: Size, outside: Outside = "error"
    ) -> Box:
        """A box from left, top, width and height in pixels, as COCO writes it."""
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
        corners = as_pairs(points, "Polygon")
        if len(corners) > 1 and corners[0] == corners[-1]:
            corners = corners[:-1]  # a closed ring repeats its first corner
        if len(corners) < 3:
            raise RegionError(f"Polygon needs at least 3 corners, got {len(corners)}; use Box or Point")
        value = cls._make(points=tuple(placed(corners, outside, "Polygon")))
        if value.geometry.area <= 0:
            raise RegionError(f"Polygon is empty: its {len(corners)} corners enclose no area; got {corners[:4]}...")
        return value

    @classmethod
    def from_pixels(cls, points: Iterable[Sequence[float]], *, size: Size, outside: Outside = "error") -> Polygon:
        """A polygon from corners in pixels of an image of ``size`` = (width, height)."""
        return cls.from_normalized(scaled_down(as_pairs(points, "Polygon"), size, "Polygon"), outside=outside)

    def to_pixels(self, size: Size) -> tuple[XY, ...]:
        """The corners in pixels of an image of ``size`` = (width, height)."""
        return tuple(scaled_up(self.points, size))

    @cached_property
    def geometry(self) -> BaseGeometry:
        from shapely import Polygon as ShapelyPolygon
        from shapely import make_valid

        outline = ShapelyPolygon(self.points)
        return outline if outline.is_valid else areas_of(make_valid(outline))

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
        cls, points: Iterable[Sequence[float]], *, pen_wh: tuple[float, float] = (0.02, 0.02), outside: Outside = "error"
    ) -> Scribble:
        """A stroke from points and ``pen_wh``, the pen's size as fractions of the image's width and height."""
        path = as_pairs(points, "Scribble")
        if not path:
            raise RegionError("Scribble needs at least one point, got none")
        if not all(math.isfinite(p) and 0 < p <= 1 for p in pen_wh):
            raise RegionError(f"Scribble's pen must be above 0 and at most 1 of the image, got {pen_wh}")
        return cls._make(points=tuple(placed(path, outside, "Scribble")), pen_wh=(float(pen_wh[0]), float(pen_wh[1])))

    @classmethod
    def from_pixels(
        cls, points: Iterable[Sequence[float]], *, pen: float, size: Size, outside: Outside = "error"
    ) -> Scribble:
        """A stroke from points in pixels and a round pen ``pen`` pixels wide, on an image of ``size``."""
        path = scaled_down(as_pairs(points, "Scribble"), size, "Scribble")
        return cls.from_normalized(path, pen_wh=(pen / size[0], pen / size[1]), outside=outside)

    def to_pixels(self, size: Size) -> tuple[XY, ...]:
        """The path in pixels of an image of ``size`` = (width, height)."""
        return tuple(scaled_up(self.points, size))

    @cached_property
    def geometry(self) -> BaseGeometry:
        from shapely import LineString, box
        from shapely import Point as ShapelyPoint
        from shapely.affinity import scale

        w, h = self.pen_wh
        path = [(x / w, y / h) for x, y in self.points]
        line = ShapelyPoint(path[0]) if len(set(path)) == 1 else LineString(path)
        return scale(line.buffer(0.5), w, h, origin=(0, 0)).intersection(box(0, 0, 1, 1))

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
        runs = tuple(int(c) for c in counts)
        if any(c < 0 for c in runs) or sum(runs) != width * height:
            raise RegionError(f"Mask's runs must be 0 or more and sum to {width} x {height} = {width * height} pixels, "
                              f"got a sum of {sum(runs)} and a smallest run of {min(runs, default=0)}")  # fmt: skip
        if sum(runs[1::2]) == 0:
            raise RegionError(f"Mask is empty: none of its {width} x {height} pixels is set")
        return cls._make(counts=runs, size_wh=(width, height))

    @classmethod
    def from_bitmap(cls, bitmap: np.ndarray) -> Mask:
        """A mask from an array [height, width]; every value other than 0 is set."""
        import numpy as np

        array = np.asarray(bitmap)
        if array.ndim != 2 or not array.size:
            raise RegionError(f"Mask's bitmap must be [height, width], got an array of shape {array.shape}")
        flat = (array != 0).T.reshape(-1)
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
        counts = ([0] if flat[0] else []) + runs.tolist()
        return cls.from_runs(counts, size=(array.shape[1], array.shape[0]))

    def to_bitmap(self, size: Size | None = None) -> np.ndarray:
        """Bool array [height, width], of its own size or resampled (nearest pixel) to ``size`` = (width, height)."""
        import numpy as np

        width, height = self.size_wh
        values = np.arange(len(self.counts)) % 2 == 1
        own = np.repeat(values, self.counts).reshape(width, height).T
        if size is None or size == self.size_wh:
            return own
        wide, high = checked_size(size, "Mask")
        rows = ((np.arange(high) + 0.5) * height / high).astype(int)
        columns = ((np.arange(wide) + 0.5) * width / wide).astype(int)
        return own[rows][:, columns]

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
        return shapely.unary_union(shapely.box(*zip(*slabs, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """``{"mask": {"counts": [...], "size_wh": [width, height]}}``."""
        return {"mask": {"counts": list(self.counts), "size_wh": list(self.size_wh)}}


Region: TypeAlias = Point | Box | Polygon | Mask | Scribble


def region_from_json(value: dict[str, Any]) -> Region:
    """The region that ``to_json`` wrote. Raises ``RegionError`` for anything else, naming what was found."""
    forms = [key for key in ("point", "box", "polygon", "scribble", "mask") if isinstance(value, dict) and key in value]
    if len(forms) != 1:
        raise RegionError('a region is an object with exactly one of "point", "box", "polygon", "scribble" or "mask"; '
                          f"got {sorted(value) if isinstance(value, dict) else value!r}")  # fmt: skip
    form, content = forms[0], value[forms[0]]
    try:
        if form == "point":
            return Point.from_normalized(*numbers(content, 2))
        if form == "box":
            return Box.from_normalized(*numbers(content, 4))
        if form == "polygon":
            return Polygon.from_normalized(content)
        if form == "scribble":
            pen = tuple(numbers(value.get("pen_wh", (0.02, 0.02)), 2))
            return Scribble.from_normalized(content, pen_wh=(pen[0], pen[1]))
        width, height = numbers(content["size_wh"], 2)
        return Mask.from_runs(content["counts"], size=(int(width), int(height)))
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError(f"{form} cannot be read ({type(error).__name__}: {error}); got {str(content)[:80]}") from error


def numbers(values: Sequence[Any], count: int) -> list[float]:
    """``values`` as exactly ``count`` floats; ``RegionError`` otherwise (text and true/false are no numbers)."""
    if isinstance(values, (str, bytes)) or len(values) != count:
        raise RegionError(f"expected {count} numbers, got {values!r}"[:160])
    if any(isinstance(v, (bool, str)) for v in values):
        raise RegionError(f"expected {count} numbers, got {values!r}"[:160])
    return [float(v) for v in values]


def as_pairs(points: Iterable[Sequence[float]], name: str) -> list[XY]:
    """Points as (x, y) pairs of floats; ``RegionError`` when one is not a pair."""
    pairs = []
    for point in points:
        x, y = numbers(point, 2)
        pairs.append((x, y))
    return pairs


def checked_size(size: Size, name: str) -> Size:
    """``size`` as (width, height) of at least one pixel each; ``RegionError`` otherwise."""
    if len(size) != 2 or not all(math.isfinite(s) and s >= 1 for s in size):
        raise RegionError(f"{name} needs size=(width, height) in pixels, each at least 1; got {size}")
    return int(size[0]), int(size[1])


def scaled_down(points: Iterable[XY], size: Size, name: str) -> list[XY]:
    """Pixels to fractions."""
    width, height = checked_size(size, name)
    return [(x / width, y / height) for x, y in points]


def scaled_up(points: Iterable[XY], size: Size) -> list[XY]:
    """Fractions to pixels, rounded so that whole pixels come back whole."""
    width, height = checked_size(size, "to_pixels")
    return [(round(x * width, PIXEL_DECIMALS), round(y * height, PIXEL_DECIMALS)) for x, y in points]


def placed(points: Sequence[XY], outside: Outside, name: str) -> list[XY]:
    """The points as floats within [0, 1]: clipped, or refused with the first one that lies outside."""
    if outside not in ("error", "clip"):
        raise RegionError(f'outside must be "error" or "clip", got {outside!r}')
    for point in points:
        if not all(map(math.isfinite, point)):
            raise RegionError(f"{name} has a coordinate that is no number: {point}")
        if outside == "error" and not all(-ROUNDING_SLACK <= v <= 1 + ROUNDING_SLACK for v in point):
            raise RegionError(f"{name} leaves the image: expected fractions in [0, 1], got ({point[0]:g}, {point[1]:g}); "
                              'check the size, or pass outside="clip"')  # fmt: skip
    return [(min(max(float(x), 0.0), 1.0), min(max(float(y), 0.0), 1.0)) for x, y in points]


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

    for part in shapely.get_parts(geometry):
        if part.geom_type == "Point":
            pen.point((min(int(part.x * width), width - 1), min(int(part.y * height), height - 1)), fill=1)
        elif part.geom_type == "Polygon":
            pen.polygon(pixels(part.exterior), fill=1)
            for hole in part.interiors:
                pen.polygon(pixels(hole), fill=0)
    return np.array(canvas)
