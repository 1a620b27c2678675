"""What the box head is shown and asked: a picture, its mirror image or a cut of it, and names with their boxes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from chatspot.data.dialogues.families import GENERAL, OTHERS, family
from chatspot.data.dialogues.names import plain_name
from chatspot.data.dialogues.scene import spoken_label
from chatspot.data.dialogues.wording import plural
from chatspot.data.keeping import is_kept
from chatspot.data.records import Record, read_records
from chatspot.images.whole import BOX_SIDE
from chatspot.regions import Box
from chatspot.train.boxes.recipe import BoxRecipe
from chatspot.train.stream.examples import Picture
from chatspot.train.stream.features import View
from chatspot.train.stream.reading import find

LEAST_SEEN = 0.3  # of a box that a cut must hold, or the thing is not asked for there (our choice)
CUT_SIDE = (0.55, 0.95)  # of a cut, as a share of the picture's sides (our choice)
CUT_ASPECT = (0.8, 1.25)  # by which a cut's shape differs from the picture's
SAID_BEFORE = 0.3  # of the questions are asked with the words of an answer that come before its box (our choice)

Edges = tuple[float, float, float, float]  # x1, y1, x2, y2 in fractions of what is shown
WHOLE: Edges = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Cut(Picture):
    """A part of a picture, or all of it, as the head sees it: ``window`` (x1, y1, x2, y2 in fractions of the upright
    picture), mirrored or not, BOX_SIDE pixels a side."""

    window: Edges = WHOLE
    mirrored: bool = False

    @classmethod
    def of(cls, image: Path, window: Edges, mirrored: bool) -> Cut:
        """A cut of a picture in a file."""
        return cls(f"{image.resolve()} {window} {mirrored}", image, window, mirrored)

    def open(self) -> Image.Image:
        """The pixels of the cut; ``ImageError`` where the picture cannot be decoded."""
        picture = super().open()
        width, height = picture.size
        x1, y1, x2, y2 = self.window
        window = (x1 * width, y1 * height, x2 * width, y2 * height)
        view = picture.resize((BOX_SIDE, BOX_SIDE), Image.Resampling.BICUBIC, box=window)
        return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored else view


@dataclass(frozen=True)
class Shown:
    """A view and what can be asked for in it: each name with the boxes of all things that bear it."""

    view: View
    named: tuple[tuple[str, tuple[Edges, ...]], ...]


def box_data(recipe: BoxRecipe, data: Sequence[Path]) -> tuple[list[Shown], list[Shown]]:
    """The views to learn from, and the whole pictures to judge by. The same recipe and folders give the same views in
    the same order."""
    learnt: list[Shown] = []
    held: list[Shown] = []
    for source in recipe.sources:
        for record in read_records(find(source.folder, data, holding="annotations.jsonl")):
            if is_kept(record.id, recipe.held_share, recipe.seed):
                held += views_of(record, [(WHOLE, False)])
                continue
            rng = random.Random(f"{recipe.seed}/{record.id}")
            whole = [(WHOLE, False), (WHOLE, True)]
            learnt += views_of(record, [*whole, *((drawn_cut(rng), rng.random() < 0.5) for _ in range(source.cuts))])
    return learnt, held


def views_of(record: Record, cuts: Sequence[tuple[Edges, bool]]) -> Iterator[Shown]:
    """The record's views in which there is something to ask for."""
    for cut, mirrored in cuts:
        by_name: dict[str, list[Edges]] = {}
        askable = set()
        for region in record.regions:
            label = spoken_label(region)
            edges = seen_in(region.box, cut, mirrored) if region.box and label else None
            if edges is not None and label:
                by_name.setdefault(plain_name(label), []).append(edges)
                if region.askable:
                    askable.add(plain_name(label))
        named = tuple((name, tuple(boxes)) for name, boxes in by_name.items() if name in askable)
        if named:
            yield Shown(View(Cut.of(record.image, cut, mirrored)), named)


def drawn_cut(rng: random.Random) -> Edges:
    """A window somewhere in the picture."""
    side, aspect = rng.uniform(*CUT_SIDE), rng.uniform(*CUT_ASPECT)
    wide, high = min(side * aspect**0.5, 1.0), min(side / aspect**0.5, 1.0)
    left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
    return left, top, left + wide, top + high


def seen_in(box: Box, cut: Edges, mirrored: bool) -> Edges | None:
    """The part of the box inside the cut, in fractions of the view; None where that is too little of it."""
    left, top, right, bottom = cut
    wide, high = right - left, bottom - top
    x1, x2 = ((min(max(x, left), right) - left) / wide for x in (box.x1, box.x2))
    y1, y2 = ((min(max(y, top), bottom) - top) / high for y in (box.y1, box.y2))
    area = (box.x2 - box.x1) * (box.y2 - box.y1)
    if area <= 0 or (x2 - x1) * (y2 - y1) * wide * high < LEAST_SEEN * area or x2 <= x1 or y2 <= y1:
        return None
    return (1 - x2, y1, 1 - x1, y2) if mirrored else (x1, y1, x2, y2)


def question(name: str, alone: bool, rng: random.Random) -> str:
    """A question for the name, singular where one thing bears it; in some the beginning of an answer follows."""
    source = family(rng.choice((GENERAL, OTHERS)))
    source = source if "ground" in source and "ground all" in source else family(GENERAL)
    words = rng.choice(source["ground" if alone else "ground all"]).format(name=name, names=plural(name))
    if rng.random() < SAID_BEFORE:
        said = rng.choice(family(GENERAL)["ground answer"]).partition("{place}")[0]
        words = f"{words} {said.format(name=name)}"
    return words
