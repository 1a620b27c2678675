"""Naming the object in a region: COCO's 80 classes, and the labels of anybody's own folder.

COCO is the paper's regional classification with given boxes (its section 4). One run of it also gives the paper's
other two tables: run with noise it is the robustness test, and every result holds the region-referring hallucination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import eq

from chatspot.data.questions import NAME_QUESTIONS
from chatspot.data.records import Record, RegionRecord
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.detection import given_box_precision
from chatspot.eval.matching import coco_class, read_name
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.task import (
    ACCURACY,
    Draw,
    Form,
    Judged,
    Measure,
    Question,
    Task,
    about_region,
    judge_by,
    pointed_at,
    regions_asker,
)
from chatspot.regions import Box

LEAST_COCO_AREA = 200.0  # square pixels of a reduced picture; below, even a person has to guess (our choice)
WHOLE_SIZE = frozenset({"coco_val"})  # sources whose pictures are as their annotators saw them: every box is asked
NEIGHBOUR_IOU = 0.5  # an object is confusable with the asked region above this overlap (paper, section 4)

HALLUCINATION = Measure("hallucination", "names the neighbour, of all answers", high=False)
HALLUCINATION_OF_WRONG = Measure("hallucination_of_wrong", "names the neighbour, of wrong answers", high=False)
PARTS_OF_AP = (
    Measure("ap50", "AP50"),
    Measure("ap75", "AP75"),
    Measure("ap_small", "AP small"),
    Measure("ap_medium", "AP medium"),
    Measure("ap_large", "AP large"),
)
PRECISION = (
    Measure("ap", "AP, ranked by log-probability"),
    *PARTS_OF_AP,
    Measure("ap_unranked", "AP without ranking"),
)


def ask_coco(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """Every box of one of the 80 classes, crowds left out; in reduced pictures those of at least LEAST_COCO_AREA.

    ``neighbours`` of a question are the classes, other than the truth, of the objects that overlap the region.
    """
    for number in asked_objects(record):
        region, place = record.regions[number], pointed_at(record, number, form, draw)
        if place is None or region.box is None or region.label is None:
            continue
        others = neighbours(record, number, place if isinstance(place, Box) else region.box)
        extra = {"neighbours": others} if others else {}
        yield about_region("coco", record, number, NAME_QUESTIONS[0], place, region.label, form, draw, **extra)


def asked_objects(record: Record) -> Iterator[int]:
    """The numbers of the regions that are one object of a COCO class, large enough to be asked about."""
    least = 0.0 if record.source in WHOLE_SIZE else LEAST_COCO_AREA
    for number, region in enumerate(record.regions):
        if region.askable and region.box is not None and region.label in COCO_CLASSES and region.area_px >= least:
            yield number


def neighbours(record: Record, number: int, asked: Box) -> list[str]:
    """The classes, other than its own, of the objects whose box overlaps the asked box by an IoU above NEIGHBOUR_IOU.

    ``asked`` is the box as it is asked about, with its noise; crowds count as objects here."""
    truth = record.regions[number].label
    found = {
        other.label
        for at, other in enumerate(record.regions)
        if at != number
        and other.box is not None
        and other.label in COCO_CLASSES
        and other.label != truth
        and asked.iou(other.box) > NEIGHBOUR_IOU
    }
    return sorted(name for name in found if name)


def judge_coco(prediction: Prediction, find: Callable[[str], str | None] = coco_class) -> Judged:
    """Right when the answer's class is the annotated one; a hallucination when it is a neighbour's instead.

    The paper does not say of which total its 2 % are (decision 7 in PAPER.md), so both shares are kept: of all answers
    and of the wrong ones. An answer without a class is wrong and names no neighbour.
    """
    read, truth = find(prediction.answer or ""), prediction.truths[0]
    right = read == truth
    names_neighbour = float(not right and read in prediction.extra.get("neighbours", ()))
    return Judged(
        prediction.picture,
        prediction.truths[0],
        read,
        {
            "accuracy": float(right),
            "hallucination": names_neighbour,
            "hallucination_of_wrong": None if right else names_neighbour,
        },
    )


def coco_precision(
    predictions: Sequence[Prediction], find: Callable[[str], str | None] = coco_class
) -> dict[str, float]:
    """COCO's average precision of the answers as detections: the asked boxes with the classes that were named."""
    return given_box_precision(predictions, find)


def name_truth(region: RegionRecord) -> str | None:
    """The label of a region that can be asked about, and on which no text is annotated."""
    asked = region.askable and region.label and not region.text and read_name(region.label)
    return region.label if asked else None


OUTLINES: tuple[Form, ...] = ("polygon", "mask", "scribble")
COCO = Task(
    "coco", "name the object (COCO)", "coco", ("coco_val", "coco"), ("box", "point", *OUTLINES), ask_coco, judge_coco,
    16, (ACCURACY, HALLUCINATION, HALLUCINATION_OF_WRONG, *PRECISION), by_class=True, corpus=coco_precision,
    matched=True,
)  # fmt: skip
NAMES = Task(
    "names", "name the object (own labels)", "groceries_boxes",
    ("coco_json", "voc", "yolo", "labelme", "label_studio", "cvat", "csv"), ("box", "point", *OUTLINES),
    regions_asker("names", NAME_QUESTIONS[0], name_truth), judge_by(read_name, eq), 16, by_class=True,
)  # fmt: skip
