"""Risk, coverage and reliability: published cases by hand, hostile answers first."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from answers_with_probabilities import spread, write_answers
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.eval.confidence import Graded, confidence_numbers, expected_error, reliability, risk_at, risk_curve
from chatspot.eval.predictions import read_predictions
from chatspot.eval.report import report_page
from chatspot.eval.score import score

quick = settings(deadline=None, max_examples=60)


def answers(*pairs: tuple[float, float]) -> list[Graded]:
    """Answers of one token each: probability and worth."""
    return [Graded(f"p{at}", math.log(probability), 1, worth) for at, (probability, worth) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("given", "aurc", "risk"),
    [
        (answers((0.9, 1)), 0.0, 0.0),
        (answers((0.9, 0)), 1.0, 1.0),
        (answers((0.9, 1), (0.8, 1), (0.7, 1)), 0.0, 0.0),
        (answers((0.9, 0), (0.8, 0), (0.7, 0)), 1.0, 1.0),
        (answers((0.9, 1), (0.1, 0)), 0.25, 0.5),
        (answers((0.1, 1), (0.9, 0)), 0.75, 0.5),
        (answers((0.5, 1), (0.5, 0)), 0.5, 0.5),  # a tie: both orders, on average
        (answers((0.9, 1), (0.5, 1), (0.5, 0)), (0 + 0.25 + 1 / 3) / 3, 1 / 3),
        (answers((0.9, 0.5), (0.5, 0.25)), (0.5 + 0.625) / 2, 0.625),
    ],
)
def test_risk_and_coverage(given: list[Graded], aurc: float, risk: float) -> None:
    found = confidence_numbers(given)
    assert found is not None
    assert (found["aurc"], found["risk"]) == (pytest.approx(aurc), pytest.approx(risk))
    assert found["threshold"] is None
    assert found["probability"] == "words"


def test_no_answers_have_no_numbers() -> None:
    assert confidence_numbers([]) is None


def test_ece_by_hand() -> None:
    probabilities, worths = np.array([0.05, 0.95, 1.0, 0.9, 0.9]), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    bins = reliability(probabilities, worths)
    assert [(each["low"], each["n"]) for each in bins] == [(0.0, 1), (0.9, 4)]
    assert expected_error(bins) == pytest.approx((0.05 + 4 * abs(3.75 / 4 - 0.75)) / 5)


@quick
@given(st.lists(st.tuples(st.sampled_from([-3.0, -2.0, -1.0, -0.5, -0.1, 0.0]), st.sampled_from([0.0, 0.5, 1.0])),
                min_size=1, max_size=40), st.integers(0, 99))  # fmt: skip
def test_everything_answered_is_the_error_rate_in_any_order(pairs: list[tuple[float, float]], seed: int) -> None:
    scores, worths = (np.array(values) for values in zip(*pairs, strict=True))
    curve = risk_curve(scores, worths)
    assert curve[-1] == risk_at(curve, 1.0) == pytest.approx(1 - worths.mean())
    assert ((curve >= -1e-12) & (curve <= 1 + 1e-12)).all()
    shuffled = list(pairs)
    random.Random(seed).shuffle(shuffled)
    again = risk_curve(*(np.array(values) for values in zip(*shuffled, strict=True)))
    assert again == pytest.approx(curve)


@pytest.mark.parametrize("logprob", [None, float("nan"), float("-inf"), 0.5])
def test_answers_without_a_probability_are_scored_all_the_same(tmp_path: Path, logprob: float | None) -> None:
    file = write_answers(tmp_path / "a.jsonl", [(logprob, at % 2 == 0) for at in range(8)])
    found = score(read_predictions(file), "words")
    assert found["measures"]["accuracy"]["value"] == 0.5
    assert found["confidence"] is None
    html = report_page([file], matching="words")
    assert "Reliability" not in html
    assert "Risk against coverage" not in html


def test_a_report_draws_both_curves(tmp_path: Path) -> None:
    html = report_page([write_answers(tmp_path / "a.jsonl", spread(60))], matching="words")
    assert "right of the surest 50 %" in html
    assert "mean probability of the tokens" in html
    assert "Expected calibration error" in html
