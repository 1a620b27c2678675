"""Which pictures go into which shard: leaks found, duplicates left out, the rest in one drawn order a stage."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from chatspot.data.build.fingerprint import SeenPhotos
from chatspot.data.build.spill import spilling_database
from chatspot.data.build.work import Made, ShardPlan
from chatspot.errors import DataError

SHOWN_LEAKS = 5


@dataclass(frozen=True)
class Leak:
    """A training picture that is an evaluation picture, and how that is known: a shared id, or the photo itself."""

    training: str
    evaluation: str
    how: str

    def __str__(self) -> str:
        return f"{self.training} is {self.evaluation} ({self.how})"


@dataclass
class Guard:
    """What is measured on: ids and photos of every evaluation picture."""

    ids: dict[str, str] = field(default_factory=dict)
    photos: SeenPhotos = field(default_factory=SeenPhotos)

    def add(self, made: Made) -> None:
        """Remember an evaluation picture."""
        for name in made.image_ids:
            self.ids.setdefault(name, made.id)
        self.photos.add(made.id, made.photo.fingerprint)

    def leak(self, made: Made) -> Leak | None:
        """The evaluation picture that a training picture is, or None."""
        for name in made.image_ids:
            if name in self.ids:
                return Leak(made.id, self.ids[name], f"both are {name}")
        found = self.photos.find(made.photo.fingerprint)
        return Leak(made.id, found, "the photos look the same") if found else None


class Chosen:
    """What goes in, and what does not.

    Of what goes in: ``pictures`` and ``samples`` by source number, ``licences`` by source number and licence,
    ``tasks`` (samples) by source, stage and task. ``rejected``: pictures by source number and reason.
    """

    def __init__(self) -> None:
        self.entries = spilling_database("CREATE TABLE entries (stage TEXT, place TEXT, id TEXT, made BLOB);")
        self.pictures, self.samples = Counter[int](), Counter[int]()
        self.licences: dict[int, Counter[str]] = {}
        self.tasks = Counter[tuple[str, str, str]]()
        self.rejected: dict[int, Counter[str]] = {}
        self.leaks: list[Leak] = []

    def add(self, number: int, made: Made) -> None:
        """Take an entry of source ``number`` in."""
        row = (made.stage, made.order, made.id, pickle.dumps(made, protocol=5))
        self.entries.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)
        self.pictures[number] += 1
        self.licences.setdefault(number, Counter())[made.licence] += 1
        for task, count in made.tasks:
            self.tasks[made.source, made.stage, task] += count
            self.samples[number] += count

    @property
    def stages(self) -> list[str]:
        """The stages that have entries, by name."""
        return [stage for (stage,) in self.entries.execute("SELECT DISTINCT stage FROM entries ORDER BY stage")]

    def of_stage(self, stage: str) -> Iterator[Made]:
        """The entries of a stage in the order that was drawn for them."""
        rows = self.entries.execute("SELECT made FROM entries WHERE stage = ? ORDER BY place, id", (stage,))
        return (pickle.loads(made) for (made,) in rows)


def choose(
    sources: Iterable[tuple[int, Iterable[Made]]], guard: Guard, duplicates: Literal["source", "stage", "keep"]
) -> Chosen:
    """Go through everything made, source by source; the first of two equal photos stays.

    Several entries about one file are no duplicates of each other: they ask other things.
    """
    chosen = Chosen()
    seen: dict[object, SeenPhotos] = {}
    for number, all_made in sources:
        rejected = chosen.rejected.setdefault(number, Counter())
        leaks: dict[str, Leak] = {}
        counted: set[tuple[str, str]] = set()
        for made in all_made:
            path = made.photo.path
            leak = leaks.get(path) or guard.leak(made)
            if leak is not None:
                if path not in leaks:
                    chosen.leaks.append(leak)
                    rejected["leak"] += 1
                leaks[path] = leak
                continue
            if duplicates != "keep":
                scope = seen.setdefault(number if duplicates == "source" else made.stage, SeenPhotos())
                found = scope.find(made.photo.fingerprint)
                if found is None:
                    scope.add(path, made.photo.fingerprint)
                elif found != path:
                    rejected["duplicate"] += (path, made.stage) not in counted
                    counted.add((path, made.stage))
                    continue
            chosen.add(number, made)
    return chosen


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Raise ``DataError`` that names the leaks, if there are any."""
    if leaks:
        shown = "; ".join(str(leak) for leak in leaks[:SHOWN_LEAKS])
        more = f"; and {len(leaks) - SHOWN_LEAKS} more" if len(leaks) > SHOWN_LEAKS else ""
        raise DataError(f"{len(leaks)} training picture(s) are evaluation pictures: {shown}{more}. Take them out of "
                        "the source, or leave them out and count them with --drop-leaks")  # fmt: skip


def shards_of(chosen: Chosen, pictures: int, megabytes: int) -> Iterator[ShardPlan]:
    """The stages' pictures in drawn order, cut into shards of at most ``pictures`` and about ``megabytes``."""
    for stage in chosen.stages:
        held: list[tuple[str, Made]] = []
        size = shard = 0
        for number, entry in enumerate(chosen.of_stage(stage)):
            length = entry.photo.bytes + entry.length
            if held and (len(held) == pictures or size + length > megabytes * 1_000_000):
                yield ShardPlan(f"{stage}-{shard:05d}.tar", stage, tuple(held))
                held, size, shard = [], 0, shard + 1
            held.append((f"{number:09d}", entry))
            size += length
        if held:
            yield ShardPlan(f"{stage}-{shard:05d}.tar", stage, tuple(held))
