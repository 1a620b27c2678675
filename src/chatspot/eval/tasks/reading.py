"""Regional OCR: COCO-Text as the paper asks it (its section 4), and other pictures with several texts."""

from __future__ import annotations

from chatspot.data.questions import TEXT_QUESTIONS
from chatspot.eval.matching import read_words
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.crops import word_truth
from chatspot.eval.tasks.task import ACCURACY, Judged, Measure, Task, regions_asker

QUOTES = "\"'`\u00ab\u00bb\u2018\u2019\u201c\u201d "
EXACT = Measure("exact", "exactly the answer")


def judge_reading(prediction: Prediction) -> Judged:
    """Right when the answer contains the text, whatever the case (the paper's rule); ``exact`` when it is the text and
    nothing else but quotes around it (the rule of SPHINX-V's ``Regional_OCR/OCR_eval.py``, exact without case)."""
    answer, truth = read_words(prediction.answer or ""), read_words(prediction.truths[0]) or ""
    return Judged(
        prediction.picture,
        prediction.truths[0],
        answer,
        {
            "accuracy": float(answer is not None and truth in answer),
            "exact": float(answer is not None and answer.strip(QUOTES) == truth.strip(QUOTES)),
        },
    )


# The limit leaves room for the longest truth spelled character by character.
COCOTEXT = Task(
    "cocotext", "read the text (COCO-Text)", "icdar2015_scene_text",
    ("coco_text_val", "icdar2015", "hier_text", "coco_text", "art"), ("box", "point", "polygon", "mask", "scribble"),
    regions_asker("cocotext", TEXT_QUESTIONS[0], word_truth), judge_reading, 48, (ACCURACY, EXACT),
)  # fmt: skip
