"""One run in full: confusion, classes, sizes of regions, confidence, lengths of answers, what could not be scored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from chatspot.data.looking.card import columns
from chatspot.data.looking.figures import SIZE_CLASSES, size_class
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.confidence import CALIBRATED, graded, risk_at, risk_curve
from chatspot.eval.measures import mean_intervals, mean_points, picture_draws, quantiles
from chatspot.eval.report.runs import Run
from chatspot.eval.tasks import Judged
from chatspot.pages.charts import Frame

LEAST_ROW, MOST_ROWS = 3, 32  # answers that a row of the confusion matrix needs, and rows that fit a screen
DEEP = 55  # per cent from which a cell is so dark that its number is set in the ground's colour
MOST_CLASSES = 80  # bars by class
COVERAGES = tuple(at / 50 for at in range(1, 51))
CURVE_RESAMPLES = 400  # for the band of risk against coverage: it is drawn, not read off (our choice)
LENGTHS = (0, 1, 2, 3, 4, 5, 8, 13, 21, 34)  # answers of up to so many words; the last bar is longer ones
MOST_LISTED = 60  # errors and unread answers that are shown
COMMONEST = 8
OTHER, UNREAD = "other", "unread"
Z = 1.959964  # of the normal distribution at 95 %

Row = dict[str, Any]


def confusion(run: Run) -> Row | None:
    """The confusion matrix as rows of cells: classes with at least LEAST_ROW answers, the MOST_ROWS commonest of them.

    COCO's classes stand in COCO's order, which keeps related things together; others by their number of answers. Each
    cell is a share of its row; what was named besides is "other", what named nothing "unread". None without classes.
    """
    table: dict[str, dict[str, int]] | None = run.result["confusion"]
    if not table or not run.result["classes"]:
        return None
    counts: dict[str, int] = {name: each["n"] for name, each in run.result["classes"].items()}
    kept = sorted((name for name in counts if counts[name] >= LEAST_ROW), key=lambda name: (-counts[name], name))
    kept = kept[:MOST_ROWS]
    if not kept:
        return None
    if set(kept) <= set(COCO_CLASSES):
        kept.sort(key=COCO_CLASSES.index)
    shown: dict[str, Counter[str]] = {}
    for name in kept:
        found = Counter(table.get(name, {}))
        shown[name] = Counter({column: found[column] for column in kept})
        shown[name][UNREAD] = found[""]
        shown[name][OTHER] = counts[name] - shown[name].total()
    columns = [*kept, *(apart for apart in (OTHER, UNREAD) if any(row[apart] for row in shown.values()))]
    return {
        "columns": columns,
        "apart": [column in (OTHER, UNREAD) for column in columns].index(True) if len(columns) > len(kept) else -1,
        "rows": [
            {"name": name, "n": counts[name], "cells": [cell(name, each, row[each], counts[name]) for each in columns]}
            for name, row in shown.items()
        ],
        "hidden": len(counts) - len(kept),
        "hidden_n": sum(counts.values()) - sum(counts[name] for name in kept),
        "least": LEAST_ROW,
    }


def cell(row: str, column: str, count: int, total: int) -> Row | None:
    """One cell; None where nothing was counted."""
    if not count:
        return None
    share = round(100 * count / total)
    return {
        "right": row == column,
        "share": share,
        "deep": share >= DEEP,
        "title": f"{row} as {column}: {count} of {total}",
    }


def class_rows(run: Run) -> list[Row]:
    """Each class's share of right answers with Wilson's interval, the commonest first."""
    rows = []
    for name, each in list((run.result["classes"] or {}).items())[:MOST_CLASSES]:
        low, high = wilson(each["right"], each["n"])
        rows.append({"name": name, "n": each["n"], "value": each["right"] / each["n"], "low": low, "high": high,
                     "taken_for": each["taken_for"] or ""})  # fmt: skip
    return rows


def wilson(right: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927): it stays within [0, 1] and holds for a handful of answers too."""
    share, spread = right / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / n / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def size_rows(run: Run) -> list[Row]:
    """The main measure by COCO's size classes, of the regions whose area is known."""
    sizes: dict[str, list[Judged]] = {name: [] for name in SIZE_CLASSES}
    for prediction, judged in run.answered:
        if "area_px" in prediction.extra:
            sizes[size_class(prediction.extra["area_px"])].append(judged)
    return part_rows(run, sizes)


