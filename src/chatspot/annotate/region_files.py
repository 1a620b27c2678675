"""The regions to ask about, from an annotation file or from a detector's results, with the pictures of any folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults
from chatspot.data.records import Record
from chatspot.data.sources.coco import COCO_JSON, Instances, ids_by_name, instance_records, instances_of
from chatspot.data.sources.entries import as_object, list_field, needed, read_json, reported, text_field, whole_field
from chatspot.data.sources.picture_files import Pictures, pictures_below
from chatspot.data.sources.region_lines import lines_in
from chatspot.errors import DataError
from chatspot.regions.coordinates import number

LAYOUTS = ("COCO's layout {images, annotations, categories}, a list of a detector's results [{image_id or file_name, "
           "bbox, score}], or region JSON lines in a .jsonl file")  # fmt: skip
LAST_NUMBER = re.compile(r"(\d{1,18})$")  # COCO_val2014_000000000139, 000000000139


def read_regions(file: Path, folder: Path, faults: Faults, least_score: float = 0.0) -> Iterator[Record]:
    """The pictures below ``folder`` that ``file`` names, one record each, with their regions. Regions with a ``score``
    below ``least_score`` are left out. What cannot be used is added to ``faults``; ``DataError`` for a file of another
    format, and for a folder or file that is not there."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; expected one with pictures")
    if not file.is_file():
        raise DataError(f"there is no file {file}; expected {LAYOUTS}")
    pictures = Pictures(folder)
    if file.suffix == ".jsonl":
        return lines_in(file, faults, pictures.find)
    with file.open("rb") as opened:
        is_list = opened.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if is_list:
        instances = results_by_picture(read_json(file, list, LAYOUTS), file, folder, faults, least_score)
    else:
        content = read_json(file, dict, LAYOUTS)
        if not {"images", "annotations"} <= content.keys():
            raise DataError(f"{file} has {sorted(content)[:9]}; expected {LAYOUTS}")
        kept = [entry for entry in list_field(content, "annotations") if scored(entry, least_score)]
        instances = instances_of({"categories": [], **content, "annotations": kept}, file, faults)
    return instance_records(instances, pictures, COCO_JSON, faults, ids_by_name)


def scored(entry: Any, least_score: float) -> bool:
    """Whether a region's score, if it has one, is high enough. What is no number is for the reader to refuse."""
    score = entry.get("score") if isinstance(entry, dict) else None
    return not isinstance(score, (int, float)) or score >= least_score


def results_by_picture(
    entries: list[Any], file: Path, folder: Path, faults: Faults, least_score: float
) -> Instances:  # fmt: skip
    """A detector's results as an instances file. A picture is named by ``file_name``, or by an ``image_id`` that is its
    name or the number at the end of it, as COCO's are; a region's label is its category's name or number."""
    by_number: dict[int, Path] = {}
    for path in pictures_below(folder):
        if found := LAST_NUMBER.search(path.stem):
            by_number.setdefault(int(found[1]), path)
    instances = Instances(file, [])
    images: dict[str, int] = {}
    labels: dict[str, int] = {}
    for at, entry in enumerate(entries):
        with reported(f"{file.name}[{at}]", faults):
            name = picture_name(as_object(entry), by_number, folder)
            if "score" in entry:
                number(entry["score"], "score")
            if not scored(entry, least_score):
                continue
            label = labels.setdefault(category_label(entry), len(labels))
            image = images.setdefault(name, len(images))
            instances.annotations.setdefault(image, []).append((at, {**entry, "category_id": label}))
    instances.names = {number: label for label, number in labels.items()}
    instances.images = [{"id": number, "file_name": name} for name, number in images.items()]
    return instances


def picture_name(entry: dict[str, Any], by_number: dict[int, Path], folder: Path) -> str:
    """The name of a result's picture."""
    if "file_name" in entry:
        return text_field(entry, "file_name")
    if isinstance(needed(entry, "image_id"), str):
        return text_field(entry, "image_id")
    image_id = whole_field(entry, "image_id")
    if image_id not in by_number:
        raise DataError(f"no picture's name ends in the number {image_id}; give file_name instead of image_id")
    return by_number[image_id].relative_to(folder).as_posix()


def category_label(entry: dict[str, Any]) -> str:
    """What a detector called the region; "region" where it says nothing."""
    for key in ("category_name", "category", "label"):
        if isinstance(entry.get(key), str):
            return text_field(entry, key)
    return f"category {whole_field(entry, 'category_id')}" if "category_id" in entry else "region"
