"""The tasks about text: what they ask of region JSON lines and of original files, and what an answer is worth."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from PIL import Image
from reference import picture, write_folder
from typer.testing import CliRunner

from chatspot.cli.main import app
from chatspot.errors import DataError
from chatspot.eval.predictions import Prediction, read_predictions
from chatspot.eval.score import numbers, score
from chatspot.eval.tasks import find_task, open_folder, questions_of
from chatspot.eval.tasks.captions import caption_measures
from chatspot.eval.tasks.similarity import compared, semantic_iou
from chatspot.regions import Box, Mask, Point, Polygon
from hostile_endpoint import serving

TESTS = Path(__file__).parents[1]
CHOICES = {"A": "white", "B": "silver", "C": "light brown", "D": "brown"}
SQUARE = [[10, 10], [50, 10], [50, 50], [10, 50]]


def judged(task: str, truth, answer, **extra):
    """The judged answer to a question of that truth."""
    return find_task(task).judge(Prediction("a/b#0", "?", {}, (9, 9), truth, answer, extra=extra))


@pytest.mark.parametrize(
    ("answer", "read", "accuracy", "exact"),
    [
        ("", None, 0, 0),
        (" \n", None, 0, 0),
        ('"EXIT"', '"exit"', 1, 1),
        ("exit", "exit", 1, 1),
        ("The sign says Exit.", "the sign says exit.", 1, 0),
        ("EXITS", "exits", 1, 0),  # contained, as in the paper
        ("E X I T", "e x i t", 0, 0),
    ],
)
def test_reading_is_right_when_the_answer_contains_the_text(answer, read, accuracy, exact):
    one = judged("cocotext", "EXIT", answer)
    assert (one.read, one.points) == (read, {"accuracy": accuracy, "exact": exact})


@pytest.mark.parametrize(
    ("truths", "answer", "points"),
    [
        (["no"], "", (0, 0, 0)),
        (["no"], "?!", (0, 0, 0)),
        (["no"], "No.", (1, 1, 1)),
        (["no"], "nobody knows", (0, 0, 0)),  # whole words
        (["coca cola", "coke"], "It is Coca-Cola", (1, 0, 1)),
        (["coca cola", "coke"], "a coke", (0, 0, 1)),
        (["coca cola", "coke"], "cola coca", (0, 0, 0)),
    ],
)
def test_answers_are_right_when_they_contain_the_best_truth(truths, answer, points):
    one = judged("vizwiz", truths, answer)
    assert tuple(one.points[name] for name in ("accuracy", "exact", "any")) == points
    local = judged("localqa", truths[0], answer)
    assert tuple(local.points.values()) == points[:2]


@pytest.mark.parametrize(
    ("truth", "answer", "accuracy", "exact"),
    [
        ("1", "", 0, 0),
        ("1", "10", 0, 0),
        ("1", "1", 1, 1),
        ("1", "One.", 1, 1),
        ("3", "There are three of them", 1, 0),
        ("3", "3.", 1, 1),
        ("3", "2", 0, 0),
    ],
)
def test_counts_are_read_in_digits_and_words(truth, answer, accuracy, exact):
    one = judged("pointqa", truth, answer, kind="general")
    assert (one.points, one.group) == ({"accuracy": accuracy, "exact": exact}, "general")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("", None),
        ("...", None),
        ("E", None),  # no such choice
        ("B", "B"),
        ("B.", "B"),
        ("(B) Silver.", "B"),
        ("Answer: B", None),  # no rule reads it: "answer" in lower case alone
        ("answer: B", "B"),
        ("A dog stands there", None),  # an article is no letter
        ("It is silver.", "B"),
        ("Brown", "D"),
        ("light brown", None),  # names two of the choices
        ("white or silver", None),
    ],
)
def test_a_choice_is_read_from_its_letter_or_its_words(answer, letter):
    one = judged("choices", "B", answer, choices=CHOICES, kind="color")
    assert (one.read, one.points, one.group) == (letter, {"accuracy": float(letter == "B")}, "color")


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("", None),
        ("shiny", None),
        ("Grey", "gray"),
        ("It is red and blue.", "red"),
        ("reddish", None),
        ("PINK!", "pink"),
    ],
)
def test_the_first_basic_term_is_the_colour(answer, read):
    one = judged("colour", "gray", answer, complex=True)
    assert (one.read, one.right, one.group) == (read, read == "gray", "complex background")
    assert judged("colour", "grey", "grey").group == ""


@pytest.mark.parametrize(
    ("answer", "words", "iou"),
    [
        ("", "", 0),
        (".,", "  ", 0),
        ("dog.", "dog ", 1 / 2),
        ("A hot dog", "A hot dog", 2 / 3),
        ("The object is: hot dog. Yes: it is", " hot dog  Yes", 2 / 3),  # between the first two colons
        ("HOT DOG", "HOT DOG", 1),
    ],
)
def test_semantic_iou_is_ospreys(answer, words, iou):
    assert compared(answer) == words
    assert semantic_iou(compared(answer), "hot dog") == pytest.approx(iou)
    assert semantic_iou("", "") == 0


def test_similarity_is_a_cosine_of_meaning():
    same, near, far = (judged("similarity", "sofa", answer) for answer in ("sofa", "couch", "zebra"))
    assert same.points["similarity"] == pytest.approx(1, abs=1e-5)
    assert same.points["similarity"] > near.points["similarity"] > far.points["similarity"]
    assert near.points["semantic_iou"] == 0
    nothing = judged("similarity", "sofa", "")
    assert nothing.read is None
    assert -1 <= nothing.points["similarity"] < 0.5


def test_captions_are_compared_with_all_references():
    one = judged("regioncaption", ["a red car", "the car on the left"], "A red car.")
    assert (one.read, one.points) == ("a red car", {"rouge_l": pytest.approx(1.0)})
    assert judged("imagecaption", ["a red car"], " ... ").read is None


def test_cider_is_a_hundredfold_and_meteor_left_out_without_java(monkeypatch, caplog):
    from chatspot.eval.tasks import captions

    monkeypatch.setenv("PATH", "")
    captions.meteor_is_there.cache_clear()
    truths = [["a dog runs on grass"], ["two cats sleep"]]
    answers = [Prediction(f"a/{at}#0", "?", {}, (9, 9), truth, truth[0]) for at, truth in enumerate(truths)]
    assert caption_measures(answers) == {"cider": pytest.approx(100 * (10 + 7.5) / 2)}  # three words have no four
    assert caption_measures([]) == {}
    assert [record.message for record in caplog.records] == [
        "METEOR is left out: METEOR's program needs Java, and there is no 'java' here"
    ]
    captions.meteor_is_there.cache_clear()


@pytest.fixture
def lines(tmp_path) -> Path:
    """Region JSON lines with everything that these tasks ask about, and what they must not ask about."""
    red = {"polygon": SQUARE, "box": [10, 10, 50, 50], "label": "ball", "attributes": ["red"],
           "descriptions": ["a ball", "a ball", " ", "look at <region0>", "long " * 40],
           "qa": [{"q": "What is the color of <region>?", "choices": ["A. Blue.", "B. Silver."], "a": "Silver.",
                   "type": "color"},
                  {"q": "How many are like <region>?", "a": "3", "type": "general"},
                  {"q": "What is <region>?", "a": ["a ball", "toy", "<region0>"]},
                  {"q": "Why?", "a": "because somebody has put it there"}]}  # fmt: skip
    text = {"box": [60, 10, 90, 30], "label": "text", "text": "EXIT"}
    cut = {"box": [60, 40, 90, 60], "label": "text", "text": "EX", "cut_off": True}
    told = {"box": [5, 60, 25, 75], "label": "cup", "qa": [
        {"q": "What is the colour?", "a": "It is blue.", "type": "color"}]}  # fmt: skip
    record = picture("one", red, text, cut, told)
    record["captions"] = ["A ball and a sign.", " "]
    record["qa"] = [{"q": "Which is round?", "choices": ["A. <region0>", "B. <region1>"], "a": "<region0>",
                     "regions": [0, 1], "type": "shape"},
                    {"q": "Is it day?", "a": "yes"}]  # fmt: skip
    return write_folder(tmp_path / "mixed", [record, picture("two")])


@pytest.mark.parametrize(
    ("task", "form", "asked"),
    [
        ("cocotext", "box", [("mixed/one#1", "EXIT")]),
        (
            "vizwiz",
            "box",
            [("mixed/one#3", ["3"]), ("mixed/one#4", ["a ball", "toy"]), ("mixed/one#6", ["It is blue."])],
        ),
        ("vizwiz", "polygon", [("mixed/one#3", ["3"]), ("mixed/one#4", ["a ball", "toy"])]),
        ("pointqa", "point", [("mixed/one#3", ["3"])]),
        ("choices", "mask", [("mixed/one#2", "B")]),  # the other question names a region without an outline
        ("choices", "box", [("mixed/one#0", "A"), ("mixed/one#2", "B")]),
        ("regioncaption", "box", [("mixed/one#0", ["a ball"])]),
        ("imagecaption", None, [("mixed/one#0", ["A ball and a sign."])]),
        ("similarity", "box", [("mixed/one#0", "ball"), ("mixed/one#3", "cup")]),
        ("colour", "box", [("mixed/one#0", "red"), ("mixed/one#3", "blue")]),
    ],
)
def test_what_is_asked_of_region_lines(lines, task, form, asked):
    questions = questions_of(find_task(task), lines, form=form)
    assert [(question.id, question.truth) for question in questions] == asked
    assert questions == questions_of(find_task(task), lines, form=form)
    for question in questions:
        assert question.extra["form"] == (form or "picture")
        json.dumps(question.extra)


def test_regions_stand_where_the_question_names_them(lines):
    (first, second) = questions_of(find_task("choices"), lines, form="box")
    message = first.conversation.messages[0]
    assert [len(message.regions), first.extra["choices"]] == [2, {"A": "region0", "B": "region1"}]
    assert message.text.splitlines()[0] == "Which is round?"
    assert second.extra == {"form": "box", "kind": "color", "area_px": 1600.0,
                            "choices": {"A": "blue", "B": "silver"}}  # fmt: skip
    assert second.region == Box.from_pixels(10, 10, 50, 50, size=(100, 80))
    (told,) = [q for q in questions_of(find_task("vizwiz"), lines) if q.id.endswith("#6")]
    assert told.text == "What is the colour?"
    assert told.region == Box.from_pixels(5, 60, 25, 75, size=(100, 80))  # follows a question that names none


def test_a_folder_without_such_regions_says_so(tmp_path):
    folder = write_folder(tmp_path / "none", [picture("one", {"box": [0, 0, 9, 9]})])
    for task in ("cocotext", "vizwiz", "pointqa", "choices", "regioncaption", "imagecaption", "similarity", "colour"):
        with pytest.raises(DataError, match=f"no region that task {task} asks about"):
            questions_of(find_task(task), folder)
    with pytest.raises(DataError, match="retention"):
        questions_of(find_task("retention"), folder)


@pytest.fixture
def original(monkeypatch, tmp_path):
    """Small original files of a source, as the readers' own tests lay them out, and the split that they are."""
    monkeypatch.setattr(sys, "path", [str(TESTS / "fuzz"), str(TESTS / "data" / "sources"), *sys.path])
    from sound_files import source_files
    from sound_sets import set_files

    table = source_files() | set_files()

    def laid_out(name: str) -> tuple[Path, str]:
        split, write = table[name]
        write(tmp_path / name)
        return tmp_path / name, split

    return laid_out


