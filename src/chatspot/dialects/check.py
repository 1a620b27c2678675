"""What is wrong with the regions of texts, and which dialect, frame and order they fit best.

A fit is a hypothesis: this dialect's markup, counted in this frame, in this order. Hypotheses are compared

1. by how much of the texts they explain as markup whose numbers are spelled as the dialect spells them,
2. where the true boxes are known: by their mean IoU with what is read,
3. by likelihood: a hypothesis expects numbers anywhere on its scale inside the picture, so of two that allow all
   numbers, the one with the narrower scale is the likelier (boxes that never touch the padding speak for padding).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatspot.dialects.frames import Frame, FrameKind
from chatspot.dialects.mentions import checked_text
from chatspot.dialects.reader import one_region
from chatspot.dialects.scanner import Found, scan
from chatspot.dialects.specification import Dialect, Grid
from chatspot.dialects.table import DIALECTS
from chatspot.errors import RegionError
from chatspot.regions import Box, Region
from chatspot.regions.coordinates import Size

Order: TypeAlias = Literal["as written", "axes swapped", "x, y, width, height", "middle, width, height"]
ORDERS: tuple[Order, ...] = ("as written", "axes swapped", "x, y, width, height", "middle, width, height")
IMPOSSIBLE = math.log(1e-6)  # for a region that the hypothesis rules out: a slip of the pen is rarer than a wrong frame
SAME_SHARE, SAME_IOU, CLEAR_ODDS = 0.01, 0.02, 20.0  # closer than this cannot be told apart


@dataclass(frozen=True)
class Sample:
    """A text about a picture of ``size``; ``truth`` are its boxes in order, where they are known."""

    where: str
    text: str
    size: Size
    truth: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A region of a sample that cannot be meant: its kind, and what was read."""

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Fit:
    """How well texts fit a dialect in a frame and an order. ``explained`` counts characters of markup, numbers spelled
    elsewise for half; ``likelihood`` is a natural logarithm; ``mean_iou`` needs true boxes."""

    dialect: Dialect
    frame: FrameKind
    order: Order
    regions: int
    possible: int
    explained: float
    likelihood: float
    mean_iou: float | None

    @property
    def is_usual(self) -> bool:
        """Whether frame and order are those of the dialect."""
        return self.frame == self.dialect.frames[0] and self.order == "as written"


def find_faults(samples: Iterable[Sample], dialect: Dialect) -> Iterator[Finding]:
    """Every region of the samples that is impossible in ``dialect`` and its usual frame."""
    for sample in samples:
        frame = Frame.of_kind(dialect.frames[0], sample.size)
        for found in scan(checked_text(sample.text), dialect):
            for item in items_of(found):
                kind = fault(found, item, dialect, frame)
                if kind:
                    yield Finding(kind, sample.where, sample.text[found.start : found.end][:120])


def items_of(found: Found) -> list[tuple[dict[str, float], ...]]:
    """The numbers of each region of found markup; a polygon takes all."""
    return [found.values] if found.form.shape == "polygon" else [(values,) for values in found.values]


def fault(found: Found, values: Sequence[dict[str, float]], dialect: Dialect, frame: Frame) -> str | None:
    """What is wrong with a region, or None."""
    if attempt(found, values, dialect, frame) is not None:
        return no_area(values)
    numbers = [number for each in values for number in each.values()]
    if not all(map(math.isfinite, numbers)):
        return "no number"
    each = values[0]
    if "x1" in each and (each["x1"] > each["x2"] or each["y1"] > each["y2"]):
        return "corners reversed"
    grid = dialect.grid
    if isinstance(grid, Grid):
        sides = [frame.size_wh[0 if name[0] == "x" else 1] for each in values for name in each]
        scaled = zip((number * 10**grid.decimals for number in numbers), sides, strict=True)
        if not all(0 <= mark <= grid.highest(side) for mark, side in scaled):
            swapped = attempt(found, [ordered(each, "axes swapped") for each in values], dialect, frame)
            return "off the scale" if swapped is None else "axes swapped"
    return "outside the picture (wrong frame?)" if frame.kind == "padded" else "impossible"


def no_area(values: Sequence[dict[str, float]]) -> str | None:
    """The kind of fault of a box that its numbers close."""
    each = values[0]
    return "no area" if "x1" in each and (each["x1"] == each["x2"] or each["y1"] == each["y2"]) else None


def attempt(found: Found, values: Sequence[dict[str, float]], dialect: Dialect, frame: Frame) -> Region | None:
    """The region of these numbers, or None when there can be none."""
    try:
        return one_region(found.form, values, dialect, frame, "error")
    except RegionError:
        return None


