"""What is wrong in annotation files: counted, located, never silently dropped.

A reader raises ``DataError`` when a file is missing or is not of its format at all. A single entry that cannot be used
is reported here and left out, so one bad line of a million costs one sample and not the run.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from PIL import Image

from chatspot.errors import ImageError
from chatspot.images.load import FORMATS, check_size

Kind: TypeAlias = Literal[
    "missing picture",  # the file is not there
    "corrupt picture",  # it is there and cannot be opened, or is larger than any that is opened
    "turned picture",  # annotated in the frame before EXIF rotation; its regions are turned with it
    "wrong size",  # the annotation's size is not the picture's; the picture is believed
    "outside region",  # clipped, or left out where less than half of it is inside
    "degenerate region",  # no area, reversed, not a number
    "unusable entry",  # a field is missing or of another type
    "no answer",  # nothing to learn from: illegible, empty, ignored by its annotators
]


@dataclass(frozen=True)
class Fault:
    """One finding: ``where`` is file and line, key or id; ``what`` says expected and got."""

    kind: Kind
    where: str
    what: str


@dataclass
class Faults:
    """The findings of a reading: all counted, the first ``keep`` of each kind kept in full."""

    keep: int = 100
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Fault] = field(default_factory=list)

    def add(self, kind: Kind, where: str, what: str) -> None:
        """Count a finding."""
        self.counts[kind] += 1
        if self.counts[kind] <= self.keep:
            self.kept.append(Fault(kind, where, what))


@dataclass(frozen=True)
class Frame:
    """A picture's frame as its annotations use it. ``size`` is (width, height) of the upright picture; ``turned`` is
    the EXIF orientation (2 to 8) by which annotated coordinates still have to be turned, or 1."""

    size: tuple[int, int]
    turned: int = 1


def picture_frame(path: Path, claimed: tuple[int, int] | None, where: str, faults: Faults) -> Frame | None:
    """The frame of the picture at ``path`` from its header, which is believed over the ``claimed`` size; None, and a
    fault, for a picture that is missing or corrupt."""
    if not os.path.isfile(path):  # unlike Path.is_file, false for a name that no file can have
        faults.add("missing picture", where, f"{path} does not exist")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # check_size says it, and for all of them
            with Image.open(path, formats=FORMATS) as picture:
                check_size(picture, path.name)  # what open_image will refuse, a training run must not meet later
                stored = picture.size
                orientation = picture.getexif().get(0x0112, 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, ImageError) as error:
        faults.add("corrupt picture", where, f"{path} cannot be opened ({error})")
        return None
    sideways = orientation in (5, 6, 7, 8)
    upright = (stored[1], stored[0]) if sideways else stored
    if claimed == stored and sideways:
        faults.add("turned picture", where, f"{path} has EXIF orientation {orientation}; annotated before turning")
        return Frame(upright, int(orientation))
    if claimed is not None and claimed != upright:
        faults.add("wrong size", where, f"annotated as {claimed[0]} x {claimed[1]}, {path} is {upright[0]} x "
                                        f"{upright[1]}")  # fmt: skip
    return Frame(upright)
