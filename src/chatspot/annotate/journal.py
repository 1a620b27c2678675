"""What was asked and answered, line by line: a run that was killed goes on where it was.

The first line says what was asked and who answered; each further one holds one region's answer. A line that a kill cut
off is cut away when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chatspot.errors import DataError

KIND = "chatspot annotate"
OPENING = b'{"kind": "chatspot annotate"'


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
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write("".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in answers))
            opened.flush()
            os.fsync(opened.fileno())
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
        lines = whole_lines(file)
        if lines:
            check_same_run(file, lines[0], about)
            for at, line in enumerate(lines[1:], 2):
                one = given(line, f"{file}:{at}")
                if one.error is None:
                    journal.given[one.key] = one
        else:
            file.write_text(json.dumps({"kind": KIND, **about}, ensure_ascii=False) + "\n", "utf-8")
        yield journal
    finally:
        lock.release()


def whole_lines(file: Path) -> list[bytes]:
    """The lines of the file, without one that was cut off, which is removed; none where there is no file."""
    try:
        content = file.read_bytes() if file.exists() else b""
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error}); choose another --to") from error
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        if not whole and not (content.startswith(OPENING) or OPENING.startswith(content)):
            raise DataError(f"{file} is no journal of chatspot annotate; choose another --to")
        with file.open("r+b") as opened:
            opened.truncate(whole)
    return content[:whole].splitlines()


def check_same_run(file: Path, line: bytes, about: dict[str, Any]) -> None:
    """Raise ``DataError`` where the first line speaks of another run."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise DataError(f"{file} is no journal of chatspot annotate; choose another --to")
    wanted = json.loads(json.dumps(about))
    differences = [f"{key}: {found.get(key)!r} there, {wanted[key]!r} now" for key in wanted
                   if found.get(key) != wanted[key]]  # fmt: skip
    if differences:
        raise DataError(f"{file} holds another run ({'; '.join(differences)[:400]}); choose another --to, or remove it")


def given(line: bytes, where: str) -> Given:
    """A line's answer."""
    try:
        entry = json.loads(line)
        one = Given(**entry)
        if not (isinstance(one.image, str) and isinstance(one.region, dict) and isinstance(one.answer, str)):
            raise TypeError("an answer has an image, a region and a text")
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{where}: not a line of this journal ({error}); remove the line to ask again") from error
    return one
