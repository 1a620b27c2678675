"""Which pictures: lists of names that anybody can draw again.

The paper evaluates on COCO-1000, 1,000 random images of COCO val, without saying which. Ours are the pictures with the
smallest sha256("SEED/coco:NUMBER"): the list follows from the seed and the annotation file alone, and a smaller list is
the beginning of a larger one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from chatspot.data.faults import Faults
from chatspot.data.saving import write_whole
from chatspot.data.sources.coco import read_instances
from chatspot.errors import DataError
from chatspot.eval.tasks.task import SEED


def read_ids(file: Path) -> frozenset[str]:
    """The picture names of a file, one a line; lines that begin with # are comments."""
    if not file.is_file():
        raise DataError(f"there is no list of pictures at {file}; expected one name such as coco:139 a line")
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def drawn_pictures(instances: Path, count: int) -> list[str]:
    """``count`` pictures of an instances file, "coco:139", in the order in which SEED draws them.

    Raises ``DataError`` for a file of another kind, and for one with fewer pictures."""
    images = read_instances(instances, Faults()).images
    names = {f"coco:{int(image['id'])}" for image in images if isinstance(image, dict) and "id" in image}
    if len(names) < count:
        raise DataError(f"{instances} has {len(names)} pictures, {count} are wanted")
    return sorted(names, key=lambda name: hashlib.sha256(f"{SEED}/{name}".encode()).digest())[:count]


def write_drawn_pictures(instances: Path, count: int, out: Path) -> str:
    """Write the list of ``drawn_pictures`` under a comment that says how it was drawn; gives back its hash."""
    names = drawn_pictures(instances, count)
    found = names_hash(names)
    head = (
        f'# {count} pictures of {instances.name}: those with the smallest sha256("{SEED}/NAME")\n'
        f"# SHA-256 of the names below, each with its line break: {found}\n"
    )
    write_whole(out, head + "".join(f"{name}\n" for name in names))
    return found


def names_hash(names: list[str]) -> str:
    """The SHA-256 of the names, each with its line break."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
