"""Fitting ``engine.calibration`` on predictions: how often were answers as probable as this one right?

The fit is isotonic (Zadrozny and Elkan 2002, KDD; pool adjacent violators, Ayer et al. 1955), over blocks of answers of
like log-probability, with straight lines between the blocks' means: so it falls nowhere, keeps the order of the
answers, and its ends are shares of at least a block of answers, not of one (our choice). Each block counts one right
and one wrong answer more than it has (Laplace's rule of succession): twenty right answers do not make a certainty.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chatspot.engine.calibration import Calibration
from chatspot.errors import DataError
from chatspot.eval.confidence import Graded, graded, single_measure
from chatspot.eval.matching import DEFAULT_RULE
from chatspot.eval.predictions import PredictionsFile, read_predictions
from chatspot.eval.score import check_finished, with_matching
from chatspot.eval.tasks import find_task

LEAST_BLOCK = 20  # answers of a knot
MOST_BLOCKS = 30
LEAST_ANSWERS = 100
RISK = 0.2  # wrong answers among the sure ones; all three are our choice
DIGITS = 6


def calibrate(files: Sequence[Path], *, risk: float = RISK, matching: str = DEFAULT_RULE) -> Calibration:
    """The calibration of the model that gave the predictions in ``files``, each answer with the same weight.

    Its threshold is the lowest probability from which on at most the share ``risk`` of these answers is wrong. Answers
    without a log-probability do not count. Raises ``DataError`` for predictions of several models, for fewer than
    LEAST_ANSWERS answers, for a file given twice, and where not even the surest answers keep to ``risk``.
    """
    if not 0 < risk < 1:
        raise DataError(f"risk is the share of wrong answers among the sure ones, above 0 and below 1, got {risk:g}")
    if not files:
        raise DataError("a calibration needs at least one predictions file; make one with 'chatspot eval predict'")
    answers: list[Graded] = []
    sources: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    for file in files:
        content, sha256 = read_predictions(file), hashlib.sha256(file.read_bytes()).hexdigest()
        if sha256 in {each["sha256"] for each in sources}:
            raise DataError(f"{file.name} holds the same predictions as a file before it; give each once")
        models.append({name: content.header.model.get(name) for name in ("name", "files")})
        if models[-1] != models[0]:
            raise DataError(f"{file.name} is of the model {models[-1]['name']}, {files[0].name} of {models[0]['name']} "
                            "or of other weights of it; calibrate each by itself")  # fmt: skip
        found = graded_in(content, matching)
        answers += found
        header = content.header
        sources.append({"name": file.name, "sha256": sha256, "task": header.task, "form": header.form,
                        "command": header.command, "n": len(found)})  # fmt: skip
    if len(answers) < LEAST_ANSWERS:
        raise DataError(f"{len(answers)} answers have a log-probability and are right or wrong; a calibration needs at "
                        f"least {LEAST_ANSWERS}")  # fmt: skip
    knots = isotonic(answers)
    threshold, reached, coverage = threshold_for(answers, knots, risk)
    return Calibration(knots, threshold, reached, coverage, len(answers), models[0], tuple(sources))


def graded_in(file: PredictionsFile, matching: str) -> list[Graded]:
    """The answers of a predictions file that can be used. Raises ``DataError`` where questions are still unasked."""
    check_finished(file)
    answered = [prediction for prediction in file.predictions.values() if prediction.error is None]
    if not answered:
        return []
    task = with_matching(find_task(file.header.task), matching, answered)
    judged = [(prediction, task.judge(prediction)) for prediction in answered]
    return graded(judged, single_measure(task, judged[0][1].points))


class Pooled(NamedTuple):
    """One or more blocks: how many answers, the sums of their log-probabilities and of their worths with one right
    answer more for each block, and how many blocks."""

    answers: int
    logprobs: float
    right: float
    blocks: int

    @property
    def share(self) -> float:
        """The share of right answers, each block with two answers more than it has."""
        return self.right / (self.answers + 2 * self.blocks)

    def with_next(self, after: Pooled) -> Pooled:
        """These blocks and those after them as one."""
        return Pooled(
            self.answers + after.answers,
            self.logprobs + after.logprobs,
            self.right + after.right,
            self.blocks + after.blocks,
        )


def isotonic(answers: Sequence[Graded]) -> tuple[tuple[float, float], ...]:
    """The knots of a fit to at least one answer: rising log-probabilities, shares of right answers that never fall."""
    ordered = sorted(answers, key=lambda one: one.logprob)
    size = max(LEAST_BLOCK, math.ceil(len(ordered) / MOST_BLOCKS))
    blocks: list[list[Graded]] = [[]]
    for one in ordered:
        if len(blocks[-1]) >= size and one.logprob > blocks[-1][-1].logprob:  # equal answers stay together
            blocks.append([])
        blocks[-1].append(one)
    if len(blocks) > 1 and len(blocks[-1]) < LEAST_BLOCK:
        last = blocks.pop()
        blocks[-1] += last
    pooled: list[Pooled] = []
    for block in blocks:
        new = Pooled(len(block), math.fsum(one.logprob for one in block), 1 + math.fsum(one.worth for one in block), 1)
        while pooled and pooled[-1].share >= new.share:
            new = pooled.pop().with_next(new)
        pooled.append(new)
    return tuple((one.logprobs / one.answers, round(one.share, DIGITS)) for one in pooled)


def threshold_for(
    answers: Sequence[Graded], knots: tuple[tuple[float, float], ...], risk: float
) -> tuple[float, float, float]:
    """The lowest probability from which on answers keep to ``risk``, the risk of these, and their share."""
    fit = Calibration(knots, 0.0, 0.0, 0.0, 0, {}, ())
    ordered = sorted(((fit.probability(one.logprob), one.worth) for one in answers), reverse=True)
    best, lost = None, 0.0
    for count, (probability, worth) in enumerate(ordered, start=1):
        lost += 1 - worth
        last = count == len(ordered) or ordered[count][0] < probability  # all answers as probable as this one
        if last and lost <= risk * count + 1e-9:
            best = (math.floor(probability * 10**DIGITS) / 10**DIGITS, lost / count, count / len(ordered))
    if best is None:
        raise DataError(f"not even the surest answers are wrong in at most {risk:.0%} of the cases; the surest are "
                        f"right in {ordered[0][0]:.0%}: choose a higher risk, or train a better model")  # fmt: skip
    return best
