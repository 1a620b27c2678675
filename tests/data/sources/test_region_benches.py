"""Ferret-Bench, MDVP-Bench and POPE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.region_benches import FERRET_BENCH, FERRET_TASKS, MDVP_BENCH, POPE, descriptions
from chatspot.errors import DataError

NAME = "000000069138.jpg"
ASKED, SAID = "What is [0.100, 0.2, 0.5, 0.800]?", "A sign [0.1,0.2,0.5,0.8] on a pole [0, 0, 1, 1]."
PHOTO = "COCO_val2014_000000310196.jpg"


def line(text: str = ASKED, **changes: Any) -> dict[str, Any]:
    """A line of Ferret-Bench's questions or answers."""
    return {"question_id": 2, "image": NAME, "category": "refer_desc", "text": text, **changes}


def written(file: Path, *entries: Any) -> None:
    """JSON lines; texts as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    file.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8", errors="surrogatepass")


def ferret(folder: Path, question: Any = None, answer: Any = None) -> Path:
    """One question and its answer; the other tasks have none."""
    picture(folder / "images" / NAME)
    for task in FERRET_TASKS:
        for name in ("question", "answer"):
            written(folder / task / f"{name}.jsonl")
    written(folder / "refer_caption" / "question.jsonl", line() if question is None else question)
    written(folder / "refer_caption" / "answer.jsonl", line(SAID) if answer is None else answer)
    return folder


def marked(**changes: Any) -> dict[str, Any]:
    """An entry of MDVP-Bench about two boxes."""
    return {"image_name": NAME, "question": "Is <Region 1> near <Region 2>?", "question_id": 1,
            "gt_answers": "<Region 2> is near.", "bbox": [[10, 5, 50, 40], [0, 0, 20, 10]], **changes}  # fmt: skip


def mdvp(folder: Path, *entries: Any, task: str = "natural_QA", form: str = "box") -> Path:
    """One task of MDVP-Bench."""
    picture(folder / task / "images" / NAME)
    annotations(folder / task / f"{task}_{form}.json", list(entries))
    return folder


def asked(**changes: Any) -> dict[str, Any]:
    """A line of POPE."""
    return {"question_id": 1, "image": PHOTO, "text": "Is there a skis in the image?", "label": "yes", **changes}


def pope(folder: Path, *entries: Any) -> Path:
    """POPE's random questions."""
    picture(folder / "val2014" / PHOTO)
    written(folder / "coco_pope_random.json", *entries)
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks ground_conv/question\.jsonl, ground_conv/answer\.jsonl, .*, images/"):
        read(FERRET_BENCH, tmp_path, "test")
    with pytest.raises(DataError, match="holds no task of MDVP-Bench; expected folders such as natural_QA/"):
        read(MDVP_BENCH, tmp_path, "test")
    with pytest.raises(DataError, match=r"lacks coco_pope_popular\.json, val2014/; get the set from"):
        read(POPE, tmp_path, "popular")


def test_they_are_never_trained_on() -> None:
    assert {source.role for source in (FERRET_BENCH, MDVP_BENCH, POPE)} == {"evaluation"}


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("{", line(SAID), "unusable entry"),
        ("[" * 100_000, line(SAID), "unusable entry"),
        ("7", line(SAID), "unusable entry"),
        (line(question_id=3), line(SAID), "no answer"),
        (line(image="000000000001.jpg"), line(SAID), "no answer"),
        (line(image="000000000001.jpg"), line(SAID, image="000000000001.jpg"), "missing picture"),
        (line(image="../x.jpg"), line(SAID, image="../x.jpg"), "unusable entry"),
        (line(""), line(SAID), "unusable entry"),
        (line("<region0>"), line(SAID), "unusable entry"),
        (line("What is [0.5, 0.2, 0.1, 0.8]?"), line(SAID), "degenerate region"),
        (line("What is [0.5, 0.2, 0.5001, 0.8]?"), line(""), "unusable entry"),
        (line("What is [50, 20, 60, 80]?"), line(SAID), "outside region"),
    ],
)
def test_lines_of_ferret_bench_that_cannot_be_used(tmp_path: Path, question: Any, answer: Any, kind: str) -> None:
    records, faults = read(FERRET_BENCH, ferret(tmp_path, question, answer), "test")
    assert records == []
    assert found(faults)[kind] == 1


