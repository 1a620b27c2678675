"""The tasks about regions, on COCO's own files: what they ask, hand-computed cases, and predictors whose score is known
beforehand."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from original_files import OBJECTS, SIZE, coco_val, detections
from reference import TablePredictor, always, perfect, picture, write_folder

from chatspot.data.dialogues.counting import countable
from chatspot.errors import DataError
from chatspot.eval.coco import COCO_CLASSES, class_of
from chatspot.eval.predict import RunFacts, predict
from chatspot.eval.predictions import Prediction, read_predictions
from chatspot.eval.score import numbers, score
from chatspot.eval.tasks import COCO, TASKS, Draw, find_task, open_folder, questions_of, read_detections, read_ids
from chatspot.eval.tasks.counting import judge_count, read_count
from chatspot.eval.tasks.ground import judge_where, read_box, written
from chatspot.eval.tasks.objects import judge_coco, neighbours
from chatspot.eval.tasks.pictures import drawn_pictures, names_hash, write_drawn_pictures
from chatspot.eval.tasks.presence import judge_presence, read_yes_no
from chatspot.regions import Box, Mask, Polygon, Scribble

FACTS = RunFacts({"name": "reference", "files": {}}, {"folder": "val2017"}, "chatspot ...")
REGION_TASKS = ("coco", "presence", "count", "ground")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return coco_val(tmp_path_factory.mktemp("original") / "coco")


def prediction(truth: str, answer: str, **extra) -> Prediction:
    return Prediction("s/p#0", "q", {"box": [0, 0, 1, 1]}, (100, 100), truth, answer, extra=extra)


def scored(questions, engine, folder: Path) -> dict:
    """The result of asking an engine these questions."""
    predict(engine, questions, folder / "p.jsonl", FACTS)
    return score(read_predictions(folder / "p.jsonl"), "words")


def value(result: dict, name: str) -> float:
    return result["measures"][name]["value"]


# original files


def test_original_files_are_found_and_hashed(original):
    folder = open_folder(COCO, original)
    assert (folder.source.name, folder.split) == ("coco_val", "val")
    facts = folder.facts()
    assert (facts["folder"], facts["source"], facts["split"]) == ("coco", "coco_val", "val")
    assert list(facts["files_sha256"]) == ["annotations/instances_val2017.json"]
    assert all(len(found) == 64 for found in facts["files_sha256"].values())
    assert open_folder(COCO, original, "val") == folder
    with pytest.raises(DataError, match=r"no original files of task coco lie there: coco_val has no split 'test'"):
        open_folder(COCO, original, "test")
    with pytest.raises(DataError, match=r"annotations\.jsonl does not exist, and no original files of task words"):
        open_folder(find_task("words"), original)


def test_coco_asks_every_box_of_the_original_pictures_but_crowds(original):
    questions = questions_of(COCO, original)
    assert [(q.id, q.truth) for q in questions] == [
        ("coco_val/000000000139#0", "person"), ("coco_val/000000000139#1", "horse"),
        ("coco_val/000000000139#2", "tie"),  # 120 square pixels: no least area where the pictures are whole
        ("coco_val/000000000139#3", "cup"), ("coco_val/000000000139#4", "cup"), ("coco_val/000000000139#5", "cup"),
        ("coco_val/000000000285#0", "bear"), ("coco_val/000000000632#1", "dog"), ("coco_val/000000000632#2", "dog"),
    ]  # fmt: skip
    assert questions[0].extra == {"form": "box", "area_px": 40 * 80 * 31 / 32, "neighbours": ["horse"]}
    assert questions[2].region == Box.from_pixels_xywh(120, 20, 10, 12, size=SIZE)


@pytest.mark.parametrize(("form", "kind"), [("polygon", Polygon), ("mask", Mask), ("scribble", Scribble)])
def test_outlines_point_at_the_same_regions_as_boxes(original, form, kind):
    boxes = {q.id: q for q in questions_of(COCO, original)}
    questions = questions_of(COCO, original, form=form)
    assert [q.id for q in questions] == list(boxes)  # every object of the fixture has an outline
    for question in questions:
        assert isinstance(question.region, kind)
        assert question.region.bounding_box().iou(boxes[question.id].region) > (0.05 if form == "scribble" else 0.8)
    assert questions == questions_of(COCO, original, form=form)  # a scribble is drawn by its name


def test_regions_without_an_outline_are_not_asked_by_one(tmp_path):
    box = {"box": [10, 10, 60, 60], "label": "dog"}
    folder = write_folder(tmp_path / "coco", [picture("a", {**box, "polygon": [[10, 10], [60, 10], [60, 60]]}, box)])
    assert [q.id for q in questions_of(COCO, folder)] == ["coco/a#0", "coco/a#1"]
    assert [q.id for q in questions_of(COCO, folder, form="mask")] == ["coco/a#0"]


# noise


def test_noise_by_hand(original):
    """Centre and sides each move by a uniform draw of ±s times the side; here the generator's draws are taken again."""
    question = questions_of(COCO, original, draw=Draw(0.2))[2]  # a tie of 10 x 12 pixels at (120, 20)
    rng = random.Random("chatspot-2024/noise/coco_val/000000000139#2")
    x, y, wider, taller = (rng.uniform(-0.2, 0.2) for _ in range(4))
    width, height = 10 * (1 + wider), 12 * (1 + taller)
    left, top = 125 + 10 * x - width / 2, 26 + 12 * y - height / 2
    assert question.region.to_pixels(SIZE) == pytest.approx((left, top, left + width, top + height))
    assert question.extra["noise"] == 0.2


