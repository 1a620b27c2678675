"""The work of a build as jobs: files in, files out. A job that is done leaves its last file, so it is never done twice.

A job's argument is a path, so any engine can carry it to any process that sees the same folder::

    read_source    source-00/job.pkl             -> source-00/records-00000.pkl ... and source-00/read.pkl
    make_chunk     source-00/records-00000.pkl   -> source-00/bodies-00000.jsonl and source-00/made-00000.pkl
    write_shard    plan/instruct-00000.pkl       -> instruct-00000.tar and plan/instruct-00000.json  (shard_files)

The pickles are a build's own, below its work folder, and are removed with it. What a job writes depends on its input
alone, never on the number of workers or on time.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from chatspot.data.build.fingerprint import Fingerprint, fingerprint
from chatspot.data.dialogues import DialogueSettings, samples_of_record
from chatspot.data.faults import Faults
from chatspot.data.records import Record
from chatspot.data.samples import Sample
from chatspot.data.shards import SCHEMA
from chatspot.data.sources.table import SOURCES
from chatspot.errors import ChatSpotError, DataError, ImageError
from chatspot.images.load import FORMATS, open_image

CHUNK_RECORDS = 64  # pictures in one job: some seconds of work
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}


@dataclass(frozen=True)
class SourceJob:
    """How one listed source is read and asked. Without ``stages`` its photos are looked at only (the leak guard).

    ``listing``: how often the same files were listed before it. Its questions are drawn anew, under ids of their own.
    """

    number: int
    name: str
    folder: str
    split: str
    seed: int
    stages: tuple[str, ...] = ()
    weight: float = 1.0
    limit: int | None = None
    dialogues: DialogueSettings | None = None
    regionchat: str | None = None
    listing: int = 0

    def passes(self, record: int) -> int:
        """How many times record number ``record`` is used: the weight, its fraction drawn."""
        whole = int(self.weight)
        return whole + (draw(self.seed, "weight", self.number, record) < self.weight - whole)


@dataclass(frozen=True)
class ReadFacts:
    """What reading a source gave. Records whose ``place`` is above ``last_place`` are over the limit; ``not_drawn``
    counts them and those that the weight leaves out. ``faults`` counts what is wrong in the files."""

    records: int
    chunks: int
    last_place: float
    not_drawn: int
    faults: Counter[str]


@dataclass(frozen=True)
class Photo:
    """A picture file that was opened: where it is, what it is."""

    path: str
    ending: str
    bytes: int
    sha256: str
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Made:
    """A picture with its dialogues of one stage, ready for a shard: the JSON stands in ``bodies`` from byte
    ``start`` on and is ``length`` bytes long. ``order`` is where it stands in its stage."""

    id: str
    source: str
    stage: str
    order: str
    photo: Photo
    image_ids: tuple[str, ...]
    licence: str
    tasks: tuple[tuple[str, int], ...]
    bodies: str
    start: int
    length: int


@dataclass(frozen=True)
class MadeChunk:
    """What one chunk of records gave: entries, faults of its pictures (each one left out), and other reasons why
    pictures were left out."""

    made: tuple[Made, ...]
    faults: Counter[str]
    rejected: Counter[str]


@dataclass(frozen=True)
class ShardPlan:
    """What goes into one shard: each picture under its key."""

    file: str
    stage: str
    entries: tuple[tuple[str, Made], ...]


def read_source(job_file: str) -> None:
    """Read a source's records into chunks. ``DataError`` for files that are missing or not of their format."""
    folder = Path(job_file).parent
    done = folder / "read.pkl"
    if done.exists():
        return
    job: SourceJob = load(Path(job_file))
    faults = Faults()
    chats = chats_by_record(job)
    chunk: list[tuple[int, Record, tuple[Sample, ...]]] = []
    records = chunks = 0
    places = array("d")
    for record in SOURCES[job.name].read(Path(job.folder), job.split, faults):
        if job.passes(records):
            places.append(place(job, records))
            chunk.append((records, record, tuple(chats.get(record.id, ()))))
        records += 1
        if len(chunk) == CHUNK_RECORDS:
            save(folder / f"records-{chunks:05d}.pkl", chunk)
            chunk, chunks = [], chunks + 1
    if chunk:
        save(folder / f"records-{chunks:05d}.pkl", chunk)
        chunks += 1
    last = sorted(places)[job.limit - 1] if job.limit is not None and job.limit < len(places) else 1.0
    save(done, ReadFacts(records, chunks, last, records - sum(p <= last for p in places), faults.counts))


def chats_by_record(job: SourceJob) -> dict[str, list[Sample]]:
    """The dialogues of the source's RegionChat run by the record that they are about: an id is the record's, "#", and
    which dialogue it is."""
    chats: dict[str, list[Sample]] = {}
    if job.regionchat is not None:
        from chatspot.data.regionchat.run import SAMPLES, read_samples

        for sample in read_samples(Path(job.regionchat) / SAMPLES):
            chats.setdefault(sample.id.rpartition("#")[0], []).append(sample)
    return chats


