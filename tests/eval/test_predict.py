from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from reference import TablePredictor, always, perfect

from chatspot.engine.crowd import MOST_FAILURES
from chatspot.errors import DataError, MessageError
from chatspot.eval.predict import RunFacts, predict
from chatspot.eval.predictions import read_predictions
from chatspot.eval.tasks import COCO, questions_of
from chatspot.prompts import PromptSettings

FACTS = RunFacts({"name": "reference", "files": {}}, {"folder": "coco", "annotations_sha256": "0" * 64}, "chatspot ...")


def test_every_question_is_answered_under_a_header_that_says_what_was_asked(tmp_path, coco_questions):
    out = tmp_path / "deep" / "predictions.jsonl"
    outcome = predict(perfect(coco_questions), coco_questions, out, FACTS, batch=3)
    assert (outcome.asked, outcome.there, outcome.failed) == (7, 0, 0)
    found = read_predictions(out)
    assert list(found.predictions) == [q.id for q in coco_questions]
    assert [p.answer for p in found.predictions.values()] == [q.truth for q in coco_questions]
    first = found.predictions["coco/one#0"]
    assert first.region == {"box": [0.0, 0.0, 0.5, 0.5]}
    assert (first.question, first.size, first.logprob, first.finish, first.error) == (
        "What can you see in this region?", (100, 80), -0.5, "end", None,
    )  # fmt: skip
    header = found.header
    assert (header.task, header.form, header.questions, header.limit) == ("coco", "box", 7, None)
    assert (header.model, header.data, header.command) == (FACTS.model, FACTS.data, FACTS.command)
    assert header.settings == PromptSettings().to_json()
    assert header.machine["device"] == "cpu"
    assert header.commit


def test_questions_of_one_picture_are_asked_together_on_one_picture_object(tmp_path, coco_questions):
    engine = always("dog")
    mixed = [*coco_questions[::2], *coco_questions[1::2]]
    predict(engine, mixed, tmp_path / "p.jsonl", FACTS, batch=7)
    (call,) = engine.calls
    pictures = [id(request.images[0]) for request in call]
    assert len(set(pictures)) == 3
    assert sum(one != two for one, two in pairwise(pictures)) == 2
    assert {request.max_new_tokens for request in call} == {COCO.max_new_tokens}


def test_a_run_goes_on_where_it_was_cut_off(tmp_path, coco_questions):
    out, whole = tmp_path / "cut.jsonl", tmp_path / "whole.jsonl"
    predict(perfect(coco_questions), coco_questions, whole, FACTS, batch=2)
    content = whole.read_bytes()
    expected = {p.id: p.answer for p in read_predictions(whole).predictions.values()}
    for cut in range(0, len(content), 61):
        out.write_bytes(content[:cut])
        already = max(content[:cut].count(b"\n") - 1, 0)
        engine = perfect(coco_questions)
        outcome = predict(engine, coco_questions, out, FACTS, batch=2)
        assert (outcome.there, outcome.asked) == (already, 7 - already)
        assert sum(map(len, engine.calls)) == 7 - already
        assert {p.id: p.answer for p in read_predictions(out).predictions.values()} == expected


def test_a_finished_run_asks_nothing(tmp_path, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS)
    before = out.read_bytes()
    engine = perfect(coco_questions)
    assert predict(engine, coco_questions, out, FACTS).asked == 0
    assert engine.calls == []
    assert out.read_bytes() == before


def test_another_code_version_that_goes_on_is_noted(tmp_path, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS, batch=2)
    header, *rest = out.read_text("utf-8").splitlines(keepends=True)
    out.write_text(json.dumps({**json.loads(header), "commit": "older"}) + "\n" + "".join(rest[:3]), "utf-8")
    predict(perfect(coco_questions), coco_questions, out, FACTS, batch=2)
    commits = read_predictions(out).commits
    assert commits[0] == "older"
    assert len(commits) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": {"name": "another", "files": {}}}, "model:"),
        ({"data": {"folder": "coco", "annotations_sha256": "1" * 64}}, "data:"),
        ({"limit": 7}, "limit:"),
    ],
)
def test_a_file_of_another_run_is_left_alone(tmp_path, coco_questions, change, says):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS)
    cut_off = out.read_bytes()[:-5]
    out.write_bytes(cut_off)
    with pytest.raises(DataError, match=f"holds another run .*{says}"):
        predict(perfect(coco_questions), coco_questions, out, replace(FACTS, **change))
    assert out.read_bytes() == cut_off


