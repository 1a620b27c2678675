"""What a recipe's sources give together: a stream of pictures with their dialogues, the same one each time it is read.

An epoch is a row of slots. Its order depends on the recipe's seed and the epoch's number alone, so a run that goes on
says how many slots it has seen and passes over them without reading their pictures. Folders and JSON lines are held in
memory without their pictures; shards are streamed.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from chatspot.data import Sample
from chatspot.data.shards import MANIFEST, ShardEntry, joined, read_manifest, read_shard
from chatspot.errors import DataError, RecipeError
from chatspot.images import open_image
from chatspot.messages import Conversation
from chatspot.train.recipe import Recipe, Source
from chatspot.train.stream.reading import Skip, find, folder_file, read_lines, texts_file


@dataclass(frozen=True)
class Picture:
    """A picture that is not opened yet: a file, or the bytes of one. ``name`` is its identity: a file's resolved path,
    or the SHA-256 of the bytes."""

    name: str
    source: Path | bytes = field(compare=False, repr=False)

    def open(self) -> Image.Image:
        """The picture, upright and in RGB; ``ImageError`` where it cannot be decoded."""
        return open_image(self.source)


@dataclass(frozen=True)
class Dialogue:
    """One conversation about an example's pictures. ``id`` is unique in its source; ``task`` as in ``Sample``."""

    id: str
    task: str
    conversation: Conversation


@dataclass(frozen=True)
class Example:
    """Pictures with all their dialogues of one source, in the order of the conversations' image parts. A text-only
    dialogue is an example without pictures."""

    id: str
    source: str
    pictures: tuple[Picture, ...]
    dialogues: tuple[Dialogue, ...]


class Examples(Protocol):
    """A source of training data, or several."""

    @property
    def count(self) -> int:
        """Slots in one epoch."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Example | Skip]:
        """The slots of epoch ``number`` from ``start`` on, exactly ``count - start`` of them."""
        ...


def open_examples(recipe: Recipe, data: Sequence[Path]) -> Mixture:
    """Everything the recipe's sources hold; relative ones lie below one of the ``data`` folders.

    Raises ``RecipeError`` for a source that is not there or holds no dialogue, ``DataError`` for one of another format.
    """
    return Mixture([open_source(source, number, recipe, data) for number, source in enumerate(recipe.sources)])


def open_source(source: Source, number: int, recipe: Recipe, data: Sequence[Path]) -> Examples:
    """Source ``number`` of the recipe."""
    seed = f"{recipe.seed}/{number}"
    if source.shards is not None:
        where = source.shards if "://" in source.shards else find(source.shards, data, holding=MANIFEST)
        return Streamed(where, recipe.stage, seed, source.weight, source.limit)
    if source.folder is not None:
        name, file = source.folder, folder_file(source.folder, data)
    elif source.lines is not None:
        name, file = source.lines, find(source.lines, data)
    else:
        assert source.texts is not None  # the recipe has checked that there is one
        name, file = source.texts, texts_file(source.texts, data)
    samples, skips = read_lines(file, source.questions)
    if not samples:
        why = f"; line {skips[0].where}: {skips[0].why}" if skips else "; leave it out, or change its questions"
        raise RecipeError(f"source {name!r} ({file}) holds no dialogue: nothing to train on{why}")
    random.Random(f"{recipe.seed}/{name}").shuffle(samples)
    return Held([*by_picture(samples[: source.limit]), *skips], seed, source.weight)


def by_picture(samples: Sequence[Sample]) -> list[Example]:
    """The samples as examples: all about the same pictures together, in the order in which these come first."""
    together: dict[object, list[Sample]] = {}
    for number, sample in enumerate(samples):
        together.setdefault(sample.image_paths or number, []).append(sample)
    return [
        Example(
            same[0].id,
            same[0].source,
            tuple(Picture(str(path.resolve()), path) for path in same[0].image_paths),
            tuple(Dialogue(sample.id, sample.task, sample.conversation) for sample in same),
        )
        for same in together.values()
    ]


class Held:
    """A source in memory. ``weight`` 2 gives each slot twice an epoch, 0.5 a half of them, drawn anew each epoch."""

    def __init__(self, slots: Sequence[Example | Skip], seed: str, weight: float = 1.0):
        self.slots, self.seed = slots, seed
        self.count = max(1, round(len(slots) * weight))

    def epoch(self, number: int, start: int = 0) -> Iterator[Example | Skip]:
        """The slots of an epoch; see ``Examples``."""
        for round_ in range(math.ceil(self.count / len(self.slots))):
            order = list(range(len(self.slots)))
            random.Random(f"{self.seed}/{number}/{round_}").shuffle(order)
            chosen = order[: self.count - round_ * len(order)]
            yield from (self.slots[at] for at in chosen[start:])
            start = max(0, start - len(chosen))


@dataclass(frozen=True)
class Part:
    """The first ``used`` of a shard's ``pictures``."""

    url: str
    pictures: int
    used: int


