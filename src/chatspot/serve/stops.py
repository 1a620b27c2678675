"""Texts that end an answer: OpenAI's ``stop``."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """An answer that ends before the first of ``stops`` (none of them empty); ``met`` once one came. ``text`` is all
    that came so far, and up to the stop once it was met."""

    def __init__(self, stops: Sequence[str]):
        self.stops = tuple(stops)
        self.text = ""
        self.given = 0
        self.met = False

    def take(self, piece: str, *, ended: bool) -> str:
        """What may be said after ``piece``. What might be the beginning of a stop is kept back until more is known."""
        self.text += piece
        places = [at for stop in self.stops if (at := self.text.find(stop, self.given)) >= 0]
        if places:
            self.text, self.met = self.text[: min(places)], True
        until = len(self.text) if ended or self.met else len(self.text) - self.kept_back()
        said = self.text[self.given : until]
        self.given = until
        return said

    def kept_back(self) -> int:
        """How many characters at the end are the beginning of a stop."""
        lengths = range(min(max(map(len, self.stops)) - 1, len(self.text) - self.given), 0, -1)
        return next((n for n in lengths if any(stop.startswith(self.text[-n:]) for stop in self.stops)), 0)