def make_chunk(records_file: str) -> None:
    """Look at the photos of a chunk and make their dialogues."""
    file = Path(records_file)
    number = file.stem.removeprefix("records-")
    done = file.with_name(f"made-{number}.pkl")
    if done.exists():
        return
    job: SourceJob = load(file.with_name("job.pkl"))
    facts: ReadFacts = load(file.with_name("read.pkl"))
    bodies = file.with_name(f"bodies-{number}.jsonl")
    faults, rejected, made = Faults(), Counter[str](), list[Made]()
    temporary = bodies.with_suffix(".part")
    with temporary.open("wb") as out:
        for at, record, chats in load(file):
            if place(job, at) > facts.last_place:
                continue
            photo = look(record, faults)
            if photo:
                made += list(entries(job, at, record, chats, photo, str(bodies), out, rejected))
    temporary.replace(bodies)
    save(done, MadeChunk(tuple(made), faults.counts, rejected))


def look(record: Record, faults: Faults) -> Photo | None:
    """Open a record's picture as training will; None, and a fault, where that fails or its size is another."""
    try:
        data = record.image.read_bytes()
        picture = open_image(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            ending = ENDINGS[str(opened.format)]
    except OSError as error:
        faults.add("missing picture", record.id, f"{record.image} cannot be read: {error.strerror or error}")
        return None
    except ImageError as error:
        faults.add("corrupt picture", record.id, f"{record.image}: {error}")
        return None
    if picture.size != record.size:
        faults.add("wrong size", record.id, f"{record.image} is {picture.size}, annotated as {record.size}; left out")
        return None
    return Photo(str(record.image), ending, len(data), hashlib.sha256(data).hexdigest(), fingerprint(picture))


def entries(
    job: SourceJob,
    at: int,
    record: Record,
    chats: tuple[Sample, ...],
    photo: Photo,
    bodies: str,
    out: BinaryIO,
    rejected: Counter[str],
) -> Iterator[Made]:
    """The entries of record number ``at``, their JSON written to ``out``; one without dialogues for the leak guard.

    ``chats``, written elsewhere, stand once with the first use of the picture in instruct.
    """
    licence = record.licence or SOURCES[job.name].licence
    if not job.stages or job.dialogues is None:
        yield Made(record.id, record.source, "", "", photo, record.image_ids, licence, (), bodies, 0, 0)
        return
    for stage in job.stages:
        for turn in range(job.passes(at)):
            dialogues_seed = whole(job.seed, "dialogues", stage, *((job.listing,) if job.listing else ()), turn)
            try:
                samples = list(samples_of_record(record, job.dialogues, dialogues_seed))
            except ChatSpotError as error:
                raise DataError(f"{record.id}: no dialogue can be made: {error}") from error
            if stage == "instruct" and not turn:
                samples += chats
            if not samples:
                rejected["no dialogue"] += 1
                continue
            body = entry_json(record, photo, stage, licence, samples, again(job.listing, turn))
            start = out.tell()
            out.write(body + b"\n")
            yield Made(
                record.id, record.source, stage, digest(job.seed, "order", stage, job.number, at, turn).hex(), photo,
                record.image_ids, licence, tuple(sorted(Counter(s.task for s in samples).items())), bodies, start,
                len(body),
            )  # fmt: skip


def again(listing: int, turn: int) -> str:
    """What tells the ids of repeated uses of a picture apart: nothing for the first, "@1" for the second of a listing,
    "@1.0" for the first of the second listing."""
    return f"@{listing}.{turn}" if listing else f"@{turn}" if turn else ""


def entry_json(record: Record, photo: Photo, stage: str, licence: str, samples: list[Sample], mark: str) -> bytes:
    """The JSON of one shard entry, as ``chatspot.data.shards`` documents it; ids end in ``mark``."""
    for sample in samples:
        if sample.conversation.image_count != 1:
            raise DataError(f"sample {sample.id} shows {sample.conversation.image_count} pictures, an entry has one")
    facts = {
        "schema": SCHEMA,
        "id": record.id,
        "source": record.source,
        "stage": stage,
        "licence": licence,
        "image_ids": list(record.image_ids),
        "images": [
            {
                "file": photo.ending,
                "name": Path(photo.path).name,
                "size_wh": list(record.size),
                "sha256": photo.sha256,
                "dhash": photo.fingerprint.hex,
            }
        ],
        "dialogues": [{"id": s.id + mark, "task": s.task, "messages": s.conversation.to_json()} for s in samples],
    }
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()


def place(job: SourceJob, record: int) -> float:
    """Where record number ``record`` stands when the limit is drawn, in [0, 1)."""
    return draw(job.seed, "limit", job.number, record)


def draw(*what: object) -> float:
    """A number in [0, 1) that depends on ``what`` alone."""
    return whole(*what) / 2**53


def whole(*what: object) -> int:
    """A whole number of 53 bits that depends on ``what`` alone."""
    return int.from_bytes(digest(*what)[:8], "big") >> 11


def digest(*what: object) -> bytes:
    """16 bytes that depend on ``what`` alone."""
    return hashlib.blake2b("/".join(map(str, what)).encode(), digest_size=16).digest()


def save(file: Path, value: object) -> None:
    """Pickle a value; the file is there whole or not at all."""
    temporary = file.with_name(f"{file.name}.part")
    with temporary.open("wb") as out:
        pickle.dump(value, out, protocol=5)
    temporary.replace(file)


def load(file: Path) -> Any:
    """A value that ``save`` wrote."""
    with file.open("rb") as saved:
        return pickle.load(saved)
