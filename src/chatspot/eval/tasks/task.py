"""What a task is: which regions are asked about, in which words, and what an answer is worth.

The same records give the same questions in the same order, whatever the model. Everything that is drawn (noise, limits,
balanced halves) is drawn by SEED and the question's own name, never by its place, so a part of the questions is asked
exactly as it is within the whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from chatspot.data.dialogues.forms import few_corners, mask_of, stroke_inside
from chatspot.data.records import Record, RegionRecord
from chatspot.errors import DataError
from chatspot.eval.predictions import Prediction, Truth
from chatspot.messages import Conversation, ask
from chatspot.regions import Box, Point, Region, jitter

Form: TypeAlias = Literal["box", "point", "polygon", "mask", "scribble", "picture"]
"""How a region is pointed at; "picture": not at all, the question is about the whole picture."""

SEED = "chatspot-2024"


@dataclass(frozen=True)
class Measure:
    """A number of a result: its ``name`` there, a ``title`` for people, its ``unit`` (a share is shown as per cent),
    and whether a ``high`` value is good. One that is not ``of_answers`` is the same whatever is answered, so it has no
    chance level."""

    name: str
    title: str
    unit: Literal["share", "number"] = "share"
    high: bool = True
    of_answers: bool = True


ACCURACY = Measure("accuracy", "right answers")


@dataclass(frozen=True)
class Detection:
    """A box that a detector found: COCO's class number ``category``, left, top, width and height in pixels, score."""

    category: int
    box_xywh: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Draw:
    """What varies between two runs over the same records: ``noise`` is the paper's s, by which boxes are jittered;
    ``detections`` are a detector's boxes by the picture's name ("coco:139"), for the task that asks about them."""

    noise: float = 0.0
    detections: Mapping[str, Sequence[Detection]] | None = None

    def rng(self, *names: str) -> random.Random:
        """The generator for one draw; equal names draw the same."""
        return random.Random("/".join((SEED, *names)))


@dataclass(frozen=True)
class Question:
    """One question about one picture.

    ``id`` is "SOURCE/PICTURE#N" with the region's number in its record (or another number within the picture), the same
    for every form. ``size`` is the upright picture's (width, height). ``truth`` is the right answer, or a list of all
    that are accepted, the best first. ``extra`` holds what scoring needs beside it, as plain JSON; always ``form``.
    """

    id: str
    image: Path
    size: tuple[int, int]
    conversation: Conversation
    task: str
    truth: Truth
    extra: dict[str, Any]

    @property
    def region(self) -> Region | None:
        """The region that is asked about, as it is pointed at; the first of several, None for the whole picture."""
        regions = self.conversation.messages[-1].regions
        return regions[0] if regions else None

    @property
    def region_json(self) -> dict[str, Any]:
        """The region as plain JSON values, in the [0, 1] frame; {} for the whole picture."""
        return self.region.to_json() if self.region else {}

    @property
    def text(self) -> str:
        """The question's words."""
        return self.conversation.messages[-1].text.strip()

    @property
    def picture(self) -> str:
        """The picture's name within its source: intervals treat its questions as one draw."""
        return self.id.rpartition("#")[0]


@dataclass(frozen=True)
class Judged:
    """One answer beside its truth.

    ``read`` is the answer as the task compares it (a class, for coco), None where it says nothing that could be
    compared. ``points`` holds a number for each measure that is a mean, the main one first; None where the answer does
    not count for it. ``group`` names the part of the questions that this one belongs to, "" where there are no parts.
    """

    picture: str
    truth: str
    read: str | None
    points: Mapping[str, float | None]
    group: str = ""

    @property
    def right(self) -> bool:
        """Whether the answer gets all points of the main measure."""
        return next(iter(self.points.values())) == 1.0


Asker: TypeAlias = Callable[[Record, Form, Draw], Iterable[Question]]
Judge: TypeAlias = Callable[..., Judged]  # of a prediction, and of a class finder where the task is ``matched``
Corpus: TypeAlias = Callable[..., dict[str, float]]  # of predictions, and as above


