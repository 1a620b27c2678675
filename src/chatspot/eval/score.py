"""From predictions to numbers. Pure functions: the same predictions give the same numbers on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from chatspot.engine.calibration import Calibration
from chatspot.errors import DataError
from chatspot.eval.confidence import calibration_for, confidence_numbers, graded, single_measure
from chatspot.eval.matching import DEFAULT_RULE, agreement, class_finder
from chatspot.eval.measures import (
    INTERVAL_RULE,
    MACRO,
    OF_READ,
    chance,
    corpus_intervals,
    macro,
    mean_intervals,
    mean_points,
    paired,
    with_of_read,
)
from chatspot.eval.predictions import Prediction, PredictionsFile
from chatspot.eval.tasks import Judged, Task, find_task

KIND, COMPARISON, FORMAT = "evaluation", "comparison", 2


def score(
    file: PredictionsFile,
    matching: str = DEFAULT_RULE,
    *,
    corpus: bool = True,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """The result of a predictions file, ready to be written as JSON: what was measured, and from what.

    ``n`` counts the answered questions, which alone are scored; ``errors`` the failed ones, ``unread`` the answers that
    say nothing which could be compared: they count as wrong, and the measure "..._of_read" leaves them out. Each of
    ``measures`` has its value, the bounds of INTERVAL_RULE, ``chance`` (these answers dealt out at random; null where
    they do not matter) and its own n. ``main`` names the first. ``matching`` is the rule by which free answers are
    matched to COCO's classes, where the task does so (``eval.matching``). Without ``corpus``, measures that are no
    means over answers, such as AP, are left out: their intervals take most of the time. ``confidence`` says what the
    answers' probabilities are worth (``confidence_numbers``), by ``calibration`` or, for nano, its own.

    Raises ``DataError`` when nothing was answered, when questions are still unasked, or for a calibration of other
    weights.
    """
    header = file.header
    check_finished(file)
    predictions = list(file.predictions.values())
    answered = [prediction for prediction in predictions if prediction.error is None]
    failed = [prediction for prediction in predictions if prediction.error is not None]
    task = with_matching(find_task(header.task), matching, answered)
    task = task if corpus else replace(task, corpus=None)
    seconds = [prediction.seconds for prediction in answered if prediction.seconds is not None]
    tokens = [prediction.tokens for prediction in answered if prediction.tokens is not None]
    return {
        "kind": KIND,
        "format": FORMAT,
        "task": header.task,
        "form": header.form,
        "way": header.way,
        "noise": header.noise,
        "model": header.model,
        "settings": header.settings,
        "data": header.data,
        "limit": header.limit,
        "asked": header.questions,
        "errors": len(failed),
        **numbers(task, answered, failed, calibration_for(header, calibration)),
        "matching": matching_facts(task, matching, answered),
        "seconds_per_answer": round(sum(seconds) / len(seconds), 4) if seconds else None,
        "tokens_per_answer": [round(sum(counts) / len(tokens), 1) for counts in zip(*tokens, strict=True)] or None,
        "commit": ", ".join(file.commits),
        "machine": header.machine,
        "date": header.date,
        "command": header.command,
    }


def check_finished(file: PredictionsFile) -> None:
    """Raise ``DataError`` when questions of the file are still unasked."""
    asked, wanted = len(file.predictions), file.header.questions
    if asked != wanted:
        raise DataError(f"{asked} of {wanted} questions of task {file.header.task} were asked; predict again with the "
                        "same settings to finish, then score")  # fmt: skip


def with_matching(task: Task, rule: str, predictions: Sequence[Prediction]) -> Task:
    """The task with its judge bound to a rule for matching answers to classes, where it has any."""
    if not task.matched:
        return task
    find = class_finder(rule, [prediction.answer or "" for prediction in predictions])
    corpus = partial(task.corpus, find=find) if task.corpus else None
    return replace(task, judge=partial(task.judge, find=find), corpus=corpus)


def matching_facts(task: Task, rule: str, answered: Sequence[Prediction]) -> dict[str, Any] | None:
    """The rule, and how far it agrees with the others that need no network; null for a task that matches nothing. The
    rule on words alone is compared with none: it needs no weights."""
    if not task.matched:
        return None
    answers = [prediction.answer or "" for prediction in answered]
    rules = [] if rule == "words" else list(dict.fromkeys(["words", "sentence", rule]))
    finders = {name: class_finder(name, answers) for name in rules}
    return {"rule": rule, "agreement": agreement(answers, finders) if finders else None}


def numbers(
    task: Task,
    answered: Sequence[Prediction],
    failed: Sequence[Prediction] = (),
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """The numbers of ``score`` for answered questions of one task. Raises ``DataError`` when there is none.

    ``failed`` ones are not scored, but those that carry their picture's objects still bring them (task detected)."""
    if not answered:
        raise DataError(f"there is no answer to score for task {task.name}: every question failed, or none was asked")
    answered = sorted(answered, key=lambda prediction: prediction.id)
    judged = [task.judge(prediction) for prediction in answered]
    carriers = [prediction for prediction in failed if "objects" in prediction.extra]
    main = next(iter(judged[0].points))
    measures = measured(task, answered, judged, main, carriers)
    return {
        "unread": sum(one.read is None for one in judged),
        "n": len(judged),
        "pictures": len({one.picture for one in judged}),
        "main": next((each.name for each in task.measures if each.name in measures), main),
        "measures": measures,
        "majority": majority(task, answered, main),
        "classes": per_class(judged) if task.by_class else None,
        "confusion": confusion(judged) if task.by_class else None,
        "groups": per_group(judged, main),
        "confidence": confidence_numbers(
            graded(zip(answered, judged, strict=True), single_measure(task, judged[0].points)), calibration
        ),
        "interval": INTERVAL_RULE,
    }


