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
from chatspot.eval.score import compare, numbers, score
from chatspot.eval.tasks import COCO, NAMES, PLATES, WORDS

FACTS = RunFacts({"name": "reference", "files": {}}, {"folder": "coco", "annotations_sha256": "0" * 64}, "chatspot ...")


def given_answers(pairs, per_picture: int = 3) -> list[Prediction]:
    """Predictions of (truth, answer) pairs, so many a picture."""
    return [
        Prediction(f"s/{at // per_picture}#{at}", "q", {"box": [0, 0, 1, 1]}, (10, 10), truth, answer, -0.5,
                   extra={"area_px": 100.0})
        for at, (truth, answer) in enumerate(pairs)
    ]  # fmt: skip


def scored(questions, engine, tmp_path, name: str = "p.jsonl") -> dict:
    """The result of asking an engine these questions."""
    predict(engine, questions, tmp_path / name, FACTS)
    return score(read_predictions(tmp_path / name), "words")


def value(result: dict, name: str = "accuracy") -> float:
    return result["measures"][name]["value"]


def test_perfect_answers_score_all(tmp_path, coco_questions):
    result = scored(coco_questions, perfect(coco_questions), tmp_path)
    for name in ("accuracy", "macro", "accuracy_of_read", "ap", "ap50", "ap75", "ap_unranked"):
        found = result["measures"][name]
        assert (found["value"], found["low"], found["high"]) == pytest.approx((1, 1, 1)), name
    assert value(result, "hallucination") == 0
    assert "hallucination_of_wrong" not in result["measures"]  # nothing is wrong
    assert (result["n"], result["pictures"], result["errors"], result["unread"]) == (7, 3, 0, 0)
    assert all(row["right"] == row["n"] and row["taken_for"] is None for row in result["classes"].values())
    assert list(result["classes"]) == ["person", "cat", "dog", "hot dog"]
    assert result["confusion"]["person"] == {"person": 4}


def test_always_person_scores_the_majority_baseline(tmp_path, coco_questions):
    result = scored(coco_questions, always("a person"), tmp_path)
    assert result["majority"] == {"answer": "person", "accuracy": 4 / 7}
    accuracy = result["measures"]["accuracy"]
    assert accuracy["value"] == pytest.approx(accuracy["chance"]) == pytest.approx(4 / 7)
    assert value(result, "macro") == pytest.approx(1 / 4)  # one of the four classes present
    assert accuracy["low"] < 4 / 7 < accuracy["high"]
    assert result["classes"]["dog"] == {"n": 1, "right": 0, "unread": 0, "taken_for": "person"}


def test_a_result_says_where_it_is_from_and_is_plain_json(tmp_path, coco_questions):
    result = scored(coco_questions, perfect(coco_questions), tmp_path)
    file = read_predictions(tmp_path / "p.jsonl")
    assert json.loads(json.dumps(result)) == result == score(file, "words")
    assert (result["kind"], result["format"], result["task"], result["form"]) == ("evaluation", 2, "coco", "box")
    for name in ("way", "noise", "model", "settings", "data", "limit", "commit", "machine", "date", "command"):
        assert result[name] == getattr(file.header, name)
    assert result["main"] == next(iter(result["measures"])) == "accuracy"
    for measure in result["measures"].values():
        assert set(measure) == {"title", "value", "low", "high", "chance", "n", "unit"}


def test_an_unfinished_file_is_not_scored(tmp_path, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS, batch=1)
    lines = out.read_text("utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:-2]), "utf-8")
    with pytest.raises(DataError, match="5 of 7 questions"):
        score(read_predictions(out), "words")


def failing(questions, number: int, answer: str) -> TablePredictor:
    """Fails on one question and answers all others alike."""

    def rule(request):
        if request.conversation == questions[number].conversation:
            raise RuntimeError("broken")
        return answer

    return TablePredictor(rule)


def test_failed_questions_are_counted_apart(tmp_path, coco_questions):
    result = scored(coco_questions, failing(coco_questions, 0, "dog"), tmp_path)
    assert (result["asked"], result["errors"], result["n"]) == (7, 1, 6)
    assert value(result) == pytest.approx(1 / 6)


def test_nothing_to_score_is_an_error(tmp_path, coco_questions):
    with pytest.raises(DataError, match="no answer to score for task coco"):
        numbers(COCO, [])
    broken = TablePredictor(lambda request: 1 / 0)
    with pytest.raises(DataError, match="every question failed"):
        scored(coco_questions, broken, tmp_path)


def test_an_answer_without_a_class_is_wrong_and_counted_apart():
    result = numbers(COCO, given_answers([("dog", "something furry"), ("dog", ""), ("dog", "cat"), ("dog", "dog")]))
    assert result["unread"] == 2
    assert value(result) == 0.25
    assert (value(result, "accuracy_of_read"), result["measures"]["accuracy_of_read"]["n"]) == (0.5, 2)
    assert result["classes"]["dog"] == {"n": 4, "right": 1, "unread": 2, "taken_for": "cat"}
    assert result["confusion"] == {"dog": {"": 2, "cat": 1, "dog": 1}}


def test_words_and_plates_have_no_mean_over_classes():
    words = numbers(WORDS, given_answers([("EXIT", '"exit"'), ("SALE", '"sole"'), ("A", '"B"')]))
    assert value(words) == pytest.approx(1 / 3)
    assert "macro" not in words["measures"]
    assert words["classes"] is words["confusion"] is None
    plates = numbers(PLATES, given_answers([("RK376AF", '"RK-376 af"'), ("JIY4434", '"JIY443"')]))
    assert value(plates) == 0.5
    assert plates["measures"]["accuracy"]["chance"] == pytest.approx(0.25, abs=0.05)


def test_any_of_several_truths_is_right():
    predictions = given_answers([(["sofa", "couch"], "couch"), (["sofa", "couch"], "bed"), ("bed", "Bed.")])
    result = numbers(NAMES, predictions)
    assert value(result) == pytest.approx(2 / 3)
    assert list(result["classes"]) == ["sofa", "bed"]  # the best truth stands for all


def test_a_truth_that_cannot_be_compared_is_an_error():
    with pytest.raises(DataError, match=r"s/0#0: the truth '\.\.\.' cannot be compared"):
        numbers(NAMES, given_answers([("...", "unicorn")]))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_shuffled_answers_score_chance(seed):
    rng = random.Random(seed)
    truths = rng.choices(["person", "car", "dog", "cup"], weights=[5, 3, 1, 1], k=1200)
    answers = rng.sample(truths, len(truths))
    result = numbers(NAMES, given_answers(zip(truths, answers, strict=True)))
    shares = [count / 1200 for count in Counter(truths).values()]
    accuracy, macro = result["measures"]["accuracy"], result["measures"]["macro"]
    assert accuracy["chance"] == pytest.approx(sum(share**2 for share in shares), abs=0.015)
    assert macro["chance"] == pytest.approx(0.25, abs=0.03)
    assert abs(accuracy["value"] - accuracy["chance"]) < 0.08  # five standard deviations
    assert abs(macro["value"] - 0.25) < 0.12
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]


