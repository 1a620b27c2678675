"""Questions whose text names regions: the marks that a set writes become those of a record, "<region0>"."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chatspot.data.faults import Frame
from chatspot.data.records import REGION_MARK, Question, RegionRecord
from chatspot.errors import DataError


@dataclass
class MarkedPicture:
    """A picture, its regions and what is asked about them. ``where`` is its first entry."""

    where: str
    frame: Frame
    image_ids: tuple[str, ...]
    regions: list[RegionRecord] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def number_of(self, region: RegionRecord) -> int:
        """The number of a region, which is added unless an equal one is there."""
        if region not in self.regions:
            self.regions.append(region)
        return self.regions.index(region)


def with_region_marks(text: str, mark: re.Pattern[str], number_of: Callable[[re.Match[str]], int]) -> str:
    """The text with "<region0>" in each place that ``mark`` finds. Raises ``DataError`` for a text that has a record's
    own marks already, and passes on what ``number_of`` raises."""
    if REGION_MARK.search(text):
        raise DataError(f"the text names a region as only records may: {reprlib.repr(text)}")
    return mark.sub(lambda found: f"<region{number_of(found)}>", text)


def marked_question(lines: Sequence[str], answers: Sequence[str], kind: str) -> Question:
    """A question of one or more lines in a record's marks. Raises ``DataError`` where it or an answer is empty."""
    if not lines[0] or not answers or not all(answers):
        raise DataError("the question or its answer is empty")
    marks = [mark for text in (*lines, *answers) for mark in REGION_MARK.findall(text)]
    return Question("\n".join(lines), tuple(answers), tuple(dict.fromkeys(int(mark) for mark in marks)), kind)
