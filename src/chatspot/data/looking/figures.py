"""What a set of dialogues holds, counted in one pass and in bounded memory.

Nothing here knows how the figures are shown. A region's size class is by its area in pixels of its own picture; the
bounds, 32 x 32 and 96 x 96, are those of COCO's evaluation ("small", "medium", "large").
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chatspot.data.looking.pictures import Dialogue, Picture
from chatspot.messages import Message, RegionPart, TextPart
from chatspot.regions import Point, Region

FORMS = ("Box", "Polygon", "Mask", "Point", "Scribble")
SIZE_CLASSES = ("small", "medium", "large", "no area")
SMALL_PX, MEDIUM_PX = 32**2, 96**2
LENGTH_BINS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # answers of up to so many words; the last bar is longer ones
SHARE_BINS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of the picture's area, up to
GRID = 12  # cells a side of the map of regions' middles (our choice)
TALLY_LIMIT = 50_000  # different texts that a tally keeps apart (our choice, a few MB)


@dataclass
class Tally:
    """How often each text occurs. Beyond TALLY_LIMIT different ones the rarer half is dropped, so the commonest stay
    right and ``distinct`` becomes a lower bound (``exact`` is then false)."""

    counts: Counter[str] = field(default_factory=Counter)
    total: int = 0
    most_distinct: int = 0
    exact: bool = True

    def add(self, text: str) -> None:
        """Count a text."""
        self.counts[text] += 1
        self.total += 1
        self.most_distinct = max(self.most_distinct, len(self.counts))
        if len(self.counts) > TALLY_LIMIT:
            self.counts = Counter(dict(self.counts.most_common(TALLY_LIMIT // 2)))
            self.exact = False

    @property
    def distinct(self) -> int:
        """Different texts, at least."""
        return self.most_distinct

    def commonest(self, limit: int) -> list[tuple[str, int]]:
        """The commonest texts, ties in alphabetical order."""
        return heapq.nsmallest(limit, self.counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass
class SourceFigures:
    """One source's pictures, dialogues, answers and regions named in them, and its licences."""

    pictures: int = 0
    dialogues: int = 0
    answers: int = 0
    regions: int = 0
    licences: Counter[str] = field(default_factory=Counter)


@dataclass
class TaskFigures:
    """One task's dialogues, questions, answers and lengths of answers in words (number of words -> answers)."""

    dialogues: int = 0
    regions: int = 0
    questions: Tally = field(default_factory=Tally)
    answers: Tally = field(default_factory=Tally)
    words: Counter[int] = field(default_factory=Counter)

    @property
    def median_words(self) -> int:
        """The median answer's length in words."""
        half, seen = self.words.total() / 2, 0
        for words in sorted(self.words):
            seen += self.words[words]
            if seen >= half:
                return words
        return 0


