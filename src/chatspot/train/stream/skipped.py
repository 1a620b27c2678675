"""What a run could not use: counted, listed, and too much of it stops the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chatspot.errors import TrainingError
from chatspot.train.stream.reading import Skip

LISTED = 1000  # findings of a kind in the list; all are counted
LEAST_SLOTS = 50  # before so many a share says nothing


class Skipped:
    """Counts of slots since the run was started, and a list of what could not be used in ``file`` (None: no list).

    ``slots`` were seen, ``unusable`` of them held something that could not be read or learnt from. ``too_long`` counts
    dialogues that are longer than a row, which are nobody's fault.
    """

    def __init__(self, file: Path | None, most: float):
        self.file, self.most = file, most
        self.slots = self.unusable = self.too_long = 0
        self.last: Skip | None = None
        self.listed = Counter[str]()
        self.known = set(file.read_text("utf-8").splitlines()) if file and file.is_file() else set()

    def slot(self, faults: Sequence[Skip]) -> None:
        """Count a slot that was seen, with all that was wrong in it."""
        self.slots += 1
        self.unusable += bool(faults)
        for fault in faults:
            self.last = fault
            self.list("unusable", fault)

    def longer(self, where: str, tokens: int, row_tokens: int) -> None:
        """Count a dialogue of ``tokens`` tokens that no row can hold."""
        self.too_long += 1
        self.list("too long", Skip(where, f"{tokens} tokens, row_tokens is {row_tokens}"))

    def list(self, kind: str, fault: Skip) -> None:
        """Add a line to the list, once for each finding."""
        line = json.dumps({"kind": kind, "where": fault.where, "why": fault.why})
        if self.file is None or line in self.known or self.listed[kind] >= LISTED:
            return
        self.known.add(line)
        self.listed[kind] += 1
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")

    def check(self) -> None:
        """``TrainingError`` when more than the share ``most`` of the slots could not be used."""
        if self.slots >= LEAST_SLOTS and self.unusable > self.most * self.slots:
            raise TrainingError(
                f"{self.unusable} of {self.slots} samples could not be used, most_skipped allows "
                f"{self.most:.1%}{self.why}"
            )

    @property
    def why(self) -> str:
        """The end of a message: the last finding and where the others are."""
        last = f"; the last one is {self.last.where}: {self.last.why}" if self.last else ""
        return last + (f"; {self.file} lists them" if self.file and self.last else "")