@pytest.mark.parametrize(
    ("task", "source", "forms"),
    [
        ("cocotext", "coco_text_val", {"box": Box, "polygon": Polygon}),
        ("cocotext", "hier_text", {"box": Box, "polygon": Polygon}),
        ("cocotext", "icdar2015", {"polygon": Polygon}),
        ("vizwiz", "vizwiz_grounding", {"box": Box, "polygon": Polygon, "mask": Mask}),
        ("pointqa", "pointqa_test", {"box": Box, "point": Point}),
        ("pointqa", "pointqa_looktwice", {"box": Box, "point": Point}),
        ("localqa", "pointqa_local", {"box": Box, "point": Point}),
        ("choices", "gar_bench", {"mask": Mask, "box": Box}),
        ("regioncaption", "refcoco", {"box": Box}),
        ("regioncaption", "visual_genome", {"box": Box, "point": Point}),
        ("regioncaption", "mdvp_bench", {"box": Box}),
        ("imagecaption", "flickr8k", {"picture": None}),
        ("similarity", "named_masks", {"mask": Mask, "box": Box, "polygon": Polygon}),
        ("similarity", "gar_bench", {"mask": Mask}),
        ("similarity", "dlc_bench", {"mask": Mask, "box": Box}),
    ],
)
def test_every_task_runs_on_the_original_files(original, task, source, forms):
    folder, split = original(source)
    found = find_task(task)
    for form, kind in forms.items():
        opened = open_folder(found, folder, split)
        assert opened.source is not None
        questions = questions_of(found, opened, form=form)
        assert questions
        assert opened.source.name == source or source == "pointqa_looktwice"
        for question in questions:
            Image.open(question.image).close()
            assert (question.region is None) if kind is None else isinstance(question.region, kind)
        answers = [perfect(question) for question in questions]
        judged_ = [found.judge(answer) for answer in answers]
        assert all(one.read is not None for one in judged_)
        assert [next(iter(one.points.values())) for one in judged_] == pytest.approx([1.0] * len(judged_), abs=1e-5)


