"""Label Studio: the JSON export, a list of tasks with annotations, or the short one (JSON-MIN).

::

    [{"id": 1, "data": {"image": "/data/upload/1/3fa1b2c4-dog.jpg"}, "annotations": [{"was_cancelled": false,
      "result": [
        {"id": "a", "type": "rectanglelabels", "original_width": 600, "original_height": 400, "image_rotation": 0,
         "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["dog"]}},
        {"id": "a", "type": "textarea", "value": {"text": ["REX"], "x": 10, "y": 20, "width": 30, "height": 40}},
        {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["chases"]}]}]}]

Coordinates are percent of the picture. Results of one id are one region: its shape, its label, its text, its choices.
JSON-MIN has the values themselves: ``{"image": ..., "label": [{"x": 10, ..., "rectanglelabels": ["dog"]}]}``.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord, Relation
from chatspot.data.sources.entries import as_object, as_text, claimed_size, needed, read_json, reported
from chatspot.data.sources.geometry import (
    annotated_box,
    annotated_point,
    annotated_polygon,
    annotated_size,
    ellipse_corners,
    region_record,
    rotated_corners,
)
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.errors import DataError, RegionError
from chatspot.regions.coordinates import number

UPLOAD_MARK = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file
LABEL_KEYS = ("rectanglelabels", "polygonlabels", "keypointlabels", "ellipselabels", "brushlabels", "labels")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass
class Marked:
    """What the results of one id say of a region."""

    shape: dict[str, Any] | None = None
    where: str = ""
    labels: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)


def read_label_studio(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each task of every .json file below the folder of the split: the first annotation that was not
    cancelled; predictions are not read. Pictures are looked up below the folder by their name, also without the mark
    that an upload puts before it. A task without annotations is a picture nobody has seen, and left out."""
    pictures = Pictures(folder, "images")
    for file in files_of(folder, split, ".json", "Label Studio's JSON or JSON-MIN export"):
        for at, task in enumerate(read_json(file, list, "a list of tasks, as Label Studio exports it")):
            where = f"{file.name}[{at}]"
            with reported(where, faults):
                results = results_of(as_object(task))
                if results is None:
                    faults.add("no answer", where, "the task has no annotation")
                    continue
                path = task_picture(task, pictures)
                sizes = [claimed_size(each, "original_width", "original_height") for each in results]
                frame = picture_frame(path, next((size for size in sizes if size), None), where, faults)
                if frame is not None:
                    regions, relations = joined(results, frame, where, faults)
                    yield Record(path, frame.size, regions, (), LABEL_STUDIO.name, relations=relations,
                                 licence=LABEL_STUDIO.licence)  # fmt: skip