def test_noise_is_the_same_in_every_run_and_larger_with_s(original):
    boxes = questions_of(COCO, original)
    assert questions_of(COCO, original, draw=Draw(0.0)) == boxes
    overlap = []
    for scale in (0.1, 0.2, 0.3, 0.5):
        noisy = questions_of(COCO, original, draw=Draw(scale))
        assert noisy == questions_of(COCO, original, draw=Draw(scale))
        assert [(q.id, q.truth) for q in noisy] == [(q.id, q.truth) for q in boxes]
        overlap.append([one.region.iou(other.region) for one, other in zip(noisy, boxes, strict=True)])
    means = [sum(each) / len(each) for each in overlap]
    assert 1 > means[0] > means[1] > means[2] > means[3] > 0.2
    part = questions_of(COCO, original, draw=Draw(0.3), limit=4)
    assert all(question in questions_of(COCO, original, draw=Draw(0.3)) for question in part)


def test_noise_needs_a_box(original):
    with pytest.raises(DataError, match="form point has none"):
        questions_of(COCO, original, form="point", draw=Draw(0.1))


# hallucination


@pytest.mark.parametrize(
    ("answer", "others", "accuracy", "of_all", "of_wrong"),
    [
        ("a person", ["horse"], 1, 0, None),  # right
        ("a horse", ["horse"], 0, 1, 1),  # names the neighbour
        ("a cow", ["horse"], 0, 0, 0),  # wrong, but no neighbour
        ("a horse", [], 0, 0, 0),  # a horse that overlaps too little, or is not there
        ("something", ["horse"], 0, 0, 0),  # names nothing
        ("a person on a horse", ["horse"], 1, 0, None),  # the longest name of the answer counts
        ("", [], 0, 0, 0),
    ],
)
def test_hallucination_by_hand(answer, others, accuracy, of_all, of_wrong):
    found = judge_coco(prediction("person", answer, neighbours=others))
    assert found.points == {"accuracy": accuracy, "hallucination": of_all, "hallucination_of_wrong": of_wrong}


def test_the_two_denominators_by_hand():
    """Ten answers, four of them wrong, one of these a neighbour's: a tenth of all and a quarter of the wrong ones."""
    answers = [("person", "person", [])] * 6 + [("person", "horse", ["horse"])] + [("person", "cup", ["horse"])] * 3
    predictions = [
        Prediction(f"s/{at}#0", "q", {"box": [0, 0, 1, 1]}, (9, 9), truth, answer, -1.0,
                   extra={"area_px": 81.0, "neighbours": others})
        for at, (truth, answer, others) in enumerate(answers)
    ]  # fmt: skip
    result = numbers(COCO, predictions)
    assert (value(result, "hallucination"), value(result, "hallucination_of_wrong")) == pytest.approx((0.1, 0.25))
    assert (result["measures"]["hallucination"]["n"], result["measures"]["hallucination_of_wrong"]["n"]) == (10, 4)


