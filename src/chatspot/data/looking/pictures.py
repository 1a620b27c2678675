"""What there is to look at: annotated sources in their own files, or a build's shards, as pictures with dialogues."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Literal

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.records import ANNOTATIONS, Record
from chatspot.data.shards import MANIFEST, ShardEntry, read_entries, read_manifest
from chatspot.data.sources.source import Source
from chatspot.errors import DataError
from chatspot.messages import Conversation

OWN_FORMAT = "region_lines"
SAMPLES = "samples.jsonl"  # of a RegionChat run


@dataclass(frozen=True)
class Dialogue:
    """A conversation, what it asks for, and its id (unique in its set)."""

    id: str
    task: str
    conversation: Conversation


@dataclass(frozen=True)
class Picture:
    """A picture (a file or its bytes) of ``size`` (width, height), upright, and the dialogues about it. ``stage`` is
    the stage of training in whose shard it lies, empty outside of builds."""

    id: str
    source: str
    image: Path | bytes
    size: tuple[int, int]
    licence: str
    dialogues: tuple[Dialogue, ...]
    stage: str = ""


@dataclass(frozen=True)
class DataSet:
    """A set to look at. A "build" is shards and their manifest, "regionchat" the dialogues of a RegionChat run; a
    "source" is annotated pictures, read by the reader of that name."""

    folder: Path
    kind: Literal["build", "regionchat", "source"] = "source"
    source: str = ""
    split: str = ""

    @property
    def name(self) -> str:
        """The folder's name; source and split where they were asked for."""
        asked = self.kind == "source" and self.source != OWN_FORMAT
        return f"{self.source}, {self.split}" if asked else self.folder.resolve().name


def find_sets(folders: Iterable[Path], source: str | None = None, split: str | None = None) -> list[DataSet]:
    """The sets in ``folders``: with a ``source``, each folder is one in that source's original files (``split`` is its
    first one unless named); otherwise a build, a RegionChat run, a folder of region JSON lines, or a folder of any of
    these.

    Raises ``DataError`` for a folder that is none of these, for a source that is not known, and for a split that a
    source does not have.
    """
    return [found for folder in folders for found in sets_in(Path(folder), source, split)]


def sets_in(folder: Path, source: str | None, split: str | None) -> list[DataSet]:
    """The sets in one folder."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected a build, a folder with {ANNOTATIONS}, or a source's folder")
    if source:
        known = known_source(source)
        chosen = split or next(iter(known.files))
        known.check(folder, chosen)
        return [DataSet(folder, "source", source, chosen)]
    inside = [set_at(each) for each in (folder, *sorted(path for path in folder.iterdir() if path.is_dir()))]
    found = inside[:1] if inside[0] else [each for each in inside if each]
    if not any(found):
        raise DataError(f"{folder} holds neither {MANIFEST} (a build) nor {ANNOTATIONS} (region JSON lines) nor "
                        f"{SAMPLES} (a RegionChat run), and no folder in it does; for a set in its original files name "
                        "it: --source NAME")  # fmt: skip
    return [each for each in found if each]


def set_at(folder: Path) -> DataSet | None:
    """The set that lies right in ``folder``, if any."""
    if (folder / MANIFEST).is_file():
        return DataSet(folder, "build")
    if (folder / SAMPLES).is_file():
        return DataSet(folder, "regionchat")
    if (folder / ANNOTATIONS).is_file():
        return DataSet(folder, "source", OWN_FORMAT, next(iter(known_source(OWN_FORMAT).files)))
    return None


def known_source(name: str) -> Source:
    """The source of that name. Raises ``DataError`` that names them all."""
    from chatspot.data.sources.table import SOURCES

    if name not in SOURCES:
        near = get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"there is no source {name!r}; {hint}known are {', '.join(sorted(SOURCES))}")
    return SOURCES[name]


def records_of(data_set: DataSet, faults: Faults) -> Iterator[Record]:
    """The records of a source, its faults reported as its reader goes on."""
    return known_source(data_set.source).read(data_set.folder, data_set.split, faults)


def pictures_of(data_set: DataSet, faults: Faults, seed: int = 0) -> Iterator[Picture]:
    """The pictures of a set with their dialogues: those of a build or of a RegionChat run as they are stored, those of
    a source as rules make them from its annotations (default settings, ``seed``)."""
    if data_set.kind == "build":
        return pictures_of_build(data_set.folder, faults)
    if data_set.kind == "regionchat":
        return pictures_of_samples(data_set.folder / SAMPLES, faults)
    return pictures_of_source(data_set, faults, seed)


def pictures_of_source(data_set: DataSet, faults: Faults, seed: int) -> Iterator[Picture]:
    """The pictures of a source."""
    from chatspot.data.dialogues import DialogueSettings, samples_of_record

    settings = DialogueSettings()
    licence = known_source(data_set.source).licence
    for record in records_of(data_set, faults):
        dialogues = tuple(Dialogue(s.id, s.task, s.conversation) for s in samples_of_record(record, settings, seed))
        yield Picture(record.id, record.source, record.image, record.size, record.licence or licence, dialogues)


def pictures_of_samples(file: Path, faults: Faults) -> Iterator[Picture]:
    """The pictures of samples in JSON lines; samples of one picture stand together. One that is missing or corrupt is
    reported and left out. Raises ``DataError`` with file and line for a line that is no sample."""
    from chatspot.data.regionchat.run import read_samples

    for images, samples in groupby(read_samples(file), key=lambda sample: sample.image_paths[:1]):
        together = list(samples)
        where = f"{file}, sample {together[0].id}"
        if not images:
            faults.add("missing picture", where, "it names no picture")
        for image in images:
            frame = picture_frame(image, None, where, faults)
            if frame is None:
                continue
            dialogues = tuple(Dialogue(sample.id, sample.task, sample.conversation) for sample in together)
            yield Picture(image.stem, together[0].source, image, frame.size, "", dialogues)


def pictures_of_build(folder: Path, faults: Faults) -> Iterator[Picture]:
    """The pictures in a build's shards, in the order of the build: one that has dialogues of both stages comes twice.
    Raises ``DataError`` for a shard that is missing or damaged; a dialogue that cannot be read is reported."""
    read_manifest(folder)
    return (picture for entry in read_entries(folder) for picture in [picture_of_entry(entry, faults)] if picture)


def picture_of_entry(entry: ShardEntry, faults: Faults) -> Picture | None:
    """The first picture of a shard's entry with all dialogues that can be read; None, after faults, where none can."""
    samples = []
    for number in range(len(entry.facts["dialogues"])):
        try:
            samples.append(entry.sample(number))
        except DataError as error:
            faults.add("unusable entry", f"{entry.where}, dialogue {number}", str(error))
    if not samples:
        return None
    first = samples[0]
    dialogues = tuple(Dialogue(sample.id, sample.task, sample.conversation) for sample in samples)
    name = str(entry.facts.get("id", entry.key))
    return Picture(name, first.source, first.images[0], first.sizes_wh[0], first.licence, dialogues, first.stage)


def only(picture: Picture, task: str | None, ids: Collection[str]) -> Picture:
    """The picture with those of its dialogues that are of ``task`` (None: any) and in ``ids`` (empty: any)."""
    kept = tuple(d for d in picture.dialogues if task in (None, d.task) and (not ids or d.id in ids))
    return replace(picture, dialogues=kept)
