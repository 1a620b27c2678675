"""Where the pictures of a data set lie on this disk, whatever folders its annotations name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from chatspot.data.sources.entries import ENDINGS, check_name
from chatspot.errors import DataError

DRIVE = re.compile(r"^[A-Za-z]:")


class Pictures:
    """The picture files below ``folder``.

    Annotation files name pictures as their maker's disk had them: "images/v1/patch8/x.jpg" for patch8/x.jpg
    (Objects365), "C:\\\\data\\\\x.png" (label tools), "../images/x.jpg" (LabelMe). So a name is looked up by ever
    shorter ends of its path, and only when none is there by its bare name anywhere below the folder.
    """

    def __init__(self, folder: Path, *preferred: str):
        self.folder = folder
        self.roots = [folder / name for name in preferred] + [folder]

    def find(self, name: str) -> Path:
        """The picture that ``name`` means; where none is there, the path where it was expected first.

        Raises ``DataError`` for what is no name of a file, and for a bare name that several pictures have.
        """
        parts = [
            part for part in DRIVE.sub("", name.strip()).replace("\\", "/").split("/") if part not in ("", ".", "..")
        ]
        ends = ["/".join(parts[at:]) for at in range(len(parts))] or [""]
        check_name(ends[0])
        for end in ends:
            for root in self.roots:
                if os.path.isfile(root / end):
                    return root / end
        found = self.by_name.get(parts[-1]) or self.by_stem.get(Path(parts[-1]).stem) or []
        if len(found) > 1:
            raise DataError(f"{len(found)} pictures are called {parts[-1]} ({found[0]}, {found[1]}); expected one, or "
                            "a name with its folder")  # fmt: skip
        return found[0] if found else self.roots[0] / ends[-1]

    @cached_property
    def by_name(self) -> dict[str, list[Path]]:
        """Every picture below the folder by its name without folders."""
        return grouped((path.name, path) for path in pictures_below(self.folder))

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        """Every picture below the folder by its name without folders and ending."""
        return grouped((path.stem, path) for path in pictures_below(self.folder))


def pictures_below(folder: Path) -> Iterator[Path]:
    """The picture files below a folder, in the order of their paths."""
    return (path for path in sorted(folder.rglob("*")) if path.suffix in ENDINGS and path.is_file())


def grouped(pairs: Iterator[tuple[str, Path]]) -> dict[str, list[Path]]:
    """Paths by their first values."""
    groups: dict[str, list[Path]] = {}
    for name, path in pairs:
        groups.setdefault(name, []).append(path)
    return groups


def part_of(folder: Path, split: str) -> Path:
    """The folder that holds a split of somebody's own data set: the whole one for "all", else the folder of its name.
    Raises ``DataError`` where there is none."""
    if split == "all":
        return folder
    if not (folder / split).is_dir():
        raise DataError(f'{folder} has no folder {split}/; expected one for the split {split!r}, or the split "all" '
                        "for everything below the folder")  # fmt: skip
    return folder / split


def files_of(folder: Path, split: str, ending: str, format_name: str) -> list[Path]:
    """The annotation files with that ending below a split of somebody's own data set. Raises ``DataError`` where there
    is none."""
    part = part_of(folder, split)
    found = sorted(path for path in part.rglob(f"*{ending}") if path.is_file())
    if not found:
        raise DataError(f"{part} holds no {ending} file; expected {format_name}")
    return found


OWN_SPLITS: dict[str, tuple[str, ...]] = {"all": (), "train": ("train/",), "valid": ("valid/",), "val": ("val/",),
                                          "test": ("test/",)}  # fmt: skip
OWN_LICENCE = "your own"
