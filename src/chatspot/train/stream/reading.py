"""Files of training data that are read whole: folders of region JSON lines, and JSON-lines files of several kinds.

A line that cannot be read costs that line and not the run: it comes back as a ``Skip``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from chatspot.data import QuestionSettings, Record, Sample, samples_of
from chatspot.data.records import ANNOTATIONS, parse_record
from chatspot.errors import ChatSpotError, DataError, RecipeError
from chatspot.messages import conversation_from_json
from chatspot.train.recipe import BUILTIN


@dataclass(frozen=True)
class Skip:
    """One slot of a stream that could not be used: where it is, and why not."""

    where: str
    why: str


def read_lines(file: Path, questions: QuestionSettings) -> tuple[list[Sample], list[Skip]]:
    """The dialogues of a JSON-lines file, and its lines that could not be read.

    A line with the field ``conversation`` (or ``messages``) is a ready dialogue, as RegionChat's ``samples.jsonl`` has
    them: ``{"id", "source", "task", "images", "conversation"}``, all but the last optional; pictures are relative to
    the file's folder, and a dialogue without any is text alone. Any other line is an annotated picture
    (``chatspot.data.records``), asked about as ``questions`` says.
    """
    records: list[Record] = []
    ready: list[Sample] = []
    skips: list[Skip] = []
    for where, line in numbered(file):
        try:
            text = line.decode()
            entry = json.loads(text)
            if isinstance(entry, dict) and ("conversation" in entry or "messages" in entry):
                ready.append(ready_dialogue(entry, file, where))
            else:
                records.append(parse_record(text, file.parent, where))
        except (ChatSpotError, TypeError, ValueError, RecursionError) as error:
            skips.append(Skip(where, str(error)))
    return [*samples_of(records, questions), *ready], skips


def numbered(file: Path) -> Iterator[tuple[str, bytes]]:
    """The lines of a file that are not empty, each with file and number."""
    try:
        with file.open("rb") as lines:
            yield from ((f"{file}:{number}", line) for number, line in enumerate(lines, 1) if line.strip())
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error}); check its path and rights") from error


def ready_dialogue(entry: dict[str, Any], file: Path, where: str) -> Sample:
    """The dialogue of a parsed line; ``DataError`` (or a conversation's own error) where it cannot be one."""
    talk = conversation_from_json(entry["conversation"] if "conversation" in entry else entry["messages"])
    names = entry.get("images", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: images is a list of file names, got {str(names)[:60]!r}")
    if talk.image_count != len(names):
        raise DataError(f"{where}: its conversation shows {talk.image_count} pictures, its images are {len(names)}")
    fixed = {"id": where, "source": file.stem, "task": ""}
    name, source, task = (str(entry.get(key, default)) for key, default in fixed.items())
    return Sample(name, source, tuple(file.parent / image for image in names), talk, task)


def find(name: str, data: Sequence[Path], *, holding: str = "") -> Path:
    """Where the file or folder ``name`` of a recipe lies: the first of the ``data`` folders that has it (with
    ``holding`` in it), or where it says if it is absolute. ``RecipeError`` where it is in none."""
    candidates = [Path(name).expanduser()] if Path(name).expanduser().is_absolute() else [d / name for d in data]
    for candidate in candidates:
        if (candidate / holding).exists():
            return candidate
    places = [str(path) for path in data] or "no data folder is given"
    inside = f" with {holding} in it" if holding else ""
    raise RecipeError(f"source {name!r}{inside} is in none of the data folders {places}; pass --data FOLDER with the "
                      "folder above it")  # fmt: skip


def texts_file(name: str, data: Sequence[Path]) -> Path:
    """The file of text-only conversations that a recipe names; the package's own for BUILTIN."""
    if name == BUILTIN:
        return Path(str(resources.files("chatspot.train.abilities").joinpath("texts", "rehearsal.jsonl")))
    return find(name, data)


def folder_file(name: str, data: Sequence[Path]) -> Path:
    """The annotations of the folder that a recipe names."""
    return find(name, data, holding=ANNOTATIONS) / ANNOTATIONS
