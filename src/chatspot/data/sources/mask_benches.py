"""Benchmarks whose questions point at masks: GAR-Bench and DLC-Bench (of Grasp-Any-Region and Describe Anything).

GAR-Bench: three lists of entries with a picture of their own, masks as COCO's compressed run lengths, and texts that
name them as <Prompt0>. ``image_path`` is where the photo lay on its maker's disk and tells which photo it is.
DLC-Bench: COCO's layout over Objects365's photos; ``class_names.json`` names the objects to be described by the ids of
their annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Question, Record, RegionRecord, Relation
from chatspot.data.sources.coco import instance_region, read_instances
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    list_field,
    name_field,
    needed,
    picture_path,
    place,
    read_json,
    reported,
    text_field,
    whole_field,
)
from chatspot.data.sources.geometry import annotated_mask, region_record
from chatspot.data.sources.marked_text import marked_question, with_region_marks
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

PROMPT = re.compile(r"<Prompt(\d{1,6})>")
LETTER = re.compile(r"([A-Z])\.\s*(\S.*)")  # "C. Black and orange."
GAR_FILES = ("GAR-Bench-VQA.json", "GAR-Bench-Caption-Simple.json", "GAR-Bench-Caption-Detailed.json")


def read_gar_bench(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each entry of the three lists; each has a picture file of its own, several of them one photo.

    A question with choices has them as its further lines, and as answers the right choice and its letter. An entry of
    the detailed captions has no question: its names become labels and its predicate a relation.
    """
    GAR_BENCH.check(folder, split)
    for name in GAR_FILES:
        file = folder / name
        for number, entry in enumerate(read_json(file, list, "a list of entries, as GAR-Bench ships it")):
            where = place(file, f"[{number}]")
            with reported(where, faults):
                path = picture_path(folder, name_field(as_object(entry), "image"))  # said to be .png, some are .jpg
                frame = picture_frame(path, None, where, faults)
                if frame is not None:
                    yield gar_record(entry, path, frame, where, faults)


def gar_record(entry: dict[str, Any], path: Path, frame: Frame, where: str, faults: Faults) -> Record:
    """The record of one entry. Raises ``DataError`` where it names a mask that is not there or cannot be used."""
    labels = {at: text_field(entry, key) for at, key in enumerate(("subject_name", "object_name")) if key in entry}
    regions: list[RegionRecord] = []
    numbers: dict[int, int] = {}
    for at, runs in enumerate(list_field(entry, "mask_rles")):
        with reported(f"{where} mask {at}", faults):
            size = list_field(as_object(runs), "size")
            mask = annotated_mask(needed(runs, "counts"), size[::-1], frame, f"{where} mask {at}", faults)
            region = region_record(frame, mask=mask, label=labels.get(at))
            if region is not None:
                numbers[at] = len(regions)
                regions.append(region)

    def number_of(found: re.Match[str]) -> int:
        if int(found[1]) not in numbers:
            raise DataError(f"{found[0]} is none of its {len(regions)} usable masks")
        return numbers[int(found[1])]

    questions: tuple[Question, ...] = ()
    relations: tuple[Relation, ...] = ()
    if "predicate_name" in entry:
        predicate = text_field(entry, "predicate_name")
        if not predicate or not {0, 1} <= numbers.keys():
            raise DataError("a relation needs a predicate and two usable masks")
        relations = (Relation(numbers[0], predicate, numbers[1]),)
    else:
        choices = [as_text(choice, "choices") for choice in list_field(entry, "choices")] if "choices" in entry else []
        answers = chosen(choices, text_field(entry, "answer"))
        lines, said = ([with_region_marks(text, PROMPT, number_of) for text in texts]
                       for texts in ([text_field(entry, "question"), *choices], answers))  # fmt: skip
        kind = as_text(entry.get("type") or "relation caption", "type")
        questions = (marked_question(lines, said, kind),)
    return Record(path, frame.size, tuple(regions), (), GAR_BENCH.name, questions, relations,
                  photo_ids(entry.get("image_path")), GAR_BENCH.licence)  # fmt: skip


def chosen(choices: list[str], answer: str) -> list[str]:
    """The answers: the chosen one without its letter, then the letter; the answer as it is where nothing is chosen."""
    if not choices:
        return [answer]
    found = {match[1]: match[2] for match in map(LETTER.fullmatch, choices) if match}
    if len(found) != len(choices) or answer not in found:
        raise DataError(f"the answer {answer[:20]!r} is none of the choices' letters")
    return [found[answer], answer]


def photo_ids(image_path: Any) -> tuple[str, ...]:
    """The photo's id in the set that it was taken from, by its path on the maker's disk."""
    path = PurePosixPath(image_path if isinstance(image_path, str) else "")
    photo = re.fullmatch(r"(?:objects365_v\d_)?(\d{8}|\d{12})", path.stem)
    if not photo or not photo[1].isascii():
        return ()
    return (f"objects365:{int(photo[1])}",) if len(photo[1]) == 8 else (f"coco:{int(photo[1])}",)


def read_dlc_bench(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture: every annotated object with its mask, those of ``class_names.json`` by that name.

    ``qa.json`` is not read: it holds a judge's questions about a description, none about the picture.
    """
    DLC_BENCH.check(folder, split)
    file = folder / "class_names.json"
    given: dict[int, str] = {}
    for key, name in read_json(file, dict, "an object of names by annotation, as DLC-Bench ships it").items():
        with reported(place(file, key), faults):
            given[whole_field({"id": key}, "id")] = as_text(name, "name")
    instances = read_instances(folder / "annotations.json", faults)
    pictures = Pictures(folder, "images")
    for number, image in enumerate(instances.images):
        where = f"{instances.file.name} images[{number}]"
        with reported(where, faults):
            image_id = whole_field(as_object(image), "id")
            path = pictures.find(text_field(image, "file_name"))
            frame = picture_frame(path, claimed_size(image, "width", "height"), where, faults)
            if frame is None:
                continue
            regions: list[RegionRecord] = []
            for at, annotation in instances.annotations.get(image_id, []):
                spot = f"{instances.file.name} annotations[{at}] of {path.name}"
                with reported(spot, faults):
                    region = instance_region(annotation, instances.names, frame, spot, faults, str.lower)
                    name = given.get(whole_field(annotation, "id"))
                    regions += [replace(region, label=name or region.label)] if region else []
            yield Record(path, frame.size, tuple(regions), (), DLC_BENCH.name, image_ids=(f"objects365:{image_id}",),
                         licence=DLC_BENCH.licence)  # fmt: skip


PICTURES_TERMS = "pictures keep the terms of COCO, Objects365, FSC147 and RGBD-Mirror"
GAR_BENCH = Source(
    name="gar_bench",
    title="GAR-Bench",
    read=read_gar_bench,
    files={"test": (*GAR_FILES, "images/")},
    licence=f"Apache-2.0 (repository); {PICTURES_TERMS}",
    homepage="https://github.com/Haochen-Wang409/Grasp-Any-Region",
    role="evaluation",
)
DLC_BENCH = Source(
    name="dlc_bench",
    title="DLC-Bench",
    read=read_dlc_bench,
    files={"test": ("annotations.json", "class_names.json", "images/")},
    licence="Apache-2.0 (repository); pictures of Objects365 keep their terms, for research",
    homepage="https://github.com/Haochen-Wang409/Grasp-Any-Region",
    role="evaluation",
)
