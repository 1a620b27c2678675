"""The doctor: every picture and region of a set examined before training meets it, each finding with its place.

What a reader reports on the way (see ``faults``) is completed by what no reader does: every picture is decoded to its
last row, for a file that breaks off opens without complaint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatspot.data.faults import Fault, Faults
from chatspot.data.looking.pictures import DataSet, Picture, picture_of_entry, pictures_of, records_of
from chatspot.data.records import Record
from chatspot.data.shards import ShardFacts, joined, read_manifest, read_shard
from chatspot.errors import DataError, ImageError
from chatspot.images import open_image
from chatspot.images.load import ImageSource

# What each kind of finding costs. A picture or an entry that is lost makes the set unhealthy; what is repaired or left
# out by rule is only counted.
FATAL = ("missing picture", "corrupt picture", "unusable entry")
COSTS = {
    "missing picture": "its entry is lost",
    "corrupt picture": "its entry is lost",
    "unusable entry": "the entry or region is lost",
    "turned picture": "repaired: regions are turned with the picture",
    "wrong size": "repaired: the picture's own size is used",
    "outside region": "clipped; left out when less than half is inside",
    "degenerate region": "the region is left out",
    "no answer": "left out: nothing to learn from",
}


@dataclass
class Findings:
    """What the doctor found in one set. ``fatal_error`` says why the set could not be read to its end, if so."""

    data_set: DataSet
    pictures: int = 0
    regions: int = 0
    askable_regions: int = 0
    dialogues: int = 0
    faults: Faults = field(default_factory=Faults)
    fatal_error: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing is lost: the set was read to its end, holds a picture, and no kind in FATAL was found."""
        return not self.fatal_error and self.pictures > 0 and not any(self.faults.counts[kind] for kind in FATAL)

    def count(self, picture: Picture) -> None:
        """Count a picture with stored dialogues."""
        self.pictures += 1
        self.dialogues += len(picture.dialogues)
        self.regions += sum(len(m.regions) for d in picture.dialogues for m in d.conversation.messages)

    def to_json(self) -> dict[str, Any]:
        """Counts and the findings that were kept, for programs."""
        return {
            "set": self.data_set.name,
            "folder": str(self.data_set.folder),
            "kind": self.data_set.kind,
            "source": self.data_set.source or None,
            "split": self.data_set.split or None,
            "healthy": self.healthy,
            "error": self.fatal_error or None,
            "pictures": self.pictures,
            "regions": self.regions,
            "askable_regions": self.askable_regions,
            "dialogues": self.dialogues,
            "counts": dict(sorted(self.faults.counts.items())),
            "faults": [{"kind": fault.kind, "where": fault.where, "what": fault.what} for fault in self.faults.kept],
        }

    def examples(self, kind: str, limit: int) -> list[Fault]:
        """The first findings of a kind."""
        return [fault for fault in self.faults.kept if fault.kind == kind][:limit]


def examine(data_set: DataSet, *, decode: bool = True, step: Callable[[], None] = lambda: None) -> Findings:
    """Examine a set. With ``decode`` every picture is decoded; without, only headers are read. ``step`` is called after
    each picture. A file that cannot be read at all ends the examination and is told in ``fatal_error``."""
    findings = Findings(data_set)
    try:
        if data_set.kind == "build":
            examine_build(findings, decode, step)
        elif data_set.kind == "regionchat":
            for picture in pictures_of(data_set, findings.faults):
                if not decode or sound_picture(picture.image, picture.size, picture.id, findings.faults):
                    findings.count(picture)
                step()
        else:
            for record in records_of(data_set, findings.faults):
                examine_record(record, findings, decode)
                step()
    except DataError as error:
        findings.fatal_error = str(error)
    if not findings.pictures and not findings.fatal_error:
        findings.fatal_error = f"{data_set.folder} gives no picture at all"
    return findings


def examine_record(record: Record, findings: Findings, decode: bool) -> None:
    """Count a record, and look at its picture itself."""
    if not record.image.is_file():
        findings.faults.add("missing picture", record.id, f"{record.image} does not exist")
        return
    if decode and not sound_picture(record.image, record.size, record.id, findings.faults):
        return
    findings.pictures += 1
    findings.regions += len(record.regions)
    findings.askable_regions += sum(region.askable for region in record.regions)


def sound_picture(image: ImageSource, size: tuple[int, int], where: str, faults: Faults) -> bool:
    """Whether the picture can be decoded to its end. Its upright size is compared with ``size``."""
    try:
        found = open_image(image).size
    except ImageError as error:
        faults.add("corrupt picture", where, str(error))
        return False
    if found != size:
        faults.add("wrong size", where, f"noted as {size[0]} x {size[1]}, the picture is {found[0]} x {found[1]}")
    return True


def examine_build(findings: Findings, decode: bool, step: Callable[[], None]) -> None:
    """Examine a build: every shard against its manifest, every dialogue, every picture. A shard that is missing or
    damaged is a fault, and the next one is examined."""
    folder, faults = findings.data_set.folder, findings.faults
    for shard in read_manifest(folder).shards:
        try:
            check_sum(folder, shard, faults)
            for entry in read_shard(joined(folder, shard.file), shard.pictures):
                step()
                picture = picture_of_entry(entry, faults)
                if picture is None:
                    continue
                for image, facts in zip(entry.images, entry.facts["images"], strict=True) if decode else ():
                    sound_picture(image, tuple(facts["size_wh"]), f"{entry.where}, {facts['file']}", faults)
                findings.count(picture)
        except DataError as error:
            faults.add("unusable entry", str(folder / shard.file), str(error))


def check_sum(folder: Path, shard: ShardFacts, faults: Faults) -> None:
    """Report a shard whose bytes are not those that the manifest names. Raises ``DataError`` where it is missing."""
    try:
        with (folder / shard.file).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(
            f"{folder / shard.file} does not exist, the manifest names it; copy or build it again"
        ) from error
    if found != shard.sha256:
        what = f"SHA-256 is {found[:12]}..., the manifest says {shard.sha256[:12]}...; copy or build it again"
        faults.add("unusable entry", str(folder / shard.file), what)
