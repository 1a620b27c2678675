from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.errors import DataError
from chatspot.eval.measures import (
    MACRO,
    chance,
    corpus_intervals,
    deals,
    macro,
    mean_intervals,
    mean_points,
    paired,
    sign_test,
    with_of_read,
)
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks import Judged


def judged(*points: float | None, pictures: int = 1000, read: str | None = "x") -> list[Judged]:
    """Judged answers with these points, so many pictures at most."""
    return [Judged(str(at % pictures), "dog" if at % 2 else "cat", read, {"m": one}) for at, one in enumerate(points)]


def test_means_leave_out_what_does_not_count():
    assert mean_points([]) == {}
    assert mean_points(judged(None, None)) == {}
    assert mean_points(judged(1.0, None, 0.0, 0.5)) == {"m": 0.5}
    assert mean_intervals(judged(None, None)) == {}


def test_macro_is_the_mean_over_classes():
    assert macro(judged(1.0, 0.0, 1.0, 1.0), "m") == pytest.approx((1 + 0.5) / 2)
    bounds = mean_intervals(judged(1.0, 0.0, 1.0, 1.0), "m")
    assert set(bounds) == {"m", MACRO}


points = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(points, st.integers(1, 8))
def test_intervals_hold_the_value_and_stay_in_bounds(drawn, pictures):
    one = judged(*drawn, pictures=pictures)
    low, high = mean_intervals(one)["m"]
    assert 0 <= low <= high <= 1
    assert min(drawn) - 1e-9 <= low
    assert high <= max(drawn) + 1e-9
    if len(set(drawn)) == 1:
        assert low == pytest.approx(high) == pytest.approx(drawn[0])


def test_an_interval_covers_the_truth_as_often_as_it_says():
    """Of 200 samples of 60 throws of a coin, about 95 % of the intervals hold one half."""
    import random

    rng, held = random.Random(1), 0
    for _ in range(200):
        low, high = mean_intervals(judged(*(float(rng.random() < 0.5) for _ in range(60))))["m"]
        held += low <= 0.5 <= high
    assert 180 <= held <= 199


def predictions(answers, per_picture: int = 1) -> list[Prediction]:
    return [
        Prediction(f"s/{at // per_picture}#{at}", "q", {}, (1, 1), truth, answer, logprob=float(at))
        for at, (truth, answer) in enumerate(answers)
    ]


def judge(prediction: Prediction) -> Judged:
    right = prediction.answer == prediction.truth
    return Judged(prediction.picture, prediction.truths[0], prediction.answer, {"m": float(right)})


def test_dealing_keeps_questions_and_answers_and_ignores_the_order():
    one = predictions([("a", "x"), ("b", "y"), ("c", "z")])
    for dealt in deals(one, 5):
        assert [p.truth for p in dealt] == ["a", "b", "c"]
        assert sorted(p.answer for p in dealt) == ["x", "y", "z"]
        assert {p.answer: p.logprob for p in dealt} == {"x": 0.0, "y": 1.0, "z": 2.0}  # they go together
    assert deals(one, 5) == deals(one[::-1], 5)


def test_chance_is_what_all_pairings_give():
    answers = [("a", "a"), ("a", "b"), ("b", "b"), ("c", "a")]
    exact = sum(truth == answer for (truth, _), (_, answer) in product(answers, answers)) / 16
    found = chance(judge, None, "m", predictions(answers))
    assert found["m"] == pytest.approx(exact, abs=0.05)
    assert 0 <= found[MACRO] <= 1
    assert found["m_of_read"] == found["m"]


def test_an_answer_that_is_not_read_leaves_the_measure_of_those_that_are():
    read, unread = with_of_read(judged(0.5)[0]), with_of_read(judged(0.0, read=None)[0])
    assert (read.points["m_of_read"], unread.points["m_of_read"]) == (0.5, None)
    assert mean_points([read, unread]) == {"m": 0.25, "m_of_read": 0.5}


def test_measures_of_a_corpus_are_computed_in_each_draw():
    seen = []

    def corpus(drawn) -> dict[str, float]:
        seen.append(len({p.picture for p in drawn}))
        assert len({p.id for p in drawn}) == len(drawn)  # a picture drawn twice is two pictures
        return {"share": sum(p.answer == p.truth for p in drawn) / len(drawn)}

    low, high = corpus_intervals(corpus, predictions([("a", "a"), ("a", "b")] * 20, per_picture=2))["share"]
    assert low == high == 0.5  # each picture has one right answer
    assert set(seen) == {20}


def test_pairs_tell_more_than_two_intervals():
    first = judged(*[0.0, 1.0] * 100)
    second = [*judged(*[0.0, 1.0] * 94), *judged(*[1.0] * 200)[188:]]
    found = paired(first, second, "m")
    assert (found["n"], found["difference"], found["wins"], found["losses"]) == (200, pytest.approx(0.03), 6, 0)
    assert found["low"] > 0  # while the two intervals of the shares overlap widely
    assert found["p"] == pytest.approx(2 / 2**6)
    back = paired(second, first, "m")
    assert (back["difference"], back["wins"], back["losses"]) == (pytest.approx(-0.03), 0, 6)
    with pytest.raises(DataError, match="no question that both answered"):
        paired(judged(None), judged(1.0), "m")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_exact(wins, losses):
    total, fewer = wins + losses, min(wins, losses)
    exact = min(1.0, 2 * sum(math.comb(total, count) for count in range(fewer + 1)) / 2**total)
    assert sign_test(wins, losses) == pytest.approx(exact)
    assert sign_test(wins, losses) == sign_test(losses, wins)
