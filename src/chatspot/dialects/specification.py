"""What a dialect is: data that one writer and one reader interpret.

Markup is written as templates. ``{items}`` is where the regions of one mention stand, ``{label}`` their name;
an item holds ``{x}``, ``{y}`` (a point, or one corner of a polygon), or ``{x1}``, ``{y1}``, ``{x2}``, ``{y2}`` in the
dialect's own order, or ``{first}``, ``{last}`` (cells), and ``{n}``, the item's number from 1. Nothing else in braces
is replaced, and what a user typed is never a template (Shikra's ``str.format`` fails on a ``{x}`` in a question).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatspot.dialects.frames import FrameKind
from chatspot.errors import RegionError
from chatspot.regions.coordinates import XY, Size

ShapeName: TypeAlias = Literal["point", "box", "polygon"]
CORNERS = (("x1", "y1"), ("x2", "y2"))
JUST_BELOW = 1e-9  # in marks: floating point must not push a mark that was read below itself when it is truncated again
CELL_END = 0.99999  # Kosmos-2 clamps the end to it (unilm, kosmos-2 obj_utils.py)


@dataclass(frozen=True)
class Grid:
    """Numbers on a scale: a side is divided by ``steps`` + 1 marks, 0 to ``steps``; None: one mark a pixel.

    ``has_end`` is false where the last mark is missing (a vocabulary of 0 to 999). ``shift`` is added to a mark before
    it is read as a place (0.5: the middle between two marks). ``decimals`` puts a point into the number, ``digits``
    pads it with zeros.
    """

    steps: int | None
    rounding: Literal["nearest", "down"]
    has_end: bool = True
    shift: float = 0.0
    decimals: int = 0
    digits: int = 0
    trailing_zeros: bool = True

    def marks(self, side: int) -> int:
        """How many steps a side of ``side`` pixels has."""
        return side if self.steps is None else self.steps

    def highest(self, side: int) -> int:
        """The last mark."""
        return self.marks(side) if self.has_end else self.marks(side) - 1

    def mark(self, fraction: float, side: int) -> int:
        """The mark that is written for a fraction of a side."""
        value = fraction * self.marks(side)
        found = round(value) if self.rounding == "nearest" else math.floor(value + JUST_BELOW)
        return min(max(found, 0), self.highest(side))

    def spelled(self, mark: int) -> str:
        """The text of a mark."""
        if not self.decimals:
            return f"{mark:0{self.digits}d}"
        value = mark / 10**self.decimals
        return f"{value:.{self.decimals}f}" if self.trailing_zeros else str(value)

    def named(self, corners: list[XY], size: Size) -> dict[str, str]:
        """The texts of a point's or a box's placeholders; corners are fractions of a frame of ``size``."""
        names = [("x", "y")] if len(corners) == 1 else CORNERS
        return {
            name: self.spelled(self.mark(value, side))
            for pair, corner in zip(names, corners, strict=True)
            for name, value, side in zip(pair, corner, size, strict=True)
        }

    def corners(self, values: dict[str, float], size: Size, *, clip: bool = False) -> list[XY]:
        """The places of a region's numbers, as fractions of the frame. A box that rounding closed is opened to what
        would have been rounded to it. Raises ``RegionError`` for what is no number or not on the scale."""
        names = [("x", "y")] if "x" in values else CORNERS
        marks = [[self.on_scale(values[n], side, clip) for n, side in zip(p, size, strict=True)] for p in names]
        for axis in (0, 1):
            if len(marks) == 2 and marks[0][axis] == marks[1][axis]:
                half = 0.0 if self.rounding == "down" and not self.shift else 0.5
                marks[0][axis], marks[1][axis] = marks[0][axis] - half, marks[1][axis] + (half or 1.0)
        places = [[(m + self.shift) / self.marks(side) for m, side in zip(pair, size, strict=True)] for pair in marks]
        return [(x, y) for x, y in places]

    def on_scale(self, value: float, side: int, clip: bool) -> float:
        """The mark that a number in the text stands for."""
        mark, highest = value * 10**self.decimals, self.highest(side)
        if not math.isfinite(mark):
            raise RegionError(f"{value} is no number")
        if not clip and not -JUST_BELOW <= mark <= highest + JUST_BELOW:
            raise RegionError(f"{value:g} is not on this scale, which runs from 0 to {highest / 10**self.decimals:g}")
        return min(max(mark, 0.0), float(highest))

    def bound(self, side: int) -> float:
        """By how much an edge can move when it is written and read again, as a share of the frame's side."""
        apart = 0.5 if self.rounding == "nearest" or self.shift else 1.0
        at_the_end = self.marks(side) - self.highest(side) - self.shift
        return max(apart, at_the_end) / self.marks(side)

    def slack(self, side: int) -> float:
        """How far outside the picture rounding alone can put an edge, as a share of the frame's side."""
        return 1 / self.marks(side)


