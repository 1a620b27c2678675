"""Naming what a detector boxed: the paper's regional classification with DINO's boxes (its Table 1).

The detector's boxes come as a COCO results file, a list of {"image_id", "category_id", "bbox": [x, y, w, h], "score"}
in pixels of the pictures as they are stored. The model names each box; COCO's average precision says how well boxes and
names fit the annotated objects. Which score ranks the boxes is not said in the paper: here the detector's own, which
the model does not change (decision 6 in PAPER.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from chatspot.data.questions import NAME_QUESTIONS
from chatspot.data.records import Record
from chatspot.errors import DataError, RegionError
from chatspot.eval.coco import COCO_CLASSES, class_of
from chatspot.eval.detection import Found, Object, average_precision
from chatspot.eval.matching import coco_class
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.objects import PARTS_OF_AP
from chatspot.eval.tasks.task import ACCURACY, Detection, Draw, Form, Judged, Measure, Question, Task
from chatspot.messages import Conversation, ask
from chatspot.regions import Box

MOST_BOXES = 100  # of a picture, those of the highest score: COCO's evaluation counts no more (maxDets)
LEAST_SCORE = 0.05  # boxes of less are not asked about (our choice; they hardly move AP and cost most of the time)
OVERHANG = 0.02  # share of its side by which a box may leave the picture before it must be of another size (our choice)
OBJECT_IOU = 0.5  # a box shows the object that it overlaps most, by at least this
NOTHING = "nothing"

MEASURES = (
    Measure("ap", "AP, ranked by the detector's score"),
    ACCURACY,
    *PARTS_OF_AP,
    Measure("ap_product", "AP, ranked by that score times the answer's probability"),
    Measure("ap_detector", "AP with the detector's own classes", of_answers=False),
)


def read_detections(file: Path) -> dict[str, list[Detection]]:
    """A COCO results file by picture ("coco:139"): at most MOST_BOXES boxes each, of at least LEAST_SCORE, the best
    first. Raises ``DataError`` that names the entry at fault."""
    try:
        entries = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as detections ({error}); expected a COCO results file") from error
    if not isinstance(entries, list):
        raise DataError(f"{file}: expected a list of detections, got {type(entries).__name__}")
    found: dict[str, list[Detection]] = {}
    for number, entry in enumerate(entries):
        try:
            x, y, width, height = (float(edge) for edge in entry["bbox"])
            detection = Detection(int(entry["category_id"]), (x, y, width, height), float(entry["score"]))
            if not all(map(math.isfinite, (*detection.box_xywh, detection.score))):
                raise ValueError("numbers must be finite")
            picture = f"coco:{int(entry['image_id'])}"
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file}, detection {number}: {error!r}; expected image_id, category_id, bbox "
                            "[x, y, width, height] and score") from error  # fmt: skip
        if detection.score >= LEAST_SCORE and width > 0 and height > 0:
            found.setdefault(picture, []).append(detection)
    return {picture: sorted(each, key=lambda one: -one.score)[:MOST_BOXES] for picture, each in found.items()}


def ask_detected(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """What is in each of the detector's boxes. The picture's first question carries its annotated objects, so that AP
    can be computed from the answers' file alone; a picture without a box is asked about as a whole to carry them."""
    if draw.detections is None:
        raise DataError("task detected asks about a detector's boxes: give a COCO results file with --detections")
    if draw.noise:
        raise DataError("task detected has no noise: its boxes are the detector's")
    name = next((each for each in record.image_ids if each.startswith("coco:")), None)
    if name is None:
        raise DataError(f"{record.id} has no COCO number to find its detections by")
    objects = annotated(record)
    extra: dict[str, Any] = {"objects": [[one[0], *one[1], one[2], one[3]] for one in objects]}
    asked = 0
    for at, detection in enumerate(draw.detections.get(name, ())):
        box = detected_box(detection, record, name)
        own = {"score": detection.score, "category": class_of(detection.category), **extra}
        yield question(record, at, box, shown_object(box, objects, record), form, own)
        extra, asked = {}, asked + 1
    if not asked:
        yield question(record, 0, Box.from_normalized(0, 0, 1, 1), NOTHING, form, extra)


