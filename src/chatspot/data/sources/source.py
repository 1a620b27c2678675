"""What a source of annotated pictures is: where it comes from, which files it needs, and the function that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from chatspot.data.faults import Faults
from chatspot.data.records import Record
from chatspot.errors import DataError

# (folder of the original files, split, faults to report) -> records
Reader: TypeAlias = Callable[[Path, str, Faults], Iterator[Record]]


@dataclass(frozen=True)
class Source:
    """One data set in its original files. ``files`` maps each split to the paths, relative to the data set's folder,
    that ``read`` needs; a path that ends in "/" is a folder of pictures. ``role`` "evaluation" keeps a set out of
    training; "own" marks a format that users bring."""

    name: str
    title: str
    read: Reader
    files: dict[str, tuple[str, ...]]
    licence: str
    homepage: str
    role: Literal["train", "evaluation", "own"] = "train"

    def check(self, folder: Path, split: str) -> None:
        """Raise ``DataError`` that names every expected file that is missing, and where to get the set."""
        if split not in self.files:
            raise DataError(f"{self.name} has no split {split!r}; it has {', '.join(self.files)}")
        missing = [name for name in self.files[split] if not (folder / name).exists()]
        if missing:
            raise DataError(f"{self.name}, split {split}: {folder} lacks {', '.join(missing)}; get the set from "
                            f"{self.homepage} ({self.licence})")  # fmt: skip