class Streamed:
    """The shards of a build for one stage. Shards come in another order each epoch, a shard's pictures in theirs.

    ``limit`` takes shards in an order drawn by the seed until they hold so many dialogues; of the last one as many
    pictures as hold the rest on its average. ``weight`` as for ``Held``.
    """

    def __init__(self, where: str | Path, stage: str, seed: str, weight: float = 1.0, limit: int | None = None):
        shards = [shard for shard in read_manifest(where).shards if shard.stage == stage and shard.pictures]
        random.Random(f"{seed}/limit").shuffle(shards)
        self.seed, self.parts, left = seed, list[Part](), math.inf if limit is None else limit
        for shard in shards:
            share = min(1.0, left / max(shard.samples, 1))
            self.parts.append(Part(joined(where, shard.file), shard.pictures, math.ceil(shard.pictures * share)))
            left -= shard.samples
            if left <= 0:
                break
        if not self.parts:
            raise RecipeError(f"the shards of {where} hold no picture for stage {stage!r}; build them with that stage")
        self.count = max(1, round(sum(part.used for part in self.parts) * weight))

    def epoch(self, number: int, start: int = 0) -> Iterator[Example | Skip]:
        """The slots of an epoch; see ``Examples``. Whole shards are passed over without opening them."""
        left, round_ = self.count, 0
        while left > 0:
            order = list(self.parts)
            random.Random(f"{self.seed}/{number}/{round_}").shuffle(order)
            for part in order:
                taken = min(part.used, left)
                if start < taken:
                    yield from shard_slots(part, start, taken)
                start, left = max(0, start - taken), left - taken
            round_ += 1


def shard_slots(part: Part, at: int, end: int) -> Iterator[Example | Skip]:
    """The slots ``at`` to ``end`` of a shard.

    An entry that is none is skipped. Where the shard itself cannot be read on, it is opened once more, as a store may
    have failed for a moment, and then its rest is given up. So the slots are the same from wherever they are read.
    """
    tried = -1
    while at < end:
        try:
            for entry in islice(read_shard(part.url, part.pictures, skip=at), end - at):
                at += 1
                yield example_of(entry)
        except DataError as error:
            if str(error).startswith(f"{part.url}, key "):  # so the messages about one entry begin
                yield Skip(f"{part.url}, picture {at}", str(error))
                at += 1
            elif tried == at:
                rest = Skip(f"{part.url}, pictures {at} to {end - 1}", str(error))
                yield from (rest for _ in range(end - at))
                return
            else:
                tried = at


def example_of(entry: ShardEntry) -> Example | Skip:
    """A shard's entry as an example."""
    try:
        samples = list(entry.samples)
    except DataError as error:
        return Skip(entry.where, str(error))
    if not samples:
        return Skip(entry.where, "it has no dialogue; build the shard again")
    pictures = tuple(Picture(f"sha256:{hashlib.sha256(data).hexdigest()}", data) for data in entry.images)
    dialogues = tuple(Dialogue(sample.id, sample.task, sample.conversation) for sample in samples)
    return Example(str(entry.facts.get("id", entry.where)), samples[0].source, pictures, dialogues)


class Mixture:
    """Several sources, each spread evenly over the epoch."""

    def __init__(self, sources: Sequence[Examples]):
        self.sources = sources
        self.count = sum(source.count for source in sources)

    def epoch(self, number: int, start: int = 0) -> Iterator[Example | Skip]:
        """The slots of an epoch; see ``Examples``."""
        counts = [source.count for source in self.sources]
        times = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        owners = np.repeat(np.arange(len(counts), dtype=np.int16), counts)[np.argsort(times, kind="stable")]
        passed = np.bincount(owners[:start], minlength=len(counts)).tolist()
        streams = [source.epoch(number, taken) for source, taken in zip(self.sources, passed, strict=True)]
        for owner in owners[start:]:
            yield next(streams[owner])