def question(record: Record, at: int, box: Box, truth: str, form: Form, extra: dict[str, Any]) -> Question:
    """The question about box ``at`` of the record."""
    conversation = Conversation((ask(NAME_QUESTIONS[0], box, style="short"),))
    extra = {"form": form, **extra}
    return Question(f"{record.id}#{at}", record.image, record.size, conversation, "detected", truth, extra)


def annotated(record: Record) -> list[tuple[str, tuple[float, float, float, float], float, int]]:
    """The picture's objects of COCO's classes: name, box in pixels, annotated area, and 1 for a crowd."""
    found = []
    for region in record.regions:
        if region.label in COCO_CLASSES and region.box is not None:
            x, y, width, height = (round(edge, 2) for edge in region.box.to_pixels_xywh(record.size))
            crowd = int(not region.askable)
            found.append((str(region.label), (x, y, width, height), round(region.area_px, 1), crowd))
    return found


def detected_box(detection: Detection, record: Record, name: str) -> Box:
    """The detection as a box of the picture, what overhangs by a little clipped."""
    x, y, width, height = detection.box_xywh
    columns, rows = record.size
    over = max(-x / columns, -y / rows, (x + width) / columns - 1, (y + height) / rows - 1)
    try:
        if over > OVERHANG:
            raise RegionError(f"it leaves the picture of {columns} x {rows} pixels")
        return Box.from_pixels_xywh(x, y, width, height, size=record.size, outside="clip")
    except RegionError as error:
        raise DataError(f"a detection in {name}, {list(detection.box_xywh)}, is no box there ({error}); were the "
                        "detections made on pictures of another size?") from error  # fmt: skip


def shown_object(box: Box, objects: Sequence[tuple[str, Any, float, int]], record: Record) -> str:
    """The class of the object that the box overlaps most, by an IoU of at least OBJECT_IOU; NOTHING without one."""
    best, name = OBJECT_IOU, NOTHING
    for label, edges, _, crowd in objects:
        iou = 0.0 if crowd else box.iou(Box.from_pixels_xywh(*edges, size=record.size, outside="clip"))
        if iou >= best:
            best, name = iou, label
    return name


def judge_detected(prediction: Prediction, find: Callable[[str], str | None] = coco_class) -> Judged:
    """Right when the named class is that of the object in the box; boxes without an object do not count."""
    read, truth = find(prediction.answer or ""), prediction.truths[0]
    points = None if truth == NOTHING else float(read == truth)
    return Judged(prediction.picture, truth, read, {"accuracy": points})


def detected_precision(
    predictions: Sequence[Prediction], find: Callable[[str], str | None] = coco_class
) -> dict[str, float]:
    """COCO's AP of the detector's boxes with the named classes, ranked by the detector's score; "ap_product" by that
    times the answer's probability (where every answer has one), and "ap_detector" with the detector's own classes."""
    objects, named, product, own = [], [], [], []
    for prediction in sorted(predictions, key=lambda each: each.id):
        extra, picture = prediction.extra, prediction.picture
        objects += [
            Object(picture, name, (x, y, width, height), area, bool(crowd))
            for name, x, y, width, height, area, crowd in extra.get("objects", ())
        ]
        if "score" not in extra or prediction.answer is None:
            continue
        box = Box.from_normalized(*prediction.region["box"]).to_pixels_xywh(prediction.size)
        read = find(prediction.answer)
        own.append(Found(picture, extra["category"], box, extra["score"]))
        if read is not None:
            named.append(Found(picture, read, box, extra["score"]))
            if prediction.logprob is not None:
                product.append(Found(picture, read, box, extra["score"] * math.exp(prediction.logprob)))
    found = average_precision(objects, named)
    if len(product) == len(named) and found:
        found["ap_product"] = average_precision(objects, product)["ap"]
    if found:
        found["ap_detector"] = average_precision(objects, own)["ap"]
    return found


DETECTED = Task(
    "detected", "name what a detector boxed (COCO)", "coco", ("coco_val", "coco"), ("box",), ask_detected,
    judge_detected, 16, MEASURES, corpus=detected_precision, whole=True, matched=True,
)  # fmt: skip