def test_bytes_that_are_no_text_cost_one_line(tmp_path: Path) -> None:
    file = ferret(tmp_path) / "refer_caption" / "question.jsonl"
    file.write_bytes(b"\xff\xfe\n" + b"\xef\xbb\xbf" + json.dumps(line()).encode() + b"\n")
    records, faults = read(FERRET_BENCH, tmp_path, "test")
    assert (len(records), found(faults)) == (1, {"unusable entry": 1})


def test_trap_boxes_stand_in_the_texts_as_fractions(tmp_path: Path) -> None:
    (record,), faults = read(FERRET_BENCH, ferret(tmp_path), "test")
    (question,) = record.questions
    assert question.question == "What is <region0>?"
    assert question.answers == ("A sign <region0> on a pole <region1>.",)
    assert (question.regions, question.kind) == ((0, 1), "refer_caption")
    boxes = [region.box.to_pixels((100, 50)) for region in record.regions if region.box]
    assert boxes == [(10, 10, 50, 40), (0, 0, 100, 50)]
    assert (record.image_ids, found(faults)) == (("coco:69138",), {})


def test_trap_question_and_answer_belong_together_by_a_number_that_has_gaps(tmp_path: Path) -> None:
    ferret(tmp_path)
    written(tmp_path / "refer_caption" / "answer.jsonl", line("no", question_id=0), line(SAID))
    assert read(FERRET_BENCH, tmp_path, "test")[0][0].questions[0].answers[0].startswith("A sign")


def test_one_picture_of_several_tasks_is_one_record(tmp_path: Path) -> None:
    ferret(tmp_path)
    for name, text in (("question", "Where is the sign?"), ("answer", "At [0.1, 0.2, 0.5, 0.8].")):
        written(tmp_path / "ground_conv" / f"{name}.jsonl", line(text))
    (record,), _ = read(FERRET_BENCH, tmp_path, "test")
    assert [question.kind for question in record.questions] == ["ground_conv", "refer_caption"]
    assert len(record.regions) == 2  # the same box is one region


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (3, "unusable entry"),
        (marked(image_name="gone.jpg"), "missing picture"),
        (marked(image_name="../x.jpg"), "unusable entry"),
        (marked(bbox=7), "unusable entry"),
        (marked(bbox=[[10, 5, 50, 40]]), "unusable entry"),
        (marked(question="What is <Region 0>?"), "unusable entry"),
        (marked(question="What is <Region 3>?"), "unusable entry"),
        (marked(gt_answers=""), "unusable entry"),
        (marked(gt_answers="<region0>"), "unusable entry"),
    ],
)
def test_entries_of_mdvp_bench_that_cannot_be_used(tmp_path: Path, entry: Any, kind: str) -> None:
    records, faults = read(MDVP_BENCH, mdvp(tmp_path, entry), "test")
    assert [record.questions for record in records if record.questions] == []
    assert found(faults) == {kind: 1}


def test_trap_regions_count_from_one_and_are_left_top_width_height(tmp_path: Path) -> None:
    (record,), faults = read(MDVP_BENCH, mdvp(tmp_path, marked()), "test")
    (question,) = record.questions
    assert (question.question, question.answers) == ("Is <region0> near <region1>?", ("<region1> is near.",))
    boxes = [region.box.to_pixels((100, 50)) for region in record.regions if region.box]
    assert boxes == [(10, 5, 60, 45), (0, 0, 20, 10)]
    assert (record.image_ids, found(faults)) == (("coco:69138",), {})


def test_trap_marks_are_points(tmp_path: Path) -> None:
    entry = marked(question="What is <Mark 2>?", gt_answers="<Mark 2> is a pole.", points=[[10, 5], [60, 45]])
    del entry["bbox"]
    (record,), _ = read(MDVP_BENCH, mdvp(tmp_path, entry, form="point"), "test")
    assert [region.point.to_pixels((100, 50)) for region in record.regions if region.point] == [(10, 5), (60, 45)]
    assert record.questions[0].question == "What is <region1>?"


def test_trap_a_region_that_cannot_be_used_is_counted_over(tmp_path: Path) -> None:
    one = marked(bbox=[[10, 5, 0, 40], [0, 0, 20, 10]], question="What is <Region 2>?")
    (record,), faults = read(MDVP_BENCH, mdvp(tmp_path, one), "test")
    assert record.questions[0].question == "What is <region0>?"
    assert found(faults) == {"degenerate region": 1}


