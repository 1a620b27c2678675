"""Texts about pictures in files: JSON lines, a JSON list (LLaVA's form among them), or plain text about one picture.

A record names its picture (``image``), perhaps its size (``width`` and ``height``, which spare opening it) and holds
texts: ``text``, ``prompt``, ``question``, ``answer``; ``conversations`` with ``value`` (LLaVA), or ``messages`` with
``content``. ``boxes``, pixels x1, y1, x2, y2, are the true boxes of its texts, in order; ``objects`` is ms-swift's list
and ``regions`` ours, of a dialect whose regions stand beside the text.
"""

from __future__ import annotations

import copy
import json
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatspot.dialects.check import Sample
from chatspot.dialects.mentions import Mention, Written
from chatspot.dialects.specification import Dialect
from chatspot.dialects.swift import read_swift_objects, swift_objects
from chatspot.errors import DataError, MessageError
from chatspot.images import open_image
from chatspot.regions import Box, region_from_json
from chatspot.regions.coordinates import Size, checked_size

TEXT_KEYS = ("text", "prompt", "question", "answer")
LARGEST_FILE = 500_000_000  # bytes


@dataclass(frozen=True)
class TextRecord:
    """One entry of a file: where it stands, its picture's size and path, and the entry itself."""

    where: str
    size: Size
    picture: Path | None
    entry: dict[str, Any]

    def texts(self) -> list[str]:
        """The texts of the entry, in order."""
        return [holder[key] for holder, key in text_places(self.entry)]

    def with_texts(self, change: Callable[[str], str]) -> dict[str, Any]:
        """A copy of the entry with every text changed."""
        changed = copy.deepcopy(self.entry)
        for holder, key in text_places(changed):
            holder[key] = change(holder[key])
        return changed

    def sample(self) -> Sample:
        """The entry's texts, one on a line, to be checked."""
        found = self.entry.get("boxes", [])
        if not isinstance(found, list):
            raise DataError(f'{self.where}: "boxes" is a list of [x1, y1, x2, y2], got {reprlib.repr(found)}')
        try:
            truth = tuple(Box.from_pixels(*box, size=self.size, outside="clip") for box in found)
        except (TypeError, ValueError) as error:
            raise DataError(f'{self.where}: "boxes" is a list of [x1, y1, x2, y2]: {error}') from error
        return Sample(self.where, "\n".join(self.texts()), self.size, truth)


def text_places(entry: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where the texts of an entry stand: the mapping and the key."""
    places = [(entry, key) for key in TEXT_KEYS if isinstance(entry.get(key), str)]
    for name, key in (("conversations", "value"), ("messages", "content")):
        turns = entry.get(name)
        for turn in turns if isinstance(turns, list) else []:
            if not isinstance(turn, dict):
                continue
            if isinstance(turn.get(key), str):
                places.append((turn, key))
            parts = turn.get(key)
            for part in parts if isinstance(parts, list) else []:
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    places.append((part, "text"))
    return places


def read_records(path: Path, *, image: Path | None = None, images: Path | None = None) -> Iterator[TextRecord]:
    """The records of a file: ``.jsonl`` line by line, ``.json`` whole, anything else as one text.

    ``image`` is the picture of every record that names none, ``images`` the folder of those that are named (the file's
    own by default). Raises ``DataError`` with the line for what cannot be read, ``ImageError`` for a missing picture.
    """
    sizes: dict[Path, Size] = {}
    for where, entry in entries(path, read_file(path)):
        if not isinstance(entry, dict):
            raise DataError(f"{where}: a record is an object, got {reprlib.repr(entry)}")
        named = entry.get("image")
        if named is not None and not isinstance(named, str):
            raise DataError(f'{where}: "image" is one path, got {reprlib.repr(named)}')
        picture = image if named is None else (images or path.parent) / named
        if "width" in entry and "height" in entry:
            size = checked_size((entry["width"], entry["height"]), where)
        elif picture is None:
            raise DataError(f'{where}: it names no picture; add "image", or "width" and "height", or pass --image')
        else:
            if picture not in sizes:
                sizes[picture] = open_image(picture).size
            size = sizes[picture]
        yield TextRecord(where, size, picture, entry)


def read_file(path: Path) -> str:
    """A file's text; ``DataError`` when it is none."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(f"{path} is larger than {LARGEST_FILE:,} bytes; split it")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: byte {error.start}") from error


def entries(path: Path, content: str) -> Iterator[tuple[str, Any]]:
    """The entries of a file's text with where they stand. A last line without an end counts like any other."""
    if path.suffix == ".jsonl":
        for number, line in enumerate(content.split("\n"), 1):
            if line.strip():
                yield f"{path}:{number}", parsed(line, f"{path}:{number}")
    elif path.suffix == ".json":
        whole = parsed(content, str(path))
        for number, entry in enumerate(whole if isinstance(whole, list) else [whole]):
            yield f"{path}[{number}]", entry
    else:
        yield str(path), {"text": content}


def parsed(content: str, where: str) -> Any:
    """A JSON value; ``DataError`` for what is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is no JSON: {error}") from error


def one_text(record: TextRecord, dialect: Dialect) -> str:
    """The text of a record that has one; several texts could not share the regions beside them."""
    texts = record.texts()
    if len(texts) != 1:
        raise MessageError(f"{dialect.name} keeps its regions beside the text, so a record has one text; this one has "
                           f"{len(texts)}")  # fmt: skip
    return texts[0]


def beside_of(record: TextRecord, dialect: Dialect) -> tuple[str, tuple[Mention, ...]]:
    """The one text of a record in a dialect whose regions stand beside it, and these regions."""
    text = one_text(record, dialect)
    if dialect.name == "ms-swift":
        return read_swift_objects(text, record.entry.get("objects", {}), record.size)
    listed = record.entry.get("regions", [])
    if not isinstance(listed, list):
        raise DataError(f'{record.where}: "regions" is a list, got {reprlib.repr(listed)}')
    return text, tuple(Mention((region_from_json(region),)) for region in listed)


def with_beside(record: TextRecord, written: Written, dialect: Dialect) -> dict[str, Any]:
    """The record with its one text as written, and the regions beside it."""
    changed = without_beside(record, written)
    if dialect.name == "ms-swift":
        return {**changed, "objects": swift_objects(written.beside, record.size)}
    return {**changed, "regions": [mention.regions[0].to_json() for mention in written.beside]}


def without_beside(record: TextRecord, written: Written) -> dict[str, Any]:
    """The record with its one text as written, and nothing beside it."""
    changed = record.with_texts(lambda _: written.text)
    return {key: value for key, value in changed.items() if key not in ("regions", "objects")}
