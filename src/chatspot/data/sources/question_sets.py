"""Questions about text in whole pictures: OCR-VQA, ST-VQA, DocVQA and TextVQA. One record for each picture."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from chatspot.data.faults import Faults
from chatspot.data.records import Record
from chatspot.data.sources.entries import (
    AskedPicture,
    answers_of,
    as_object,
    as_text,
    asked_records,
    check_name,
    claimed_size,
    coco_ids,
    list_field,
    name_field,
    picture_path,
    place,
    question_of,
    read_json,
    reported,
    text_field,
    whole_field,
)
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

OCR_VQA_SPLITS = {"train": 1, "val": 2, "test": 3}  # OCR-VQA's loadDataset.py
NO_ANSWER = "answering does not require reading text in the image"  # what TextVQA's annotators gave up with


def read_ocr_vqa(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """Questions about book covers from ``dataset.json``: an object of all three splits, keyed by ASIN. A picture is
    ``images/<key>`` with the ending of ``imageURL``, or any other: LLaVA's users have them all as .jpg (LLaVA #601).
    Other copies keep the address's own file name, which is found too."""
    OCR_VQA.check(folder, split)
    file = folder / "dataset.json"
    pictures: dict[Path, AskedPicture] = {}
    for key, entry in read_json(file, dict, "an object keyed by book, as OCR-VQA ships it").items():
        where = place(file, key)
        with reported(where, faults):
            number = whole_field(as_object(entry), "split")
            if number not in OCR_VQA_SPLITS.values():
                raise DataError(f"split: expected 1 (train), 2 (val) or 3 (test), got {number}")
            if number != OCR_VQA_SPLITS[split]:
                continue
            questions, answers = list_field(entry, "questions"), list_field(entry, "answers")
            if len(questions) != len(answers):
                raise DataError(f"{len(questions)} questions and {len(answers)} answers, expected as many")
            address = PurePosixPath(name_field(entry, "imageURL").split("?")[0])
            path = picture_path(folder / "images", key + (address.suffix or ".jpg"), address.name or key)
            asked = pictures.setdefault(path, AskedPicture(where, None, (f"ocr-vqa:{key}",)))
            for at, (question, answer) in enumerate(zip(questions, answers, strict=True)):
                with reported(f"{where}, question {at}", faults):
                    add_question(asked, as_text(question, "question"), [as_text(answer, "answer")], where, faults)
    return asked_records(pictures, OCR_VQA, faults)


