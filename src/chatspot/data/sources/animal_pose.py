"""Animal-Pose: boxes and twenty body points of dogs, cats, sheep, horses and cows.

``keypoints.json`` has ``images`` as an object {"1": "2007_000063.jpg"}, ``annotations`` [{image_id, bbox, keypoints,
category_id}] and ``categories`` [{id, name, keypoints: [names]}]. Unlike COCO's, ``bbox`` is left, top, right and
bottom, and a point is [x, y, visible]; (0, 0, 0) is a point that nobody could see. ``num_keypoints`` is always 20.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import (
    as_object,
    as_text,
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
from chatspot.data.sources.geometry import annotated_box, annotated_point, region_record
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

VOC_NAME = re.compile(r"\d{4}_\d{6}")  # the file's "info": such pictures are VOC's, the others from the web
READABLE = {"tailbase": "base of the tail"}


def read_animal_pose(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture that has annotations: a region for each animal, followed by its visible points."""
    ANIMAL_POSE.check(folder, split)
    file = folder / "keypoints.json"
    content = read_json(file, dict, "an object with images, annotations and categories")
    try:
        images, annotations = as_object(needed(content, "images")), list_field(content, "annotations")
        categories = list_field(content, "categories")
    except DataError as error:
        raise DataError(f"{file}: {error}; expected Animal-Pose's keypoints.json") from error
    kinds: dict[int, tuple[str, list[str]]] = {}
    for number, category in enumerate(categories):
        with reported(f"{file.name} categories[{number}]", faults):
            name = text_field(as_object(category), "name")
            points = [readable_point(as_text(point, "keypoints")) for point in list_field(category, "keypoints")]
            kinds[whole_field(category, "id")] = (name, points)
    of_picture: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for number, entry in enumerate(annotations):
        where = f"{file.name} annotations[{number}]"
        with reported(where, faults):
            of_picture.setdefault(whole_field(as_object(entry), "image_id"), []).append((where, entry))
    for key in images:
        where = place(file, f"images {key}")
        with reported(where, faults):
            entries = of_picture.pop(whole_field({"id": key}, "id"), [])
            path = picture_path(folder / "images", name_field(images, key))
            frame = picture_frame(path, None, where, faults) if entries else None
            if frame is None:
                continue
            regions: list[RegionRecord] = []
            for spot, entry in entries:
                with reported(spot, faults):
                    regions += animal_regions(entry, kinds, frame, spot, faults)
            ids = (f"voc:{path.stem}",) if VOC_NAME.fullmatch(path.stem) else ()
            yield Record(path, frame.size, tuple(regions), (), ANIMAL_POSE.name, image_ids=ids,
                         licence=ANIMAL_POSE.licence)  # fmt: skip
    for image_id, left in of_picture.items():
        faults.add("unusable entry", left[0][0], f"there is no image {image_id}")


def animal_regions(
    entry: dict[str, Any], kinds: dict[int, tuple[str, list[str]]], frame: Frame, where: str, faults: Faults
) -> list[RegionRecord]:
    """The animal and its visible points; nothing where its box cannot be used."""
    category = whole_field(entry, "category_id")
    if category not in kinds:
        raise DataError(f"there is no category {category}; the file has {len(kinds)}")
    name, points = kinds[category]
    given = list_field(entry, "keypoints")
    if len(given) != len(points):
        raise DataError(f"{len(given)} keypoints, expected {len(points)} for a {name}")
    animal = region_record(frame, box=annotated_box(needed(entry, "bbox"), frame, where, faults), label=name)
    if animal is None:
        return []
    regions = [animal]
    for label, value in zip(points, given, strict=True):
        spot = f"{where} {label}"
        with reported(spot, faults):
            if not isinstance(value, list) or len(value) != 3:
                raise DataError("expected x, y and whether it is visible")
            if value[2]:
                region = region_record(frame, point=annotated_point(value[:2], frame, spot, faults), label=label)
                regions += [region] if region else []
    return regions


def readable_point(name: str) -> str:
    """A body point's name as an answer says it: "left_front_paw" is the left front paw."""
    return READABLE.get(name, name.replace("_", " "))


ANIMAL_POSE = Source(
    name="animal_pose",
    title="Animal-Pose",
    read=read_animal_pose,
    files={"train": ("keypoints.json", "images/")},
    licence="none stated; pictures of VOC2011 under Flickr's terms, others from the web",
    homepage="https://github.com/noahcao/animal-pose-dataset",
)