def test_a_neighbour_overlaps_by_more_than_one_half_and_is_of_another_class(tmp_path):
    half = {"box": [0, 0, 40, 20], "label": "dog"}  # IoU with the asked box exactly 0.5
    more = {"box": [0, 0, 40, 22], "label": "cat"}  # 0.55
    same = {"box": [0, 0, 40, 40], "label": "person"}
    crowd = {"box": [0, 0, 40, 39], "label": "horse", "iscrowd": 1}
    asked = {"box": [0, 0, 40, 40], "label": "person"}
    folder = write_folder(tmp_path / "coco", [picture("a", asked, half, more, same, crowd)])
    (record,) = open_folder(COCO, folder).records(None)
    assert neighbours(record, 0, record.regions[0].box) == ["cat", "horse"]
    assert neighbours(record, 0, Box.from_pixels(50, 50, 90, 70, size=(100, 80))) == []


def test_a_predictor_that_echoes_the_neighbours_label_is_caught(original, tmp_path):
    questions = questions_of(COCO, original)
    echo = {q.conversation: q.extra.get("neighbours", [q.truth])[0] for q in questions}
    result = scored(questions, TablePredictor(lambda request: echo[request.conversation]), tmp_path)
    assert value(result, "hallucination") == pytest.approx(2 / 9)  # rider and horse
    assert value(result, "hallucination_of_wrong") == 1
    assert value(result, "accuracy") == pytest.approx(7 / 9)


# presence


def test_presence_is_balanced_and_its_wrong_names_are_wrong(original):
    questions = questions_of(find_task("presence"), original)
    asked = [(q.extra["kind"], q.truth, q.extra["name"]) for q in questions]
    assert len(questions) == 9
    assert {kind for kind, _, _ in asked} == {"there", "elsewhere in the picture", "not in the picture"}
    for question in questions:
        image = int(question.picture[-12:])
        labels = {name for name, *_ in OBJECTS[image]}
        name, kind = question.extra["name"], question.extra["kind"]
        assert question.text == f"Is there {'an' if name[0] in 'aeiou' else 'a'} {name} in this region?"
        assert (question.truth == "yes") == (kind == "there")
        if kind == "not in the picture":
            assert name not in labels
        if kind == "elsewhere in the picture":
            own = [Box.from_pixels_xywh(*box, size=SIZE) for label, *box, _ in OBJECTS[image] if label == name]
            assert own
            assert all(question.region.iou(box) == 0 for box in own)
    assert questions == questions_of(find_task("presence"), original)


def test_presence_is_balanced_on_many_pictures(tmp_path):
    boxes = [{"box": [10 * at, 0, 10 * at + 9, 60], "label": COCO_CLASSES[at]} for at in range(7)]
    folder = write_folder(tmp_path / "coco", [picture(f"p{at}", *boxes) for at in range(20)])
    truths = [q.truth for q in questions_of(find_task("presence"), folder)]
    assert len(truths) == 140
    assert abs(truths.count("yes") - 70) <= 10  # half of each picture's, to within one


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("", None), ("maybe", None), ("Yes.", "yes"), ("no", "no"), ("NO, it is not", "no"), ("Well, yes", "yes"),
     ("nothing", None), ("yesterday", None), ("Yes; no doubt", "yes")],
)  # fmt: skip
def test_yes_and_no_are_read(answer, expected):
    assert read_yes_no(answer) == expected


def test_saying_yes_to_all_is_right_by_half_and_shows():
    judged = [judge_presence(prediction(truth, "yes", kind="there")) for truth in ("yes", "no")]
    assert [one.points for one in judged] == [{"accuracy": 1, "says_yes": 1}, {"accuracy": 0, "says_yes": 1}]
    assert judge_presence(prediction("no", "?", kind="there")).points == {"accuracy": 0, "says_yes": None}


