"""A list inside a JSON object that is too long to be held whole, one element at a time.

HierText's training file has 0.9 million words with an outline each, gigabytes as Python values; a picture's part of it
is small.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from chatspot.errors import DataError

PIECE = 1 << 20  # characters that are read at once; more for an element that does not fit
LONGEST_CUT = 3  # of 1.5, 1e5 and 1e-5 the first 2 or 3 characters read as 1, followed by up to 2 more
WHITE = " \t\n\r"


def long_list(file: Path, key: str, expected: str, *, piece: int = PIECE) -> Iterator[Any]:
    """The elements of the list at ``key`` of a file that is one JSON object. Memory: the longest element or field.

    Raises ``DataError`` for a file that is of another kind, at once, or that is broken, after the elements before.
    """
    try:
        with file.open(encoding="utf-8-sig") as stream:
            yield from elements(Text(stream, piece), key)
    except DataError as error:
        raise DataError(f"{file}: {error}; expected {expected}") from error
    except (OSError, ValueError, RecursionError) as error:  # no permission, not UTF-8, a number of 5,000 digits
        raise DataError(f"{file}: cannot be read ({error}); expected {expected}") from error


def elements(text: Text, key: str) -> Iterator[Any]:
    """The list's elements; what stands before and after the list is read and dropped."""
    text.take("{")
    found, ended = False, text.comes("}")
    while not ended:
        name = text.value()
        text.take(":")
        if name != key or found:
            text.value()
        else:
            found = True
            text.take("[")
            if not text.comes("]"):
                yield text.value()
                while text.comes(","):
                    yield text.value()
                text.take("]")
        ended = not text.comes(",")
        if ended:
            text.take("}")
    if not found:
        raise DataError(f"no field {key!r}")
    if text.next():
        raise DataError(f"character {text.place}: text after the object")


class Text:
    """A stream of characters that is read piece by piece and parsed from the front."""

    def __init__(self, stream: TextIO, piece: int) -> None:
        self.stream, self.piece = stream, piece
        self.read, self.at, self.dropped = "", 0, 0
        self.decoder = json.JSONDecoder()

    @property
    def place(self) -> int:
        """How many characters have been parsed."""
        return self.dropped + self.at

    def more(self) -> bool:
        """Read on, at least as much again as is held, so that a long element is not parsed too often."""
        kept = self.read[self.at :]
        new = self.stream.read(max(self.piece, len(kept)))
        if new:
            self.dropped += self.at
            self.read, self.at = kept + new, 0
        return bool(new)

    def next(self) -> str:
        """The next character that is not white space, empty at the end."""
        while True:
            while self.at < len(self.read) and self.read[self.at] in WHITE:
                self.at += 1
            if self.at < len(self.read):
                return self.read[self.at]
            if not self.more():
                return ""

    def comes(self, sign: str) -> bool:
        """Whether ``sign`` is next; if so, it is passed."""
        if self.next() != sign:
            return False
        self.at += 1
        return True

    def take(self, sign: str) -> None:
        """Pass ``sign``, which has to be next."""
        if not self.comes(sign):
            raise DataError(f"character {self.place}: {sign!r} expected, got {self.next()!r}")

    def value(self) -> Any:
        """The next value."""
        self.next()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.read, self.at)
            except json.JSONDecodeError as error:
                if self.more():
                    continue
                raise DataError(f"character {self.dropped + error.pos}: {error.msg}") from error
            if len(self.read) - end < LONGEST_CUT and self.more():  # a number may go on
                continue
            self.at = end
            return value
