"""How often answers as probable as this one are right: a map from log-probabilities, fitted where the truth is known.

``chatspot eval calibrate`` fits it; it lies in a checkpoint's folder as ``calibration.json``, and nano's inside the
package::

    {"kind": "calibration", "format": 1, "score": "summed log-probability",
     "knots": [[-6.1, 0.08], [-0.9, 0.55], [-0.02, 0.97]], "threshold": 0.62, "risk": 0.2, "coverage": 0.55, "n": 1200,
     "model": {"name": "...", "files": {"...": "SHA-256"}},
     "predictions": [{"name": "...", "sha256": "...", "task": "coco", "form": "box", "command": "...",
                      "n": 800}]}

The answer's summed log-probability ranks right answers before wrong ones better than the mean of its tokens does
(docs/bench.md, "Confidence").
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from chatspot.errors import CheckpointError

KIND, FORMAT, SCORE = "calibration", 1, "summed log-probability"
FILE = "calibration.json"
MOST_KNOTS = 1000


@dataclass(frozen=True)
class Calibration:
    """A map from an answer's summed natural-log probability to the probability that it is right.

    ``knots`` are (log-probability, probability) pairs, the first rising and the second never falling, straight lines
    between them. An answer is sure from the probability ``threshold`` on; of the ``n`` answers it was fitted on the
    share ``coverage`` was, and at most the share ``risk`` of these was wrong. ``model`` and ``predictions`` say what it
    was fitted on.
    """

    knots: tuple[tuple[float, float], ...]
    threshold: float
    risk: float
    coverage: float
    n: int
    model: dict[str, Any]
    predictions: tuple[dict[str, Any], ...]

    def probability(self, logprob: float) -> float:
        """How likely an answer of this summed log-probability is right, 0 to 1."""
        after = bisect_right(self.knots, logprob, key=lambda knot: knot[0])
        if after == 0:
            return self.knots[0][1]
        if after == len(self.knots):
            return self.knots[-1][1]
        (left, low), (right, high) = self.knots[after - 1], self.knots[after]
        return min(max(low + (high - low) * (logprob - left) / (right - left), low), high)

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "kind": KIND,
            "format": FORMAT,
            "score": SCORE,
            "knots": [list(knot) for knot in self.knots],
            "threshold": self.threshold,
            "risk": self.risk,
            "coverage": self.coverage,
            "n": self.n,
            "model": self.model,
            "predictions": list(self.predictions),
        }


def calibration_in(folder: Path) -> Calibration | None:
    """The calibration in a checkpoint's folder; None where there is none. Raises ``CheckpointError`` as
    ``read_calibration`` does."""
    file = folder / FILE
    return read_calibration(file) if file.is_file() else None


def nano_calibration() -> Calibration | None:
    """The calibration beside nano's trained parts; None before there is one."""
    file = Path(str(resources.files("chatspot").joinpath("weights", f"nano-{FILE}")))
    return read_calibration(file) if file.is_file() else None


def read_calibration(file: Path) -> Calibration:
    """The calibration in a file. Raises ``CheckpointError`` for a file that cannot be read, or holds none that can
    be."""
    advice = "fit it again with 'chatspot eval calibrate', or remove the file"
    try:
        stored = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"the calibration {file} cannot be read ({error}); {advice}") from error
    head = {"kind": KIND, "format": FORMAT, "score": SCORE}
    found = {name: stored.get(name) for name in head} if isinstance(stored, dict) else type(stored).__name__
    if found != head:
        raise CheckpointError(f"{file} is no calibration of this version: expected {head}, got {found}; {advice}")
    try:
        knots = tuple((real(score), share(value)) for score, value in stored["knots"])
        numbers = {name: share(stored[name]) for name in ("threshold", "risk", "coverage")}
        calibration = Calibration(
            knots, **numbers, n=int(stored["n"]), model=dict(stored["model"]), predictions=tuple(stored["predictions"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} is no whole calibration ({type(error).__name__}: {error}); {advice}") from error
    falls = any(left[0] >= right[0] or left[1] > right[1] for left, right in pairwise(knots))
    if falls or not 1 <= len(knots) <= MOST_KNOTS:
        raise CheckpointError(f"{file}: its knots should be 1 to {MOST_KNOTS:,} with rising log-probabilities and "
                              f"probabilities that do not fall, got {str(knots)[:100]}; {advice}")  # fmt: skip
    return calibration


def real(value: Any) -> float:
    """A finite number; ``ValueError`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def share(value: Any) -> float:
    """A number within [0, 1]; ``ValueError`` for anything else."""
    if not 0 <= real(value) <= 1:
        raise ValueError(f"expected a number from 0 to 1, got {value!r}")
    return float(value)
