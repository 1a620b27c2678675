"""What comes in, before it is a region: numbers, points and sizes, checked; and from pixels to fractions and back."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

from chatspot.errors import RegionError

Size: TypeAlias = tuple[int, int]
"""Width and height of an upright image, in pixels."""
XY: TypeAlias = tuple[float, float]
Outside: TypeAlias = Literal["error", "clip"]

ROUNDING_SLACK = 1e-9  # a coordinate that floating point pushed this far outside is inside
PIXEL_DECIMALS = 6  # to_pixels rounds here, so that whole pixels come back whole
MAX_CORNERS = 10_000  # of a polygon's outline or a scribble's path
VANISHING = 1e-15  # a coordinate below is 0: products of differences of 1e-162 underflow, and GEOS divides by them


def number(value: Any, name: str) -> float:
    """``value`` as a float; ``RegionError`` otherwise (text and true/false are no numbers)."""
    if type(value) is float:  # nearly always; what follows takes ten times as long
        return value
    if not isinstance(value, (bool, str, bytes, bytearray)) and str(getattr(value, "dtype", "")) != "bool":
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise RegionError(f"{name}: expected a number, got {reprlib.repr(value)}")


def numbers(values: Any, count: int, name: str) -> list[float]:
    """``values`` as exactly ``count`` floats; ``RegionError`` otherwise."""
    if isinstance(values, (str, bytes, dict, set)) or not hasattr(values, "__len__") or len(values) != count:
        raise RegionError(f"{name}: expected {count} numbers, got {reprlib.repr(values)}")
    return [number(value, name) for value in values]


def whole_number(value: Any, name: str) -> int:
    """``value`` as an int; ``RegionError`` when it is none (640.0 is one, 640.5 and true are not)."""
    found = number(value, name)
    if not found.is_integer():
        raise RegionError(f"{name}: expected a whole number, got {value}")
    return int(value)


def as_pairs(points: Any, name: str) -> list[XY]:
    """Points as (x, y) pairs of floats; ``RegionError`` when one is not a pair, or when there are too many."""
    if isinstance(points, (str, bytes, dict)) or not isinstance(points, Iterable):
        raise RegionError(f"{name} needs a list of [x, y] points, got {reprlib.repr(points)}")
    pairs: list[XY] = []
    for point in points:
        if len(pairs) == MAX_CORNERS:
            raise RegionError(f"{name} has more than {MAX_CORNERS:,} points; simplify it first")
        x, y = numbers(point, 2, name)
        pairs.append((x, y))
    return pairs


def checked_size(size: Any, name: str) -> Size:
    """``size`` as (width, height) of at least one pixel each; ``RegionError`` otherwise."""
    if isinstance(size, (str, bytes, dict, set)) or not hasattr(size, "__len__") or len(size) != 2:
        raise RegionError(f"{name} needs size=(width, height) in pixels, got {reprlib.repr(size)}")
    width, height = (whole_number(side, f"{name}'s size") for side in size)
    if width < 1 or height < 1:
        raise RegionError(f"{name} needs size=(width, height) in pixels, each at least 1; got ({width}, {height})")
    return width, height


def scaled_down(points: Any, size: Size, name: str) -> list[XY]:
    """Pixels to fractions."""
    width, height = checked_size(size, name)
    return [(x / width, y / height) for x, y in as_pairs(points, name)]


def scaled_up(points: Iterable[XY], size: Size) -> list[XY]:
    """Fractions to pixels, rounded so that whole pixels come back whole."""
    width, height = checked_size(size, "to_pixels")
    return [(round(x * width, PIXEL_DECIMALS), round(y * height, PIXEL_DECIMALS)) for x, y in points]


def placed(points: Sequence[XY], outside: Outside, name: str) -> list[XY]:
    """The points as floats within [0, 1]: clipped, or refused with the first one that lies outside."""
    if outside not in ("error", "clip"):
        raise RegionError(f'outside must be "error" or "clip", got {outside!r}')
    for point in points:
        if 0.0 <= point[0] <= 1.0 and 0.0 <= point[1] <= 1.0:
            continue
        if not all(map(math.isfinite, point)):
            raise RegionError(f"{name} has a coordinate that is no number: {point}")
        if outside == "error" and not all(-ROUNDING_SLACK <= v <= 1 + ROUNDING_SLACK for v in point):
            raise RegionError(f"{name} leaves the image: expected fractions in [0, 1], got ({point[0]:g}, {point[1]:g})"
                              '; check the size, or pass outside="clip"')  # fmt: skip
    return [(clamped(x), clamped(y)) for x, y in points]


def clamped(value: float) -> float:
    """``value`` within [0, 1]; what vanishes, and -0.0 that would be written "-0.000", is plain zero."""
    return min(value, 1.0) if value > VANISHING else 0.0
