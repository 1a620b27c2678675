"""What a number is worth: its interval, what chance would give, and whether two models really differ."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chatspot.errors import DataError
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.task import Corpus, Judge, Judged

if TYPE_CHECKING:
    import numpy as np

RESAMPLES, CORPUS_RESAMPLES, BOOTSTRAP_SEED = 2000, 100, 0
LEVEL = 0.95
INTERVAL_RULE = (
    f"95 % percentile bootstrap over pictures, seed {BOOTSTRAP_SEED}, {RESAMPLES} resamples ({CORPUS_RESAMPLES} for "
    "measures that are no means)"
)
DEAL_SEED = 0
MOST_DEALS, LEAST_DEALS, DEALT_ANSWERS, CORPUS_DEALS = 200, 20, 40_000, 5
MACRO, OF_READ = "macro", "of_read"

Values = dict[str, float]


def mean_points(judged: Sequence[Judged]) -> Values:
    """The mean of each measure over the answers that count for it; a measure that none counts for is left out."""
    sums: dict[str, list[float]] = {}
    for one in judged:
        for name, points in one.points.items():
            if points is not None:
                sums.setdefault(name, []).append(points)
    return {name: math.fsum(points) / len(points) for name, points in sums.items()}


def macro(judged: Sequence[Judged], name: str) -> float:
    """The mean over the classes present of the class's mean of measure ``name``."""
    classes: dict[str, list[float]] = {}
    for one in judged:
        points = one.points[name]
        if points is not None:
            classes.setdefault(one.truth, []).append(points)
    return math.fsum(math.fsum(points) / len(points) for points in classes.values()) / len(classes)


def mean_intervals(judged: Sequence[Judged], by_class: str | None = None) -> dict[str, tuple[float, float]]:
    """Bounds of LEVEL for each measure of ``mean_points``, and for MACRO over the measure ``by_class``.

    Pictures are drawn with replacement, all questions of a picture together, because answers about one picture are
    alike. A class that a draw misses is left out of that draw's mean, and so is a draw in which nothing counts.
    """
    weights, rows = picture_draws([one.picture for one in judged])
    names = list(dict.fromkeys(name for one in judged for name in one.points))
    bounds = {}
    for name in names:
        counted = [(rows[one.picture], one.points[name]) for one in judged if one.points.get(name) is not None]
        if counted:
            bounds[name] = quantiles(ratio(weights, len(rows), counted))
    if by_class is not None:
        classes = {name: at for at, name in enumerate(sorted({one.truth for one in judged}))}
        bounds[MACRO] = quantiles(class_means(weights, rows, classes, judged, by_class))
    return bounds


def ratio(weights: np.ndarray, pictures: int, counted: Sequence[tuple[int, float | None]]) -> np.ndarray:
    """The mean in each draw (a row of ``weights``) of points, given as (picture, points)."""
    import numpy as np

    asked, points = np.zeros(pictures), np.zeros(pictures)
    for row, value in counted:
        asked[row] += 1
        points[row] += value or 0.0
    with np.errstate(invalid="ignore"):
        return (weights @ points) / (weights @ asked)


def class_means(
    weights: np.ndarray, rows: dict[str, int], classes: dict[str, int], judged: Sequence[Judged], name: str
) -> np.ndarray:
    """The mean over classes of the class's mean, in each draw."""
    import numpy as np

    asked, points = (np.zeros((len(rows), len(classes))) for _ in range(2))
    for one in judged:
        value = one.points[name]
        if value is not None:
            asked[rows[one.picture], classes[one.truth]] += 1
            points[rows[one.picture], classes[one.truth]] += value
    asked, points = weights @ asked, weights @ points
    present = asked > 0
    shares = np.divide(points, asked, out=np.zeros_like(points), where=present)
    return shares.sum(1) / np.maximum(present.sum(1), 1)


def picture_draws(pictures: Sequence[str], draws: int = RESAMPLES) -> tuple[np.ndarray, dict[str, int]]:
    """How often each picture is drawn in each resample [draws, pictures], and the pictures' columns."""
    import numpy as np

    rows = {name: at for at, name in enumerate(sorted(set(pictures)))}
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=draws), rows


