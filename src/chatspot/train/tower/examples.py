"""What a view shows, as annotators said it: its name, its colour, how many of them, or what lies in which cell."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chatspot.data.dialogues.colours import BASIC_TERMS
from chatspot.data.dialogues.counting import countable
from chatspot.data.dialogues.names import plain_name
from chatspot.data.dialogues.region_turns import known_colour, named
from chatspot.data.dialogues.scene import Scene
from chatspot.data.keeping import is_kept
from chatspot.data.records import Record, read_records
from chatspot.model.sheet_tower import GRID
from chatspot.regions import Box
from chatspot.train.stream.examples import Picture
from chatspot.train.stream.features import View
from chatspot.train.stream.reading import find
from chatspot.train.tower.recipe import TowerRecipe, TowerSource

COVERED = 0.3  # of a cell that a box covers, or of a box that a cell holds, before the cell shows its name (our choice)
COUNTED_WINDOWS = 3  # of one class in a picture (our choice)
COLOURS = tuple(BASIC_TERMS)


@dataclass(frozen=True)
class Shown:
    """A view and what is known of it; numbers of classes, None for what is not known. ``cells``: (cell, name)."""

    view: View
    name: int | None = None
    colour: int | None = None
    count: int | None = None
    cells: tuple[tuple[int, int], ...] | None = None


@dataclass
class TowerData:
    """All views by what they are for; ``names`` are the texts of the classes."""

    names: dict[str, int] = field(default_factory=dict)
    learnt: list[Shown] = field(default_factory=list)
    held: list[Shown] = field(default_factory=list)


def tower_data(recipe: TowerRecipe, data: Sequence[Path]) -> TowerData:
    """The views of a recipe's sources. The same recipe and folders give the same views in the same order."""
    found = TowerData()
    for source in recipe.sources:
        folder = find(source.folder, data, holding="annotations.jsonl")
        for record in read_records(folder):
            held = is_kept(record.id, recipe.held_share, recipe.seed)
            (found.held if held else found.learnt).extend(shown_by(record, source, found.names, recipe.seed))
    return found


def shown_by(record: Record, source: TowerSource, names: dict[str, int], seed: int) -> Iterator[Shown]:
    """The views of one record. New names get the next numbers."""
    scene = Scene(record, source.forms, seed)
    picture = Picture(str(record.image.resolve()), record.image)
    for number, label in named(scene):
        name = names.setdefault(plain_name(label), len(names))
        known = known_colour(scene, number) if record.regions[number].polygon or record.regions[number].mask else None
        colour = COLOURS.index(known[0]) if known else None
        for time in range(source.views):
            place = scene.place(number, scene.rng("tower", number, time))
            yield Shown(View(picture, place), name, colour)
    if source.exhaustive:
        for count, box in counted(record, scene.rng("tower count")):
            yield Shown(View(picture, box), count=count)
        yield Shown(View(picture), cells=tuple(sorted(named_cells(scene, names))))


def counted(record: Record, rng: random.Random) -> Iterator[tuple[int, Box]]:
    """Boxes around one to MOST neighbouring objects of a class, each with its count less one."""
    together = defaultdict(list)
    for region in record.regions:
        if region.label:
            together[region.label].append(region)
    for same in together.values():
        if all(region.askable and region.box for region in same):
            windows = countable(same)
            for count in rng.sample(sorted(windows), min(len(windows), COUNTED_WINDOWS)):
                yield count - 1, rng.choice(windows[count])


def named_cells(scene: Scene, names: dict[str, int]) -> Iterable[tuple[int, int]]:
    """(cell, name) for what lies in each cell of the whole picture's grid."""
    found = set()
    for region, label in zip(scene.record.regions, scene.labels, strict=True):
        if region.box is None or not label:
            continue
        name = names.setdefault(plain_name(label), len(names))
        for cell in range(GRID * GRID):
            row, column = divmod(cell, GRID)
            wide = min(region.box.x2, (column + 1) / GRID) - max(region.box.x1, column / GRID)
            high = min(region.box.y2, (row + 1) / GRID) - max(region.box.y1, row / GRID)
            shared = max(wide, 0.0) * max(high, 0.0)
            if shared >= COVERED * min(1 / GRID**2, region.box.area):
                found.add((cell, name))
    return found
