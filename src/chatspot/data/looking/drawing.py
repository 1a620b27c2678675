"""A dialogue as people see it: its regions numbered and drawn over the picture, its turns with those numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from chatspot.images import draw_regions
from chatspot.images.overlay import COLORS, Color, seam
from chatspot.messages import Conversation, RegionPart, TextPart
from chatspot.regions import Region


@dataclass(frozen=True)
class Piece:
    """A stretch of text, or the ``number`` (from 1) of a region that is drawn on the picture."""

    text: str = ""
    number: int = 0

    @property
    def color(self) -> Color:
        """The region's colour on the picture, as red, green, blue."""
        return COLORS[(self.number - 1) % len(COLORS)]

    @property
    def ink(self) -> Color:
        """Black or white, whichever can be read on ``color``."""
        return seam(self.color)


@dataclass(frozen=True)
class Turn:
    """One message: who says it ("system", "user" or "assistant"), its pieces, and the answer style it asks for."""

    role: str
    pieces: tuple[Piece, ...]
    style: str = ""

    @property
    def text(self) -> str:
        """The turn as plain text, a region as its number in brackets."""
        return "".join(f"[{piece.number}]" if piece.number else piece.text for piece in self.pieces)


@dataclass
class Numbered:
    """The turns of a dialogue, and the regions of its first picture in the order of their numbers. A region that is
    named again keeps its number; one of a later picture is written as words, for only the first picture is drawn."""

    turns: list[Turn] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)

    def number(self, region: Region) -> int:
        """The region's number, from 1."""
        if region not in self.regions:
            self.regions.append(region)
        return self.regions.index(region) + 1


def numbered(conversation: Conversation) -> Numbered:
    """The conversation with its regions numbered."""
    result = Numbered()
    for message in conversation.messages:
        pieces = tuple(pieces_of(message.parts, result))
        result.turns.append(Turn(message.role, pieces, message.style or ""))
    return result


def pieces_of(parts: tuple[object, ...], result: Numbered) -> Iterator[Piece]:
    """The pieces of a message; pictures have no place in the text."""
    for part in parts:
        if isinstance(part, TextPart):
            yield Piece(part.text)
        elif isinstance(part, RegionPart) and part.image == 0:
            yield Piece(number=result.number(part.region))
        elif isinstance(part, RegionPart):
            yield Piece(f"(a region of picture {part.image + 1})")


def drawn(image: Image.Image, regions: list[Region], largest_wh: tuple[int, int]) -> Image.Image:
    """A copy of the upright picture, made to fit into ``largest_wh`` pixels, with the regions drawn over it."""
    width, height = image.size
    scale = min(largest_wh[0] / width, largest_wh[1] / height)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return draw_regions(image.resize(size, Image.Resampling.LANCZOS), regions)
