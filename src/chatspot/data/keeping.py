"""Pictures kept back from training, to judge and to calibrate by: a share of each folder, the same ones each time."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

from chatspot.data.records import ANNOTATIONS
from chatspot.data.saving import write_whole
from chatspot.errors import DataError


def is_kept(record_id: str, share: float, seed: int = 0) -> bool:
    """Whether a picture, by its record's id, is among the ``share`` of all that is kept back."""
    return zlib.crc32(f"{seed}/{record_id}".encode()) % 10_000 < share * 10_000


def keep_back(photos: Path, out: Path, share: float, seed: int = 0) -> dict[str, int]:
    """Copy the kept pictures of each folder of region JSON lines below ``photos``, with their lines, into a folder of
    its name below ``out``; pictures by folder come back. What is there already is written anew.

    Raises ``DataError`` where ``photos`` holds no such folder, a line is no picture's, or a file cannot be copied.
    """
    found = sorted(file.parent for file in photos.glob(f"*/{ANNOTATIONS}"))
    if not found:
        raise DataError(f"{photos} holds no folder with {ANNOTATIONS}; give the folder above your annotated folders")
    counts = {}
    for folder in found:
        kept = []
        for number, line in enumerate((folder / ANNOTATIONS).read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                image = Path(json.loads(line)["image"])
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{folder / ANNOTATIONS}:{number} names no picture ({error!r}); "
                                "'chatspot data doctor' shows what is wrong") from error  # fmt: skip
            if image.is_absolute() or ".." in image.parts:
                raise DataError(f"{folder / ANNOTATIONS}:{number}: the picture {image} lies outside its folder")
            if is_kept(f"{folder.name}/{image.stem}", share, seed):
                kept.append((image, line))
        try:
            for image, _ in kept:
                (out / folder.name / image).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / image, out / folder.name / image)
            write_whole(out / folder.name / ANNOTATIONS, "".join(f"{line}\n" for _, line in kept))
        except OSError as error:
            raise DataError(f"{out / folder.name} cannot be written ({error})") from error
        counts[folder.name] = len(kept)
    return counts