def test_other_settings_and_other_questions_are_another_run(tmp_path, coco_folder, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(always("dog"), coco_questions, out, FACTS)
    without = always("dog")
    without.settings = PromptSettings(focal_view=False)
    with pytest.raises(DataError, match="settings:"):
        predict(without, coco_questions, out, FACTS)
    with pytest.raises(DataError, match="form: 'box' there, 'point' now"):
        predict(always("dog"), questions_of(COCO, coco_folder, form="point"), out, FACTS)
    with pytest.raises(DataError, match="questions_sha256"):
        predict(always("dog"), [replace(coco_questions[0], truth="cat"), *coco_questions[1:]], out, FACTS)


@pytest.mark.parametrize("content", ["", "{", '{"kind": "predic', '{"kind": "predictions", "format": 1'])
def test_a_header_that_was_cut_off_is_written_anew(tmp_path, coco_questions, content):
    out = tmp_path / "p.jsonl"
    out.write_text(content, "utf-8")
    assert predict(perfect(coco_questions), coco_questions, out, FACTS).asked == 7


@pytest.mark.parametrize("content", ['{"kind": "evaluation"}', "a letter\n", "a letter", "[1]\n", "\n", "\xff\n"])
def test_a_file_of_another_kind_is_left_alone(tmp_path, coco_questions, content):
    out = tmp_path / "letter.txt"
    out.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="is no predictions file"):
        predict(perfect(coco_questions), coco_questions, out, FACTS)
    assert out.read_bytes() == content.encode("latin-1")


def test_without_resume_nothing_is_written_over(tmp_path, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS, resume=False)
    with pytest.raises(DataError, match="is there already"):
        predict(perfect(coco_questions), coco_questions, out, FACTS, resume=False)
    with pytest.raises(DataError, match="is a folder"):
        predict(perfect(coco_questions), coco_questions, tmp_path, FACTS)


def test_a_question_that_fails_is_kept_apart_and_asked_again(tmp_path, coco_questions):
    bad = coco_questions[1].conversation

    def rule(request):
        if request.conversation == bad:
            raise MessageError("the prompt is\ntoo long")
        return "person"

    out = tmp_path / "p.jsonl"
    outcome = predict(TablePredictor(rule), coco_questions, out, FACTS, batch=4)
    assert outcome.failed == 1
    failed = read_predictions(out).predictions["coco/one#1"]
    assert (failed.answer, failed.error) == (None, "MessageError: the prompt is too long")
    again = perfect(coco_questions)
    assert predict(again, coco_questions, out, FACTS).asked == 1
    assert read_predictions(out).predictions["coco/one#1"].answer == "dog"


def test_a_picture_that_cannot_be_opened_fails_its_questions_only(tmp_path, coco_folder, coco_questions):
    (coco_folder / "images" / "two.png").write_bytes(b"no picture")
    out = tmp_path / "p.jsonl"
    assert predict(perfect(coco_questions), coco_questions, out, FACTS).failed == 1
    predictions = read_predictions(out).predictions
    assert [p.id for p in predictions.values() if p.error] == ["coco/two#1"]
    assert predictions["coco/two#1"].error.startswith("ImageError: ")


def test_a_broken_engine_stops_the_run(tmp_path, coco_questions):
    def rule(request):
        raise RuntimeError("no memory")

    many = [replace(q, id=f"{q.id}{n}") for n in range(4) for q in coco_questions]
    out = tmp_path / "p.jsonl"
    with pytest.raises(DataError, match=f"{MOST_FAILURES} questions in a row failed.*no memory"):
        predict(TablePredictor(rule), many, out, FACTS, batch=8)
    assert len(read_predictions(out).predictions) == MOST_FAILURES


@pytest.mark.parametrize(("questions", "batch", "says"), [([], 1, "got none"), (None, 0, "at least 1")])
def test_impossible_runs_are_said(tmp_path, coco_questions, questions, batch, says):
    with pytest.raises(DataError, match=says):
        predict(always("dog"), coco_questions if questions is None else questions, tmp_path / "p", FACTS, batch=batch)


def test_questions_of_two_forms_are_no_run(tmp_path, coco_folder, coco_questions):
    both = [coco_questions[0], *questions_of(COCO, coco_folder, form="point")]
    with pytest.raises(DataError, match="one task and form"):
        predict(always("dog"), both, tmp_path / "p.jsonl", FACTS)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", ":9: no JSON"),
        ("[]", ":9: expected a JSON object"),
        ('{"id": "a#0"}', ":9: no prediction"),
        ('{"id": "a#0", "question": "", "region": {}, "size": [1, 1], "truth": ""}', "either an answer or an error"),
        (
            '{"id": "a#0", "question": "", "region": {}, "size": [1, 1], "truth": "", "answer": "", "error": "x"}',
            "either",
        ),
    ],
)
def test_damage_is_named_by_line(tmp_path, coco_questions, line, says):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS)
    with out.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=says):
        read_predictions(out)


def test_a_file_of_another_format_is_not_guessed_at(tmp_path, coco_questions):
    out = tmp_path / "p.jsonl"
    predict(perfect(coco_questions), coco_questions, out, FACTS)
    text = out.read_text("utf-8")
    out.write_text(text.replace('"format": 2', '"format": 1', 1), "utf-8")
    with pytest.raises(DataError, match="has format 1"):
        read_predictions(out)
    out.write_text(text.replace('"task"', '"tusk"', 1), "utf-8")
    with pytest.raises(DataError, match="header lacks task"):
        read_predictions(out)
    with pytest.raises(DataError, match="there are no predictions at"):
        read_predictions(tmp_path / "nowhere")
