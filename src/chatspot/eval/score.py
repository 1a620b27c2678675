"""From predictions to numbers. Pure functions: the same predictions give the same numbers on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chatspot.errors import DataError
from chatspot.eval.predictions import Prediction, PredictionsFile
from chatspot.eval.tasks import Task, find_task

KIND, FORMAT = "evaluation", 1
RESAMPLES, BOOTSTRAP_SEED = 2000, 0
LEVEL = 0.95
INTERVAL_RULE = f"95 % percentile bootstrap over pictures, {RESAMPLES} resamples, seed {BOOTSTRAP_SEED}"


@dataclass(frozen=True)
class Judged:
    """One answer beside its truth. ``read`` is the answer as the task compares it (a class, for coco), or None."""

    picture: str
    truth: str
    read: str | None
    right: bool


def score(file: PredictionsFile) -> dict[str, Any]:
    """The result of a predictions file, ready to be written as JSON: what was measured, and from what.

    ``n`` counts the answered questions, which alone are scored; ``errors`` counts the failed ones. ``micro`` is the
    share of right answers, ``macro`` the mean of that share over the classes present (null for tasks without classes),
    each with the bounds of INTERVAL_RULE; ``majority`` the share that always giving the commonest truth would get, and
    ``chance`` the share that these answers would get on average if they were dealt out to the questions at random.

    Raises ``DataError`` when nothing was answered or when questions are still unasked.
    """
    header = file.header
    if len(file.predictions) != header.questions:
        raise DataError(f"{len(file.predictions)} of {header.questions} questions of task {header.task} were asked; "
                        "predict again with the same settings to finish, then score")  # fmt: skip
    task = find_task(header.task)
    predictions = list(file.predictions.values())
    answered = [prediction for prediction in predictions if prediction.error is None]
    seconds = [prediction.seconds for prediction in answered if prediction.seconds is not None]
    return {
        "kind": KIND,
        "format": FORMAT,
        "task": header.task,
        "form": header.form,
        "focal_view": bool(header.settings.get("focal_view")),
        "model": header.model,
        "settings": header.settings,
        "data": header.data,
        "limit": header.limit,
        "asked": header.questions,
        "errors": len(predictions) - len(answered),
        **accuracies(task, answered),
        "seconds_per_answer": round(sum(seconds) / len(seconds), 4) if seconds else None,
        "commit": ", ".join(file.commits),
        "machine": header.machine,
        "date": header.date,
        "command": header.command,
    }


def accuracies(task: Task, answered: Sequence[Prediction]) -> dict[str, Any]:
    """The numbers of ``score`` for answered questions of one task. Raises ``DataError`` when there is none."""
    if not answered:
        raise DataError(f"there is no answer to score for task {task.name}: every question failed, or none was asked")
    judged = [judge(task, prediction) for prediction in answered]
    micro, macro = intervals(judged)
    truths = Counter(one.truth for one in judged)
    commonest = min(truths, key=lambda truth: (-truths[truth], truth))
    return {
        "n": len(judged),
        "pictures": len({one.picture for one in judged}),
        "unmatched": sum(one.read is None for one in judged),
        "micro": micro,
        "macro": macro if task.by_class else None,
        "interval": INTERVAL_RULE,
        "majority": {"answer": commonest, "accuracy": truths[commonest] / len(judged)},
        "chance": chance(task, judged),
        "classes": per_class(judged) if task.by_class else None,
    }


def judge(task: Task, prediction: Prediction) -> Judged:
    """Whether one answer is right by the task's rule."""
    read, truth = task.read(prediction.answer or ""), task.read(prediction.truth)
    if truth is None:
        raise DataError(f"{prediction.id}: the truth {prediction.truth!r} cannot be compared in task {task.name}")
    right = read is not None and task.agrees(read, truth)
    return Judged(prediction.picture, prediction.truth, read, right)


def intervals(judged: Sequence[Judged]) -> tuple[dict[str, float], dict[str, float]]:
    """Micro and macro accuracy, each as ``value``, ``low`` and ``high``.

    Pictures are drawn with replacement, all questions of a picture together, because answers about one picture are
    alike; a class that a draw misses is left out of that draw's mean.
    """
    import numpy as np

    pictures = {name: at for at, name in enumerate(sorted({one.picture for one in judged}))}
    classes = {name: at for at, name in enumerate(sorted({one.truth for one in judged}))}
    asked, right = (np.zeros((len(pictures), len(classes))) for _ in range(2))
    for one in judged:
        asked[pictures[one.picture], classes[one.truth]] += 1
        right[pictures[one.picture], classes[one.truth]] += one.right
    draws = np.random.default_rng(BOOTSTRAP_SEED).multinomial(
        len(pictures), np.full(len(pictures), 1 / len(pictures)), size=RESAMPLES
    )
    weights = np.vstack([np.ones((1, len(pictures))), draws])  # the first row is the sample itself
    asked, right = weights @ asked, weights @ right
    micro = right.sum(1) / asked.sum(1)
    with np.errstate(invalid="ignore"):
        macro = np.nanmean(right / asked, axis=1)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]

    def summary(values: np.ndarray) -> dict[str, float]:
        low, high = np.quantile(values[1:], tails)
        return {"value": float(values[0]), "low": float(low), "high": float(high)}

    return summary(micro), summary(macro)


def chance(task: Task, judged: Sequence[Judged]) -> float:
    """The mean over all pairs of an answer and a truth of whether they agree."""
    answers = Counter(one.read for one in judged if one.read is not None)
    truths = Counter(task.read(one.truth) for one in judged)
    agreeing = sum(
        often * count
        for read, often in answers.items()
        for truth, count in truths.items()
        if truth is not None and task.agrees(read, truth)
    )
    return agreeing / len(judged) ** 2


def per_class(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """For each class, the commonest first: ``n``, ``right``, ``unmatched``, and ``taken_for``, the commonest wrong
    class (null when there is none)."""
    table: dict[str, dict[str, Any]] = {}
    for name, n in sorted(Counter(one.truth for one in judged).items(), key=lambda item: (-item[1], item[0])):
        own = [one for one in judged if one.truth == name]
        wrong = Counter(one.read for one in own if not one.right and one.read is not None)
        table[name] = {
            "n": n,
            "right": sum(one.right for one in own),
            "unmatched": sum(one.read is None for one in own),
            "taken_for": min(wrong, key=lambda each: (-wrong[each], each)) if wrong else None,
        }
    return table
