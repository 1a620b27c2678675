"""Benchmarks whose questions point at boxes and points: Ferret-Bench and MDVP-Bench; and POPE, which points nowhere.

Ferret-Bench writes boxes into its texts as fractions of the picture, "[0.621, 0.082, 0.772, 0.132]"; question and
answer are in two files of JSON lines and belong together by ``question_id``, which has gaps. MDVP-Bench lists boxes
(left, top, width, height) or points in pixels, and names them from 1 on as <Region 1> or <Mark 1>.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import (
    AskedPicture,
    as_object,
    as_text,
    asked_records,
    coco_ids,
    json_lines,
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
from chatspot.data.sources.geometry import annotated_box, annotated_box_xywh, annotated_point, region_record
from chatspot.data.sources.marked_text import MarkedPicture, marked_question, with_region_marks
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

NUMBER = r"\s*(-?\d{1,6}(?:\.\d{1,20})?)\s*"
WRITTEN_BOX = re.compile(rf"\[{NUMBER},{NUMBER},{NUMBER},{NUMBER}\]")
FERRET_TASKS = ("ground_conv", "refer_caption", "refer_reason")
MARK = re.compile(r"<(?:Region|Mark) (\d{1,6})>")
DESCRIBED = re.compile(rf"^\s*((?:{MARK.pattern}[ \t,]*)+):", re.MULTILINE)  # "<Region 1>:" opens a description
POPE_SETTINGS = ("random", "popular", "adversarial")


def read_ferret_bench(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture with the questions of all three tasks; boxes written in questions and answers become
    regions. ``context.jsonl`` (what GPT-4 was told) and ``box_refer_caption.json`` (the same questions in pixels of the
    whole photo) are not needed."""
    FERRET_BENCH.check(folder, split)
    pictures: dict[Path, MarkedPicture | None] = {}
    for task in FERRET_TASKS:
        answers = {}
        for where, entry in json_lines(folder / task / "answer.jsonl", faults):
            with reported(f"{task}/{where}", faults):
                answers[whole_field(as_object(entry), "question_id")] = entry
        for line, entry in json_lines(folder / task / "question.jsonl", faults):
            where = f"{task}/{line}"
            with reported(where, faults):
                number = whole_field(as_object(entry), "question_id")
                if number not in answers or answers[number].get("image") != entry.get("image"):
                    faults.add("no answer", where, f"question {number} has no answer about its picture")
                    continue
                picture = marked_picture(pictures, folder / "images", entry, "image", where, faults)
                if picture is not None:
                    add_written(picture, text_field(entry, "text"), text_field(answers[number], "text"), task, where,
                                faults)  # fmt: skip
    yield from marked_records(pictures, FERRET_BENCH)


def add_written(picture: MarkedPicture, question: str, answer: str, kind: str, where: str, faults: Faults) -> None:
    """Add a question with the boxes that it and its answer name; nothing, where one of them cannot be used."""
    width, height = picture.frame.size
    new: list[RegionRecord] = []

    def number_of(found: re.Match[str]) -> int:
        edges = [float(text) * side for text, side in zip(found.groups(), (width, height) * 2, strict=True)]
        region = region_record(picture.frame, box=annotated_box(edges, picture.frame, where, faults))
        if region is None:
            raise DataError(f"its box {found[0]} cannot be used")
        new.extend([] if region in (*picture.regions, *new) else [region])
        return [*picture.regions, *new].index(region)

    texts = [with_region_marks(text, WRITTEN_BOX, number_of) for text in (question, answer)]
    asked = marked_question(texts[:1], texts[1:], kind)
    picture.regions += new
    picture.questions.append(asked)


def marked_picture(
    pictures: dict[Path, MarkedPicture | None],
    folder: Path,
    entry: dict[str, Any],
    key: str,
    where: str,
    faults: Faults,
) -> MarkedPicture | None:
    """The picture that an entry names, looked at once for all entries; None after a fault, which is counted once."""
    name = name_field(entry, key)
    path = picture_path(folder, name)
    if path not in pictures:
        frame = picture_frame(path, None, where, faults)
        ids = (f"coco:{int(path.stem)}",) if re.fullmatch(r"[0-9]{12}", path.stem) else coco_ids(name)
        pictures[path] = MarkedPicture(where, frame, ids) if frame else None
    return pictures[path]


def marked_records(pictures: dict[Path, MarkedPicture | None], source: Source) -> Iterator[Record]:
    """The records of pictures that anything is known of."""
    for path, picture in pictures.items():
        if picture is not None and (picture.regions or picture.questions):
            yield Record(path, picture.frame.size, tuple(picture.regions), (), source.name, tuple(picture.questions),
                         image_ids=picture.image_ids, licence=source.licence)  # fmt: skip


