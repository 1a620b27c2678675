"""OCR-VQA, ST-VQA, DocVQA and TextVQA: questions about text in whole pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.entries import best_first
from chatspot.data.sources.question_sets import DOC_VQA, OCR_VQA, ST_VQA, TEXT_VQA
from chatspot.data.sources.source import Source
from chatspot.errors import DataError


def ocr_entry(**changes: Any) -> dict[str, Any]:
    """A book of OCR-VQA."""
    return {
        "imageURL": "http://ecx.images-amazon.com/images/I/61Y5cOdHJbL.jpg",
        "questions": ["Who wrote this book?", "What is the title of this book?"],
        "answers": ["Sandra Boynton", "Mom's Family Wall Calendar 2016"],
        "title": "Mom's Family Wall Calendar 2016",
        "authorName": "Sandra Boynton",
        "genre": "Calendars",
        "split": 1,
        **changes,
    }


def st_entry(**changes: Any) -> dict[str, Any]:
    """A question of ST-VQA."""
    return {
        "question": "What is the price of the bananas per kg?",
        "answers": ["$11.98", "11.98"],
        "file_path": "coco-text/COCO_train2014_000000217925.jpg",
        "file_name": "COCO_train2014_000000217925.jpg",
        "dataset": "coco-text",
        "question_id": 1,
        **changes,
    }


def doc_entry(**changes: Any) -> dict[str, Any]:
    """A question of DocVQA."""
    return {
        "questionId": 337,
        "question": "what is the date mentioned in this letter?",
        "image": "documents/xnbl0037_1.png",
        "docId": 279,
        "ucsf_document_id": "xnbl0037",
        "ucsf_document_page_no": "1",
        "answers": ["1/8/93"],
        "data_split": "train",
        **changes,
    }


def text_entry(**changes: Any) -> dict[str, Any]:
    """A question of TextVQA."""
    return {
        "question": "what is the brand of phone?",
        "question_id": 0,
        "question_tokens": ["what"],
        "image_id": "0054c91397f2fe05",
        "image_classes": ["Telephone"],
        "flickr_original_url": "",
        "flickr_300k_url": "",
        "image_width": 100,
        "image_height": 50,
        "answers": ["toshiba", "nokia", "nokia", "Nokia", "sony", "nokia", "nokia", "nokia", "nokia", "nokia"],
        "set_name": "train",
        **changes,
    }


OUTER = {"dataset_type": "train", "dataset_name": "x", "dataset_version": "0.5.1"}


def ocr_vqa(folder: Path, *entries: Any, content: Any = None) -> Path:
    """A folder of OCR-VQA with one picture."""
    picture(folder / "images" / "761183272.jpg")
    annotations(folder / "dataset.json", dict(zip(["761183272", "2", "3"], entries, strict=False)) or content)
    return folder


def st_vqa(folder: Path, *entries: Any, content: Any = None) -> Path:
    """A folder of ST-VQA with one picture."""
    picture(folder / "train" / "coco-text" / "COCO_train2014_000000217925.jpg")
    annotations(folder / "train_task_3.json", content or {"data": list(entries)})
    return folder


def doc_vqa(folder: Path, *entries: Any, content: Any = None) -> Path:
    """A folder of DocVQA with one picture."""
    picture(folder / "train" / "documents" / "xnbl0037_1.png")
    annotations(folder / "train" / "train_v1.0.json", content or {**OUTER, "data": list(entries)})
    return folder


def text_vqa(folder: Path, *entries: Any, content: Any = None) -> Path:
    """A folder of TextVQA with one picture."""
    picture(folder / "train_images" / "0054c91397f2fe05.jpg")
    annotations(folder / "TextVQA_0.5.1_train.json", content or {**OUTER, "data": list(entries)})
    return folder


SETS = {
    "ocr_vqa": (ocr_vqa, ocr_entry),
    "st_vqa": (st_vqa, st_entry),
    "doc_vqa": (doc_vqa, doc_entry),
    "text_vqa": (text_vqa, text_entry),
}
each_set = pytest.mark.parametrize("source", [OCR_VQA, ST_VQA, DOC_VQA, TEXT_VQA], ids=lambda source: source.name)


@pytest.mark.parametrize(
    ("source", "split", "missing"),
    [
        (OCR_VQA, "train", "dataset.json, images/"),
        (ST_VQA, "train", "train_task_3.json"),
        (DOC_VQA, "train", "train/train_v1.0.json, train/documents/"),
        (TEXT_VQA, "val", "TextVQA_0.5.1_val.json, train_images/"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, source: Source, split: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"{source.name}, split {split}: .* lacks {missing}; get the set from https"):
        read(source, tmp_path, split)


@each_set
@pytest.mark.parametrize("content", [[], "text", 3, None])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, source: Source, content: Any) -> None:
    make, entry = SETS[source.name]
    make(tmp_path, entry())
    file = next(tmp_path.rglob("*.json"))
    annotations(file, content)
    with pytest.raises(DataError, match=f"{file.name}: expected an object"):
        read(source, tmp_path)


@pytest.mark.parametrize("source", [ST_VQA, DOC_VQA, TEXT_VQA], ids=lambda source: source.name)
@pytest.mark.parametrize("content", [{"items": []}, {"data": {}}, {"data": None}])
def test_a_file_without_its_list_is_refused(tmp_path: Path, source: Source, content: Any) -> None:
    SETS[source.name][0](tmp_path, content=content)
    with pytest.raises(DataError, match='expected an object with a list "data", got the fields'):
        read(source, tmp_path)


@each_set
def test_questions_of_one_picture_are_one_record(tmp_path: Path, source: Source) -> None:
    make, entry = SETS[source.name]
    make(tmp_path, entry(), *([] if source is OCR_VQA else [entry(question="And the second?")]))
    (record,), faults = read(source, tmp_path)
    assert found(faults) == {}
    assert len(record.questions) == 2
    assert record.size == (100, 50)
    assert record.source == source.name
    assert record.licence == source.licence
    assert len(record.image_ids) == 1
    assert record.regions == ()


@each_set
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"question": 3, "questions": [3, 3]}, "unusable entry"),
        ({"question": "", "questions": ["", " "]}, "unusable entry"),
        ({"question": "What is in <region0>?", "questions": ["<region0>?", "<region1>?"]}, "unusable entry"),
        ({"answers": "nokia"}, "unusable entry"),
        ({"answers": [3, 4]}, "unusable entry"),
        ({"answers": [["a"], ["b"]]}, "unusable entry"),
        ({"answers": ["\ud800", "\ud801"]}, "unusable entry"),
        ({"answers": [" ", ""]}, "no answer"),
    ],
)
def test_a_wrong_entry_costs_itself_only(tmp_path: Path, source: Source, changes: dict[str, Any], kind: str) -> None:
    make, entry = SETS[source.name]
    good = entry() if source is not OCR_VQA else entry(split=2)
    make(tmp_path, entry(**changes), good, 7)
    records, faults = read(source, tmp_path)
    assert len(records) == (0 if source is OCR_VQA else 1)
    assert faults.counts[kind] >= 1
    assert faults.counts["unusable entry"] >= 1  # the 7
    assert set(faults.counts) <= {kind, "unusable entry"}


@each_set
def test_pictures_that_are_missing_or_corrupt_are_left_out(tmp_path: Path, source: Source) -> None:
    make, entry = SETS[source.name]
    make(tmp_path, entry())
    (file,) = (file for file in tmp_path.rglob("*.*") if file.suffix in (".jpg", ".png"))
    file.write_bytes(b"<html>not found</html>")
    records, faults = read(source, tmp_path)
    assert (records, found(faults)) == ([], {"corrupt picture": 1})
    file.unlink()
    records, faults = read(source, tmp_path)
    assert (records, found(faults)) == ([], {"missing picture": 1})


@each_set
def test_a_picture_of_one_pixel_is_no_photo(tmp_path: Path, source: Source) -> None:
    make, entry = SETS[source.name]
    make(tmp_path, entry(image_width=1, image_height=1))
    (file,) = (file for file in tmp_path.rglob("*.*") if file.suffix in (".jpg", ".png"))
    picture(file, (1, 1))
    assert read(source, tmp_path)[0] == []


# OCR-VQA


@pytest.mark.parametrize(("split", "number"), [("train", 1), ("val", 2), ("test", 3)])
def test_trap_ocr_vqa_splits_are_the_numbers_1_2_3(tmp_path: Path, split: str, number: int) -> None:
    for name in ("2", "3"):
        picture(tmp_path / "images" / f"{name}.jpg")
    ocr_vqa(tmp_path, ocr_entry(split=1), ocr_entry(split=2), ocr_entry(split=3))
    (record,), faults = read(OCR_VQA, tmp_path, split)
    assert record.image.stem == {1: "761183272", 2: "2", 3: "3"}[number]
    assert found(faults) == {}


def test_trap_ocr_vqa_split_of_another_kind(tmp_path: Path) -> None:
    ocr_vqa(tmp_path, ocr_entry(split="train"), ocr_entry(split=0), ocr_entry(split=True))
    assert found(read(OCR_VQA, tmp_path)[1]) == {"unusable entry": 3}


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("http://x/I/61Y5.jpg", "761183272.jpg"),
        ("http://x/I/61Y5.gif", "761183272.gif"),
        ("http://x/I/61Y5.gif", "761183272.jpg"),  # LLaVA renamed all
        ("http://x/I/61Y5.png", "761183272.jpg"),
        ("http://x/I/61Y5.jpg", "761183272.png"),
        ("http://x/I/61Y5.jpg?size=1", "761183272.jpg"),
        ("http://x/I/61Y5", "761183272.jpg"),
        ("", "761183272.jpg"),
        ("http://x/I/61Y5.jpg", "61Y5.jpg"),  # other copies keep the address's name
    ],
)
def test_trap_ocr_vqa_pictures_end_in_jpg_gif_or_png(tmp_path: Path, address: str, file: str) -> None:
    picture(tmp_path / "images" / file)
    annotations(tmp_path / "dataset.json", {"761183272": ocr_entry(imageURL=address)})
    records, faults = read(OCR_VQA, tmp_path)
    assert [record.image.name for record in records] == [file]
    assert found(faults) == {}


def test_trap_ocr_vqa_a_gif_saved_as_jpg_opens(tmp_path: Path) -> None:
    ocr_vqa(tmp_path, ocr_entry())
    picture(tmp_path / "other.gif", (30, 40)).replace(tmp_path / "images" / "761183272.jpg")
    (record,), _ = read(OCR_VQA, tmp_path)
    assert record.size == (30, 40)


def test_trap_ocr_vqa_dead_urls_leave_pictures_missing(tmp_path: Path) -> None:
    ocr_vqa(tmp_path, ocr_entry(), ocr_entry())
    records, faults = read(OCR_VQA, tmp_path)
    assert len(records) == 1
    assert found(faults) == {"missing picture": 1}
    assert faults.kept[0].where == "dataset.json 2"


@pytest.mark.parametrize("answers", [[], ["one"], ["one", "two", "three"]])
def test_trap_ocr_vqa_as_many_answers_as_questions(tmp_path: Path, answers: list[str]) -> None:
    ocr_vqa(tmp_path, ocr_entry(answers=answers))
    records, faults = read(OCR_VQA, tmp_path)
    assert records == []
    assert found(faults) == {"unusable entry": 1}
    assert f"2 questions and {len(answers)} answers" in faults.kept[0].what


def test_ocr_vqa_a_wrong_question_leaves_the_others(tmp_path: Path) -> None:
    ocr_vqa(tmp_path, ocr_entry(answers=[3, "Calendars"]))
    (record,), faults = read(OCR_VQA, tmp_path)
    assert [question.answers for question in record.questions] == [("Calendars",)]
    assert faults.kept[0].where == "dataset.json 761183272, question 0"


@pytest.mark.parametrize("key", ["", "\ud800", "a\nb", "a" * 300, "../up", "/etc/passwd"])
def test_ocr_vqa_a_hostile_key_is_reported_and_can_be_printed(tmp_path: Path, key: str) -> None:
    (tmp_path / "images").mkdir()
    annotations(tmp_path / "dataset.json", {key: ocr_entry(imageURL="")})
    records, faults = read(OCR_VQA, tmp_path)
    assert (records, faults.counts.total()) == ([], 1)
    assert faults.kept[0].where.encode().isascii()
    assert faults.kept[0].what.encode()


# ST-VQA


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("train/coco-text/COCO_train2014_000000217925.jpg", {}),
        ("train_imgs/coco-text/COCO_train2014_000000217925.jpg", {}),
        ("train/coco-text/COCO_train2014_000000217925.jpg", {"file_name": None, "dataset": None}),
        ("train_imgs/coco-text/COCO_train2014_000000217925.jpg", {"file_path": None}),
        ("train/coco-text/COCO_train2014_000000217925.png", {}),
    ],
)
def test_trap_st_vqa_two_layouts_of_the_pictures(tmp_path: Path, file: str, changes: dict[str, Any]) -> None:
    picture(tmp_path / file)
    annotations(tmp_path / "train_task_3.json", {"data": [st_entry(**changes)]})
    (record,), faults = read(ST_VQA, tmp_path)
    assert record.image == tmp_path / file
    assert record.image_ids == ("coco:217925",)
    assert found(faults) == {}


def test_st_vqa_without_either_layout_says_so(tmp_path: Path) -> None:
    annotations(tmp_path / "train_task_3.json", {"data": []})
    with pytest.raises(DataError, match="expected train/ or train_imgs/"):
        read(ST_VQA, tmp_path)


def test_st_vqa_an_entry_without_a_picture_is_reported(tmp_path: Path) -> None:
    st_vqa(tmp_path, st_entry(file_path=None, dataset=None), st_entry(file_path="../../etc/passwd.jpg"))
    assert found(read(ST_VQA, tmp_path)[1]) == {"unusable entry": 2}


def test_trap_st_vqa_questions_are_in_the_inner_list(tmp_path: Path) -> None:
    entries = [st_entry(question=f"Question {number}?") for number in range(7)]
    st_vqa(tmp_path, content={"task_name": "task3", "version": 1, "data": entries})
    (record,), _ = read(ST_VQA, tmp_path)
    assert [question.question for question in record.questions] == [f"Question {number}?" for number in range(7)]


@pytest.mark.parametrize(
    ("dataset", "name", "ids"),
    [
        ("coco-text", "COCO_train2014_000000217925.jpg", ("coco:217925",)),
        ("COCO-Text", "COCO_val2014_000000000042.jpg", ("coco:42",)),
        ("vg", "2317.jpg", ("vg:2317",)),
        ("visual_genome", "2317.jpg", ("vg:2317",)),
        ("vizwiz", "VizWiz_train_000000020000.jpg", ("vizwiz:VizWiz_train_000000020000",)),
        ("icdar", "img_12.jpg", ()),
        ("imageNet", "n01440764_18.jpg", ()),
        ("vg", "x.jpg", ()),
    ],
)
def test_trap_st_vqa_keeps_the_photo_ids_that_leaks_are_found_by(
    tmp_path: Path, dataset: str, name: str, ids: tuple[str, ...]
) -> None:
    picture(tmp_path / "train" / dataset / name)
    entry = st_entry(dataset=dataset, file_name=name, file_path=f"{dataset}/{name}")
    annotations(tmp_path / "train_task_3.json", {"data": [entry]})
    assert read(ST_VQA, tmp_path)[0][0].image_ids == ids


# DocVQA


def test_trap_doc_vqa_images_already_start_with_documents(tmp_path: Path) -> None:
    doc_vqa(tmp_path, doc_entry())
    (record,), _ = read(DOC_VQA, tmp_path)
    assert record.image == tmp_path / "train" / "documents" / "xnbl0037_1.png"


def test_trap_doc_vqa_with_qt_adds_question_types(tmp_path: Path) -> None:
    doc_vqa(tmp_path, doc_entry())
    assert read(DOC_VQA, tmp_path)[0][0].questions[0].kind == ""
    types = doc_entry(question_types=["table/list", "form"])
    annotations(tmp_path / "train" / "train_v1.0_withQT.json", {"data": [types]})
    assert read(DOC_VQA, tmp_path)[0][0].questions[0].kind == "table/list, form"


def test_trap_doc_vqa_test_split_has_no_answers(tmp_path: Path) -> None:
    blind = doc_entry()
    del blind["answers"]
    doc_vqa(tmp_path, blind, doc_entry(answers=None), doc_entry())
    (record,), faults = read(DOC_VQA, tmp_path)
    assert len(record.questions) == 1
    assert found(faults) == {"no answer": 2}
    assert faults.kept[0].where == "train_v1.0.json data[0], question 337"
    with pytest.raises(DataError, match="no split 'test'; it has train, val"):
        read(DOC_VQA, tmp_path, "test")


@pytest.mark.parametrize("page", ["1", 1])
def test_trap_doc_vqa_page_numbers_are_text(tmp_path: Path, page: Any) -> None:
    doc_vqa(tmp_path, doc_entry(ucsf_document_page_no=page))
    assert read(DOC_VQA, tmp_path)[0][0].image_ids == ("ucsf:xnbl0037_1",)


# TextVQA


def test_trap_text_vqa_val_pictures_are_in_train_images_too(tmp_path: Path) -> None:
    text_vqa(tmp_path, text_entry())
    annotations(tmp_path / "TextVQA_0.5.1_val.json", {"data": [text_entry(set_name="val")]})
    for split in ("train", "val"):
        (record,), _ = read(TEXT_VQA, tmp_path, split)
        assert record.image == tmp_path / "train_images" / "0054c91397f2fe05.jpg"


def test_trap_text_vqa_needs_no_file_of_recognised_tokens(tmp_path: Path) -> None:
    text_vqa(tmp_path, text_entry())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["TextVQA_0.5.1_train.json", "train_images"]
    assert len(read(TEXT_VQA, tmp_path)[0]) == 1


def test_trap_text_vqa_the_majority_of_ten_answers_stands_first_and_all_are_kept(tmp_path: Path) -> None:
    text_vqa(tmp_path, text_entry())
    answers = read(TEXT_VQA, tmp_path)[0][0].questions[0].answers
    assert answers[0] == "nokia"
    assert sorted(answers) == sorted(text_entry()["answers"])


def test_text_vqa_annotators_who_gave_up_are_no_answer(tmp_path: Path) -> None:
    gave_up = ["Answering does not require reading text in the image"] * 6 + ["nokia"] * 4
    text_vqa(tmp_path, text_entry(answers=gave_up), text_entry(answers=gave_up[5:]))
    (record,), faults = read(TEXT_VQA, tmp_path)
    assert [question.answers[0] for question in record.questions] == ["nokia"]
    assert found(faults) == {"no answer": 1}


def test_text_vqa_a_wrong_size_is_reported_and_the_picture_believed(tmp_path: Path) -> None:
    text_vqa(tmp_path, text_entry(image_width=1024, image_height=768))
    (record,), faults = read(TEXT_VQA, tmp_path)
    assert record.size == (100, 50)
    assert found(faults) == {"wrong size": 1}


# all


@pytest.mark.parametrize(
    ("answers", "ordered"),
    [
        ([], ()),
        (["a"], ("a",)),
        (["a", "b"], ("a", "b")),
        (["a", "b", "b"], ("b", "b", "a")),
        (["x", "B", "b", "b"], ("b", "b", "B", "x")),
        (["2", "1", "2", "1"], ("2", "2", "1", "1")),
    ],
)
def test_answers_by_votes(answers: list[str], ordered: tuple[str, ...]) -> None:
    assert best_first(answers) == ordered


@given(answers=st.lists(st.sampled_from(["a", "A", "b", "c", "ß", "SS"]), max_size=10))
def test_no_answer_is_lost_and_the_first_has_most_votes(answers: list[str]) -> None:
    ordered = best_first(answers)
    assert sorted(ordered) == sorted(answers)
    votes = [[other.casefold() for other in answers].count(answer.casefold()) for answer in ordered]
    assert votes == sorted(votes, reverse=True)


@each_set
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_entries_never_crash(
    tmp_path_factory: pytest.TempPathFactory, source: Source, data: st.DataObject
) -> None:
    make, entry = SETS[source.name]
    folder = tmp_path_factory.getbasetemp() / source.name
    make(folder, entry(), entry())
    file = next(folder.rglob("*.json"))
    whole = {"1": entry(), "761183272": entry()} if source is OCR_VQA else {**OUTER, "data": [entry(), entry()]}
    content = data.draw(damaged(whole))
    annotations(file, content)
    try:
        records, _ = read(source, folder)
    except DataError:
        assert not isinstance(content, dict) or not isinstance(content.get("data"), list)
    else:
        for question in (question for record in records for question in record.questions):
            assert question.question.encode()
            assert all(answer.encode() for answer in question.answers)
            assert question.answers
