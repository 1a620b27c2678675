"""What a text is between dialects: words, and mentions of regions. No markup, no numbers, one frame."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chatspot.errors import MessageError
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble

LONGEST_TEXT = 1_000_000  # characters of one text; a longer one is refused before anything is searched in it


@dataclass(frozen=True)
class Mention:
    """Regions that are pointed at in one breath, and the name that the markup gives them."""

    regions: tuple[Region, ...]
    label: str | None = None


Piece: TypeAlias = "str | Mention"


@dataclass(frozen=True)
class Written:
    """A text in a dialect. ``beside`` holds the mentions, one region each, that travel beside the text, where the
    dialect has no words for them."""

    text: str
    beside: tuple[Mention, ...] = ()


def checked_text(text: str) -> str:
    """``text``, when it is one that can be read; ``MessageError`` otherwise."""
    if not isinstance(text, str):
        raise MessageError(f"a dialect's text is a string, got {reprlib.repr(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MessageError(f"character {error.start} of a dialect's text is half of a surrogate pair, which is no "
                           "Unicode; decode the bytes again, or leave that character out") from error  # fmt: skip
    if len(text) > LONGEST_TEXT:
        raise MessageError(f"a dialect's text has {len(text):,} characters, at most {LONGEST_TEXT:,}; split it")
    return text


def checked_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, neighbouring words joined; ``MessageError`` for what is none."""
    if isinstance(pieces, (str, Mention)):
        raise MessageError("expected a list of words and mentions, got one of them; put it in a list")
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Mention):
            if not piece.regions:
                raise MessageError("a mention needs at least one region")
            for region in piece.regions:
                if not isinstance(region, (Point, Box, Polygon, Mask, Scribble)):
                    raise MessageError(f"a mention holds regions, got {reprlib.repr(region)}")
            if piece.label is not None:
                checked_text(piece.label)
            found.append(piece)
        elif checked_text(piece):
            last = found.pop() if found and isinstance(found[-1], str) else ""
            found.append(str(last) + piece)
    return found