def read_mdvp_bench(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture of each task's folder ``<task>/`` with ``<task>_box.json``, ``<task>_point.json`` and
    ``images/``. Captions ("<Region 1>: ...") become descriptions of their regions, everything else questions."""
    MDVP_BENCH.check(folder, split)
    files = [
        file for task in sorted(folder.iterdir()) for form in ("box", "point")
        if (file := task / f"{task.name}_{form}.json").is_file()
    ]  # fmt: skip
    if not files:
        raise DataError(f"{folder} holds no task of MDVP-Bench; expected folders such as natural_QA/ with "
                        "natural_QA_box.json, natural_QA_point.json and images/")  # fmt: skip
    for task in dict.fromkeys(file.parent for file in files):
        pictures: dict[Path, MarkedPicture | None] = {}
        for file in (file for file in files if file.parent == task):
            for number, entry in enumerate(read_json(file, list, "a list of questions, as MDVP-Bench ships it")):
                where = place(file, f"[{number}]")
                with reported(where, faults):
                    picture = marked_picture(pictures, task / "images", as_object(entry), "image_name", where, faults)
                    if picture is not None:
                        add_marked(picture, entry, task.name, where, faults)
        yield from marked_records(pictures, MDVP_BENCH)


def add_marked(picture: MarkedPicture, entry: dict[str, Any], task: str, where: str, faults: Faults) -> None:
    """Add an entry's regions, and its question or descriptions."""
    answer = text_field(entry, "gt_answers")
    key = "points" if "points" in entry else "bbox"
    found = {}
    for at, place_px in enumerate(list_field(entry, key), 1):
        region = listed_region(place_px, key, picture.frame, f"{where} {key} {at}", faults)
        if region is not None:
            found[at] = region

    def usable(number: int) -> RegionRecord:
        if number not in found:
            raise DataError(f"its region {number} is none of the {len(found)} usable ones")
        return found[number]

    if "caption" in task:
        for number, text in descriptions(entry["gt_answers"]):
            with reported(where, faults):
                region = usable(number)
                found[number] = replace(region, descriptions=tuple(dict.fromkeys([*region.descriptions, text])))
        if not any(region.descriptions for region in found.values()):
            faults.add("no answer", where, "no region is described")
        for region in found.values():
            picture.number_of(region)
        return
    for number in {int(mark) for mark in MARK.findall(text_field(entry, "question") + answer)}:
        usable(number)  # before anything is added
    numbers = {at: picture.number_of(region) for at, region in found.items()}
    texts = [
        with_region_marks(text, MARK, lambda found: numbers[int(found[1])])
        for text in (text_field(entry, "question"), answer)
    ]
    picture.questions.append(marked_question(texts[:1], texts[1:], task))


def listed_region(value: Any, key: str, frame: Frame, where: str, faults: Faults) -> RegionRecord | None:
    """The region of a box or a point in pixels."""
    if key == "points":
        return region_record(frame, point=annotated_point(value, frame, where, faults))
    return region_record(frame, box=annotated_box_xywh(value, frame, where, faults))


def descriptions(text: str) -> Iterator[tuple[int, str]]:
    """The numbers of regions and what is said of each from its line on; a text may be said of several."""
    openings = list(DESCRIBED.finditer(text))
    ends = [*(opening.start() for opening in openings[1:]), len(text)]
    for opening, end in zip(openings, ends, strict=False):
        said = as_text(text[opening.end() : end], "gt_answers")
        for number in MARK.findall(opening[1]):
            if said:
                yield int(number), said


def read_pope(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture of ``coco_pope_<split>.json``, which is JSON lines in spite of its name. The answers
    are yes and no. Pictures are COCO val2014's, found by 2017's names too."""
    POPE.check(folder, split)
    pictures: dict[Path, AskedPicture] = {}
    for where, entry in json_lines(folder / f"coco_pope_{split}.json", faults):
        with reported(where, faults):
            name = name_field(as_object(entry), "image")
            path = picture_path(folder / "val2014", name, name.rsplit("_", 1)[-1] or name)
            answer = text_field(entry, "label")
            if answer not in ("yes", "no"):
                raise DataError(f"label: expected yes or no, got {answer[:20]!r}")
            asked = pictures.setdefault(path, AskedPicture(where, None, coco_ids(name)))
            question = question_of(text_field(entry, "text"), [answer], where, faults, kind=split)
            asked.questions += [question] if question else []
    yield from asked_records(pictures, POPE, faults)


FERRET_BENCH = Source(
    name="ferret_bench",
    title="Ferret-Bench",
    read=read_ferret_bench,
    files={"test": (*(f"{task}/{name}.jsonl" for task in FERRET_TASKS for name in ("question", "answer")), "images/")},
    licence="Ferret's repository: for research only; pictures of COCO val2017, each under its own Flickr licence",
    homepage="https://github.com/apple/ml-ferret",
    role="evaluation",
)
MDVP_BENCH = Source(
    name="mdvp_bench",
    title="MDVP-Bench",
    read=read_mdvp_bench,
    files={"test": ()},
    licence="Apache-2.0 (repository); pictures keep the terms of COCO, Visual Genome, ICDAR and others",
    homepage="https://github.com/Haochen-Wang409/Grasp-Any-Region",
    role="evaluation",
)
POPE = Source(
    name="pope",
    title="POPE on COCO",
    read=read_pope,
    files={split: (f"coco_pope_{split}.json", "val2014/") for split in POPE_SETTINGS},
    licence="COCO's annotations CC BY 4.0, each photo under its own Flickr licence; POPE's: see its repository",
    homepage="https://github.com/RUCAIBox/POPE",
    role="evaluation",
)