def measured(
    task: Task,
    answered: Sequence[Prediction],
    judged: Sequence[Judged],
    main: str,
    carriers: Sequence[Prediction],
) -> dict[str, dict[str, Any]]:
    """Every measure by its name: the main one, its mean over classes, itself over what could be read, the others."""
    judged = [with_of_read(one) for one in judged]
    by_class = main if task.by_class else None
    values = mean_points(judged)
    bounds = mean_intervals(judged, by_class)
    if by_class is not None:
        values[MACRO] = macro(judged, main)
    counts = {name: sum(one.points.get(name) is not None for one in judged) for name in values} | {MACRO: len(judged)}
    if task.corpus is not None:
        of_corpus = task.corpus([*answered, *carriers])
        values |= of_corpus
        bounds |= corpus_intervals(task.corpus, [*answered, *carriers])
        counts |= dict.fromkeys(of_corpus, len(judged))
    described = {each.name: each for each in task.measures}
    guessed = chance(task.judge, task.corpus, by_class, answered)
    guessed = {name: value for name, value in guessed.items() if name not in described or described[name].of_answers}
    titles = {name: each.title for name, each in described.items()} | {MACRO: "mean over classes"}
    titles[f"{main}_{OF_READ}"] = f"{titles.get(main, main)}, of those that could be read"
    order = [main, MACRO, *(each.name for each in task.measures), *values]
    return {
        name: {
            "title": titles.get(name, name),
            "value": values[name],
            **dict(zip(("low", "high"), bounds.get(name, (None, None)), strict=True)),
            "chance": guessed.get(name),
            "n": counts[name],
            "unit": described[name].unit if name in described else "share",
        }
        for name in dict.fromkeys(order)
        if name in values
    }


def majority(task: Task, answered: Sequence[Prediction], main: str) -> dict[str, Any]:
    """What always giving the commonest truth gets in the main measure."""
    truths = Counter(prediction.truths[0] for prediction in answered)
    commonest = min(truths, key=lambda truth: (-truths[truth], truth))
    judged = [task.judge(replace(prediction, answer=commonest)) for prediction in answered]
    return {"answer": commonest, "accuracy": mean_points(judged).get(main, 0.0)}