# counting


def test_every_other_object_lies_outside_what_is_counted(original):
    (record, *_) = open_folder(COCO, original).records(None)
    cups = [region for region in record.regions if region.label == "cup"]
    windows = countable(cups)
    assert set(windows) == {1, 2, 3}
    for count, boxes in windows.items():
        for box in boxes:
            centres = sum(box.contains(cup.box.center) for cup in cups)
            assert centres == count
    assert set(countable([cups[0], replace(cups[1], box=cups[0].box)])) == {2}  # of two in one place none is alone
    assert countable([]) == {}


def test_counts_are_asked_of_classes_without_a_crowd(original):
    questions = questions_of(find_task("count"), original)
    assert all(q.extra["name"] != "person" or "000632" not in q.id for q in questions)
    by_name = {(q.picture[-3:], q.extra["name"]): q for q in questions}
    cups, dogs = by_name["139", "cup"], by_name["632", "dog"]
    assert cups.text == "How many cups are in this region?"
    assert cups.truth in ("1", "2", "3")
    assert dogs.truth in ("1", "2")
    noisy = questions_of(find_task("count"), original, draw=Draw(0.2))
    assert [(q.id, q.truth) for q in noisy] == [(q.id, q.truth) for q in questions]
    assert noisy[0].region != questions[0].region


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("", None), ("many", None), ("3", "3"), ("There are Seven.", "7"), ("no dogs", "0"), ("none", "0"), ("03", "3"),
     ("one or two", "1"), ("someone", None), ("9999999", None)],
)  # fmt: skip
def test_numbers_are_read(answer, expected):
    assert read_count(answer) == expected


def test_counts_by_hand():
    found = [judge_count(prediction("3", answer)).points for answer in ("three", "4", "five", "")]
    assert found == [
        {"accuracy": 1, "within_one": 1}, {"accuracy": 0, "within_one": 1}, {"accuracy": 0, "within_one": 0},
        {"accuracy": 0, "within_one": 0},
    ]  # fmt: skip


# grounding


def test_only_single_objects_are_asked_for(original):
    questions = questions_of(find_task("ground"), original)
    asked = [(q.id[-5:], q.extra["name"], q.text) for q in questions]
    assert asked == [
        ("139#0", "person", "Where is the person?"), ("139#1", "horse", "Where is the horse?"),
        ("139#2", "tie", "Where is the tie?"), ("285#0", "bear", "Where is the bear?"),
    ]  # fmt: skip
    assert questions[0].region is None
    assert questions[0].region_json == {}
    assert questions[0].extra["form"] == "picture"


@pytest.mark.parametrize(
    ("answer", "iou", "pointed"),
    [
        ("", 0, 0),
        ("on the left", 0, 0),
        ("<box>0.5, 0.5</box>", 0, 0),  # a point has no extent
        ("<box>0.000, 0.000, 0.500, 0.500</box>", 1, 1),
        ("It is at <box>0.0, 0.0, 0.5, 0.25</box>.", 0.5, 1),
        ("[0.25, 0.0, 0.75, 0.5]", 1 / 3, 1),
        ("(0.6,0.6,0.9,0.9)", 0, 0),
        ("[0.9, 0.9, 0.1, 0.1]", 0, 0),  # corners the wrong way round
        ("[100, 100, 200, 200]", 0, 0),  # another frame is no box here
        ("<box>0, 0, 1, 1</box>", 0.25, 1),
    ],
)
def test_boxes_in_answers_by_hand(answer, iou, pointed):
    found = judge_where(prediction("", answer, box=[0, 0, 0.5, 0.5]))
    assert found.points == {"iou50": float(iou >= 0.5), "mean_iou": pytest.approx(iou), "pointed": pointed}
    assert (found.read is None) == (read_box(answer) is None)


# a detector's boxes

RIDER, HORSE, BEAR = (10.0, 10.0, 40.0, 80.0), (8.0, 14.0, 44.0, 80.0), (20.0, 5.0, 160.0, 90.0)


