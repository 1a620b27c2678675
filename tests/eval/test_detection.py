"""Average precision: equal to pycocotools', and by hand where that has no such number."""

from __future__ import annotations

import contextlib
import io
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.detection import STATS, Found, Object, average_precision, given_box_precision, unranked_precision
from chatspot.eval.matching import coco_class
from chatspot.eval.predictions import Prediction


def reference(objects: list[Object], found: list[Found]) -> dict[str, float]:
    """The same numbers by pycocotools, with all 80 classes and its own summary."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    pictures = {name: at for at, name in enumerate(sorted({one.picture for one in objects}), 1)}
    truth = COCO()
    truth.dataset = {
        "images": [{"id": at} for at in pictures.values()],
        "categories": [{"id": at, "name": name} for at, name in enumerate(COCO_CLASSES, 1)],
        "annotations": [
            {"id": at, "image_id": pictures[one.picture], "category_id": COCO_CLASSES.index(one.name) + 1,
             "bbox": list(one.box_xywh), "area": one.area_px, "iscrowd": int(one.crowd)}
            for at, one in enumerate(objects, 1)
        ],
    }  # fmt: skip
    results = [
        {"image_id": pictures[one.picture], "category_id": COCO_CLASSES.index(one.name) + 1,
         "bbox": list(one.box_xywh), "score": one.score}
        for one in found
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: value for name, value in zip(STATS, evaluation.stats, strict=False) if value >= 0}


def scene(seed: int) -> tuple[list[Object], list[Found]]:
    """Objects of all sizes, some of them crowds, and detections that are near them, wrong or nowhere."""
    rng = random.Random(seed)
    objects, found = [], []
    for picture in range(12):
        for _ in range(rng.randint(1, 6)):
            side = rng.choice((12, 40, 150))
            box = (rng.uniform(0, 300), rng.uniform(0, 300), side * rng.uniform(0.5, 1), side * rng.uniform(0.5, 1))
            name, crowd = rng.choice(COCO_CLASSES[:6]), rng.random() < 0.1
            objects.append(Object(str(picture), name, box, box[2] * box[3] * 0.8, crowd))
            for _ in range(rng.randint(0, 2)):
                moved = tuple(edge + rng.uniform(-0.15, 0.15) * side for edge in box[:2])
                guess = name if rng.random() < 0.7 else rng.choice(COCO_CLASSES[:8])
                found.append(Found(str(picture), guess, (*moved, *box[2:]), rng.random()))
    return objects, found


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_pycocotools(seed):
    objects, found = scene(seed)
    ours, theirs = average_precision(objects, found), reference(objects, found)
    assert set(ours) == set(theirs) == set(STATS)
    for name in STATS:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6), name


def test_the_order_changes_nothing():
    objects, found = scene(0)
    expected = average_precision(objects, found)
    assert average_precision(objects[::-1], found[::-1]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("objects", "found", "expected"),
    [
        ([], [], {}),
        ([], [Found("a", "dog", (0, 0, 9, 9), 1.0)], {}),
        ([Object("a", "dog", (0, 0, 50, 50), 2500)], [], {"ap": 0, "ap50": 0, "ap75": 0}),
        (
            [Object("a", "dog", (0, 0, 50, 50), 2500)],
            [Found("another", "dog", (0, 0, 50, 50), 1)],
            {"ap": 0, "ap50": 0, "ap75": 0},
        ),
        (
            [Object("a", "dog", (0, 0, 50, 50), 2500)],
            [Found("a", "dog", (0, 0, 50, 50), 0.1)],
            {"ap": 1, "ap50": 1, "ap75": 1, "ap_medium": 1},
        ),
        (  # a box of IoU 0.8 counts at 0.5, 0.55, ..., 0.8: seven of ten thresholds
            [Object("a", "dog", (0, 0, 50, 50), 2500)],
            [Found("a", "dog", (0, 0, 50, 40), 0.1)],
            {"ap": 0.7, "ap50": 1, "ap75": 1, "ap_medium": 0.7},
        ),
    ],
)
def test_by_hand(objects, found, expected):
    assert average_precision(objects, found) == pytest.approx(expected)


def answered(truths_and_answers, logprobs=None) -> list[Prediction]:
    """Answers about boxes side by side."""
    return [
        Prediction(f"s/{at // 4}#{at}", "q", {"box": [at / 40, 0.1, at / 40 + 0.02, 0.4]}, (4000, 200), truth, answer,
                   -0.1 * (at % 7) if logprobs is None else logprobs[at], extra={"area_px": 80.0 * 60})
        for at, (truth, answer) in enumerate(truths_and_answers)
    ]  # fmt: skip


def test_given_boxes_are_found_exactly_so_three_numbers_are_one():
    answers = [("dog", "dog"), ("dog", "cat"), ("cat", "cat"), ("cup", "???")]
    found = given_box_precision(answered(answers), coco_class)
    assert found["ap"] == pytest.approx(found["ap50"]) == pytest.approx(found["ap75"])
    # dog: recall 1/2 at precision 1: levels 0 to 0.5, 51 of 101; cat: the wrong one ranks below the right one or above
    assert found["ap_unranked"] == pytest.approx((51 / 101 + 1 / 2 + 0) / 3)
    ranked = given_box_precision(answered(answers, [-1.0, -9.0, -0.1, -0.1]), coco_class)
    assert ranked["ap"] == pytest.approx((51 / 101 + 1 + 0) / 3)
    misranked = given_box_precision(answered(answers, [-1.0, -0.1, -9.0, -0.1]), coco_class)
    assert misranked["ap"] == pytest.approx((51 / 101 + 1 / 2 + 0) / 3)


def test_perfect_answers_have_a_precision_of_one():
    found = given_box_precision(answered([(name, f"a {name}") for name in COCO_CLASSES[:9]]), coco_class)
    assert found == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1, "ap_medium": 1, "ap_unranked": 1})


def test_without_probabilities_nothing_is_ranked():
    assert given_box_precision(answered([("dog", "dog")], [None]), coco_class) == {"ap_unranked": 1.0}
    assert given_box_precision([], coco_class) == {}
    point = Prediction("s/0#0", "q", {"point": [0.5, 0.5]}, (10, 10), "dog", "dog", -0.5, extra={"area_px": 9.0})
    assert given_box_precision([point], coco_class) == {"ap_unranked": 1.0}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_unranked_precision_is_a_share_and_grows_with_right_answers(pairs):
    def of(answers) -> float:
        truths, named = Counter(truth for truth, _ in answers), Counter(answer for _, answer in answers)
        return unranked_precision(truths, named, Counter(truth for truth, answer in answers if truth == answer))

    truth = pairs[0][0]
    assert 0 <= of(pairs) <= 1
    assert of([(truth, truth), *pairs[1:]]) >= of(pairs) - 1e-12
    assert of([(truth, truth) for truth, _ in pairs]) == 1