def group_rows(run: Run) -> list[Row]:
    """The main measure by the task's own groups; nothing where there are fewer than two."""
    groups: dict[str, Row] = run.result["groups"] or {}
    return [{"name": name, **each} for name, each in groups.items()] if len(groups) > 1 else []


def part_rows(run: Run, parts: dict[str, list[Judged]]) -> list[Row]:
    """The main measure with its interval in each part that has answers that count."""
    rows = []
    for name, judged in parts.items():
        counted = [one for one in judged if run.worth(one) is not None]
        if counted and run.single is not None:
            low, high = mean_intervals(counted)[run.single]
            rows.append({"name": name, "n": len(counted), "value": mean_points(counted)[run.single],
                         "low": low, "high": high})  # fmt: skip
    return rows


def risk_coverage(run: Run) -> Row | None:
    """Wrong answers among the most confident ones, against the share that is answered: a chart with its numbers.

    Answers are ranked by the probability of their whole token sequence. ``area`` is the mean risk over all coverages
    (AURC), ``random`` what a ranking that knows nothing gets; ``at`` what is right at some coverages, ``threshold``
    what the calibration's does (``eval.confidence``). None where no answer has a probability or all have the same one.
    """
    import numpy as np

    found = sorted(graded(run.answered, run.single), key=lambda each: -each.logprob)
    if len({each.logprob for each in found}) < 2:
        return None
    known = run.result["confidence"]
    logprobs, worths = (np.array([getattr(each, name) for each in found]) for name in ("logprob", "worth"))
    curve, wrong = risk_curve(logprobs, worths), 1 - worths
    draws, rows = picture_draws([each.picture for each in found], CURVE_RESAMPLES)
    weights = draws[:, [rows[each.picture] for each in found]]
    covered = np.cumsum(weights, axis=1)
    lost = np.cumsum(weights * wrong, axis=1)
    bounds = []
    for share in COVERAGES:
        at = (covered < np.ceil(share * covered[:, -1:])).sum(axis=1).clip(max=len(wrong) - 1)
        line = np.arange(len(draws))
        bounds.append(quantiles(lost[line, at] / np.maximum(covered[line, at], 1)))
    values = [risk_at(curve, share) for share in COVERAGES]
    top = min(1.0, math.ceil(10 * max(*values, *(high for _, high in bounds)) + 0.2) / 10)
    frame = Frame(0, 1, 0, top)
    band = [*zip(COVERAGES, (low for low, _ in bounds), strict=True)]
    band += [*zip(reversed(COVERAGES), (high for _, high in reversed(bounds)), strict=True)]
    overall = float(wrong.mean())
    threshold = known["threshold"]
    marks = []
    if threshold is not None:
        place = threshold["coverage"]
        marks.append({"points": frame.line([(place, 0), (place, top)]), "css": "raw k2 d1"})
    step = 0.1 if top <= 0.6 else 0.2
    return {
        **frame.axes(
            [(share / 4, f"{25 * share} %") for share in range(5)],
            [(at * step, f"{100 * at * step:.0f} %") for at in range(round(top / step) + 1)],
        ),
        "bands": [{"points": frame.line(band), "css": "k0"}],
        "lines": [
            {"points": frame.line([(0, overall), (1, overall)]), "css": "raw k1 d1"},
            {"points": frame.line([*zip(COVERAGES, values, strict=True)]), "css": "bold k0"},
            *marks,
        ],
        "area": known["aurc"],
        "random": overall,
        "at": [(float(share), right) for share, right in known["accuracy_at"].items()],
        "threshold": threshold,
        "n": len(found),
    }