def results_of(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The results of a task's annotation, in the long form; None where it has none."""
    found = task.get("annotations", task.get("completions"))  # versions before 1.0 wrote completions
    if isinstance(found, list):
        for annotation in found:
            if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
                results = annotation.get("result") or []
                if not isinstance(results, list):
                    raise DataError(f"result: expected a list, got {reprlib.repr(results)}")
                return [each for each in results if isinstance(each, dict)]
        return None
    shapes = [value for value in task.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if not shapes:
        return None
    values = [value for group in shapes for value in group if isinstance(value, dict)]
    return [{"id": str(at), "value": value, **value} for at, value in enumerate(values)]


def task_picture(task: dict[str, Any], pictures: Pictures) -> Path:
    """The file of the task's picture: the value of its data that names one."""
    data = task.get("data", task)
    for value in as_object(data).values():
        if not isinstance(value, str):
            continue
        try:
            address = urlsplit(value)
        except ValueError:
            continue
        local = parse_qs(address.query).get("d", [""])[0]  # /data/local-files/?d=photos/dog.jpg
        name = unquote(local or address.path)
        if not name.lower().endswith(PICTURE_ENDINGS):
            continue
        path = pictures.find(name)
        bare = UPLOAD_MARK.sub("", Path(name).name)
        return path if os.path.isfile(path) or not bare else pictures.find(bare)
    raise DataError(f"no value of the task's data names a picture, got {reprlib.repr(data)}")


def joined(
    results: list[dict[str, Any]], frame: Frame, where: str, faults: Faults
) -> tuple[tuple[RegionRecord, ...], tuple[Relation, ...]]:
    """The regions and relations of an annotation."""
    marked: dict[str, Marked] = {}
    links = []
    for at, result in enumerate(results):
        spot = f"{where} result[{at}]"
        with reported(spot, faults):
            if result.get("type") == "relation":
                links.append((spot, result))
            elif "value" in result and (result.get("id") or "x" in as_object(result["value"])):
                add_value(marked.setdefault(str(result.get("id", at)), Marked()), result, spot)
    regions: list[RegionRecord] = []
    numbers: dict[str, int] = {}
    for name, mark in marked.items():
        if mark.shape is None:
            continue  # a choice or a text about the whole picture
        with reported(mark.where, faults):
            region = marked_region(mark, frame, faults)
            if region is not None:
                numbers[name] = len(regions)
                regions.append(region)
    relations: dict[Relation, None] = {}
    for spot, link in links:
        with reported(spot, faults):
            ends = [numbers.get(str(needed(link, key))) for key in ("from_id", "to_id")]
            for label in texts_of(link.get("labels"), "labels"):
                if ends[0] is not None and ends[1] is not None:
                    relations[Relation(ends[0], label, ends[1])] = None
    return tuple(regions), tuple(relations)


def add_value(mark: Marked, result: dict[str, Any], where: str) -> None:
    """Add what one result says of a region."""
    value = as_object(result["value"])
    if result.get("image_rotation"):
        raise DataError(f"the picture was turned by {reprlib.repr(result['image_rotation'])} degrees while it was "
                        "annotated; turn the file itself and annotate again")  # fmt: skip
    if mark.shape is None and ("x" in value or "points" in value or "rle" in value):
        mark.shape, mark.where = value, where
    for key in LABEL_KEYS:
        mark.labels += texts_of(value.get(key), key)
    mark.texts += texts_of(value.get("text"), "text")
    mark.choices += texts_of(value.get("choices"), "choices")


def texts_of(value: Any, name: str) -> list[str]:
    """A text or a list of texts as a list, the empty ones left out."""
    values = value if isinstance(value, list) else [value] if value is not None else []
    return [text for each in values if (text := as_text(each, name))]


def marked_region(mark: Marked, frame: Frame, faults: Faults) -> RegionRecord | None:
    """The region of a mark; None after a fault."""
    assert mark.shape is not None
    value, where = mark.shape, mark.where
    width, height = annotated_size(frame)
    box = polygon = point = None
    try:
        if "rle" in value:
            raise DataError("brush strokes are not read; export them as polygons, or as COCO")
        if "points" in value:
            corners = [[number(x, "x") * width / 100, number(y, "y") * height / 100] for x, y in value["points"]]
            polygon = annotated_polygon(corners, frame, where, faults)
        elif "radiusX" in value:
            x, y, rx, ry = percent(value, ("x", "y", "radiusX", "radiusY"), frame)
            polygon = annotated_polygon(ellipse_corners((x, y), (rx, ry), turn(value)), frame, where, faults)
        elif "height" in value:
            x, y, w, h = percent(value, ("x", "y", "width", "height"), frame)
            if turn(value) % 360:  # about the left top corner
                corners_px = rotated_corners(x, y, w, h, turn(value), (x, y))
                polygon = annotated_polygon(corners_px, frame, where, faults)
            else:
                box = annotated_box((x, y, x + w, y + h), frame, where, faults)
        else:
            point = annotated_point(percent(value, ("x", "y"), frame), frame, where, faults)
    except (RegionError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"a shape that cannot be read ({error})") from error
    return region_record(frame, box=box, polygon=polygon, point=point, label=mark.labels[0] if mark.labels else None,
                         text=" ".join(mark.texts), attributes=[*mark.labels[1:], *mark.choices])  # fmt: skip


def percent(value: dict[str, Any], keys: tuple[str, ...], frame: Frame) -> list[float]:
    """Numbers in percent as pixels, by turns of the picture's width and of its height."""
    sides = annotated_size(frame)
    return [number(needed(value, key), key) * sides[at % 2] / 100 for at, key in enumerate(keys)]


def turn(value: dict[str, Any]) -> float:
    """By how many degrees a shape is turned clockwise."""
    degrees = number(value.get("rotation") or 0, "rotation")
    if not -360 <= degrees <= 360:
        raise DataError(f"rotation: expected -360 to 360 degrees, got {degrees}")
    return degrees


LABEL_STUDIO = Source(
    name="label_studio",
    title="your own pictures, annotated with Label Studio",
    read=read_label_studio,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://labelstud.io/guide/export",
    role="own",
)
