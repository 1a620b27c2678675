"""What the makers of questions share: the record, the settings, and choices that depend on nothing but names.

Every choice is drawn from a generator seeded by the seed, the record's id and what is chosen, so one more task or
region changes no other question.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from chatspot.data.dialogues.colours import has_colours
from chatspot.data.dialogues.families import phrasing
from chatspot.data.dialogues.forms import pointed_at
from chatspot.data.dialogues.names import COCO_NAMES, plain_name
from chatspot.data.dialogues.settings import DialogueSettings
from chatspot.data.dialogues.wording import UNCOUNTED, Value, clean_text, parts_of
from chatspot.data.records import Record, RegionRecord
from chatspot.messages import RegionPart
from chatspot.messages.conversation import Part, Style
from chatspot.prompts.written import OUTLINE_CORNERS, written_points
from chatspot.regions import Mask, Region, Scribble

if TYPE_CHECKING:
    import numpy as np

# sources in which every object of these names is annotated (or marked as a crowd) in every picture; () for all names
EXHAUSTIVE: dict[str, tuple[str, ...]] = {"coco": COCO_NAMES, "coco_val": COCO_NAMES, "objects365": ()}
LONG_WORDS = 15  # an answer of more words is asked for as a long one (our choice)
PIXELS_SIDE = 512  # longer side of the picture that colours are measured in (our choice)


@dataclass(frozen=True)
class Turn:
    """A question and its answer. ``asks`` are the facts that the answer gives away, ``tells`` all that question and
    answer say: no turn may follow in the same dialogue that asks what was told. A fact is a word and its subject,
    such as "name 3" or "count dog"."""

    task: str
    question: tuple[Part, ...]
    answer: tuple[Part, ...]
    style: Style
    asks: frozenset[str]
    tells: frozenset[str]


@dataclass(frozen=True)
class Scene:
    """A record and how it is asked about."""

    record: Record
    settings: DialogueSettings
    seed: int

    @property
    def source(self) -> str:
        """The name of the family of phrasings."""
        return self.settings.family or self.record.source

    @property
    def exhaustive(self) -> bool:
        """Whether what is not annotated is not there."""
        return self.source in EXHAUSTIVE if self.settings.exhaustive is None else self.settings.exhaustive

    def countable(self, name: str) -> bool:
        """Whether things of this name can be counted, and all of them are annotated."""
        among = EXHAUSTIVE.get(self.source, ()) if self.settings.exhaustive is None else ()
        return self.exhaustive and name.split()[-1] not in UNCOUNTED and (not among or name in among)

    def rng(self, *key: object) -> random.Random:
        """The generator for the choices that ``key`` names."""
        return random.Random("/".join(map(str, (self.seed, self.record.id, *key))))

    def wanted(self, task: str, *key: object, name: str = "") -> bool:
        """Whether this one of the possible questions of ``task`` is asked; ``name`` is the thing's that it is about."""
        return self.kept(self.settings.tasks.get(task, 0.0), task, *key, name=name)

    def times(self, task: str, *key: object, hard: bool, name: str = "", repeats: int = 1) -> range:
        """The passes in which a question is asked: none or ``repeats``, and ``hard_repeats`` times as many of a hard
        case, which is asked wherever its task is."""
        if hard and self.settings.tasks.get(task, 0.0) > 0:
            return range(repeats * self.settings.hard_repeats if self.kept(1.0, task, *key, name=name) else 0)
        return range(repeats if self.wanted(task, *key, name=name) else 0)

    def kept(self, share: float, *key: object, name: str) -> bool:
        """Whether a question is among the ``share`` that is asked, less what ``thin`` takes from its name's."""
        return self.rng("wanted", *key).random() < share * self.settings.thin.get(plain_name(name), 1.0)

    def style(self, rng: random.Random) -> Style:
        """A style for an answer that can be put both ways."""
        return "long" if rng.random() < self.settings.long_share else "short"

    def place(self, number: int, rng: random.Random) -> Region:
        """Region ``number`` as a question points at it."""
        return pointed_at(self.record.regions[number], self.record.size, self.settings, rng)

    def phrase(self, section: str, rng: random.Random, **values: Value) -> tuple[Part, ...]:
        """A phrasing of ``section`` with its places filled."""
        return parts_of(phrasing(self.source, section, self.settings.first_share, rng), values)

    def can_ask(self, number: int) -> bool:
        """Whether region ``number`` exists, may be asked about, and is a point or large enough."""
        if not 0 <= number < len(self.record.regions):
            return False
        region = self.record.regions[number]
        return region.askable and (region.box is None or region.area_px >= self.settings.least_area_px)

    @cached_property
    def regions(self) -> tuple[tuple[int, RegionRecord], ...]:
        """The regions that may be asked about, with their numbers."""
        return tuple((n, region) for n, region in enumerate(self.record.regions) if self.can_ask(n))

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """The label of every region of the record, for saying; None for none and for mere text."""
        return tuple(spoken_label(region) for region in self.record.regions)

    @cached_property
    def pixels(self) -> np.ndarray | None:
        """The picture [height, width, 3], at most PIXELS_SIDE a side; None when it is black and white, or cannot be
        opened, which readers report: then no colour is measured."""
        import numpy as np

        from chatspot.errors import ImageError
        from chatspot.images import open_image

        try:
            picture = open_image(self.record.image)
        except ImageError:
            return None
        picture.thumbnail((PIXELS_SIDE, PIXELS_SIDE))
        pixels = np.asarray(picture)
        return pixels if has_colours(pixels) else None


def spoken_label(region: RegionRecord) -> str | None:
    """What a region is called, or None where it has no name of its own ("text" with a transcription is none)."""
    label = clean_text(region.label)
    if label is None or plain_name(label) in ("text", "word", "line"):
        return None
    return label.replace("_", " ")


def style_of(answer: str) -> Style:
    """The style that asks for an answer as long as this one."""
    return "long" if len(answer.split()) > LONG_WORDS else "short"


def facts(kind: str, *subjects: object) -> frozenset[str]:
    """One fact of this kind about each subject."""
    return frozenset(f"{kind} {subject}" for subject in subjects)


def packed(turns: Sequence[Turn], most: int, points: int | None = None) -> Iterator[tuple[Turn, ...]]:
    """The turns as dialogues of at most ``most`` turns and ``points`` written points (but for one turn of more), in
    none of which a turn asks what was told before it."""
    dialogues: list[list[Turn]] = []
    told: list[set[str]] = []
    written: list[int] = []
    for turn in turns:
        length = points_of(turn)
        for at, dialogue in enumerate(dialogues):
            fits = len(dialogue) < most and (points is None or written[at] + length <= points)
            if fits and not turn.asks & told[at]:
                dialogue.append(turn)
                told[at] |= turn.tells
                written[at] += length
                break
        else:
            dialogues.append([turn])
            told.append(set(turn.tells))
            written.append(length)
    yield from map(tuple, dialogues)


def points_of(turn: Turn) -> int:
    """The points that a turn's regions are written with: at most so many for a mask or a scribble."""
    regions = [part.region for part in (*turn.question, *turn.answer) if isinstance(part, RegionPart)]
    return sum(OUTLINE_CORNERS if isinstance(r, (Mask, Scribble)) else len(written_points(r)) for r in regions)


def shown(places: Mapping[int, Region]) -> frozenset[str]:
    """The facts that pointing at regions tells: where they are."""
    return facts("place", *places)