pairs = st.lists(
    st.tuples(st.sampled_from(COCO_CLASSES[:6]), st.sampled_from([*COCO_CLASSES[:6], "", "thing"])),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(pairs)
def test_numbers_agree_with_counting(drawn):
    result = numbers(NAMES, given_answers(drawn))
    right = Counter(truth for truth, answer in drawn if truth == answer)
    asked = Counter(truth for truth, _ in drawn)
    assert value(result) == pytest.approx(sum(right.values()) / len(drawn))
    assert value(result, "macro") == pytest.approx(sum(right[name] / asked[name] for name in asked) / len(asked))
    assert result["majority"]["accuracy"] == max(asked.values()) / len(drawn)
    assert {name: (row["n"], row["right"]) for name, row in result["classes"].items()} == {
        name: (asked[name], right[name]) for name in asked
    }
    for measure in result["measures"].values():
        assert 0 <= measure["low"] <= measure["high"] <= 1
        assert 0 <= measure["chance"] <= 1


@settings(max_examples=10, deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_predictions_changes_nothing(drawn, rng):
    predictions = given_answers(drawn)
    shuffled = rng.sample(predictions, len(predictions))
    assert numbers(NAMES, predictions) == numbers(NAMES, shuffled)  # seeded, too


@settings(max_examples=25, deadline=None)
@given(pairs, st.integers(0, 29))
def test_one_more_right_answer_never_lowers_a_number(drawn, at):
    at %= len(drawn)
    better = [*drawn[:at], (drawn[at][0], drawn[at][0]), *drawn[at + 1 :]]
    before, after = numbers(NAMES, given_answers(drawn)), numbers(NAMES, given_answers(better))
    for name in ("accuracy", "macro"):
        assert value(after, name) >= value(before, name) - 1e-12


def test_answers_about_one_picture_count_as_one_draw():
    """Four hundred answers about ten pictures tell less than about four hundred pictures."""
    by_picture = [("dog", "dog" if at // 40 % 2 else "cat") for at in range(400)]
    few = numbers(NAMES, given_answers(by_picture, per_picture=40))["measures"]["accuracy"]
    many = numbers(NAMES, given_answers(by_picture, per_picture=1))["measures"]["accuracy"]
    assert few["value"] == many["value"] == 0.5
    assert few["high"] - few["low"] > 4 * (many["high"] - many["low"])
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 * 0.5 / 400**0.5, rel=0.1)  # the normal approximation


def test_two_files_are_compared_question_by_question(tmp_path, coco_questions):
    scored(coco_questions, always("person"), tmp_path, "first")
    scored(coco_questions, failing(coco_questions, 0, "dog"), tmp_path, "second")
    found = compare(*(read_predictions(tmp_path / name) for name in ("first", "second")), "words")
    assert (found["kind"], found["format"], found["task"], found["n"]) == ("comparison", 2, "coco", 6)
    accuracy = found["measures"]["accuracy"]
    assert (accuracy["first"], accuracy["second"]) == pytest.approx((3 / 6, 1 / 6))
    assert accuracy["difference"] == pytest.approx(-2 / 6)
    assert (accuracy["wins"], accuracy["losses"]) == (1, 3)
    assert accuracy["p"] == pytest.approx(2 * (1 + 4) / 16)  # heads at most once in four throws, two-sided
    assert found["won"] == ["coco/one#1"]
    assert found["second"]["errors"] == 1
    assert json.loads(json.dumps(found)) == found


def test_only_answers_to_the_same_questions_are_compared(tmp_path, coco_questions):
    from dataclasses import replace

    scored(coco_questions, always("person"), tmp_path, "first")
    first = read_predictions(tmp_path / "first")
    other = replace(first, header=replace(first.header, task="names"))
    with pytest.raises(DataError, match="only answers to one task"):
        compare(first, other)
    with pytest.raises(DataError, match="no question that both files answer"):
        compare(first, replace(first, predictions={}))
    changed = {name: replace(each, truth="cow") for name, each in first.predictions.items()}
    with pytest.raises(DataError, match="has the truth"):
        compare(first, replace(first, predictions=changed))