@dataclass
class Survey:
    """Figures over all pictures that were added. ``chosen`` are the pictures of the sample sheet."""

    sample_seed: int = 0
    sources: dict[str, SourceFigures] = field(default_factory=lambda: defaultdict(SourceFigures))
    tasks: dict[str, TaskFigures] = field(default_factory=lambda: defaultdict(TaskFigures))
    forms: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # ("asked" or "answered", form, size class)
    area_shares: Counter[int] = field(default_factory=Counter)  # index into SHARE_BINS
    middles: Counter[tuple[int, int]] = field(default_factory=Counter)  # (column, row) of GRID x GRID
    lengths: Counter[int] = field(default_factory=Counter)  # index into LENGTH_BINS, or len(LENGTH_BINS)
    region_answers: int = 0  # answers that are a region and no words
    yes: int = 0
    no: int = 0
    long_style: int = 0
    short_style: int = 0
    turns: Counter[int] = field(default_factory=Counter)  # answers in a dialogue -> dialogues
    stages: Counter[str] = field(default_factory=Counter)  # stage of training -> dialogues, in a build
    without_dialogue: int = 0
    chosen: dict[tuple[str, str], list[tuple[int, Picture, Dialogue]]] = field(default_factory=dict)

    @property
    def pictures(self) -> int:
        """Pictures with dialogues or without."""
        return sum(figures.pictures for figures in self.sources.values())

    @property
    def dialogues(self) -> int:
        """Dialogues of all sources."""
        return sum(figures.dialogues for figures in self.sources.values())

    @property
    def answers(self) -> int:
        """Answers of all dialogues."""
        return sum(figures.answers for figures in self.sources.values())

    @property
    def regions(self) -> int:
        """Regions named in all dialogues, those that are named twice counted twice."""
        return sum(figures.regions for figures in self.sources.values())

    def add(self, picture: Picture, keep: int = 2) -> None:
        """Count a picture and its dialogues; ``keep`` of each pair of source and task may come to the sample sheet."""
        source = self.sources[picture.source]
        source.pictures += 1
        source.licences[picture.licence] += 1
        self.without_dialogue += not picture.dialogues
        for dialogue in picture.dialogues:
            source.dialogues += 1
            if picture.stage:
                self.stages[picture.stage] += 1
            task = self.tasks[dialogue.task]
            task.dialogues += 1
            answers = 0
            for message in dialogue.conversation.messages:
                self.add_message(message, task)
                answers += message.role == "assistant"
                for region in message.regions:
                    source.regions += 1
                    task.regions += 1
                    self.add_region(region, "answered" if message.role == "assistant" else "asked", picture.size)
            source.answers += answers
            self.turns[answers] += 1
            if keep:
                self.choose(picture, dialogue, keep)

    def add_message(self, message: Message, task: TaskFigures) -> None:
        """Count a question's phrasing or an answer's length and words."""
        if message.role == "user":
            task.questions.add(with_places(message))
            self.long_style += message.style == "long"
            self.short_style += message.style == "short"
        elif message.role == "assistant":
            words = len(message.text.split())
            task.answers.add(with_places(message))
            task.words[words] += 1
            if not words:
                self.region_answers += 1
                return
            self.lengths[sum(words > limit for limit in LENGTH_BINS)] += 1
            first = message.text.split()[0].strip(".,!").lower()
            self.yes += first == "yes"
            self.no += first == "no"

    def add_region(self, region: Region, side: str, size: tuple[int, int]) -> None:
        """Count a region's form, size class, share of the picture and the place of its middle."""
        x1, y1, x2, y2 = region.bounds_xyxy
        column, row = (min(int(GRID * (low + high) / 2), GRID - 1) for low, high in ((x1, x2), (y1, y2)))
        self.middles[column, row] += 1
        if isinstance(region, Point):
            self.forms[side, "Point", "no area"] += 1
            return
        share = region.area
        self.forms[side, type(region).__name__, size_class(share * size[0] * size[1])] += 1
        self.area_shares[min(sum(share > limit for limit in SHARE_BINS), len(SHARE_BINS) - 1)] += 1

    def choose(self, picture: Picture, dialogue: Dialogue, keep: int) -> None:
        """Keep the dialogues whose ids have the smallest hashes: a fair choice that needs no second pass."""
        rank = int.from_bytes(hashlib.sha256(f"{self.sample_seed}/{dialogue.id}".encode()).digest()[:8], "big")
        kept = self.chosen.setdefault((picture.source, dialogue.task), [])
        if len(kept) < keep or rank < kept[-1][0]:
            kept.append((rank, picture, dialogue))
            kept.sort(key=lambda entry: entry[0])
            del kept[keep:]

    def samples(self, limit: int) -> Iterator[tuple[Picture, Dialogue]]:
        """Up to ``limit`` of the chosen dialogues: in rounds over sources and tasks, so that each has its turn."""
        order = sorted(self.chosen)
        rounds = max((len(kept) for kept in self.chosen.values()), default=0)
        in_turn = [self.chosen[key][at] for at in range(rounds) for key in order if at < len(self.chosen[key])]
        if len(in_turn) > limit:  # spread over the list, not its beginning: it is sorted by source
            in_turn = [in_turn[math.floor(at * len(in_turn) / limit)] for at in range(limit)]
        for _, picture, dialogue in in_turn:
            yield picture, dialogue


def size_class(area_px: float) -> str:
    """COCO's class of an area in pixels."""
    return "small" if area_px < SMALL_PX else "medium" if area_px < MEDIUM_PX else "large"


def with_places(message: Message) -> str:
    """The message's text, each region as ``{region}``: two questions with other regions are one phrasing."""
    parts = (
        part.text if isinstance(part, TextPart) else "{region}"
        for part in message.parts
        if isinstance(part, (TextPart, RegionPart))
    )
    return " ".join("".join(parts).split())


def survey(pictures: Iterable[Picture], *, sample_seed: int = 0, keep: int = 2) -> Survey:
    """The figures over all pictures."""
    result = Survey(sample_seed)
    for picture in pictures:
        result.add(picture, keep)
    return result
