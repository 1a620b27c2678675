"""Charts as parts for the macro ``chart`` of ``figures.html``: places in percent, lines in units of a thousandth.

Lines are SVG that stretches with the page; whatever must not stretch with it, ticks and dots, is placed over it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TICKS = 6  # at most about so many lines across a chart (our choice)


@dataclass(frozen=True)
class Frame:
    """The numbers that a chart spans: ``left`` to ``right`` across, ``low`` to ``high`` upwards."""

    left: float
    right: float
    low: float
    high: float

    def place(self, across: float, up: float) -> tuple[float, float]:
        """Where a point lies, in [0, 1]; (0, 0) is the top left, as in pictures."""
        return (across - self.left) / (self.right - self.left), (self.high - up) / (self.high - self.low)

    def line(self, points: Sequence[tuple[float, float]]) -> str:
        """The points as SVG has them, in thousandths; far outside they are cut."""
        placed = (self.place(across, up) for across, up in points)
        # z: what is a hair below 0 on one machine and above it on another is 0.0 on both
        return " ".join(f"{1000 * x:z.1f},{1000 * min(max(y, -1.0), 2.0):z.1f}" for x, y in placed)

    def axes(self, across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]]) -> dict[str, Any]:
        """Ticks, each a number and its text, as "across" and "up": places in percent and texts."""
        return {
            "across": [(100 * self.place(value, self.low)[0], text) for value, text in across],
            "up": [(100 * self.place(self.left, value)[1], text) for value, text in up],
        }


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Round numbers in [low, high], about ``count`` of them, 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * power for unit in (1, 2, 5, 10) if unit * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def short(value: float) -> str:
    """A number for an axis: four digits, thousands as k."""
    return f"{value / 1000:.4g}k" if abs(value) >= 1000 else f"{value:.4g}"