@dataclass(frozen=True)
class Task:
    """What is asked, and what answers are worth.

    ``folder`` is the name of the data folder it was made for, ``sources`` the names in ``chatspot.data.sources`` whose
    original files it reads. ``ask(record, form, draw)`` gives the questions about one record, in order; ``judge`` the
    worth of one answer, from the prediction alone. ``corpus`` gives the measures that are no means over answers, such
    as AP. ``measures`` describes all of them, the main one first. ``by_class``: truths are classes, so the mean over
    classes and a confusion matrix mean something. ``matched``: answers are free text for one of COCO's classes;
    ``judge`` and ``corpus`` also take ``find``, one of the rules of ``eval.matching``. ``whole``: answers mean
    something only when a picture's questions are all asked.
    """

    name: str
    title: str
    folder: str
    sources: tuple[str, ...]
    forms: tuple[Form, ...]
    ask: Asker
    judge: Judge
    max_new_tokens: int
    measures: tuple[Measure, ...] = (ACCURACY,)
    by_class: bool = False
    corpus: Corpus | None = field(default=None, repr=False)
    matched: bool = False
    whole: bool = False


def regions_asker(
    name: str, words: str, truth: Callable[[RegionRecord], Truth | None], *, min_area_px: float = 0.0
) -> Asker:
    """The asker of a task that asks ``words`` about every region with a box for which ``truth`` knows an answer."""

    def asked(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
        for number, region in enumerate(record.regions):
            answer = truth(region)
            if answer is None or region.box is None or region.area_px < min_area_px:
                continue
            place = pointed_at(record, number, form, draw)
            if place is not None:
                yield about_region(name, record, number, words, place, answer, form, draw)

    return asked


def about_region(
    task: str,
    record: Record,
    number: int,
    words: str,
    place: Region,
    truth: Truth,
    form: Form,
    draw: Draw,
    **extra: Any,
) -> Question:
    """The question ``words`` about region ``number`` of the record, pointed at by ``place``."""
    conversation = Conversation((ask(words, place, style="short"),))
    facts = {"form": form, "area_px": round(record.regions[number].area_px, 1)}
    if draw.noise:
        facts["noise"] = draw.noise
    return Question(f"{record.id}#{number}", record.image, record.size, conversation, task, truth, {**facts, **extra})


def about_picture(task: str, record: Record, number: int, words: str, truth: Truth, **extra: Any) -> Question:
    """Question ``number`` about the whole picture."""
    conversation = Conversation((ask(words, style="short"),))
    return Question(
        f"{record.id}#{number}", record.image, record.size, conversation, task, truth, {"form": "picture", **extra}
    )


def pointed_at(record: Record, number: int, form: Form, draw: Draw) -> Region | None:
    """Region ``number`` of the record in the wanted form, with the draw's noise; None where it has no such form.

    A box is jittered by ``draw.noise``. A point is the box's centre (see ``asked_point``). A polygon is the annotated
    outline with at most as many corners as in training, a mask the annotated one or that outline filled in, a scribble
    a stroke through places inside the outline. Regions without an outline have none of these three.
    """
    region = record.regions[number]
    if form == "box":
        if region.box is None or not draw.noise:
            return region.box
        return jitter(region.box, draw.noise, size=record.size, rng=draw.rng("noise", f"{record.id}#{number}"))
    if form == "point":
        return region.point if region.box is None else asked_point(region.box, region)
    if form == "mask" and region.mask is not None:
        return region.mask
    if region.box is None or region.polygon is None or form == "picture":
        return None
    if form == "polygon":
        return few_corners(region.polygon)
    if form == "mask":
        return mask_of(region, record.size)
    return stroke_inside(region, draw.rng("scribble", f"{record.id}#{number}"))


def asked_point(box: Box, region: RegionRecord) -> Point:
    """The box's centre; where an outline is known and the centre lies outside it, shapely's representative point, which
    is inside. (Without an outline the centre may miss the object: such questions stay in.)"""
    center = box.center
    if region.polygon is None or region.polygon.contains(center):
        return center
    inside = region.polygon.geometry.representative_point()
    return Point.from_normalized(inside.x, inside.y)


def judge_by(read: Callable[[str], str | None], agrees: Callable[[str, str], bool]) -> Judge:
    """The judge that brings answer and accepted truths into the form ``read`` gives and asks whether they agree.

    An answer that cannot be read is wrong, and counted. Raises ``DataError`` for a truth that cannot be read.
    """

    def judge(prediction: Prediction) -> Judged:
        answer = read(prediction.answer or "")
        truths = [read(truth) for truth in prediction.truths]
        if None in truths:
            raise DataError(f"{prediction.id}: the truth {prediction.truth!r} cannot be compared")
        right = answer is not None and any(agrees(answer, truth) for truth in truths if truth is not None)
        return Judged(prediction.picture, prediction.truths[0], answer, {"accuracy": float(right)})

    return judge