def quantiles(values: np.ndarray) -> tuple[float, float]:
    """The bounds of LEVEL of a resampled number."""
    import numpy as np

    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def corpus_intervals(corpus: Corpus, predictions: Sequence[Prediction]) -> dict[str, tuple[float, float]]:
    """Bounds for the measures of ``corpus``, computed anew in each resample. A picture that is drawn twice counts as
    two pictures of different names."""
    import numpy as np

    by_picture: dict[str, list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda each: each.id):
        by_picture.setdefault(prediction.picture, []).append(prediction)
    draws, rows = picture_draws(list(by_picture), CORPUS_RESAMPLES)
    found: dict[str, list[float]] = {}
    for draw in draws:
        drawn = [
            replace(prediction, id=f"{picture} again {copy}#{prediction.id.rpartition('#')[2]}")
            for picture, row in rows.items()
            for copy in range(draw[row])
            for prediction in by_picture[picture]
        ]
        for name, value in corpus(drawn).items():
            found.setdefault(name, []).append(value)
    return {name: quantiles(np.array(values)) for name, values in found.items()}


def deals(predictions: Sequence[Prediction], count: int) -> list[list[Prediction]]:
    """The answers dealt out to the questions at random, ``count`` times. An answer goes with its log-probability. The
    order of ``predictions`` does not matter."""
    rng = random.Random(DEAL_SEED)
    ordered = sorted(predictions, key=lambda each: each.id)
    dealt = []
    for _ in range(count):
        answers = rng.sample(ordered, len(ordered))
        dealt.append([
            replace(question, answer=other.answer, logprob=other.logprob)
            for question, other in zip(ordered, answers, strict=True)
        ])  # fmt: skip
    return dealt


def chance(judge: Judge, corpus: Corpus | None, by_class: str | None, predictions: Sequence[Prediction]) -> Values:
    """What these answers would get on average if they were dealt out to the questions at random: the mean over deals,
    as many as DEALT_ANSWERS answers make (at least LEAST_DEALS; CORPUS_DEALS for measures that are no means)."""
    count = min(max(DEALT_ANSWERS // len(predictions), LEAST_DEALS), MOST_DEALS)
    found: dict[str, list[float]] = {}
    for number, dealt in enumerate(deals(predictions, count)):
        judged = [with_of_read(judge(prediction)) for prediction in dealt]
        values = mean_points(judged)
        if by_class is not None:
            values[MACRO] = macro(judged, by_class)
        if corpus is not None and number < CORPUS_DEALS:
            values |= corpus(dealt)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def with_of_read(judged: Judged) -> Judged:
    """The judged answer with the main measure once more, counted only where the answer could be read."""
    main = next(iter(judged.points))
    points = judged.points[main] if judged.read is not None else None
    return replace(judged, points={**judged.points, f"{main}_{OF_READ}": points})


def paired(first: Sequence[Judged], second: Sequence[Judged], name: str) -> dict[str, Any]:
    """How measure ``name`` differs between two judgements of the same questions, in the same order.

    ``difference`` is second minus first, with a bootstrap interval over pictures that keeps the pairs together;
    ``wins`` and ``losses`` count the questions where the second has more and fewer points, ``p`` is the exact two-sided
    sign test of the two counts (McNemar's, where points are 0 or 1). Raises ``DataError`` without a common question.
    """
    pairs = [
        (one.picture, other.points[name] - points)  # type: ignore[operator]
        for one, other in zip(first, second, strict=True)
        if (points := one.points.get(name)) is not None and other.points.get(name) is not None
    ]
    if not pairs:
        raise DataError(f"there is no question that both answered and that counts for {name}")
    weights, rows = picture_draws([picture for picture, _ in pairs])
    low, high = quantiles(ratio(weights, len(rows), [(rows[picture], change) for picture, change in pairs]))
    wins, losses = sum(change > 0 for _, change in pairs), sum(change < 0 for _, change in pairs)
    return {
        "n": len(pairs),
        "difference": math.fsum(change for _, change in pairs) / len(pairs),
        "low": low,
        "high": high,
        "wins": wins,
        "losses": losses,
        "p": sign_test(wins, losses),
    }


def sign_test(wins: int, losses: int) -> float:
    """The exact two-sided probability that a fair coin falls at least as unevenly (McNemar 1947, in its exact form)."""
    total, fewer = wins + losses, min(wins, losses)

    def log_share(count: int) -> float:
        return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1) - total * math.log(2)

    return min(1.0, 2 * math.fsum(math.exp(log_share(count)) for count in range(fewer + 1)))
