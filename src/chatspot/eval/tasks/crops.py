"""Reading what a single crop shows: a word, a number plate."""

from __future__ import annotations

from operator import contains, eq

from chatspot.data.questions import PLATE_QUESTIONS, TEXT_QUESTIONS
from chatspot.data.records import PLATE_LABEL, RegionRecord
from chatspot.eval.matching import read_plate, read_words
from chatspot.eval.tasks.task import Task, judge_by, regions_asker


def word_truth(region: RegionRecord) -> str | None:
    """The transcription, where there is one that can be read."""
    return region.text if region.askable and region.text and read_words(region.text) else None


def plate_truth(region: RegionRecord) -> str | None:
    """The characters of a number plate."""
    asked = region.askable and region.label == PLATE_LABEL and region.text and read_plate(region.text)
    return region.text if asked else None


# The token limits leave room for the longest truth spelled character by character.
WORDS = Task(
    "words", "read the word (ICDAR 2015)", "icdar2015_word_crops", ("icdar2015_words", "icdar2015"), ("box",),
    regions_asker("words", TEXT_QUESTIONS[0], word_truth), judge_by(read_words, contains), 48,
)  # fmt: skip
PLATES = Task(
    "plates", "read the plate (OpenALPR)", "license_plates", ("openalpr",), ("box",),
    regions_asker("plates", PLATE_QUESTIONS[0], plate_truth), judge_by(read_plate, eq), 32,
)  # fmt: skip
