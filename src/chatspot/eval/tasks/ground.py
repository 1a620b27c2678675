"""Where is it? The question names an object, the answer is its box: grounded output, which the paper leaves open."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatspot.data.dialogues.families import GENERAL, family
from chatspot.data.dialogues.grounding import WHOLE_PICTURE
from chatspot.data.records import Record
from chatspot.errors import RegionError
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.objects import asked_objects
from chatspot.eval.tasks.task import Draw, Form, Judged, Measure, Question, Task, about_picture
from chatspot.prompts import read_regions
from chatspot.regions import Box

WHERE_QUESTION = family(GENERAL)["ground"][0]
RIGHT_IOU = 0.5  # RefCOCO's accuracy at IoU 0.5 (Yu et al., 2016), the field's measure of grounding
BARE_BOX = re.compile(r"[\[(]\s*" + r"\s*,\s*".join([r"(\d*\.?\d+)"] * 4) + r"\s*[\])]")

IOU_50 = Measure("iou50", "boxes with IoU of at least 0.5")
MEAN_IOU = Measure("mean_iou", "mean IoU")
POINTED = Measure("pointed", "boxes whose centre lies in the object's")


def ask_where(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """One question for each object that is the only one of its class in the picture and does not fill it."""
    for number in asked_objects(record):
        region = record.regions[number]
        alone = sum(other.label == region.label for other in record.regions) == 1
        if not alone or region.box is None or region.label is None or region.box.area > WHOLE_PICTURE:
            continue
        box = region.box
        words = WHERE_QUESTION.format(name=region.label)
        edges = [round(edge, 5) for edge in (box.x1, box.y1, box.x2, box.y2)]
        yield about_picture("ground", record, number, words, written(box), name=region.label, box=edges)


def written(box: Box) -> str:
    """The box as this project's models write it."""
    return f"<box>{box.x1:.3f}, {box.y1:.3f}, {box.x2:.3f}, {box.y2:.3f}</box>"


def read_box(answer: str) -> Box | None:
    """The first box that the answer names, in <box> tags or as four bare numbers of [0, 1] in brackets."""
    for region in read_regions(answer):
        if isinstance(region, Box):
            return region
    found = BARE_BOX.search(answer)
    try:
        return Box.from_normalized(*map(float, found.groups())) if found else None
    except RegionError:
        return None


def judge_where(prediction: Prediction) -> Judged:
    """Right when the answered box overlaps the object's by an IoU of RIGHT_IOU; without a box the IoU is 0."""
    truth, box = Box.from_normalized(*prediction.extra["box"]), read_box(prediction.answer or "")
    iou = box.iou(truth) if box else 0.0
    pointed = float(bool(box and truth.contains(box.center)))
    points = {"iou50": float(iou >= RIGHT_IOU), "mean_iou": iou, "pointed": pointed}
    return Judged(prediction.picture, prediction.truths[0], written(box) if box else None, points)


GROUND = Task(
    "ground", "answer with a box", "coco", ("coco_val", "coco"), ("picture",), ask_where, judge_where, 64,
    (IOU_50, MEAN_IOU, POINTED),
)  # fmt: skip
