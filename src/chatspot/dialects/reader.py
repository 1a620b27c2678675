"""From a text in a dialect to words and regions."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from chatspot.dialects.frames import Frame
from chatspot.dialects.mentions import Mention, Piece, checked_text
from chatspot.dialects.scanner import Found, literal, scan, trimmed
from chatspot.dialects.specification import Dialect, Form
from chatspot.errors import MessageError, RegionError
from chatspot.regions import Box, Point, Polygon, Region
from chatspot.regions.coordinates import XY, Outside, Size

RUN_EDGE = 40  # characters around markup in which the brackets of a list are looked for


def read_text(
    text: str,
    dialect: Dialect,
    *,
    size: Size,
    frame: Frame | None = None,
    outside: Outside = "error",
    beside: Sequence[Mention] = (),
) -> tuple[Piece, ...]:
    """The words and mentions of ``text``, regions in the frame of the whole upright picture of ``size``.

    ``frame`` is where the numbers count (the dialect's usual one by default). ``beside`` holds the regions of a dialect
    that has only placeholders. What is no markup stays text. Raises ``RegionError`` for markup that names no possible
    region (off the scale, reversed, no number, in the padding) unless ``outside`` is "clip", which moves places into
    the picture, and ``MessageError`` for what is no text, or placeholders that are not as many as the regions beside.
    """
    text, frame = checked_text(text), checked_frame(dialect, size, frame)
    if dialect.beside:
        return tuple(read_placeholders(text, dialect, beside))
    if beside:
        raise MessageError(f"{dialect.name} writes regions in the text, got {len(beside)} beside it")
    pieces: list[Piece] = []
    at = 0
    found = scan(text, dialect)
    gaps = gaps_between(text, found, dialect)
    for each, (start, end) in zip(found, gaps, strict=True):
        if text[at:start]:
            pieces.append(text[at:start])
        pieces.append(Mention(regions_of(text, each, dialect, frame, outside), each.label))
        at = end
    if text[at:]:
        pieces.append(text[at:])
    return tuple(pieces)


def checked_frame(dialect: Dialect, size: Size, frame: Frame | None) -> Frame:
    """The frame to use; ``RegionError`` when it is another picture's, or one that the dialect never means."""
    usual = Frame.of_kind(dialect.frames[0], size) if frame is None else frame
    if usual.image_wh != tuple(size):
        raise RegionError(f"the frame is that of a picture of {usual.image_wh}, the picture is {tuple(size)}")
    if usual.kind not in dialect.frames:
        raise RegionError(f"{dialect.name} counts in the frame {' or '.join(dialect.frames)}, got {usual.kind}: the "
                          "same numbers would mean other places")  # fmt: skip
    return usual


def gaps_between(text: str, found: list[Found], dialect: Dialect) -> list[tuple[int, int]]:
    """Where the words before each mention end and those behind it begin: what separates a run of mentions and brackets
    it is markup too."""
    places = [(each.start, each.end) for each in found]
    opening, between, closing = run_patterns(dialect)
    if between is None:
        return places
    gaps = list(places)
    first = 0
    for at, (_, end) in enumerate(places):
        if at + 1 < len(places) and between.fullmatch(text, end, places[at + 1][0]):
            continue  # the run goes on
        start = places[first][0]
        if opening and closing:
            before = opening.search(text, max(start - RUN_EDGE, gaps[first - 1][1] if first else 0), start)
            after = closing.match(text, end, end + RUN_EDGE)
            if not (before and after):  # no list: the commas between are words
                first = at + 1
                continue
            start, end = before.start(), after.end()
        edges = [start, *(place[0] for place in places[first + 1 : at + 1]), end]
        gaps[first : at + 1] = list(pairwise(edges))
        first = at + 1
    return gaps


@cache
def run_patterns(dialect: Dialect) -> tuple[re.Pattern[str] | None, ...]:
    """Patterns of what opens, separates and closes a run of mentions."""
    opening, between, closing = dialect.run
    if not between:
        return None, None, None
    blank = r"\s{0,8}"
    return (
        re.compile(rf"(?:```(?:json)?\s{{0,8}})?{trimmed(literal(opening))}{blank}$") if opening else None,
        re.compile(blank + trimmed(literal(between.strip())) + blank),
        re.compile(rf"{blank}{trimmed(literal(closing))}(?:{blank}```)?") if closing else None,
    )


def regions_of(text: str, found: Found, dialect: Dialect, frame: Frame, outside: Outside) -> tuple[Region, ...]:
    """The regions of found markup."""
    try:
        if found.form.shape == "polygon":
            return (one_region(found.form, found.values, dialect, frame, outside),)
        return tuple(one_region(found.form, (values,), dialect, frame, outside) for values in found.values)
    except RegionError as error:
        excerpt = reprlib.repr(text[found.start : found.end])
        raise RegionError(f"{excerpt} at character {found.start} is no region in {dialect.name}: {error}") from error


def one_region(
    form: Form, values: Sequence[dict[str, float]], dialect: Dialect, frame: Frame, outside: Outside
) -> Region:
    """The region of one item's numbers (of a polygon: all items')."""
    assert dialect.grid is not None
    clip = outside == "clip"
    corners = [c for each in values for c in dialect.grid.corners(each, frame.size_wh, clip=clip)]
    places = [near_picture(frame.outward(corner), dialect, frame) for corner in corners]
    if not clip and any(not 0 <= value <= 1 for place in places for value in place):
        where = "in the padding around the picture" if frame.kind == "padded" else "outside the picture"
        raise RegionError(f'it lies partly {where}; is the frame right? Or pass outside="clip"')
    if form.shape == "point":
        return Point.from_normalized(*places[0], outside=outside)
    if form.shape == "box":
        return Box.from_normalized(*places[0], *places[1], outside=outside)
    return Polygon.from_normalized(places, outside=outside)


def near_picture(place: XY, dialect: Dialect, frame: Frame) -> XY:
    """The place, moved onto the border where rounding alone can have pushed it outside."""
    assert dialect.grid is not None
    moved = []
    for value, side, scale in zip(place, frame.size_wh, frame.scale_xy, strict=True):
        slack = dialect.grid.slack(side) / scale + 1e-9
        moved.append(min(max(value, 0.0), 1.0) if -slack <= value <= 1 + slack else value)
    return moved[0], moved[1]


def read_placeholders(text: str, dialect: Dialect, beside: Sequence[Mention]) -> list[Piece]:
    """The words of a text with the regions beside it in the places of its placeholders."""
    assert dialect.beside is not None
    spec, regions = dialect.beside, list(beside)
    if not spec.placeholder:
        if len(regions) != 1:
            raise MessageError(f"{dialect.name} shows exactly one region beside the text, got {len(regions)}")
        return [regions[0], *([text] if text else [])]
    pieces: list[Piece] = []
    at, seen = 0, set()
    for order, match in enumerate(re.finditer(literal_number(spec.placeholder), text)):
        number = int(match[1]) - spec.first if match.re.groups else order
        if not 0 <= number < len(regions):
            raise MessageError(f"{match[0]} at character {match.start()} has no region beside the text: there are "
                               f"{len(regions)}, counted from {spec.first}")  # fmt: skip
        if text[at : match.start()]:
            pieces.append(text[at : match.start()])
        pieces.append(regions[number])
        seen.add(number)
        at = match.end()
    if len(seen) < len(regions):
        raise MessageError(f"{len(regions)} regions stand beside the text, it points at {len(seen)} of them with "
                           f"{spec.placeholder}")  # fmt: skip
    return [*pieces, *([text[at:]] if text[at:] else [])]


def literal_number(placeholder: str) -> str:
    """A placeholder as a pattern; its number is a group."""
    return re.escape(placeholder).replace(re.escape("{n}"), r"(\d{1,6})")