def perfect(question) -> Prediction:
    """The question answered as annotated."""
    truth = question.truth if isinstance(question.truth, str) else question.truth[0]
    return Prediction(question.id, question.text, question.region_json, question.size, question.truth, truth,
                      extra=question.extra)  # fmt: skip


def test_pointqa_is_asked_at_the_annotated_point(original):
    folder, split = original("pointqa_test")
    opened = open_folder(find_task("pointqa"), folder, split)
    box, point = (questions_of(find_task("pointqa"), opened, form=form)[0] for form in ("box", "point"))
    assert (box.id, box.text) == (point.id, point.text)
    assert point.region != box.region.center


@pytest.mark.parametrize(
    ("task", "folder", "form", "least"),
    [
        ("cocotext", "icdar2015_scene_text", "box", 200),
        ("choices", "gar_bench", "box", 60),
        ("regioncaption", "mdvp_bench", "point", 20),
        ("imagecaption", "flickr8k_captions", None, 60),
        ("imagecaption", "coco", None, 150),
        ("similarity", "gar_bench", "polygon", 40),
        ("colour", "gar_bench", "box", 8),
    ],
)
def test_held_out_photos(photos, task, folder, form, least):
    questions = questions_of(find_task(task), photos / "heldout" / folder, form=form)
    assert len(questions) >= least
    assert all(find_task(task).judge(perfect(question)).read for question in questions)


