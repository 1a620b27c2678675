"""The page of curves: inline SVG in a template, styles inside, no scripts, nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatspot.pages import rendered
from chatspot.pages.charts import short, ticks
from chatspot.train.looking.curve import (
    CHARTS,
    LONG_SHARE,
    SMOOTHING,
    Chart,
    Curve,
    Point,
    curve_of,
    frame_of,
    thinned,
)


def curves_page(runs: Sequence[tuple[str, list[dict[str, Any]]]]) -> str:
    """The page as HTML text; names of runs are escaped by the template."""
    return rendered(
        __package__,
        "pages/curves.html",
        title=runs[0][0] if len(runs) == 1 else f"{len(runs)} runs",
        names=[name for name, _ in runs],
        rows=[last_values(name, lines) for name, lines in runs],
        charts=[chart_parts(chart, [curve_of(lines, chart) for _, lines in runs]) for chart in CHARTS],
        smoothing=SMOOTHING,
        long_share=f"{100 * LONG_SHARE:.0f} %",
    )


def chart_parts(chart: Chart, curves: Sequence[Curve]) -> dict[str, Any]:
    """What the template needs of a chart: ticks with their places in percent, lines as SVG points within 1000."""
    frame = frame_of(curves)
    parts: dict[str, Any] = {"title": chart.title, "unit": chart.unit, "lines": [], "across": [], "up": []}
    if frame is None:
        return parts

    def line(points: Sequence[Point]) -> str:
        if len(points) == 1:  # a single point would be no line
            points = [points[0], (points[0][0] + 1, points[0][1])]
        return frame.line(points)

    parts["lines"] = [
        *({"points": line(thinned(curve.points)), "css": f"raw k{at % 6}"} for at, curve in enumerate(curves)),
        *({"points": line(curve.smooth), "css": f"bold k{at % 6} d{at // 6 % 3}"} for at, curve in enumerate(curves)),
    ]
    whole = [step for step in ticks(frame.left, frame.right) if step == int(step)]
    up = ticks(frame.low, frame.high)
    parts |= frame.axes([(step, short(step)) for step in whole], [(value, short(value)) for value in up])
    return parts


def last_values(name: str, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A run's row in the table of last values; an empty text where the metrics do not say."""
    last = lines[-1]
    losses, speeds = ([value for _, value in curve_of(lines, chart).smooth] for chart in (CHARTS[0], CHARTS[3]))
    counts = {key: f"{sum(line.get(key, 0) for line in lines):,}" for key in ("dialogues", "tokens", "supervised")}
    return {
        "name": name,
        "steps": f"{last['step']:,}",
        "epochs": f"{last['done']:.2f}" if "done" in last else "",
        "loss": f"{losses[-1]:.3f}" if losses else "",
        "best": f"{min(losses):.3f}" if losses else "",
        "speed": f"{speeds[-1]:,.0f}" if speeds else "",
        "peak": f"{last['peak_mb'] / 1000:.2f} GB" if last.get("peak_mb") else "",
        "skipped": f"{last.get('skipped', 0):,}",
        **counts,
    }
