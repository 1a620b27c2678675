from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import TablePredictor, always, perfect

from chatspot.errors import DataError
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.predict import RunFacts, predict
from chatspot.eval.predictions import Prediction, read_predictions
from chatspot.eval.score import accuracies, score
from chatspot.eval.tasks import COCO, PLATES, WORDS

FACTS = RunFacts({"name": "reference", "files": {}}, {"folder": "coco", "annotations_sha256": "0" * 64}, "chatspot ...")


def given_answers(pairs, per_picture: int = 3) -> list[Prediction]:
    """Predictions of (truth, answer) pairs, so many a picture."""
    return [
        Prediction(f"s/{at // per_picture}#{at}", "q", {"box": [0, 0, 1, 1]}, (10, 10), truth, answer)
        for at, (truth, answer) in enumerate(pairs)
    ]


def test_perfect_answers_score_all(tmp_path, coco_questions):
    predict(perfect(coco_questions), coco_questions, tmp_path / "p.jsonl", FACTS)
    result = score(read_predictions(tmp_path / "p.jsonl"))
    assert result["micro"] == result["macro"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (result["n"], result["pictures"], result["errors"], result["unmatched"]) == (7, 3, 0, 0)
    assert all(row["right"] == row["n"] and row["taken_for"] is None for row in result["classes"].values())
    assert list(result["classes"]) == ["person", "cat", "dog", "hot dog"]


def test_always_person_scores_the_majority_baseline(tmp_path, coco_questions):
    predict(always("a person"), coco_questions, tmp_path / "p.jsonl", FACTS)
    result = score(read_predictions(tmp_path / "p.jsonl"))
    assert result["majority"] == {"answer": "person", "accuracy": 4 / 7}
    assert result["micro"]["value"] == result["chance"] == pytest.approx(4 / 7)
    assert result["macro"]["value"] == pytest.approx(1 / 4)  # one of the four classes present
    assert result["micro"]["low"] < 4 / 7 < result["micro"]["high"]
    assert result["classes"]["dog"] == {"n": 1, "right": 0, "unmatched": 0, "taken_for": "person"}


def test_a_result_says_where_it_is_from_and_is_plain_json(tmp_path, coco_questions):
    predict(perfect(coco_questions), coco_questions, tmp_path / "p.jsonl", FACTS)
    file = read_predictions(tmp_path / "p.jsonl")
    result = score(file)
    assert json.loads(json.dumps(result)) == result == score(file)
    assert (result["kind"], result["task"], result["form"], result["focal_view"]) == ("evaluation", "coco", "box", True)
    for name in ("model", "settings", "data", "limit", "commit", "machine", "date", "command"):
        assert result[name] == getattr(file.header, name)


def test_an_unfinished_file_is_not_scored(tmp_path, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS, batch=1)
    lines = out.read_text("utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:-2]), "utf-8")
    with pytest.raises(DataError, match="5 of 7 questions"):
        score(read_predictions(out))


def test_failed_questions_are_counted_apart(tmp_path, coco_questions):
    def rule(request):
        if request.conversation == coco_questions[0].conversation:
            raise RuntimeError("broken")
        return "dog"

    predict(TablePredictor(rule), coco_questions, tmp_path / "p.jsonl", FACTS)
    result = score(read_predictions(tmp_path / "p.jsonl"))
    assert (result["asked"], result["errors"], result["n"]) == (7, 1, 6)
    assert result["micro"]["value"] == pytest.approx(1 / 6)


def test_nothing_to_score_is_an_error(tmp_path, coco_questions):
    with pytest.raises(DataError, match="no answer to score for task coco"):
        accuracies(COCO, [])

    def rule(request):
        raise RuntimeError("broken")

    predict(TablePredictor(rule), coco_questions, tmp_path / "p.jsonl", FACTS)
    with pytest.raises(DataError, match="every question failed"):
        score(read_predictions(tmp_path / "p.jsonl"))


def test_an_answer_without_a_class_is_unmatched_and_wrong():
    result = accuracies(COCO, given_answers([("dog", "something furry"), ("dog", ""), ("dog", "cat"), ("dog", "dog")]))
    assert result["unmatched"] == 2
    assert result["micro"]["value"] == 0.25
    assert result["classes"]["dog"] == {"n": 4, "right": 1, "unmatched": 2, "taken_for": "cat"}


def test_words_and_plates_have_no_mean_over_classes():
    words = accuracies(WORDS, given_answers([("EXIT", '"exit"'), ("SALE", '"sole"'), ("A", '"B"')]))
    assert words["micro"]["value"] == pytest.approx(1 / 3)
    assert words["macro"] is words["classes"] is None
    plates = accuracies(PLATES, given_answers([("RK376AF", '"RK-376 af"'), ("JIY4434", '"JIY443"')]))
    assert plates["micro"]["value"] == 0.5
    assert plates["chance"] == 0.25


def test_a_truth_that_cannot_be_compared_is_an_error():
    with pytest.raises(DataError, match="the truth 'unicorn' cannot be compared"):
        accuracies(COCO, given_answers([("unicorn", "unicorn")]))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_shuffled_answers_score_chance(seed):
    rng = random.Random(seed)
    truths = rng.choices(["person", "car", "dog", "cup"], weights=[5, 3, 1, 1], k=1200)
    answers = rng.sample(truths, len(truths))
    result = accuracies(COCO, given_answers(zip(truths, answers, strict=True)))
    shares = [count / 1200 for count in Counter(truths).values()]
    assert result["chance"] == pytest.approx(sum(share**2 for share in shares))
    assert abs(result["micro"]["value"] - result["chance"]) < 0.08  # five standard deviations
    assert abs(result["macro"]["value"] - 0.25) < 0.12
    assert result["micro"]["low"] <= result["micro"]["value"] <= result["micro"]["high"]


pairs = st.lists(
    st.tuples(st.sampled_from(COCO_CLASSES[:6]), st.sampled_from([*COCO_CLASSES[:6], "", "thing"])),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_numbers_agree_with_counting(drawn):
    result = accuracies(COCO, given_answers(drawn))
    right = Counter(truth for truth, answer in drawn if truth == answer)
    asked = Counter(truth for truth, _ in drawn)
    assert result["micro"]["value"] == pytest.approx(sum(right.values()) / len(drawn))
    assert result["macro"]["value"] == pytest.approx(sum(right[name] / asked[name] for name in asked) / len(asked))
    assert result["majority"]["accuracy"] == max(asked.values()) / len(drawn)
    assert {name: (row["n"], row["right"]) for name, row in result["classes"].items()} == {
        name: (asked[name], right[name]) for name in asked
    }
    for kind in ("micro", "macro"):
        assert 0 <= result[kind]["low"] <= result[kind]["high"] <= 1
    assert accuracies(COCO, given_answers(drawn)) == result  # seeded


def test_answers_about_one_picture_count_as_one_draw():
    """Four hundred answers about ten pictures tell less than about four hundred pictures."""
    by_picture = [("dog", "dog" if at // 40 % 2 else "cat") for at in range(400)]
    few = accuracies(COCO, given_answers(by_picture, per_picture=40))["micro"]
    many = accuracies(COCO, given_answers(by_picture, per_picture=1))["micro"]
    assert few["value"] == many["value"] == 0.5
    assert few["high"] - few["low"] > 4 * (many["high"] - many["low"])
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 * 0.5 / 400**0.5, rel=0.1)  # the normal approximation


@settings(max_examples=20, deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_predictions_changes_nothing(drawn, rng):
    predictions = given_answers(drawn)
    shuffled = rng.sample(predictions, len(predictions))
    assert accuracies(COCO, predictions) == accuracies(COCO, shuffled)
