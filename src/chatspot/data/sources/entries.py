"""What readers of JSON annotation files share: the whole file, the fields of an entry, the picture that it names.

Every function that takes an entry raises ``DataError`` for what it cannot use; ``reported`` turns that into a fault.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.records import Question, Record
from chatspot.data.sources.source import Source
from chatspot.errors import DataError, RegionError

T = TypeVar("T", dict[str, Any], list[Any])

ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".JPG", ".JPEG", ".PNG", ".GIF")
LONGEST_PART = 250  # bytes of one part of a path; the common file systems allow 255, and an ending may be added
LONGEST_PATH = 1000  # bytes (our choice); the systems' own limits are 1024 and up
COCO_2014 = re.compile(r"COCO_(?:train|val|test)20\d\d_(\d{1,12})(?:\.\w+)?$")  # COCO_train2014_000000540965.jpg
LEAST_SIDE_PX = 2  # ST-VQA's readers meet pictures of one pixel and skip them
REGION_MARK = re.compile(r"<region\d+>")


def read_json(file: Path, kind: type[T], expected: str) -> T:
    """The content of a JSON file, an object or a list. Raises ``DataError`` with file, line and column for any other
    file; ``expected`` says what the format has there."""
    try:
        with file.open(encoding="utf-8-sig") as stream:
            content = json.load(stream)
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: not JSON ({error.msg}); expected {expected}") from error
    except (OSError, ValueError, RecursionError) as error:  # no permission, not UTF-8, a number of 5,000 digits
        raise DataError(f"{file}: cannot be read ({error}); expected {expected}") from error
    if not isinstance(content, kind):
        raise DataError(f"{file}: expected {expected}, got {reprlib.repr(content)}")
    return content


def json_lines(file: Path, faults: Faults) -> Iterator[tuple[str, Any]]:
    """The values of a file of JSON lines, each with its place; a line that is no JSON is reported and left out."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{file.name}:{number}"
                try:
                    value = json.loads(line.decode("utf-8-sig"))
                except (ValueError, RecursionError) as error:  # not UTF-8, or a number of 5,000 digits
                    faults.add("unusable entry", where, f"not JSON ({error})")
                    continue
                yield where, value


@contextmanager
def reported(where: str, faults: Faults) -> Iterator[None]:
    """Report what makes an entry unusable, and go on after it."""
    try:
        yield
    except (DataError, RegionError) as error:
        faults.add("unusable entry", where, str(error))


def place(file: Path, key: Any) -> str:
    """Where an entry stands: the file's name and the entry's key, which may be anything that JSON can hold."""
    plain = isinstance(key, (str, int)) and len(str(key)) <= LONGEST_PART and str(key).isprintable()
    return f"{file.name} {key if plain else reprlib.repr(key)}"


def as_object(value: Any) -> dict[str, Any]:
    """``value`` if it is a JSON object."""
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {reprlib.repr(value)}")
    return value


def list_field(entry: dict[str, Any], key: str) -> list[Any]:
    """The list at ``key``."""
    value = needed(entry, key)
    if not isinstance(value, list):
        raise DataError(f"{key}: expected a list, got {reprlib.repr(value)}")
    return value


def text_field(entry: dict[str, Any], key: str) -> str:
    """The text at ``key``, as ``as_text`` gives it; it may be empty."""
    return as_text(needed(entry, key), key)


