"""PointQA: questions whose answer depends on where one points (Mani et al. 2020), on Visual Genome's pictures.

LookTwice asks how many things of the pointed-at kind there are, in three wordings. ``looktwiceqa_dataset.json`` is an
object from a picture's id to its questions. The official README writes the keys with capitals, the file in lower case;
both are read::

    {"2333446": [{"id": 2333446, "obj_question": "How many of these birds are there?",
                  "super_question": "How many of these animals are there?",
                  "general_question": "How many of these are there?", "ans": "3", "obj_type": "bird",
                  "supercategory": "animal", "bbox": {"x": 10, "y": 20, "w": 30, "h": 40, "names": ["bird"]},
                  "point": {"x": 25, "y": 40, "ans": "3"}}]}

LocalQA asks for a property that several things of a kind have differently: ``all_objs`` and ``points`` are parallel,
and each point carries its own ``ans``; ``all_ans`` is the set of distinct answers and parallel to neither (the maker's
create_localqa_dataset.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Question, Record, RegionRecord
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    list_field,
    needed,
    question_of,
    read_json,
    reported,
    text_field,
    whole_field,
)
from chatspot.data.sources.geometry import annotated_box_xywh, annotated_point, region_record
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

# the maker's wordings, the most telling first; ``Question.kind`` is the word before "_question"
WORDINGS = ("obj_question", "super_question", "general_question")


@dataclass
class Asked:
    """A picture's regions and questions while they are read."""

    frame: Frame
    regions: list[RegionRecord] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def read_looktwice(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """LookTwice: one record a picture. A region has its box and its point, so questions can be put by either; the
    answer is a count, "1" to "7" (to be scored by whole words: "10" is not "1")."""
    POINTQA_LOOKTWICE.check(folder, split)
    return pointqa_records(folder, "looktwiceqa", split, POINTQA_LOOKTWICE, add_looktwice, faults)


def read_looktwice_test(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """LookTwice's test split, as the paper evaluates on it."""
    POINTQA_TEST.check(folder, split)
    return pointqa_records(folder, "looktwiceqa", split, POINTQA_TEST, add_looktwice, faults)


def read_local(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """LocalQA: one record a picture, one question for each object and its point."""
    POINTQA_LOCAL.check(folder, split)
    return pointqa_records(folder, "localqa", split, POINTQA_LOCAL, add_local, faults)


def pointqa_records(
    folder: Path, name: str, split: str, source: Source, add: Callable[..., None], faults: Faults
) -> Iterator[Record]:
    """The records of the pictures that a split lists, in its order. ``add`` reads one entry of a picture."""
    dataset = folder / f"{name}_dataset.json"
    listed = folder / f"{name}_{split}_imgs.json"
    entries = read_json(dataset, dict, "an object from picture ids to questions")
    pictures = Pictures(folder, "VG_100K", "VG_100K_2")
    for at, number in enumerate(read_json(listed, list, "a list of picture ids")):
        where = f"{dataset.name} {number}"
        with reported(f"{listed.name}[{at}]", faults):
            image_id = whole_field({"id": number}, "id")  # the lists write ids as text
            if str(image_id) not in entries:
                raise DataError(f"there is no picture {image_id} in {dataset.name}")
            frame = picture_frame(pictures.find(f"{image_id}.jpg"), None, where, faults)
            if frame is None:
                continue
            asked = Asked(frame)
            for number_in, entry in enumerate(list_field(entries, str(image_id))):
                spot = f"{where}[{number_in}]"
                with reported(spot, faults):
                    add(asked, lower_keys(as_object(entry)), spot, faults)
            if asked.questions:
                yield Record(pictures.find(f"{image_id}.jpg"), frame.size, tuple(asked.regions), (), source.name,
                             tuple(asked.questions), image_ids=(f"vg:{image_id}",), licence=source.licence)  # fmt: skip


def lower_keys(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with its keys in lower case."""
    return {str(key).lower(): value for key, value in entry.items()}


def add_looktwice(asked: Asked, entry: dict[str, Any], where: str, faults: Faults) -> None:
    """Add an entry of LookTwice: a region, unless it is there already, and its questions."""
    answer = count_text(needed(entry, "ans"))
    label = text_field(entry, "obj_type") if entry.get("obj_type") else None
    number = add_region(asked, as_object(needed(entry, "bbox")), entry.get("point"), label, where, faults)
    if number is None:
        return
    for wording in WORDINGS:
        if entry.get(wording):
            text = text_field(entry, wording)
            question = question_of(text, [answer] if answer else [], where, faults, regions=(number,),
                                   kind=wording.removesuffix("_question"))  # fmt: skip
            asked.questions += [question] if question and question not in asked.questions else []


def add_local(asked: Asked, entry: dict[str, Any], where: str, faults: Faults) -> None:
    """Add an entry of LocalQA: a region and a question for each object."""
    objects, points = list_field(entry, "all_objs"), list_field(entry, "points")
    if len(objects) != len(points):
        raise DataError(f"{len(objects)} objects and {len(points)} points, expected as many")
    text = text_field(entry, "question")
    for box, point in zip(objects, points, strict=True):
        answer = as_text(needed(as_object(point), "ans"), "ans")
        names = as_object(box).get("names")
        label = as_text(names[0], "names") if isinstance(names, list) and names else None
        number = add_region(asked, box, point, label, where, faults)
        if number is not None:
            question = question_of(text, [answer] if answer else [], where, faults, regions=(number,), kind="local")
            asked.questions += [question] if question and question not in asked.questions else []


def add_region(
    asked: Asked, box: dict[str, Any], point: Any, label: str | None, where: str, faults: Faults
) -> int | None:
    """The number of the region of a box (xywh in pixels) and a point; None after a fault."""
    edges = [needed(box, key) for key in ("x", "y", "w", "h")]
    shape = annotated_box_xywh(edges, asked.frame, where, faults)
    if shape is None:
        return None
    place = None
    if point is not None:
        xy = [needed(as_object(point), key) for key in ("x", "y")]
        place = annotated_point(xy, asked.frame, where, faults)
    region = region_record(asked.frame, box=shape, point=place, label=label)
    assert region is not None  # it has a box
    if region not in asked.regions:
        asked.regions.append(region)
    return asked.regions.index(region)


def count_text(answer: Any) -> str:
    """A count as text; the file writes text, copies of it numbers."""
    if isinstance(answer, int) and not isinstance(answer, bool) and abs(answer) < 10**9:
        return str(answer)
    return as_text(answer, "ans")


def pointqa_files(name: str, splits: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The files of each split; pictures are Visual Genome's."""
    return {split: (f"{name}_dataset.json", f"{name}_{split}_imgs.json", "VG_100K/", "VG_100K_2/") for split in splits}


LICENCE = "none stated (annotations); Visual Genome's CC BY 4.0, each photo under its own Flickr licence"
HOMEPAGE = "https://github.com/princetonvisualai/pointingqa"

POINTQA_LOOKTWICE = Source(
    name="pointqa_looktwice",
    title="PointQA LookTwice",
    read=read_looktwice,
    files=pointqa_files("looktwiceqa", ("train", "val")),
    licence=LICENCE,
    homepage=HOMEPAGE,
)
POINTQA_TEST = Source(
    name="pointqa_test",
    title="PointQA LookTwice, test split",
    read=read_looktwice_test,
    files=pointqa_files("looktwiceqa", ("test",)),
    licence=LICENCE,
    homepage=HOMEPAGE,
    role="evaluation",
)
POINTQA_LOCAL = Source(
    name="pointqa_local",
    title="PointQA Local",
    read=read_local,
    files=pointqa_files("localqa", ("train", "val", "testdev", "testfinal")),
    licence=LICENCE,
    homepage=HOMEPAGE,
)