@pytest.fixture
def found(tmp_path) -> dict:
    return read_detections(detections(tmp_path / "dino.json", [
        (139, "person", RIDER, 0.9), (139, "horse", HORSE, 0.95), (139, "cup", (100, 70, 20, 20), 0.3),
        (139, "cup", (0, 0, 5, 5), 0.01), (285, "cow", BEAR, 0.8), (99, "cow", BEAR, 0.8),
    ]))  # fmt: skip


def test_detections_are_asked_about_in_order_of_their_score(original, found):
    questions = questions_of(find_task("detected"), original, draw=Draw(detections=found))
    assert [(q.id[-5:], q.truth, q.extra.get("category"), q.extra.get("score")) for q in questions] == [
        ("139#0", "horse", "horse", 0.95), ("139#1", "person", "person", 0.9), ("139#2", "nothing", "cup", 0.3),
        ("285#0", "bear", "cow", 0.8),
        ("632#0", "nothing", None, None), ("724#0", "nothing", None, None),  # without a box, asked as a whole
    ]  # fmt: skip
    assert [len(q.extra.get("objects", ())) for q in questions] == [6, 0, 0, 1, 3, 0]
    assert questions[4].extra["objects"][0] == ["person", 0, 0, 200, 100, 20000 * 31 / 32, 1]


def test_a_detectors_boxes_by_hand(original, found, tmp_path):
    questions = questions_of(find_task("detected"), original, draw=Draw(detections=found))
    answers = {"horse": "a horse", "person": "a person", "bear": "a bear", "nothing": "a cup"}
    engine = TablePredictor(lambda request: answers[truths[request.conversation]])
    truths = {q.conversation: q.truth for q in questions}
    result = scored(questions, engine, tmp_path)
    # person, horse and bear are found, tie and dog are not, of the cups none
    assert value(result, "ap") == value(result, "ap50") == pytest.approx(3 / 6)
    assert value(result, "ap_detector") == pytest.approx(2 / 6)  # it takes the bear for a cow
    assert [name for name, each in result["measures"].items() if each["chance"] is None] == ["ap_detector"]
    assert value(result, "ap_product") == pytest.approx(3 / 6)
    assert (value(result, "accuracy"), result["measures"]["accuracy"]["n"]) == (1, 3)
    assert result["main"] == "ap"


