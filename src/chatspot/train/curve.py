"""The loss curve as a picture."""

from __future__ import annotations

from pathlib import Path

from chatspot.train.loop import METRICS, read_metrics

SMOOTHING = 25  # steps in the running mean


def draw_curve(run: Path) -> Path | None:
    """Write ``curve.png`` in the run folder and return its path; None before the first step."""
    lines = read_metrics(run / METRICS)
    if not lines:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, losses = [line["step"] for line in lines], [line["loss"] for line in lines]
    means = [sum(losses[max(0, i - SMOOTHING + 1) : i + 1]) / min(i + 1, SMOOTHING) for i in range(len(losses))]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="#9ecae1", linewidth=0.6, label="a step")
    axes.plot(steps, means, color="#08519c", linewidth=1.6, label=f"mean of {SMOOTHING} steps")
    axes.set(xlabel="step", ylabel="loss of supervised tokens", title=run.name)
    axes.grid(alpha=0.3)
    axes.legend()
    target = run / "curve.png"
    temporary = run / "curve.part.png"
    figure.savefig(temporary, dpi=110)
    temporary.replace(target)
    return target
