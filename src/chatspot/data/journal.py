"""Journals: JSON lines that a stopped run goes on with. The head says which run it is, each further line is an entry.

Lines are only ever added at the end, so a kill cuts off the last one at most: ``mend`` removes it before more is added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chatspot.errors import DataError


def read_head(file: Path, kind: str, what: str) -> dict[str, Any] | None:
    """The head, whose "kind" is ``kind``; None while there is none: no file, an empty one, or a head that was cut off.

    Raises ``DataError`` for a file that is something else; ``what`` names a right one in the message.
    """
    opening = json.dumps({"kind": kind})[:-1].encode()
    try:
        with file.open("rb") as opened:
            first = opened.readline()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file} cannot be read as a {what} ({error}); choose another file") from error
    if not first.endswith(b"\n") and (first.startswith(opening) or opening.startswith(first)):
        return None
    try:
        head = json.loads(first)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("kind") != kind:
        raise DataError(f"{file} is no {what}: its first line is no head of kind {kind!r}; choose another file")
    return head


def check_same_run(file: Path, there: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ``DataError`` where the head ``there`` differs from that of the run ``now`` in one of ``names``."""
    wanted = json.loads(json.dumps({name: now[name] for name in names}))
    differences = [f"{name}: {there.get(name)!r} there, {value!r} now" for name, value in wanted.items()
                   if there.get(name) != value]  # fmt: skip
    if differences:
        raise DataError(f"{file} holds another run ({'; '.join(differences)[:400]}); choose another file, or remove it")


def begin(file: Path, head: Mapping[str, Any]) -> None:
    """Start the file anew with its head."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line(head), "utf-8")


def mend(file: Path) -> None:
    """Remove a last line that was cut off. A whole line ends in a line break."""
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with file.open("r+b") as opened:
            opened.truncate(whole)


def append(file: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add entries; they are on the disk when this returns."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write("".join(map(line, entries)))
        opened.flush()
        os.fsync(opened.fileno())


def line(entry: Mapping[str, Any]) -> str:
    """An entry as it is written."""
    return json.dumps(entry, ensure_ascii=False) + "\n"


def read_entries(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place ("file:line") and the object of each line behind the head; ``DataError`` for one that is none."""
    for number, content in enumerate(file.read_bytes().splitlines(), 1):
        if number == 1:
            continue
        where = f"{file}:{number}"
        try:
            entry = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: no JSON ({error}); a last line that was cut off is mended by the same run going "
                            "on, any other has to be removed") from error  # fmt: skip
        if not isinstance(entry, dict):
            raise DataError(f"{where}: expected a JSON object, got {type(entry).__name__}; remove the line")
        yield where, entry