def reliability_chart(run: Run) -> Row | None:
    """What is right of the answers of like probability, against that probability; on the diagonal it is a share.

    ``error`` is ECE, ``error_of_words`` that of the tokens' own probabilities, which are charted where there is no
    calibration (``calibrated`` says which). None where no answer has a probability.
    """
    known = run.result["confidence"]
    if known is None:
        return None
    frame = Frame(0, 1, 0, 1)
    points = [(each["probability"], each["right"]) for each in known["reliability"]]
    dots = []
    for each in known["reliability"]:
        low, high = wilson(each["right"] * each["n"], each["n"])
        ((left, top), (_, lowest), (_, highest)) = (
            frame.place(each["probability"], up) for up in (each["right"], low, high)
        )
        dots.append({"css": "k0", "left": 100 * left, "top": 100 * top, "low": 100 * lowest, "high": 100 * highest,
                     "title": f"{each['n']:,} answers"})  # fmt: skip
    shares = [(at / 4, f"{25 * at} %") for at in range(5)]
    return {
        **frame.axes(shares, shares),
        "lines": [
            {"points": frame.line([(0, 0), (1, 1)]), "css": "raw k1 d1"},
            {"points": frame.line(points), "css": "bold k0"},
        ],
        "dots": dots,
        "bins": known["reliability"],
        "calibrated": known["probability"] == CALIBRATED,
        "error": known["ece"],
        "error_of_words": known["ece_of_words"],
        "n": known["n"],
    }


def length_columns(run: Run) -> list[Row]:
    """Answers by their number of words, as columns of the macro ``histogram``."""
    lengths = [len((prediction.answer or "").split()) for prediction, _ in run.answered]
    lows = [0, *(limit + 1 for limit in LENGTHS)]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in zip(lows, LENGTHS, strict=False)]
    counts = [0] * (len(LENGTHS) + 1)
    for words in lengths:
        counts[sum(words > limit for limit in LENGTHS)] += 1
    shown = max([at + 1 for at, count in enumerate(counts) if count] + [4])
    return columns(counts[:shown], [*names, f"> {LENGTHS[-1]}"][:shown])


def answer_facts(run: Run) -> Row:
    """How the model answers: ``distinct`` answers, those ``cut`` off by the token limit, and the commonest."""
    answers = Counter((prediction.answer or "").strip() for prediction, _ in run.answered)
    points: dict[str, list[float]] = {}
    for prediction, judged in run.answered:
        worth = run.worth(judged)
        points.setdefault((prediction.answer or "").strip(), []).extend([] if worth is None else [worth])
    total = max(answers.total(), 1)
    ordered = sorted(answers.items(), key=lambda item: (-item[1], item[0]))[:COMMONEST]
    return {
        "distinct": len(answers),
        "cut": sum(prediction.finish == "length" for prediction, _ in run.answered),
        "commonest": [
            {"text": text, "count": count, "share": count / total, "right": mean(points[text])}
            for text, count in ordered
        ],
    }


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None of nothing."""
    return math.fsum(values) / len(values) if values else None


def errors(run: Run) -> Row:
    """Questions that the engine could not answer."""
    failed = [prediction for prediction in run.predictions.values() if prediction.error is not None]
    return listed({"id": p.id, "truth": p.truths[0] if p.truths else "", "text": p.error} for p in failed)


def unread(run: Run) -> Row:
    """Answers that say nothing that could be compared."""
    found = [prediction for prediction, judged in run.answered if judged.read is None]
    return listed({"id": p.id, "truth": p.truths[0] if p.truths else "", "text": p.answer} for p in found)


def listed(rows: Iterable[Row]) -> Row:
    """The first MOST_LISTED rows, and how many there are."""
    found = list(rows)
    return {"n": len(found), "rows": found[:MOST_LISTED], "more": max(len(found) - MOST_LISTED, 0)}