def test_samples_of_the_original_files(photos, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(TESTS / "data" / "sources"), *sys.path])
    from lay_out_samples import lay_out

    lay_out(photos, tmp_path / "formats")
    for task, folder, split, least in (
        ("regioncaption", "mdvp_bench_original", "test", 2),
        ("imagecaption", "flickr8k", "train", 3),
        ("similarity", "dlc_bench", "test", 2),
        ("cocotext", "icdar2015", "test", 10),
    ):
        found = find_task(task)
        questions = questions_of(found, open_folder(found, tmp_path / "formats" / folder, split))
        assert len(questions) >= least, task


def test_shuffled_choices_score_at_chance():
    extra = [{"form": "box", "choices": CHOICES, "kind": f"k{at % 2}"} for at in range(80)]
    questions = [Prediction(f"a/{at}#0", "?", {}, (9, 9), "ABCD"[at % 4], "ABCD"[at * 7 // 3 % 4], extra=extra[at])
                 for at in range(80)]  # fmt: skip
    result = numbers(find_task("choices"), questions)
    assert result["measures"]["accuracy"]["chance"] == pytest.approx(0.25, abs=0.02)
    assert set(result["groups"]) == {"k0", "k1"}


def test_retention_is_scored_from_its_file():
    texts = [Prediction(f"retention/text-{at}#0", "", {}, (1, 1), str(at), "", extra={"nats": nats, "tokens": 10})
             for at, nats in enumerate((10.0, 30.0))]  # fmt: skip
    asked = [Prediction("retention/a#0", "?", {}, (1, 1), ["Paris"], "It is paris.", extra={"kind": "fact"}),
             Prediction("retention/b#0", "?", {}, (1, 1), ["no"], "Not no", extra={"kind": "yes-no"})]  # fmt: skip
    result = numbers(find_task("retention"), [*texts, *asked])
    assert result["measures"]["accuracy"]["value"] == 0.5
    assert result["measures"]["accuracy"]["n"] == 2
    assert result["measures"]["perplexity"]["value"] == pytest.approx(math.exp(2))
    assert result["measures"]["perplexity"]["chance"] is None
    assert set(result["groups"]) == {"fact", "yes-no"}
    assert find_task("retention").corpus(asked) == {}


def test_a_model_is_asked_and_weighed(tiny_nano, tmp_path):
    from chatspot.engine.torch_engine import TorchEngine
    from chatspot.eval.predict import RunFacts
    from chatspot.eval.retention import write_retention
    from chatspot.model.checkpoint import load_checkpoint
    from chatspot.train.abilities.retention import Loss, measure, packaged

    checkpoint = load_checkpoint(tiny_nano)
    engine = TorchEngine(checkpoint, device="cpu")
    out = tmp_path / "runs" / "retention.jsonl"
    found = write_retention(engine, out, RunFacts({"name": "tiny"}, {"folder": "texts"}, "chatspot eval retention"))
    stored = read_predictions(out)
    assert len(stored.predictions) == len(found) == len(packaged("questions")) + len(packaged("held_out"))
    assert all(one.error is None for one in stored.predictions.values())
    result = score(stored)
    before = measure(checkpoint.model, checkpoint.processor, checkpoint.settings)
    whole = sum(before.texts.values(), Loss(0.0, 0))
    assert result["measures"]["perplexity"]["value"] == pytest.approx(whole.perplexity, rel=1e-4)


def test_a_model_behind_a_server_is_asked_and_not_weighed(tmp_path):
    out = tmp_path / "r.jsonl"
    with serving(lambda handler, number: handler.stream("Paris")) as far:
        done = CliRunner().invoke(app, ["eval", "retention", "--out", str(out), "--engine", "remote", "--url", far.url,
                                       "--dialect", "qwen3-vl", "--model", "small"])  # fmt: skip
    assert done.exit_code == 0, done.output
    stored = read_predictions(out)
    assert {one.answer for one in stored.predictions.values()} == {"Paris"}
    assert len(far.requests) == len(stored.predictions)
    assert stored.header.command == (
        "chatspot eval retention --model small --engine remote --dialect qwen3-vl --url URL --out r.jsonl"
    )
    assert list(score(stored)["measures"]) == ["accuracy", "accuracy_of_read"]
