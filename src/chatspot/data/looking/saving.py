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
