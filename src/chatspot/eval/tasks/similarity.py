"""Open names: how near in meaning is what the model calls a thing to what annotators called it?

The measure of LVIS and PACO since Osprey (``osprey/eval/lvis_paco_eval.py``): no list of classes, the cosine of
sentence embeddings, and the share of words in common.
"""

from __future__ import annotations

from chatspot.data.questions import NAME_QUESTIONS
from chatspot.data.records import RegionRecord
from chatspot.eval.matching import read_name
from chatspot.eval.matching.sentences import similarity
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.task import Judged, Measure, Task, regions_asker

MEASURES = (Measure("similarity", "semantic similarity"), Measure("semantic_iou", "semantic IoU"))


def open_truth(region: RegionRecord) -> str | None:
    """The label of a region, with underscores and colons as blanks; no mere text."""
    asked = region.askable and region.label and not region.text and read_name(region.label)
    return " ".join((region.label or "").replace("_", " ").replace(":", " ").split()) if asked else None


def judge_similarity(prediction: Prediction) -> Judged:
    """The cosine, -1 to 1, and the share of words in common, as Osprey's evaluation has them.

    An answer without a letter or digit cannot be read: it has the points that the measure gives an empty text.
    """
    answer, truth = compared(prediction.answer or ""), prediction.truths[0]
    points = {"similarity": similarity(answer, truth), "semantic_iou": semantic_iou(answer, truth)}
    return Judged(prediction.picture, truth, read_name(answer), dict(points))


def compared(answer: str) -> str:
    """The part of an answer that is compared: between its first colon and the next, full stops and commas as blanks."""
    text = answer.strip()
    text = text.split(":")[1] if ":" in text else text
    return text.replace(".", " ").replace(",", " ")


def semantic_iou(answer: str, truth: str) -> float:
    """The words that both have over those that either has, in lower case, split at blanks; 0 where there is none."""
    said, wanted = set(answer.lower().split()), set(truth.lower().split())
    return len(said & wanted) / len(said | wanted) if said | wanted else 0.0


SIMILARITY = Task(
    "similarity", "name the object in free words (LVIS, PACO)", "gar_bench",
    ("named_masks", "gar_bench", "dlc_bench", "coco_json", "coco_val", "coco"),
    ("mask", "box", "point", "polygon", "scribble"), regions_asker("similarity", NAME_QUESTIONS[0], open_truth),
    judge_similarity, 24, MEASURES,
)  # fmt: skip
