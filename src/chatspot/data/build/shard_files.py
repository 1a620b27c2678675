"""The last job of a build: a shard's pictures and dialogues into its tar file (``work`` documents the jobs)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

from chatspot.data.build.work import Made, ShardPlan, load
from chatspot.data.saving import write_whole
from chatspot.data.shards import ShardFacts
from chatspot.errors import DataError


def write_shard(plan_file: str) -> None:
    """Write one planned shard, and beside its plan what the manifest says of it."""
    file = Path(plan_file)
    done = file.with_suffix(".json")
    if done.exists():
        return
    plan: ShardPlan = load(file)
    target = file.parents[3] / plan.file  # OUT/.work/KEY/plan/instruct-00000.pkl
    temporary = target.with_suffix(".tar.part")
    with temporary.open("wb") as raw:
        out: Any = Hashing(raw)  # of a file, tarfile needs write alone
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
            for key, made in plan.entries:
                add_member(tar, f"{key}.json", body_of(made))
                add_member(tar, f"{key}.{made.photo.ending}", picture_of(made))
        raw.flush()
        os.fsync(raw.fileno())
    temporary.replace(target)
    samples = sum(count for _, made in plan.entries for _, count in made.tasks)
    facts = ShardFacts(plan.file, plan.stage, len(plan.entries), samples, out.length, out.sha256.hexdigest())
    write_whole(done, json.dumps(vars(facts)))


class Hashing:
    """A file that is written and hashed at once."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.length = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write, hash and count."""
        self.sha256.update(data)
        self.length += len(data)
        return self.file.write(data)


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file that says nothing of who wrote it when: TarInfo's defaults are time 0, user 0, mode 644."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def body_of(made: Made) -> bytes:
    """An entry's JSON."""
    with Path(made.bodies).open("rb") as file:
        file.seek(made.start)
        return file.read(made.length)


def picture_of(made: Made) -> bytes:
    """The bytes of an entry's picture file; ``DataError`` when they changed since they were looked at."""
    try:
        data = Path(made.photo.path).read_bytes()
    except OSError as error:
        raise DataError(f"{made.photo.path} cannot be read any more ({error.strerror}); build again") from error
    if hashlib.sha256(data).hexdigest() != made.photo.sha256:
        raise DataError(f"{made.photo.path} changed while the shards were built; start the build again")
    return data