def per_class(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """For each class, the commonest first: ``n``, ``right``, ``unread``, and ``taken_for``, the commonest wrong class
    (null when there is none)."""
    table: dict[str, dict[str, Any]] = {}
    for name, n in sorted(Counter(one.truth for one in judged).items(), key=lambda item: (-item[1], item[0])):
        own = [one for one in judged if one.truth == name]
        wrong = Counter(one.read for one in own if not one.right and one.read is not None)
        table[name] = {
            "n": n,
            "right": sum(one.right for one in own),
            "unread": sum(one.read is None for one in own),
            "taken_for": min(wrong, key=lambda each: (-wrong[each], each)) if wrong else None,
        }
    return table


def confusion(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """How often each class was read as each, the commonest first; "" stands for an answer that could not be read."""
    table: dict[str, Counter[str]] = {}
    for one in judged:
        table.setdefault(one.truth, Counter())[one.read or ""] += 1
    order = sorted(table, key=lambda truth: (-table[truth].total(), truth))
    return {truth: dict(sorted(table[truth].items(), key=lambda item: (-item[1], item[0]))) for truth in order}


def per_group(judged: Sequence[Judged], main: str) -> dict[str, dict[str, Any]] | None:
    """The main measure of each group with its bounds and n; null for a task without groups."""
    names = sorted({one.group for one in judged if one.group})
    table = {}
    for name in names:
        own = [one for one in judged if one.group == name]
        values, bounds = mean_points(own), mean_intervals(own)
        if main in values:
            table[name] = {"value": values[main], "low": bounds[main][0], "high": bounds[main][1], "n": len(own)}
    return table or None


def compare(first: PredictionsFile, second: PredictionsFile, matching: str = DEFAULT_RULE) -> dict[str, Any]:
    """Two predictions files of one task on the questions that both answered: for each measure that is a mean what the
    second has more (``measures.paired``), both values on these questions, and the ids won and lost in the main one.

    The files may differ in model, form, way or noise. Raises ``DataError`` when they are of different tasks, when a
    question of one id has another truth, or when nothing is common.
    """
    if first.header.task != second.header.task:
        raise DataError(f"only answers to one task can be compared, got {first.header.task} and {second.header.task}")
    common = sorted(
        name
        for name, one in first.predictions.items()
        if one.error is None and name in second.predictions and second.predictions[name].error is None
    )
    if not common:
        raise DataError("there is no question that both files answer; were they made from the same data?")
    for name in common:
        truths = first.predictions[name].truths, second.predictions[name].truths
        if truths[0] != truths[1]:
            raise DataError(f"question {name} has the truth {truths[0]!r} in one file and {truths[1]!r} in the other")
    pairs = [file.predictions[name] for file in (first, second) for name in common]
    task = with_matching(find_task(first.header.task), matching, pairs)
    judged = [[task.judge(file.predictions[name]) for name in common] for file in (first, second)]
    main = next(iter(judged[0][0].points))
    values = [mean_points(each) for each in judged]
    sides = list(zip(common, *judged, strict=True))
    return {
        "kind": COMPARISON,
        "format": FORMAT,
        "task": task.name,
        "first": described_side(first),
        "second": described_side(second),
        "n": len(common),
        "pictures": len({one.picture for one in judged[0]}),
        "main": main,
        "measures": {
            name: {"first": values[0][name], "second": values[1][name], **paired(judged[0], judged[1], name)}
            for name in values[0]
            if name in values[1] and any(both_count(one, other, name) for one, other in zip(*judged, strict=True))
        },
        "won": [name for name, one, other in sides if (other.points[main] or 0) > (one.points[main] or 0)],
        "lost": [name for name, one, other in sides if (other.points[main] or 0) < (one.points[main] or 0)],
        "interval": INTERVAL_RULE,
    }


def both_count(one: Judged, other: Judged, name: str) -> bool:
    """Whether both answers count for measure ``name``."""
    return one.points.get(name) is not None and other.points.get(name) is not None


def described_side(file: PredictionsFile) -> dict[str, Any]:
    """What a comparison says of one of its two files."""
    header = file.header
    return {
        "model": header.model, "form": header.form, "way": header.way, "noise": header.noise, "data": header.data,
        "asked": header.questions, "errors": sum(each.error is not None for each in file.predictions.values()),
        "commit": ", ".join(file.commits), "date": header.date,
    }  # fmt: skip