def test_trap_captions_are_descriptions_of_their_regions(tmp_path: Path) -> None:
    text = "<Region 1>:Red fire engine\n<Region 2>: A lamppost, at <Region 1>\n<Region 3>: nobody"
    folder = mdvp(tmp_path, marked(gt_answers=text), task="natural_brief_caption")
    (record,), faults = read(MDVP_BENCH, folder, "test")
    assert [region.descriptions for region in record.regions] == [
        ("Red fire engine",), ("A lamppost, at <Region 1>",),
    ]  # fmt: skip
    assert (record.questions, found(faults)) == ((), {"unusable entry": 1})


@pytest.mark.parametrize(
    ("text", "found_"),
    [
        ("", []),
        ("no mark at all", []),
        ("<Region 1>:", []),
        ("<Mark 1>: a\n<Mark 2>:b", [(1, "a"), (2, "b")]),
        ("<Region 1><Region 2>: skis", [(1, "skis"), (2, "skis")]),
        ("<Region 1>, <Region 2>: skis", [(1, "skis"), (2, "skis")]),
    ],
)
def test_what_is_said_of_which_region(text: str, found_: list[tuple[int, str]]) -> None:
    assert list(descriptions(text)) == found_


def test_trap_each_task_has_its_own_pictures(tmp_path: Path) -> None:
    folder = mdvp(mdvp(tmp_path, marked()), marked(gt_answers="<Region 1>: a"), task="natural_brief_caption")
    mdvp(folder, marked(question="And <Region 1>?"), form="point")
    records, _ = read(MDVP_BENCH, folder, "test")
    assert [(record.image.parent.parent.name, len(record.regions), len(record.questions)) for record in records] == [
        ("natural_QA", 2, 2), ("natural_brief_caption", 2, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("[{}]", "unusable entry"),
        ("{", "unusable entry"),
        (asked(label="maybe"), "unusable entry"),
        (asked(label=None), "unusable entry"),
        (asked(text=""), "unusable entry"),
        (asked(image="/x.jpg"), "unusable entry"),
        (asked(image="COCO_val2014_000000000001.jpg"), "missing picture"),
    ],
)
def test_lines_of_pope_that_cannot_be_used(tmp_path: Path, entry: Any, kind: str) -> None:
    records, faults = read(POPE, pope(tmp_path, entry), "random")
    assert (records, found(faults)) == ([], {kind: 1})


def test_trap_popes_json_is_json_lines(tmp_path: Path) -> None:
    (record,), faults = read(POPE, pope(tmp_path, asked(), asked(label="no", text="Is there a dog?")), "random")
    assert [(q.question, q.answers, q.kind) for q in record.questions] == [
        ("Is there a skis in the image?", ("yes",), "random"), ("Is there a dog?", ("no",), "random"),
    ]  # fmt: skip
    assert (record.image_ids, record.regions, found(faults)) == (("coco:310196",), (), {})


def test_trap_photos_bear_2014s_name_or_2017s(tmp_path: Path) -> None:
    pope(tmp_path, asked())
    (tmp_path / "val2014" / PHOTO).rename(tmp_path / "val2014" / "000000310196.jpg")
    assert len(read(POPE, tmp_path, "random")[0]) == 1


PIECES = ["[", "]", "0.1", ", ", "0.9", "1", "<region0>", "<Region 1>", "<Mark 2>", ":", "-", "a", "1e9", "\x00"]


@settings(max_examples=80, deadline=None)
@given(text=st.lists(st.sampled_from(PIECES), max_size=16).map("".join), entry=damaged(marked()), one=damaged(asked()))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, text: str, entry: Any, one: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "benches"
    made = [
        (FERRET_BENCH, ferret(folder / "ferret", line(text + ASKED), line(SAID + text)), "test"),
        (MDVP_BENCH, mdvp(folder / "mdvp", entry, marked(gt_answers=text)), "test"),
        (MDVP_BENCH, mdvp(folder / "captions", entry, marked(gt_answers=text), task="brief_caption"), "test"),
        (POPE, pope(folder / "pope", one, asked(text=text)), "random"),
    ]
    for source, files, split in made:
        for record in read(source, files, split)[0]:
            named = [number for question in record.questions for number in question.regions]
            assert all(0 <= number < len(record.regions) for number in named)