def whole_field(entry: dict[str, Any], key: str) -> int:
    """The whole number at ``key``; ids are written as text in some files."""
    value = needed(entry, key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{key}: expected a whole number, got {reprlib.repr(value)}")
    return value


def needed(entry: dict[str, Any], key: str) -> Any:
    """The value at ``key``."""
    if key not in entry:
        raise DataError(f"field {key!r} is missing; the entry has {reprlib.repr(sorted(entry))}")
    return entry[key]


def as_text(value: Any, name: str) -> str:
    """``value`` as text that can be shown and stored: runs of white space are one space, none at the ends."""
    if not isinstance(value, str):
        raise DataError(f"{name}: expected text, got {reprlib.repr(value)}")
    text = " ".join(value.split())
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise DataError(f"{name}: expected text, got control characters or half characters in {reprlib.repr(value)}")
    return text


def claimed_size(entry: dict[str, Any], width_key: str, height_key: str) -> tuple[int, int] | None:
    """(width, height) as the annotation has it, or None where it has none that can be."""
    width, height = entry.get(width_key), entry.get(height_key)
    sides = [side for side in (width, height) if isinstance(side, int) and not isinstance(side, bool) and side > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def picture_path(folder: Path, *names: str) -> Path:
    """The first of ``names`` (paths relative to ``folder``) that is there, else one of them with another ending: sets
    are passed on with their GIF and PNG files renamed. Where none is there, the first.

    Raises ``DataError`` for a name that leaves the folder: an annotation file must not fetch other files.
    """
    for name in names:
        check_name(name)
    given = [folder / name for name in names]
    try:
        for path in (*given, *(path.with_suffix(ending) for path in given for ending in ENDINGS)):
            if os.path.isfile(path):
                return path
    except OSError as error:  # no permission
        raise DataError(f"the picture cannot be looked for ({error})") from error
    return given[0]


def name_field(entry: dict[str, Any], key: str) -> str:
    """The file's name at ``key``, as it stands there."""
    value = needed(entry, key)
    if not isinstance(value, str):
        raise DataError(f"{key}: expected a file's name, got {reprlib.repr(value)}")
    return value


def check_name(name: str) -> None:
    """Raise ``DataError`` for what is no path of a file below a folder."""
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name
    if outside or not path.name or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise DataError(f"expected a picture's path inside the data set's folder, got {reprlib.repr(name)}")
    if len(name.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_PART for part in path.parts):
        raise DataError(f"the picture's name has {len(name)} characters, more than a file can have")


def coco_ids(file_name: str) -> tuple[str, ...]:
    """The photo's id as the leak guard compares it, ("coco:540965",) for "COCO_train2014_000000540965.jpg"; empty for
    a name of another kind. The id is the same in COCO 2014, COCO 2017, COCO-Text, ST-VQA and Visual Genome's list."""
    found = COCO_2014.search(file_name)
    return (f"coco:{int(found[1])}",) if found else ()


def best_first(answers: Sequence[str]) -> tuple[str, ...]:
    """The answers with those that most annotators gave in front, none dropped; ties stay in the file's order.

    Spellings that differ only in case count together, and the commonest spelling stands first.
    """
    votes = Counter(answer.casefold() for answer in answers)
    spellings = Counter(answers)
    first = {answer.casefold(): -number for number, answer in reversed(list(enumerate(answers)))}
    return tuple(sorted(answers, key=lambda a: (votes[a.casefold()], first[a.casefold()], spellings[a]), reverse=True))


def answers_of(entry: dict[str, Any], key: str = "answers") -> tuple[str, ...]:
    """All answers at ``key`` that are not empty, the best first; none where the field is missing, as in test splits."""
    if entry.get(key) is None:
        return ()
    answers = [as_text(answer, f"{key}[{number}]") for number, answer in enumerate(list_field(entry, key))]
    return best_first([answer for answer in answers if answer])


def question_of(
    question: str, answers: Sequence[str], where: str, faults: Faults, *, regions: tuple[int, ...] = (), kind: str = ""
) -> Question | None:
    """The question, or None after a fault where there is nothing to ask or to answer."""
    if not question:
        raise DataError("the question is empty")
    for text in (question, *answers):
        if REGION_MARK.search(text):
            raise DataError(f"the text names a region as only records may: {reprlib.repr(text)}")
    kept = tuple(answer for answer in answers if answer)
    if not kept:
        faults.add("no answer", where, f"{reprlib.repr(question)} has no answer")
        return None
    return Question(question, kept, regions, kind)


@dataclass
class AskedPicture:
    """A picture and all that is asked about it. ``where`` is its first entry, ``claimed`` the size given there."""

    where: str
    claimed: tuple[int, int] | None
    image_ids: tuple[str, ...]
    questions: list[Question] = field(default_factory=list)


def asked_records(pictures: dict[Path, AskedPicture], source: Source, faults: Faults) -> Iterator[Record]:
    """One record for each picture that can be opened and has questions, in order of first appearance."""
    for path, asked in pictures.items():
        if not asked.questions:
            continue
        frame = picture_frame(path, asked.claimed, asked.where, faults)
        if frame is not None and min(frame.size) < LEAST_SIDE_PX:
            faults.add("corrupt picture", asked.where, f"{path} is {frame.size[0]} x {frame.size[1]} px: no photo")
        elif frame is not None:
            yield Record(path, frame.size, (), (), source.name, tuple(asked.questions), (),
                         asked.image_ids, source.licence)  # fmt: skip
