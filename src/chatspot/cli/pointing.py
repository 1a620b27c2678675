"""Regions as they are typed: ``x1,y1,x2,y2`` and its kin, in pixels or fractions, and masks in files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chatspot.errors import RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble, region_from_json

if TYPE_CHECKING:
    from PIL import Image

    from chatspot.regions.coordinates import XY, Size

FORMS = {
    "box": "x1,y1,x2,y2",
    "point": "x,y",
    "polygon": "x,y,x,y,x,y,... with at least three corners",
    "scribble": "x,y,x,y,... with at least one point",
    "mask": "FILE",
}
PEN = 0.02  # a typed scribble's pen, of the picture's shorter side (our choice)
WHITE = 128  # a mask picture's values from here on are set
# "@box 10,20,30,40" in a line of a chat; a blank may follow a comma. Not inside a word: an address is no region.
TYPED = re.compile(r"(?<!\S)@(box|point|polygon|scribble)\b\s*((?:[-+.\w]+\s*,\s*)*[-+.\w]*)|(?<!\S)@mask\b\s*(\S*)")


def typed_region(kind: str, text: str, image: Image.Image, *, normalized: bool) -> Region:
    """The region that ``text`` names on the upright ``image``; ``RegionError`` says what was typed and expected."""
    if kind == "mask":
        return mask_from_file(Path(text), image)
    width, height = image.size
    try:
        return region_of(kind, numbers(kind, text), (width, height), normalized)
    except RegionError as error:
        frame = "fractions from 0 to 1" if normalized else f"pixels of a picture of {width} x {height}"
        raise RegionError(f"{kind} {text[:80]!r} in {frame}: {error}") from error


def numbers(kind: str, text: str) -> list[float]:
    """The numbers between the commas, as many as the form needs."""
    try:
        values = [float(number) for number in text.split(",")]
    except ValueError:
        raise RegionError(f"expected numbers {FORMS[kind]}") from None
    count = len(values)
    if count % 2 or (kind == "box" and count != 4) or (kind == "point" and count != 2):
        raise RegionError(f"expected {FORMS[kind]}, got {count} number(s)")
    return values


def region_of(kind: str, values: Sequence[float], size: Size, normalized: bool) -> Region:
    """The region with these coordinates on an image of ``size``."""
    points: list[XY] = list(zip(values[::2], values[1::2], strict=True))
    if kind == "box":
        return Box.from_normalized(*values) if normalized else Box.from_pixels(*values, size=size)
    if kind == "point":
        return Point.from_normalized(*values) if normalized else Point.from_pixels(*values, size=size)
    if kind == "polygon":
        return Polygon.from_normalized(points) if normalized else Polygon.from_pixels(points, size=size)
    pen = max(PEN * min(size), 1.0)
    if normalized:
        return Scribble.from_normalized(points, pen_wh=(pen / size[0], pen / size[1]))
    return Scribble.from_pixels(points, pen=pen, size=size)


def mask_from_file(path: Path, image: Image.Image) -> Mask:
    """A mask of the picture's size from a black and white picture (white is set) or from a JSON file with
    ``{"counts": [...], "size_wh": [width, height]}``, COCO's uncompressed run lengths."""
    mask = mask_from_json(path) if path.suffix.lower() == ".json" else mask_from_picture(path)
    if mask.size_wh != image.size:
        raise RegionError(f"mask {path} is {mask.size_wh[0]} x {mask.size_wh[1]} pixels, the upright picture "
                          f"{image.width} x {image.height}; a mask must have its picture's size")  # fmt: skip
    return mask


def mask_from_picture(path: Path) -> Mask:
    """A mask from a black and white picture."""
    import numpy as np

    from chatspot.images import open_image

    return Mask.from_bitmap(np.asarray(open_image(path).convert("L")) >= WHITE)


def mask_from_json(path: Path) -> Mask:
    """A mask from a JSON file, in our own form or as its content alone."""
    try:
        stored = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RegionError(f"mask {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RegionError(f"mask {path} is no JSON ({error})") from error
    wrapped = stored if isinstance(stored, dict) and "mask" in stored else {"mask": stored}
    try:
        mask = region_from_json(wrapped)
    except RegionError as error:
        raise RegionError(f"mask {path}: {error}") from error
    assert isinstance(mask, Mask)
    return mask


def typed_order(arguments: Iterable[str], given: dict[str, Sequence[str]]) -> list[tuple[str, str]]:
    """The ``given`` values of each kind as (kind, value) in the order in which they were typed.

    The parser keeps the order within a kind only, so the options are read off the ``arguments`` once more. Where the
    two disagree (a question that looks like an option), kinds follow one another.
    """
    kinds: list[str] = []
    for argument in arguments:
        if argument == "--":
            break
        name = argument.split("=", 1)[0].removeprefix("--")
        if argument.startswith("--") and name in given:
            kinds.append(name)
    if Counter(kinds) != Counter({kind: len(values) for kind, values in given.items()}):
        return [(kind, value) for kind, values in given.items() for value in values]
    rest = {kind: iter(values) for kind, values in given.items()}
    return [(kind, next(rest[kind])) for kind in kinds]


def typed_line(line: str, image: Image.Image) -> tuple[str, list[Region]]:
    """A line of a chat as a question with ``{region}`` where its ``@box`` and the like stood, and these regions."""
    regions: list[Region] = []

    def place(match: re.Match[str]) -> str:
        kind, text = (match[1], match[2]) if match[1] else ("mask", match[3])
        regions.append(typed_region(kind, text, image, normalized=False))
        return "{region}"

    return TYPED.sub(place, line), regions
