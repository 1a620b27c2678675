"""Putting words and regions together: templates with named places, and the little English grammar they need."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from chatspot.data.questions import article
from chatspot.messages import ImagePart, RegionPart, TextPart
from chatspot.messages.conversation import Part
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble

Value: TypeAlias = str | Region | Sequence[Part]
"""What a place in a template takes: text, a region, or parts that are put together already."""

PLACE = re.compile(r"\{([a-z_]+)\}")
NUMBERED_REGION = re.compile(r"<region(\d{1,6})>")
MOST_CHARACTERS = 2_000  # of one text that annotators wrote; longer ones are no answers (our choice)

IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "sheep": "sheep", "knife": "knives",
    "skis": "skis", "mouse": "mice", "foot": "feet", "tooth": "teeth", "leaf": "leaves", "shelf": "shelves",
    "fish": "fish", "deer": "deer", "scissors": "scissors", "broccoli": "broccoli", "goose": "geese", "loaf": "loaves",
    "wolf": "wolves", "half": "halves", "calf": "calves", "species": "species", "aircraft": "aircraft",
}  # fmt: skip
UNCOUNTED = frozenset(
    [
        "sky",
        "grass",
        "water",
        "sand",
        "snow",
        "air",
        "fur",
        "hair",
        "ground",
        "sea",
        "ocean",
        "rice",
        "bread",
        "food",
        "text",
        "furniture",
        "luggage",
        "mud",
        "dirt",
        "gravel",
        "smoke",
        "wood",
        "glass",
        "metal",
        "traffic",
        "sunlight",
        "fog",
        "rain",
        "ice",
        "broccoli",
    ]
)


def parts_of(template: str, values: Mapping[str, Value]) -> tuple[Part, ...]:
    """The parts of ``template`` with its ``{places}`` filled. Only the template is searched for places, never what is
    filled in. A region that has no place in the template follows the text. Raises ``KeyError`` for a place without a
    value."""
    parts: list[Part] = []
    pieces = PLACE.split(template)
    for index, piece in enumerate(pieces):
        if index % 2:
            parts += as_parts(values[piece])
        elif piece:
            parts.append(TextPart(piece))
    named = set(pieces[1::2])
    for place, value in values.items():
        if place not in named and isinstance(value, (Point, Box, Polygon, Mask, Scribble)):
            parts += [TextPart(" "), RegionPart(value)]
    return joined(parts)


def as_parts(value: Value) -> Sequence[Part]:
    """A value as message parts."""
    if isinstance(value, str):
        return [TextPart(value)]
    if isinstance(value, (Point, Box, Polygon, Mask, Scribble)):
        return [RegionPart(value)]
    return value


def joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with neighbouring texts made one and empty texts left out."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, TextPart):
            if not part.text:
                continue
            if out and isinstance(out[-1], TextPart):
                out[-1] = TextPart(out[-1].text + part.text)
                continue
        out.append(part)
    return tuple(out)


def with_picture(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of a question after the picture they are about."""
    return (ImagePart(), *parts)


def clean_text(text: str | None, *, lines: bool = False) -> str | None:
    """``text`` without needless blanks, on one line unless ``lines`` are kept; None for what cannot be said: nothing,
    half a surrogate pair, or more than MOST_CHARACTERS."""
    rows = [" ".join(row.split()) for row in (text or "").splitlines()]
    words = ("\n" if lines else " ").join(row for row in rows if row)
    return words if sayable(words) and len(words) <= MOST_CHARACTERS else None


def sayable(text: str) -> bool:
    """Whether a message can hold ``text``: it says something and has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text.strip())


def region_numbers(text: str) -> list[int]:
    """The numbers of the regions that ``text`` names as ``<region0>``, in order."""
    return [int(number) for number in NUMBERED_REGION.findall(text)]


def with_regions(text: str, places: Mapping[int, Region]) -> tuple[Part, ...]:
    """``text`` with its ``<regionN>`` replaced by region N of ``places``. Raises ``KeyError`` for one that is none."""
    pieces = NUMBERED_REGION.split(text)
    parts = [RegionPart(places[int(piece)]) if at % 2 else TextPart(piece) for at, piece in enumerate(pieces)]
    return joined(parts)


def plural(name: str) -> str:
    """The plural of a name by the common English rules; the last word of several changes."""
    head, _, last = name.rpartition(" ")
    lead = f"{head} " if head else ""
    if last.lower() in IRREGULAR:
        return lead + IRREGULAR[last.lower()]
    if is_plural(last):
        return name
    if re.search(r"(s|x|z|ch|sh)$", last):
        return f"{name}es"
    if re.search(r"[^aeiou]y$", last):
        return f"{name[:-1]}ies"
    return f"{name}s"


def is_plural(name: str) -> bool:
    """Whether a name looks like a plural ("pants"; "bus", "glass" and "tennis" do not)."""
    last = name.split()[-1].lower() if name.split() else ""
    return len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is"))


def with_article(name: str) -> str:
    """The name with its indefinite article, where it takes one: "a dog", "an apple", "pants", "water"."""
    last = name.split()[-1].lower() if name.split() else ""
    return name if is_plural(name) or last in UNCOUNTED else f"{article(name)} {name}"
