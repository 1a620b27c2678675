"""What an answer's probability is worth: whether it tells right answers from wrong ones, and whether it is a share.

Risk is the share of what the given answers lack (a wrong answer lacks all), coverage the share of questions that are
answered, the surest first (El-Yaniv and Wiener 2010). The area under that curve, AURC, is the mean risk over all
coverages (Geifman and El-Yaniv 2017, arXiv 1705.08500; Geifman, Uziel and El-Yaniv 2019, arXiv 1805.08206). ECE is the
mean distance between probability and share of right answers over bins of equal width (Naeini, Cooper and Hauskrecht
2015; Guo et al. 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatspot.engine.calibration import Calibration, nano_calibration
from chatspot.errors import DataError
from chatspot.eval.predictions import Header, Prediction
from chatspot.eval.tasks import Judged, Task

if TYPE_CHECKING:
    import numpy as np

COVERAGES = (0.5, 0.8, 0.9)
BINS = 10  # of the reliability diagram, of equal width (as Naeini et al.)
CALIBRATED, WORDS = "calibrated", "words"


@dataclass(frozen=True)
class Graded:
    """An answer with a probability: its summed natural-log probability, its number of tokens where that is known, and
    its worth, 0 to 1."""

    picture: str
    logprob: float
    tokens: int | None
    worth: float

    @property
    def of_words(self) -> float:
        """The geometric mean of the tokens' probabilities (``engine.Reply.confidence`` without a calibration)."""
        return math.exp(self.logprob / (self.tokens or 1))


def is_for(calibration: Calibration, header: Header) -> bool:
    """Whether the calibration was fitted for the weights that gave these predictions."""
    return all(calibration.model.get(name) == header.model.get(name) for name in ("name", "files"))


def calibration_for(header: Header, given: Calibration | None = None) -> Calibration | None:
    """The calibration of the weights that gave these predictions: ``given``, otherwise nano's, where it is nano; None
    where there is none. Raises ``DataError`` where ``given`` is of other weights."""
    if given is not None and not is_for(given, header):
        raise DataError(f"the calibration is of {given.model.get('name')} and its weights, the predictions are of "
                        f"{header.model.get('name')} and others; calibrate it by itself")  # fmt: skip
    found = given or nano_calibration()
    return found if found is not None and is_for(found, header) else None


def single_measure(task: Task, points: Iterable[str]) -> str | None:
    """The measure by which single answers are right or wrong, of those with ``points``: the main one, or the first
    where that is no mean (CIDEr); None where it is no share."""
    known = list(points)
    described = {each.name: each.unit for each in task.measures}
    main = next(iter(described), "")
    name = main if main in known else known[0]
    return name if described.get(name, "share") == "share" else None


def graded(answered: Iterable[tuple[Prediction, Judged]], single: str | None) -> list[Graded]:
    """The answers that have a finite log-probability of at most 0 and that count for the measure ``single``."""
    found = []
    for prediction, judged in answered:
        worth = None if single is None else judged.points.get(single)
        logprob = prediction.logprob
        if worth is None or logprob is None or not -math.inf < logprob <= 0:
            continue
        tokens = prediction.tokens[1] if prediction.tokens else None
        found.append(Graded(judged.picture, logprob, tokens or None, worth))
    return found


def confidence_numbers(answers: Sequence[Graded], calibration: Calibration | None = None) -> dict[str, Any] | None:
    """What the probabilities of answers are worth, ready to be written as JSON; None of no answers.

    Answers are ranked by their summed log-probability. ``aurc`` is the mean risk over all coverages, ``risk`` the risk
    of answering everything, which a ranking that knows nothing has everywhere. ``accuracy_at`` gives what is right of
    the surest shares of COVERAGES. ``ece`` and the bins of ``reliability`` are of ``probability``: the calibration's
    ("calibrated"), without one the geometric mean of the tokens' ("words"); ``ece_of_words`` is always of the latter.
    ``threshold`` says what the calibration's does: the share of the answers that are ``sure``, the ``risk`` of these
    and of the others (null where there are none).
    """
    import numpy as np

    if not answers:
        return None
    logprobs, worths = (np.array([getattr(one, name) for one in answers]) for name in ("logprob", "worth"))
    curve = risk_curve(logprobs, worths)
    of_words = np.array([one.of_words for one in answers])
    known = of_words if calibration is None else np.array([calibration.probability(one.logprob) for one in answers])
    bins = reliability(known, worths)
    return {
        "n": len(answers),
        "aurc": float(curve.mean()),
        "risk": float(curve[-1]),
        "accuracy_at": {str(share): 1 - risk_at(curve, share) for share in COVERAGES},
        "probability": WORDS if calibration is None else CALIBRATED,
        "ece": expected_error(bins),
        "ece_of_words": expected_error(reliability(of_words, worths)),
        "reliability": bins,
        "threshold": None if calibration is None else threshold_numbers(calibration, known, worths),
    }


def risk_curve(scores: np.ndarray, worths: np.ndarray) -> np.ndarray:
    """The risk of answering the 1, 2, ... n surest questions, [n]. Answers of the same score count as their mean each,
    which is what their orders give on average."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    _, groups, sizes = np.unique(-scores[order], return_inverse=True, return_counts=True)
    lost = (np.bincount(groups, 1 - worths[order]) / sizes)[groups]
    return np.asarray(np.cumsum(lost) / np.arange(1, len(lost) + 1))


def risk_at(curve: np.ndarray, share: float) -> float:
    """The risk when at least ``share`` of the questions is answered."""
    return float(curve[max(math.ceil(share * len(curve) - 1e-9), 1) - 1])


def reliability(probabilities: np.ndarray, worths: np.ndarray) -> list[dict[str, Any]]:
    """For each of BINS that holds answers: bounds, ``n``, the mean ``probability`` and what of them is ``right``."""
    import numpy as np

    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [
        {
            "low": at / BINS,
            "high": (at + 1) / BINS,
            "n": int(inside.sum()),
            "probability": float(probabilities[inside].mean()),
            "right": float(worths[inside].mean()),
        }
        for at in range(BINS)
        if (inside := places == at).any()
    ]


def expected_error(bins: Sequence[dict[str, Any]]) -> float:
    """ECE: the mean over answers of their bin's distance between probability and what is right."""
    total = sum(each["n"] for each in bins)
    return math.fsum(each["n"] * abs(each["probability"] - each["right"]) for each in bins) / total


def threshold_numbers(calibration: Calibration, probabilities: np.ndarray, worths: np.ndarray) -> dict[str, Any]:
    """What saying "I can't tell" below the calibration's threshold does."""
    sure = probabilities >= calibration.threshold
    return {
        "probability": calibration.threshold,
        "coverage": float(sure.mean()),
        "risk": float(1 - worths[sure].mean()) if sure.any() else None,
        "risk_of_others": float(1 - worths[~sure].mean()) if not sure.all() else None,
    }
