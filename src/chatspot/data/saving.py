"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatspot.errors import DataError


@contextmanager
def saved_whole(path: Path, what: str) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to, renamed to ``path`` at the end; ``what`` names it in messages.

    Raises ``DataError`` where it cannot be written. Nothing half-written stays.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield half
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"the {what} {path} cannot be written ({error}); choose another place") from error


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 file that appears whole or not at all, also when the power fails; ``OSError`` where it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
