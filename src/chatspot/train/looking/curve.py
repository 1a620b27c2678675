"""The curves of one run, or of several laid over each other: as a picture, and as one page that needs no network.

Both show loss, gradient norm, learning rate and throughput against the step: each step thinly, what lies behind the
noise boldly. Loss is smoothed by a running mean; norm and throughput by a running median, which one spike cannot lift.
The page has no scripts and loads nothing; its charts are inline SVG, its numbers a table of the last values.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from chatspot.data.saving import saved_whole
from chatspot.errors import DataError
from chatspot.pages.charts import Frame
from chatspot.train.loop import METRICS, read_metrics

Point: TypeAlias = tuple[int, float]

SMOOTHING = 25  # steps in the running mean or median (our choice)
LONG_SHARE = 0.02  # of a run's steps, where that is more: a long run's curve would otherwise hide under its noise
MOST_POINTS = 600  # of a line on the page: more than a screen shows apart
EDGE = (
    0.01  # share of the single steps, at each end, that may lie outside the frame: one spike must not flatten a curve
)
# Okabe and Ito's colours as in ``chatspot.images.overlay``, in the order in which lines on white differ most; the page
# has brighter ones of the same hues for dark screens (pages/curves.html).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#b5548e", "#e69f00", "#56b4e9")


@dataclass(frozen=True)
class Chart:
    """What a chart shows: a ``key`` of the metrics, its name, the unit that stands beside it, how it is smoothed."""

    key: str
    title: str
    unit: str
    smoothing: Literal["mean", "median", "none"]


CHARTS = (
    Chart("loss", "Loss", "mean over the supervised tokens of a step, nats", "mean"),
    Chart("norm", "Gradient norm", "before clipping", "median"),
    Chart("rate_share", "Learning rate", "share of its peak", "none"),
    Chart("tokens_per_second", "Throughput", "tokens a second", "median"),
)


@dataclass(frozen=True)
class Curve:
    """One quantity of a run: its (step, value) ``points``, and fewer ``smooth`` ones. All are finite."""

    points: tuple[Point, ...]
    smooth: tuple[Point, ...]


def draw_curve(run: Path) -> Path | None:
    """Write ``curve.png`` and ``curve.html`` in the run folder and return the page; None before the first step."""
    return draw_curves([run], run)


def draw_curves(runs: Sequence[Path], out: Path) -> Path | None:
    """Lay the curves of run folders over each other: ``curve.png`` and ``curve.html`` in the folder ``out``; returns
    the page, or None where no run has a step. Raises ``DataError`` when a file cannot be written."""
    found = [(name, lines) for name, lines in zip(names(runs), map(metrics_of, runs), strict=True) if lines]
    if not found:
        return None
    from chatspot.train.looking.curve_page import curves_page

    with saved_whole(out / "curve.png", "curves") as half:
        save_picture(found, half)
    with saved_whole(out / "curve.html", "page of curves") as half:
        half.write_text(curves_page(found), "utf-8")
    return out / "curve.html"


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """The run's metrics; ``DataError`` when they are no JSON lines."""
    try:
        return read_metrics(run / METRICS)
    except ValueError as error:
        raise DataError(f"{run / METRICS} holds a line that is no JSON ({error}); was it edited?") from error


def names(runs: Sequence[Path]) -> list[str]:
    """Names that tell the runs apart: their folders', with the parent's where two are alike."""
    short = [run.resolve().name for run in runs]
    return [
        name if short.count(name) == 1 else f"{run.resolve().parent.name}/{name}"
        for run, name in zip(runs, short, strict=True)
    ]


def curve_of(lines: Sequence[dict[str, Any]], chart: Chart) -> Curve:
    """The curve of a chart's key; lines without it, or where it is no finite number, are passed over."""
    points = [
        (int(line["step"]), float(line[chart.key]))
        for line in lines
        if isinstance(line.get(chart.key), int | float) and math.isfinite(line[chart.key])
    ]
    return Curve(tuple(points), tuple(smoothed(points, chart.smoothing)))


def smoothed(points: Sequence[Point], how: str) -> list[Point]:
    """At most MOST_POINTS of the points, each with the mean or median of the last SMOOTHING values up to it (of a
    LONG_SHARE of all in a longer run); with "none" each with its own value."""
    window = 1 if how == "none" else max(SMOOTHING, int(len(points) * LONG_SHARE))
    middle = statistics.median if how == "median" else statistics.fmean
    values = [value for _, value in points]
    stride = max(1, math.ceil(len(points) / MOST_POINTS))
    kept = [*range(0, len(points) - 1, stride), len(points) - 1] if points else []
    return [(points[at][0], middle(values[max(0, at - window + 1) : at + 1])) for at in kept]


def frame_of(curves: Sequence[Curve]) -> Frame | None:
    """A frame around all smoothed values and all but the EDGE most extreme steps; None where there is nothing."""
    single = sorted(value for curve in curves for _, value in curve.points)
    if not single:
        return None
    cut = int(len(single) * EDGE)
    shown = [single[cut], single[-1 - cut], *(value for curve in curves for _, value in curve.smooth)]
    low, high = min(shown), max(shown)
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5  # a flat line runs through the middle
    floor = 0.0 if low >= 0 and low - margin < 0 else low - margin  # no axis below 0 for what is never below 0
    steps = [step for curve in curves for step, _ in curve.points]
    return Frame(min(steps), max(max(steps), min(steps) + 1), floor, high + margin)


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about MOST_POINTS of the points; of each stretch the lowest and the highest stay, so no spike is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stretch = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[Point] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept


def save_picture(runs: Sequence[tuple[str, list[dict[str, Any]]]], file: Path) -> None:
    """Draw the four charts as one PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for chart, axes in zip(CHARTS, figure.subplots(2, 2).flat, strict=True):
        curves = [curve_of(lines, chart) for _, lines in runs]
        for at, ((name, _), curve) in enumerate(zip(runs, curves, strict=True)):
            color = COLORS[at % len(COLORS)]
            axes.plot(*columns(thinned(curve.points)), color=color, alpha=0.28, linewidth=0.7)
            axes.plot(*columns(curve.smooth), color=color, linewidth=1.7, label=plain(name))
        frame = frame_of(curves)
        if frame:
            axes.set_xlim(frame.left, frame.right)
            axes.set_ylim(frame.low, frame.high)
        axes.set_title(chart.title, loc="left", fontsize=11, fontweight="bold")
        axes.set_title(chart.unit, loc="right", fontsize=8, color="#596273")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dde2ea", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, color="#596273")
        axes.set_xlabel("step", fontsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(file, dpi=120, format="png")


def columns(points: Sequence[Point]) -> tuple[list[int], list[float]]:
    """Steps and values apart, as matplotlib takes them."""
    return [step for step, _ in points], [value for _, value in points]


def plain(name: str) -> str:
    """A name as matplotlib shows it as it stands: no formulas, and not hidden by a leading underscore."""
    return ("\u200b" if name.startswith("_") else "") + name.replace("$", r"\$")
