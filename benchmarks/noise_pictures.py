"""Pictures that nobody has seen before, as files, for measuring speed. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from chatspot.engine.measured.asked import SIZE, noise


def photo(folder: Path, number: int, size_wh: tuple[int, int] = SIZE) -> Path:
    """A JPEG that was never seen before: blurred noise in colour."""
    path = folder / f"{number}-{size_wh[0]}.jpg"
    noise(number, size_wh).save(path, quality=90)
    return path
