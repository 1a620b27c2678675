"""From a model's text back to parts: a tolerant reader of region text.

It accepts what this project writes and what its peers and careless models write: brackets or none, any of ``, ; |``
and blanks between numbers, ``.5``, ``1e-3``, signs, full-width digits and commas, a missing ``</box>`` at the end or
before the next ``<box>``. Numbers outside [0, 1] or corners the wrong way round are a region that cannot be: such
text stays text.
"""

from __future__ import annotations

import re
import unicodedata

from chatspot.errors import RegionError
from chatspot.messages import Part, RegionPart, TextPart
from chatspot.prompts.written import STEP
from chatspot.regions import Box, Point, Polygon, Region

BOX = re.compile(r"<\s*box\s*>(.*?)(?:<\s*/\s*box\s*>|(?=<\s*box\s*>)|$)", re.IGNORECASE | re.DOTALL)
NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
BETWEEN = re.compile(r"[\s,;|()\[\]{}]*")
LONGEST = 4096  # characters of one region's text; a longer one is no region


def read_numbers(text: str) -> list[float] | None:
    """The numbers in the text between the tags, or None when anything but numbers and separators stands there."""
    if len(text) > LONGEST:
        return None
    text = unicodedata.normalize("NFKC", text).replace("、", ",")
    if BETWEEN.sub("", NUMBER.sub("", text)):
        return None
    return [float(n) for n in NUMBER.findall(text)]


def read_region(text: str) -> Region | None:
    """The region that the text between the tags names, or None when it names none.

    Two numbers are a point, four a box, six or more (an even count) a polygon. A box that rounding closed is opened by
    half a step on each side.
    """
    values = read_numbers(text)
    if values is None or len(values) < 2 or len(values) % 2:
        return None
    points = list(zip(values[::2], values[1::2], strict=True))
    try:
        if len(points) == 1:
            return Point.from_normalized(*points[0])
        if len(points) > 2:
            return Polygon.from_normalized(points)
        (x1, y1), (x2, y2) = points
        x1, x2 = opened(x1, x2)
        y1, y2 = opened(y1, y2)
        return Box.from_normalized(x1, y1, x2, y2)
    except RegionError:
        return None


def opened(low: float, high: float) -> tuple[float, float]:
    """A span; one without length is opened by half a step each way, inside [0, 1]."""
    if low != high or not 0 <= low <= 1:
        return low, high
    return max(low - STEP / 2, 0.0), min(high + STEP / 2, 1.0)


def read_answer(text: str, image: int = 0) -> tuple[Part, ...]:
    """The parts of an answer: its text, with a region of picture ``image`` where region text stood."""
    parts: list[Part] = []
    at = 0
    for match in BOX.finditer(text):
        region = read_region(match[1])
        if region is None:
            continue
        if match.start() > at:
            parts.append(TextPart(text[at : match.start()]))
        parts.append(RegionPart(region, image))
        at = match.end()
    if at < len(text):
        parts.append(TextPart(text[at:]))
    return tuple(parts)


def read_regions(text: str) -> tuple[Region, ...]:
    """The regions that a text names, in order."""
    return tuple(part.region for part in read_answer(text) if isinstance(part, RegionPart))
