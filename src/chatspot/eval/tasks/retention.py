"""What a model can do beside pointing: the fixed texts and questions of ``train.abilities``, as a task of the bench.

No picture is shown and no folder is read: ``eval.retention`` asks, and this scores. The perplexity is over all texts
together; where the model gives no probabilities of texts there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from chatspot.data.records import Record
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.task import ACCURACY, Draw, Form, Judged, Measure, Question, Task

TEXT = "text"  # kind of a prediction that is a text and its loss; others are questions


def ask_nothing(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """No question: none is about a record."""
    return ()


def judge_retention(prediction: Prediction) -> Judged:
    """Right when an accepted answer stands in the reply as whole words, and for yes or no when it opens it. A text
    counts for the perplexity alone. The kinds of questions are groups."""
    from chatspot.train.abilities.retention import YES_NO, is_right, words

    if "nats" in prediction.extra:
        return Judged(prediction.picture, prediction.truths[0], TEXT, {"accuracy": None}, "")
    kind, reply = str(prediction.extra.get("kind", "")), prediction.answer or ""
    right = is_right(reply, prediction.truths, kind == YES_NO)
    return Judged(prediction.picture, prediction.truths[0], words(reply) or None, {"accuracy": float(right)}, kind)


def perplexities(predictions: Sequence[Prediction]) -> dict[str, float]:
    """e to the loss a token over all texts, none where there is no text."""
    losses = [prediction.extra for prediction in predictions if "nats" in prediction.extra]
    if not losses:
        return {}
    return {"perplexity": math.exp(sum(loss["nats"] for loss in losses) / sum(loss["tokens"] for loss in losses))}


RETENTION = Task(
    "retention", "general abilities", "none: 'chatspot eval retention' asks", (), ("picture",), ask_nothing,
    judge_retention, 32,
    (ACCURACY, Measure("perplexity", "perplexity of texts", "number", high=False, of_answers=False)),
    corpus=perplexities,
)  # fmt: skip
