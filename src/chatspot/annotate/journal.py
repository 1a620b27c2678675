"""What was asked and answered, line by line (``data.journal``): a run that was killed goes on where it was.

The head says what was asked and who answered; each further line holds one region's answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chatspot.data.journal import append, begin, check_same_run, mend, read_entries, read_head
from chatspot.errors import DataError

KIND = "chatspot annotate"


@dataclass(frozen=True)
class Given:
    """One region's answer. ``image`` is the picture's path below its folder, ``region`` what ``Region.to_json`` gives.
    ``confidence`` is None where a remote model answered; ``error`` says why there is no answer."""

    image: str
    region: dict[str, Any]
    answer: str = ""
    confidence: float | None = None
    finish: str = ""
    error: str | None = None

    @property
    def key(self) -> str:
        """What names the question within a run."""
        return key_of(self.image, self.region)


def key_of(image: str, region: dict[str, Any]) -> str:
    """The same for the same region of the same picture."""
    return json.dumps([image, region], sort_keys=True)


class Journal:
    """The open file of a run. Use ``open_journal``, which keeps other runs out."""

    def __init__(self, file: Path):
        self.file = file
        self.given: dict[str, Given] = {}

    def add(self, answers: Sequence[Given]) -> None:
        """Keep these; they are on the disk when this returns."""
        append(self.file, map(asdict, answers))
        self.given.update((one.key, one) for one in answers)


@contextmanager
def open_journal(file: Path, about: dict[str, Any]) -> Iterator[Journal]:
    """The journal of a run ``about`` this, new or with what it holds. Raises ``DataError`` when the file belongs to
    another run (it is left as it was), when another process has it open, and for a file that is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{file}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"{file} is being written by another run; wait for it, or choose another --to") from None
    try:
        journal = Journal(file)
        head = read_head(file, KIND, f"journal of {KIND}")
        if head is None:
            begin(file, {"kind": KIND, **about})
        else:
            check_same_run(file, head, about, about)
            mend(file)
            answers = (given(entry, where) for where, entry in read_entries(file))
            journal.given.update((one.key, one) for one in answers if one.error is None)
        yield journal
    finally:
        lock.release()


def given(entry: dict[str, Any], where: str) -> Given:
    """A line's answer."""
    try:
        one = Given(**entry)
        if not (isinstance(one.image, str) and isinstance(one.region, dict) and isinstance(one.answer, str)):
            raise TypeError("an answer has an image, a region and a text")
    except TypeError as error:
        raise DataError(f"{where}: no answer ({error}); remove the line to ask again") from error
    return one