def read_st_vqa(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """Questions about scene text from ``train_task_3.json``. Two layouts of the pictures are about, and both are
    found: ``train/<file_path>`` and ``train_imgs/<dataset>/<file_name>``.

    The pictures come from seven other sets. Those of COCO-Text keep their COCO id in ``image_ids``, because COCO-Text's
    validation pictures are an evaluation set here.
    """
    ST_VQA.check(folder, split)
    if not any((folder / name).is_dir() for name in ("train", "train_imgs")):
        raise DataError(
            f"{ST_VQA.name}, split {split}: {folder} lacks its pictures: expected train/ or train_imgs/ with "
            f"the folders coco-text, vg and so on; get the set from {ST_VQA.homepage} ({ST_VQA.licence})"
        )
    pictures: dict[Path, AskedPicture] = {}
    for where, entry in data_entries(folder / "train_task_3.json"):
        with reported(where, faults):
            names = []
            file_path, file_name = (optional_name(as_object(entry), key) for key in ("file_path", "file_name"))
            dataset = optional_name(entry, "dataset")
            if file_path:
                names.append(f"train/{file_path}")
            if dataset and file_name:
                names.append(f"train_imgs/{dataset}/{file_name}")
            if not names:
                raise DataError("no picture: expected 'file_path', or 'dataset' and 'file_name'")
            path = picture_path(folder, *names)
            ids = photo_ids(dataset or PurePosixPath(file_path).parts[0], path.name)
            asked = pictures.setdefault(path, AskedPicture(where, None, ids))
            add_question(asked, text_field(entry, "question"), answers_of(entry), where, faults)
    return asked_records(pictures, ST_VQA, faults)


def read_doc_vqa(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """Questions about scanned pages from ``<split>/<split>_v1.0.json``, or from ``..._withQT.json`` beside it where
    there is one: it adds the question's types, which become ``kind``. ``image`` is relative to the split's folder and
    starts with ``documents/`` itself. The test split has no answers, so it is not offered."""
    DOC_VQA.check(folder, split)
    file = folder / split / f"{split}_v1.0.json"
    with_types = file.with_name(f"{split}_v1.0_withQT.json")
    pictures: dict[Path, AskedPicture] = {}
    for where, entry in data_entries(with_types if with_types.is_file() else file):
        with reported(where, faults):
            path = picture_path(folder / split, name_field(as_object(entry), "image"))
            # the page number is text in the official file
            page = [str(entry[key]) for key in ("ucsf_document_id", "ucsf_document_page_no") if entry.get(key)]
            ids = (f"ucsf:{as_text('_'.join(page), 'document')}",) if len(page) == 2 else ()
            asked = pictures.setdefault(path, AskedPicture(where, None, ids))
            types = list_field(entry, "question_types") if entry.get("question_types") else []
            kind = ", ".join(as_text(name, "question_types") for name in types)
            add_question(asked, text_field(entry, "question"), answers_of(entry), where, faults, kind)
    return asked_records(pictures, DOC_VQA, faults)


def read_text_vqa(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """Questions from ``TextVQA_0.5.1_<split>.json``. All pictures are ``train_images/<image_id>.jpg``, those of val
    too. Of the ten answers the majority's stands first and all are kept, as scoring needs them. The recognised text
    tokens are in another file, which is not needed."""
    TEXT_VQA.check(folder, split)
    pictures: dict[Path, AskedPicture] = {}
    for where, entry in data_entries(folder / f"TextVQA_0.5.1_{split}.json"):
        with reported(where, faults):
            image_id = name_field(as_object(entry), "image_id")
            path = picture_path(folder / "train_images", f"{image_id}.jpg")
            size = claimed_size(entry, "image_width", "image_height")
            asked = pictures.setdefault(path, AskedPicture(where, size, (f"openimages:{image_id}",)))
            answers = answers_of(entry)
            if answers and answers[0].casefold() == NO_ANSWER:
                answers = ()
            add_question(asked, text_field(entry, "question"), answers, where, faults)
    return asked_records(pictures, TEXT_VQA, faults)


def data_entries(file: Path) -> Iterator[tuple[str, Any]]:
    """The entries of a file ``{"data": [...]}``, each with its place: number and question id. The questions are in the
    list ``data``; the object around it has a few keys only."""
    content = read_json(file, dict, 'an object with a list "data"')
    if not isinstance(content.get("data"), list):
        raise DataError(
            f'{file}: expected an object with a list "data", got the fields {reprlib.repr(sorted(content))}'
        )
    for number, entry in enumerate(content["data"]):
        ids = [entry[key] for key in ("question_id", "questionId") if key in entry] if isinstance(entry, dict) else []
        yield place(file, f"data[{number}]") + (f", question {reprlib.repr(ids[0])}" if ids else ""), entry


def add_question(
    asked: AskedPicture, question: str, answers: Sequence[str], where: str, faults: Faults, kind: str = ""
) -> None:
    """Add a question to its picture, or report that it has no answer."""
    found = question_of(question, answers, where, faults, kind=kind)
    if found:
        asked.questions.append(found)


def optional_name(entry: dict[str, Any], key: str) -> str:
    """The file's name at ``key``, empty where it is missing or empty."""
    if entry.get(key) in (None, ""):
        return ""
    name = name_field(entry, key)
    check_name(name)
    return name


def photo_ids(dataset: str, file_name: str) -> tuple[str, ...]:
    """The photo's ids in the set that ST-VQA took it from: COCO's by its file name, Visual Genome's and VizWiz's by the
    set's name."""
    stem = PurePosixPath(file_name).stem
    name = dataset.casefold().replace("-", "").replace("_", "").replace(" ", "")
    if name in ("vg", "visualgenome") and stem.isascii() and stem.isdigit() and len(stem) < 12:
        return (f"vg:{int(stem)}",)
    if name == "vizwiz":
        return (f"vizwiz:{stem}",)
    return coco_ids(file_name)


OCR_VQA = Source(
    name="ocr_vqa",
    title="OCR-VQA",
    read=read_ocr_vqa,
    files=dict.fromkeys(OCR_VQA_SPLITS, ("dataset.json", "images/")),
    licence="none stated; covers of books sold by Amazon, for research",
    homepage="https://ocr-vqa.github.io",
)
ST_VQA = Source(
    name="st_vqa",
    title="Scene Text VQA, task 3",
    read=read_st_vqa,
    files={"train": ("train_task_3.json",)},  # and train/ or train_imgs/, which read_st_vqa looks for
    licence="no licence found; terms of the Robust Reading Competition; each picture keeps its own set's terms",
    homepage="https://rrc.cvc.uab.es/?ch=11",
)
DOC_VQA = Source(
    name="doc_vqa",
    title="DocVQA, task 1",
    read=read_doc_vqa,
    files={split: (f"{split}/{split}_v1.0.json", f"{split}/documents/") for split in ("train", "val")},
    licence="no licence found; terms of the Robust Reading Competition; pages of the UCSF Industry Documents Library",
    homepage="https://rrc.cvc.uab.es/?ch=17",
)
TEXT_VQA = Source(
    name="text_vqa",
    title="TextVQA 0.5.1",
    read=read_text_vqa,
    files={split: (f"TextVQA_0.5.1_{split}.json", "train_images/") for split in ("train", "val")},
    licence="CC BY 4.0 (questions); pictures of Open Images, CC BY 2.0",
    homepage="https://textvqa.org",
)