@dataclass(frozen=True)
class Cells:
    """Numbers of cells of a grid, row by row: the cell of a box's first corner and that of its last (Kosmos-2)."""

    per_side: int
    digits: int

    def cell(self, corner: XY) -> int:
        """The number of the cell that a place lies in."""
        column, row = (math.floor(min(max(v, 0.0), CELL_END) * self.per_side + JUST_BELOW) for v in corner)
        return row * self.per_side + column

    def named(self, corners: list[XY], size: Size) -> dict[str, str]:
        """The texts of a box's placeholders."""
        return {name: f"{self.cell(c):0{self.digits}d}" for name, c in zip(("first", "last"), corners, strict=True)}

    def corners(self, values: dict[str, float], size: Size, *, clip: bool = False) -> list[XY]:
        """The middles of the two cells or, where both lie in one row or column, their outer edges, as the peer decodes
        (unilm, kosmos-2 decode_string.py:59-73)."""
        last = self.per_side**2 - 1
        for value in values.values():
            if not (0 <= value <= last and float(value).is_integer()):
                raise RegionError(f"{value:g} is no cell, which are numbered from 0 to {last}")
        (row1, column1), (row2, column2) = (divmod(int(values[name]), self.per_side) for name in ("first", "last"))
        low, high = (0.0, 1.0) if row1 == row2 or column1 == column2 else (0.5, 0.5)
        return [
            ((column1 + low) / self.per_side, (row1 + low) / self.per_side),
            ((column2 + high) / self.per_side, (row2 + high) / self.per_side),
        ]

    def bound(self, side: int) -> float:
        """Half a cell between middles; a whole one where both corners share a row or column."""
        return 1 / self.per_side

    def slack(self, side: int) -> float:
        """As of a grid; no cell lies outside."""
        return 1 / self.per_side


@dataclass(frozen=True)
class Form:
    """The markup of mentions of one shape. ``separator`` stands between the items of a mention (of a polygon: between
    its corners); without one, every region is a mention of its own.

    A ``labelled`` template that begins with ``{label}`` writes the label as plain words, which are read as text again;
    without a template, words and a blank.
    ``also`` are further templates that are read. ``least`` and ``most`` bound the items.
    """

    shape: ShapeName
    item: str
    bare: str = "{items}"
    labelled: str = ""
    separator: str | None = None
    least: int = 1
    most: int | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Beside:
    """Regions travel beside the text, as a tensor, a mask or a list; the text holds a placeholder for each.

    ``{n}`` in it counts from ``first``. ``shapes``: the model takes no others; ``most``: so many regions.
    """

    placeholder: str
    first: int = 0
    shapes: tuple[str, ...] = ("point", "box", "polygon", "mask", "scribble")
    most: int | None = None


@dataclass(frozen=True)
class Dialect:
    """How one peer writes regions. ``example`` is literal; ``source`` names the peer's file where one confirms it.

    ``frames`` lists the frames it is used with, the usual one first. ``run`` opens, separates and closes mentions that
    follow one another directly. ``dropped`` is a pattern of tokens behind the items that are not read.
    """

    name: str
    title: str
    example: str
    source: str
    grid: Grid | Cells | None = None
    forms: tuple[Form, ...] = ()
    beside: Beside | None = None
    frames: tuple[FrameKind, ...] = ("whole",)
    run: tuple[str, str, str] = ("", "", "")
    dropped: str = ""
    json_labels: bool = False
    sorts_points: bool = False
    notes: tuple[str, ...] = ()