def ordered(values: dict[str, float], order: Order) -> dict[str, float]:
    """A region's numbers, taken in another order than the dialect's."""
    if order == "as written" or "first" in values:
        return values
    if order == "axes swapped":
        return {("y" if name[0] == "x" else "x") + name[1:]: value for name, value in values.items()}
    if "x1" not in values:
        return values
    x, y, width, height = values["x1"], values["y1"], values["x2"], values["y2"]
    if order == "middle, width, height":
        x, y = x - width / 2, y - height / 2
    return {"x1": x, "y1": y, "x2": x + width, "y2": y + height}


def rank_fits(samples: Sequence[Sample], dialects: Iterable[Dialect] | None = None) -> list[Fit]:
    """Fits of all hypotheses that find any region, the best first; among equals the dialects' usual frame and order."""
    fits = []
    for dialect in DIALECTS.values() if dialects is None else dialects:
        if dialect.grid is None:
            continue
        scans = [(sample, scan(checked_text(sample.text), dialect)) for sample in samples]
        if not any(found for _, found in scans):
            continue
        pixels = isinstance(dialect.grid, Grid) and dialect.grid.steps is None
        others: tuple[FrameKind, ...] = ("resized", "whole") if pixels else ("whole", "padded")
        for frame in dict.fromkeys((*dialect.frames, *others)):
            fits += [fit(scans, dialect, frame, order) for order in ORDERS]
    most = max((each.explained for each in fits), default=0.0)

    def badness(each: Fit) -> tuple[bool, float, float, bool]:
        lost = each.explained < most * (1 - SAME_SHARE)
        iou = -round((each.mean_iou or 0.0) / SAME_IOU) if each.mean_iou is not None else 0.0
        return lost, iou, -round(each.likelihood, 3), not each.is_usual

    return sorted(fits, key=badness)


def fit(scans: Sequence[tuple[Sample, list[Found]]], dialect: Dialect, kind: FrameKind, order: Order) -> Fit:
    """One hypothesis against all samples."""
    regions, possible, explained, likelihood, overlaps = 0, 0, 0.0, 0.0, list[float]()
    for sample, found in scans:
        frame = Frame.of_kind(kind, sample.size)
        read: list[Region | None] = []
        for each in found:
            explained += (each.end - each.start) * (1.0 if well_spelled(each, dialect) else 0.5)
            for values in items_of(each):
                read.append(attempt(each, [ordered(v, order) for v in values], dialect, frame))
                likelihood += log_chance(values, dialect, frame) + (IMPOSSIBLE if read[-1] is None else 0.0)
        regions += len(read)
        possible += sum(region is not None for region in read)
        if len(sample.truth) == len(read):
            overlaps += [box.iou(region) if region else 0.0 for box, region in zip(sample.truth, read, strict=True)]
    mean = sum(overlaps) / len(overlaps) if overlaps else None
    return Fit(dialect, kind, order, regions, possible, explained, likelihood, mean)


def log_chance(values: Sequence[dict[str, float]], dialect: Dialect, frame: Frame) -> float:
    """How likely just these numbers are where any inside the picture are equally likely: 1 of so many for each."""
    if not isinstance(dialect.grid, Grid):
        return -2.0 * math.log(dialect.grid.per_side**2) if dialect.grid else 0.0
    total = 0.0
    for each in values:
        for name in each:
            axis = 0 if name[0] == "x" else 1
            total -= math.log(dialect.grid.marks(frame.size_wh[axis]) * frame.scale_xy[axis] + 1)
    return total


def well_spelled(found: Found, dialect: Dialect) -> bool:
    """Whether all numbers stand as the dialect writes them."""
    grid = dialect.grid
    if not isinstance(grid, Grid):
        return True
    numbers = zip(found.spelled, (value for each in found.values for value in each.values()), strict=True)
    return all(
        math.isfinite(value) and grid.spelled(round(min(value, 1e9) * 10**grid.decimals)) == text
        for text, value in numbers
    )


def equally_good(fits: Sequence[Fit]) -> list[Fit]:
    """The best fit and those usual ones of other dialects that cannot be told from it."""
    if not fits:
        return []
    best = fits[0]

    def same(each: Fit) -> bool:
        explained = abs(each.explained - best.explained) <= best.explained * SAME_SHARE
        likely = best.likelihood - each.likelihood < math.log(CLEAR_ODDS)
        overlap = abs((each.mean_iou or 0.0) - (best.mean_iou or 0.0)) <= SAME_IOU
        return explained and likely and overlap and (each.is_usual or each.order == best.order)

    return [best, *(each for each in fits[1:] if same(each))]
