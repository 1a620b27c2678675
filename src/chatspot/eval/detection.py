"""COCO's average precision of answers: each answer is a detection, its box the asked one, its class the named one.

The numbers are faster-coco-eval's, which are pycocotools' (the paper's Table 1 has the same seven). What a language
model does not give is a score to rank detections by, and the paper does not say which it took:

- boxes that were given are ranked by the answer's log-probability, its tokens' summed; ``ap_unranked`` needs no score:
  all detections of a class are one point of its curve;
- a detector's boxes keep the detector's score (decision 6 in PAPER.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chatspot.eval.predictions import Prediction
from chatspot.regions import Box, region_from_json

Box4 = tuple[float, float, float, float]
STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")  # the first six of pycocotools' summary
RECALLS = 101  # recall levels 0, 0.01, ..., 1 at which COCO averages precision (pycocotools' cocoeval.py, recThrs)


@dataclass(frozen=True)
class Object:
    """One annotated object: picture, class, left, top, width and height in pixels, annotated area, crowd or not."""

    picture: str
    name: str
    box_xywh: Box4
    area_px: float
    crowd: bool = False


@dataclass(frozen=True)
class Found:
    """One detection: picture, class, left, top, width and height in pixels, and the score that ranks it."""

    picture: str
    name: str
    box_xywh: Box4
    score: float


def average_precision(objects: Iterable[Object], found: Iterable[Found]) -> dict[str, float]:
    """COCO's AP (mean over IoU 0.5 to 0.95), AP50, AP75 and AP of small, medium and large objects, 0 to 1, by STATS'
    names. One that no object counts for (no small one, say) is left out.

    Classes without an object do not count, as in COCO. At most 100 detections of a picture count.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truths, guesses = list(objects), list(found)
    pictures = {name: at for at, name in enumerate(sorted({one.picture for one in truths}), 1)}
    classes = {name: at for at, name in enumerate(sorted({one.name for one in truths}), 1)}
    dataset: dict[str, list[dict[str, Any]]] = {
        "images": [{"id": at} for at in pictures.values()],
        "categories": [{"id": at, "name": name} for name, at in classes.items()],
        "annotations": [
            {"id": at, "image_id": pictures[one.picture], "category_id": classes[one.name],
             "bbox": list(one.box_xywh), "area": one.area_px, "iscrowd": int(one.crowd)}
            for at, one in enumerate(truths, 1)
        ],
    }  # fmt: skip
    results = [
        {"image_id": pictures[one.picture], "category_id": classes[one.name], "bbox": list(one.box_xywh),
         "score": one.score}
        for one in guesses
        if one.picture in pictures and one.name in classes
    ]  # fmt: skip
    if not truths:
        return {}
    if not results:  # loadRes refuses an empty list
        return {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    annotated = COCO(dataset)
    evaluation = COCOeval_faster(annotated, annotated.loadRes(results), "bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: float(value) for name, value in zip(STATS, evaluation.stats, strict=False) if value >= 0}


def unranked_precision(truths: Counter[str], named: Counter[str], right: Counter[str]) -> float:
    """AP where nothing ranks the detections and every right one fits its box exactly: the mean over the classes that
    have objects of precision times the share of COCO's recall levels that are reached."""
    shares = []
    for name, count in truths.items():
        reached = math.floor(right[name] / count * (RECALLS - 1) + 1e-9) + 1 if right[name] else 0
        shares.append(right[name] / named[name] * reached / RECALLS if named[name] else 0.0)
    return sum(shares) / len(shares)


def given_box_precision(predictions: Sequence[Prediction], find: Callable[[str], str | None]) -> dict[str, float]:
    """``average_precision`` of answers about given boxes, and "ap_unranked". The asked boxes are objects and detections
    at once, so each IoU is 1 and AP, AP50 and AP75 are one number, as the paper's 48.8 is.

    ``find`` gives the class that an answer names; one without a class detects nothing. Without log-probabilities there
    is "ap_unranked" alone.
    """
    objects, found = [], []
    truths, named, right = Counter[str](), Counter[str](), Counter[str]()
    for prediction in sorted(predictions, key=lambda each: each.id):
        truth, answer = prediction.truths[0], find(prediction.answer or "")
        truths[truth] += 1
        if answer is not None:
            named[answer] += 1
            right[answer] += answer == truth
        box = asked_box(prediction)
        if box is None:
            continue
        objects.append(Object(prediction.picture, truth, box, float(prediction.extra["area_px"])))
        if answer is not None and prediction.logprob is not None:
            found.append(Found(prediction.picture, answer, box, math.exp(prediction.logprob)))
    unranked = {"ap_unranked": unranked_precision(truths, named, right)} if truths else {}
    if len(objects) < len(predictions) or any(each.logprob is None for each in predictions):
        return unranked
    return {**average_precision(objects, found), **unranked}


def asked_box(prediction: Prediction) -> Box4 | None:
    """The asked region's box in pixels, left, top, width and height; None for a point or the whole picture."""
    if not prediction.region or "point" in prediction.region:
        return None
    region = region_from_json(prediction.region)
    box = region if isinstance(region, Box) else region.bounding_box()
    return box.to_pixels_xywh(prediction.size)
