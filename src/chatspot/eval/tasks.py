"""What is asked of held-out photos: a task picks the regions, the question, and when an answer is right.

A task reads a folder of region JSON lines (``data.records``). The same folder gives the same questions in the same
order, whatever the model; ``limit`` draws a part of them by a published seed, so that a costly setting can be compared
with a cheap one on the same regions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import contains, eq
from pathlib import Path
from typing import Any, Literal, TypeAlias

from chatspot.data.questions import NAME_QUESTIONS, PLATE_QUESTIONS, TEXT_QUESTIONS
from chatspot.data.records import PLATE_LABEL, Record, RegionRecord, read_records
from chatspot.errors import DataError
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.matching import coco_class, read_name, read_plate, read_words
from chatspot.messages import Conversation, ask
from chatspot.regions import Box, Point, Region

Form: TypeAlias = Literal["box", "point"]
"""How a region is pointed at."""

LEAST_COCO_AREA = 200.0  # square pixels of the stored picture; below, even a person has to guess
SUBSET_SEED = "chatspot-2024"  # ``limit`` keeps the questions with the smallest sha256("SUBSET_SEED/id")


@dataclass(frozen=True)
class Question:
    """One question about one region of one picture.

    ``id`` is "SOURCE/PICTURE#N" with the region's number in its record, the same for every form. ``size`` is the
    upright picture's (width, height). ``extra`` holds what a later analysis may want:
    the region's ``area_px`` and ``form``.
    """

    id: str
    image: Path
    size: tuple[int, int]
    conversation: Conversation
    task: str
    truth: str
    extra: dict[str, Any]

    @property
    def region(self) -> Region:
        """The region that is asked about, as it is pointed at."""
        return self.conversation.messages[-1].regions[0]

    @property
    def region_json(self) -> dict[str, Any]:
        """The region as plain JSON values, in the [0, 1] frame."""
        return self.region.to_json()

    @property
    def text(self) -> str:
        """The question's words."""
        return self.conversation.messages[-1].text.strip()

    @property
    def picture(self) -> str:
        """The picture's name within its source: intervals treat its questions as one draw."""
        return self.id.rpartition("#")[0]


@dataclass(frozen=True)
class Task:
    """What is asked, of which regions, and when an answer is right.

    ``folder`` is the name of the data folder it was made for. ``truth`` gives a region's right answer, or None where it
    is not asked. ``read`` brings an answer, or a truth, into the form that is compared (None: the answer says nothing
    that could be compared); ``agrees(read answer, read truth)`` says whether it is right. ``by_class``: truths are
    classes, so the mean over classes (macro accuracy) means something.
    """

    name: str
    folder: str
    question: str
    forms: tuple[Form, ...]
    truth: Callable[[RegionRecord], str | None]
    read: Callable[[str], str | None]
    agrees: Callable[[str, str], bool]
    by_class: bool
    max_new_tokens: int


def coco_truth(region: RegionRecord) -> str | None:
    """The label, of regions of at least LEAST_COCO_AREA with one of the 80 classes; crowds are not asked."""
    asked = region.askable and region.label in COCO_CLASSES and region.area_px >= LEAST_COCO_AREA
    return region.label if asked else None


def word_truth(region: RegionRecord) -> str | None:
    """The transcription, where there is one that can be read."""
    return region.text if region.askable and region.text and read_words(region.text) else None


def plate_truth(region: RegionRecord) -> str | None:
    """The characters of a number plate."""
    asked = region.askable and region.label == PLATE_LABEL and region.text and read_plate(region.text)
    return region.text if asked else None


def name_truth(region: RegionRecord) -> str | None:
    """The label of a region that can be asked about, and on which no text is annotated."""
    asked = region.askable and region.label and not region.text and read_name(region.label)
    return region.label if asked else None


# The questions are the first of each of training's families, in the paper's words (its section 4). Answers are short;
# the token limits leave room for the longest truth spelled character by character.
COCO = Task("coco", "coco", NAME_QUESTIONS[0], ("box", "point"), coco_truth, coco_class, eq, True, 16)
WORDS = Task("words", "icdar2015_word_crops", TEXT_QUESTIONS[0], ("box",), word_truth, read_words, contains, False, 48)
PLATES = Task("plates", "license_plates", PLATE_QUESTIONS[0], ("box",), plate_truth, read_plate, eq, False, 32)
NAMES = Task("names", "groceries_boxes", NAME_QUESTIONS[0], ("box", "point"), name_truth, read_name, eq, True, 16)
TASKS = {task.name: task for task in (COCO, WORDS, PLATES, NAMES)}


def find_task(name: str) -> Task:
    """The task of that name. Raises ``DataError`` naming the known ones."""
    if name not in TASKS:
        raise DataError(f"there is no task {name!r}; known are {', '.join(TASKS)}")
    return TASKS[name]


def questions_of(task: Task, folder: Path, *, form: str = "box", limit: int | None = None) -> list[Question]:
    """The task's questions about a folder, record by record and region by region; at most ``limit`` of them.

    Raises ``DataError`` when the folder cannot be read, gives no question, or gives two of the same id, and when the
    task has no such form.
    """
    if form not in task.forms:
        raise DataError(f"task {task.name} points by {' or '.join(task.forms)}, not by {form!r}")
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1, got {limit}")
    found = [
        question_about(task, record, number, region, truth, form)
        for record in read_records(folder)
        for number, region in enumerate(record.regions)
        if region.box is not None and (truth := task.truth(region)) is not None
    ]
    if not found:
        raise DataError(f"{folder} has no region that task {task.name} asks about; it was made for a folder such as "
                        f"heldout/{task.folder}")  # fmt: skip
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            raise DataError(f"{folder}: two regions have the id {question.id}; pictures need names of their own")
        seen.add(question.id)
    return found if limit is None else subset(found, limit)


def question_about(task: Task, record: Record, number: int, region: RegionRecord, truth: str, form: str) -> Question:
    """The question about one region with a box, number ``number`` of its record."""
    assert region.box is not None
    place: Region = region.box if form == "box" else asked_point(region.box, region)
    conversation = Conversation((ask(task.question, place, style="short"),))
    extra = {"form": form, "area_px": round(region.area_px, 1)}
    return Question(f"{record.id}#{number}", record.image, record.size, conversation, task.name, truth, extra)


def asked_point(box: Box, region: RegionRecord) -> Point:
    """The box's centre; where an outline is known and the centre lies outside it, shapely's representative point, which
    is inside. (Without an outline the centre may miss the object: such questions stay in.)"""
    center = box.center
    if region.polygon is None or region.polygon.contains(center):
        return center
    inside = region.polygon.geometry.representative_point()
    return Point.from_normalized(inside.x, inside.y)


def subset(questions: list[Question], limit: int) -> list[Question]:
    """``limit`` of the questions, drawn by SUBSET_SEED, in their order; a smaller draw is part of a larger one."""

    def rank(question: Question) -> bytes:
        return hashlib.sha256(f"{SUBSET_SEED}/{question.id}".encode()).digest()

    kept = {question.id for question in sorted(questions, key=rank)[:limit]}
    return [question for question in questions if question.id in kept]