def test_failed_answers_still_bring_their_pictures_objects(original, found, tmp_path):
    questions = questions_of(find_task("detected"), original, draw=Draw(detections=found))

    def rule(request):
        if request.conversation == questions[0].conversation:
            raise RuntimeError("broken")
        return "a person"

    result = scored(questions, TablePredictor(rule), tmp_path)
    assert result["errors"] == 1
    assert value(result, "ap") == pytest.approx(
        1 / 6
    )  # the person; the objects of its picture came with the failed one


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read as detections"),
        ("{}", "expected a list of detections, got dict"),
        ("[1]", "detection 0"),
        ('[{"image_id": 1}]', "detection 0: KeyError"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}]', "detection 0"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, NaN], "score": 1}]', "must be finite"),
        ('[{"image_id": "x", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "detection 0"),
    ],
)
def test_files_that_are_no_detections_are_said(tmp_path, content, says):
    (tmp_path / "d.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=says):
        read_detections(tmp_path / "d.json")


def test_what_does_not_fit_together_is_said(original, found, tmp_path):
    task = find_task("detected")
    with pytest.raises(DataError, match="--detections"):
        questions_of(task, original)
    with pytest.raises(DataError, match="has no noise"):
        questions_of(task, original, draw=Draw(0.1, found))
    with pytest.raises(DataError, match="draw pictures with --ids"):
        questions_of(task, original, draw=Draw(detections=found), limit=3)
    large = read_detections(detections(tmp_path / "d.json", [(139, "dog", (150, 0, 400, 90), 0.9)]))
    with pytest.raises(DataError, match="pictures of another size"):
        questions_of(task, original, draw=Draw(detections=large))
    with pytest.raises(DataError, match="no COCO class number 12"):
        class_of(12)
    assert (class_of(1), class_of(90)) == ("person", "toothbrush")


def test_at_most_a_hundred_boxes_of_a_picture_are_asked(tmp_path):
    many = [(1, "dog", (at, 0, 5, 5), at / 200) for at in range(150)]
    kept = read_detections(detections(tmp_path / "d.json", many))["coco:1"]
    assert len(kept) == 100
    assert [one.score for one in kept] == sorted((score for *_, score in many), reverse=True)[:100]


# predictors whose score is known beforehand


@pytest.mark.parametrize("name", REGION_TASKS)
def test_perfect_answers_score_all(original, tmp_path, name):
    questions = questions_of(find_task(name), original)
    result = scored(questions, perfect(questions), tmp_path)
    assert value(result, result["main"]) == 1
    assert result["unread"] == 0
    if name == "ground":
        assert value(result, "mean_iou") > 0.97  # three decimals


@pytest.mark.parametrize("name", REGION_TASKS)
def test_answers_that_say_nothing_score_nothing_and_are_counted(original, tmp_path, name):
    questions = questions_of(find_task(name), original)
    result = scored(questions, always("hm"), tmp_path)
    assert value(result, result["main"]) == 0
    assert result["unread"] == result["n"] == len(questions)


@pytest.mark.parametrize("name", REGION_TASKS)
def test_shuffled_answers_score_chance(tmp_path, name):
    """The truths of all questions, dealt out once more by another generator than the one that measures chance."""
    rng = random.Random(3)
    labels = COCO_CLASSES[:5]
    folder = write_folder(tmp_path / "coco", [
        picture(f"p{at}", *(
            {"box": [x, 10 * (at % 3), x + 18, 10 * (at % 3) + 20 + rng.randint(0, 20)], "label": rng.choice(labels)}
            for x in (0, 20, 40, 60, 80)
        )) for at in range(60)
    ])  # fmt: skip
    questions = questions_of(find_task(name), folder)
    truths = rng.sample([q.truth for q in questions], len(questions))
    predictions = [
        Prediction(q.id, q.text, q.region_json, q.size, q.truth, truth, -1.0, extra=q.extra)
        for q, truth in zip(questions, truths, strict=True)
    ]
    main = next(iter(numbers(find_task(name), predictions)["measures"].values()))
    assert 0 < main["chance"] < 0.7
    assert abs(main["value"] - main["chance"]) < 5 * (0.25 / len(questions)) ** 0.5


# lists of pictures


def test_the_list_of_pictures_follows_from_the_seed(original, tmp_path):
    instances = original / "annotations" / "instances_val2017.json"
    names = drawn_pictures(instances, 4)
    ranks = [hashlib.sha256(f"chatspot-2024/{name}".encode()).hexdigest() for name in names]
    assert sorted(names) == ["coco:139", "coco:285", "coco:632", "coco:724"]
    assert ranks == sorted(ranks)
    assert drawn_pictures(instances, 2) == names[:2]
    out = tmp_path / "ids.txt"
    assert write_drawn_pictures(instances, 2, out) == names_hash(names[:2])
    assert names_hash(names[:2]) in out.read_text("utf-8")
    assert read_ids(out) == set(names[:2])
    kept = questions_of(COCO, original, pictures=frozenset({"coco:285"}))
    assert [q.id for q in kept] == ["coco_val/000000000285#0"]
    with pytest.raises(DataError, match="has 4 pictures, 5 are wanted"):
        drawn_pictures(instances, 5)
    with pytest.raises(DataError, match="no list of pictures"):
        read_ids(tmp_path / "nowhere")


def test_every_task_is_complete():
    from chatspot.data.sources.table import SOURCES

    for name, task in TASKS.items():
        assert name == task.name
        assert task.title
        assert task.forms
        assert set(task.sources) <= set(SOURCES)
        assert len({measure.name for measure in task.measures}) == len(task.measures)


def test_written_boxes_are_read_again():
    box = Box.from_normalized(0.1, 0.2, 0.3, 0.4)
    assert read_box(written(box)).iou(box) > 0.99
    assert json.dumps(written(box)) == '"<box>0.100, 0.200, 0.300, 0.400</box>"'
