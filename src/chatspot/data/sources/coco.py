"""COCO's instances and captions, and anybody's data set in COCO's layout.

``instances_val2017.json`` is one object with ``images`` [{id, file_name, width, height, license, coco_url}],
``annotations`` [{id, image_id, category_id, bbox: [x, y, w, h], area, iscrowd, segmentation}], ``categories`` [{id,
name}] and ``licenses`` [{id, name, url}]. Category ids have holes (COCO's 80 go up to 90), so they are looked up. A
segmentation is a list of polygons, each a flat list of x and y, or run lengths ``{"counts": ..., "size": [h, w]}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    coco_ids,
    list_field,
    needed,
    read_json,
    reported,
    text_field,
    whole_field,
)
from chatspot.data.sources.geometry import annotated_box_xywh, annotated_mask, annotated_polygon, region_record
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.errors import DataError, RegionError
from chatspot.regions import Mask, Polygon

IdsOf: TypeAlias = Callable[[int, dict[str, Any]], tuple[str, ...]]
NO_NAME: Callable[[str], str] = str  # category names as they stand


@dataclass
class Instances:
    """An instances file in memory: annotations by picture, names of categories and licences by id."""

    file: Path
    images: list[Any]
    annotations: dict[int, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    licences: dict[int, str] = field(default_factory=dict)


def read_coco(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """COCO 2017: one record for each picture, with its boxes, outlines and, where the file is there, its captions.

    Crowds are kept and marked as not askable. ``area_px`` is the mask's area: COCO's size classes go by it.
    """
    COCO.check(folder, split)
    return coco_records(folder, split, COCO, faults)


def read_coco_val(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """COCO val2017 as the evaluation of regional classification reads it (the paper's section 4)."""
    COCO_VAL.check(folder, split)
    return coco_records(folder, split, COCO_VAL, faults)


def coco_records(folder: Path, split: str, source: Source, faults: Faults) -> Iterator[Record]:
    """The records of one split of COCO 2017."""
    instances = read_instances(folder / f"annotations/instances_{split}2017.json", faults)
    captions = read_captions(folder / f"annotations/captions_{split}2017.json", faults)
    pictures = Pictures(folder / f"{split}2017")
    return instance_records(instances, pictures, source, faults, lambda number, _: (f"coco:{number}",), captions)


def read_coco_json(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """Anybody's data set in COCO's layout: every .json file of the split's folder that has ``images`` and
    ``annotations`` (Roboflow's train/_annotations.coco.json, CVAT's annotations/instances_default.json), pictures
    anywhere below the folder."""
    pictures = Pictures(folder, *(() if split == "all" else (split,)))
    read_one = False
    for file in files_of(folder, split, ".json", "a COCO file, with images, annotations and categories"):
        with reported(file.name, faults):
            content = read_json(file, dict, "an object, as COCO ships it")
            if {"images", "annotations", "categories"} <= content.keys():  # else captions or settings lie beside them
                read_one = True
                instances = instances_of(content, file, faults)
                yield from instance_records(instances, pictures, COCO_JSON, faults, ids_by_name)
    if not read_one:
        raise DataError(f"no .json file below {folder} has images, annotations and categories; expected COCO's layout")


def ids_by_name(number: int, entry: dict[str, Any]) -> tuple[str, ...]:
    """The ids of a picture of an unknown set: COCO's, where its name or its address is one of COCO's."""
    address = entry.get("coco_url")
    if isinstance(address, str) and address.startswith("http://images.cocodataset.org/"):
        return (f"coco:{number}",)
    return coco_ids(str(entry.get("file_name", "")))


def read_instances(file: Path, faults: Faults) -> Instances:
    """An instances file. Raises ``DataError`` for a file that is none."""
    return instances_of(read_json(file, dict, "an object with images, annotations and categories"), file, faults)


def instances_of(content: dict[str, Any], file: Path, faults: Faults) -> Instances:
    """The content of an instances file, sorted by picture."""
    try:
        instances = Instances(file, list_field(content, "images"))
        annotations, categories = list_field(content, "annotations"), list_field(content, "categories")
    except DataError as error:
        raise DataError(f"{file}: {error}; expected COCO's instances layout") from error
    for number, category in enumerate(categories):
        with reported(f"{file.name} categories[{number}]", faults):
            name = text_field(as_object(category), "name")
            instances.names[whole_field(category, "id")] = name
    for number, annotation in enumerate(annotations):
        with reported(f"{file.name} annotations[{number}]", faults):
            image_id = whole_field(as_object(annotation), "image_id")
            instances.annotations.setdefault(image_id, []).append((number, annotation))
    licences = content.get("licenses")
    for number, licence in enumerate(licences if isinstance(licences, list) else []):
        with reported(f"{file.name} licenses[{number}]", faults):
            if as_object(licence).get("name"):
                name, url = text_field(licence, "name"), as_text(licence.get("url") or "", "url")
                instances.licences[whole_field(licence, "id")] = f"{name} ({url})" if url else name
    return instances


def read_captions(file: Path, faults: Faults) -> dict[int, list[str]]:
    """Captions by picture; none where the file is missing, for the readers of boxes do without."""
    captions: dict[int, list[str]] = {}
    if not file.is_file():
        return captions
    entries = read_json(file, dict, "an object with annotations").get("annotations")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        where = f"{file.name} annotations[{number}]"
        with reported(where, faults):
            caption = text_field(as_object(entry), "caption")
            if caption:
                captions.setdefault(whole_field(entry, "image_id"), []).append(caption)
            else:
                faults.add("no answer", where, "the caption is empty")
    return captions


def instance_records(
    instances: Instances,
    pictures: Pictures,
    source: Source,
    faults: Faults,
    ids_of: IdsOf,
    captions: dict[int, list[str]] | None = None,
    readable: Callable[[str], str] = NO_NAME,
) -> Iterator[Record]:
    """One record for each picture of an instances file, those without annotations too, in the file's order.

    ``readable`` makes an answer of a category's name.
    """
    known = set()
    for number, image in enumerate(instances.images):
        where = f"{instances.file.name} images[{number}]"
        with reported(where, faults):
            image_id = whole_field(as_object(image), "id")
            path = pictures.find(text_field(image, "file_name"))
            known.add(image_id)
            frame = picture_frame(path, claimed_size(image, "width", "height"), where, faults)
            if frame is None:
                continue
            regions = []
            for at, annotation in instances.annotations.get(image_id, []):
                spot = f"{instances.file.name} annotations[{at}] of {path.name}"
                with reported(spot, faults):
                    region = instance_region(annotation, instances.names, frame, spot, faults, readable)
                    regions += [region] if region else []
            licence = instances.licences.get(image.get("license") if isinstance(image.get("license"), int) else -1)
            yield Record(path, frame.size, tuple(regions), tuple((captions or {}).get(image_id, ())), source.name,
                         image_ids=ids_of(image_id, image), licence=licence or source.licence)  # fmt: skip
    for image_id in instances.annotations.keys() - known:
        at = instances.annotations[image_id][0][0]
        faults.add("unusable entry", f"{instances.file.name} annotations[{at}]", f"there is no image {image_id}")


def instance_region(
    entry: dict[str, Any],
    names: dict[int, str],
    frame: Frame,
    where: str,
    faults: Faults,
    readable: Callable[[str], str] = NO_NAME,
) -> RegionRecord | None:
    """One annotation as a region, or None after a fault. Without a usable outline its box remains, and without a
    ``bbox`` the outline's box."""
    category = whole_field(entry, "category_id")
    if category not in names:
        raise DataError(f"there is no category {category}; the file has {len(names)}")
    segmentation = entry.get("segmentation")
    if entry.get("bbox"):
        box = annotated_box_xywh(entry["bbox"], frame, where, faults)
        if box is None:
            return None
    elif segmentation:
        box = None
    else:
        raise DataError(f"field 'bbox' is missing; the entry has {sorted(entry)}")
    polygon, mask = outline_of(segmentation, frame, where, faults)
    area = entry.get("area")
    area_px = float(area) if isinstance(area, (int, float)) and 0 < area < 1e12 else None
    crowd = bool(entry.get("iscrowd"))
    return region_record(frame, box=box, polygon=polygon, mask=mask, label=readable(names[category]),
                         askable=not crowd, area_px=area_px)  # fmt: skip


def outline_of(segmentation: Any, frame: Frame, where: str, faults: Faults) -> tuple[Polygon | None, Mask | None]:
    """The outline of a segmentation: its polygon, of several parts the largest together with the mask of all, or the
    mask of run lengths."""
    if not segmentation:
        return None, None
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        size_wh = size[::-1] if isinstance(size, list) else size
        return None, annotated_mask(needed(segmentation, "counts"), size_wh, frame, where, faults)
    if not isinstance(segmentation, list):
        raise DataError(f"segmentation: expected polygons or run lengths, got {segmentation!r}")
    if segmentation and not isinstance(segmentation[0], (list, dict)):
        segmentation = [segmentation]  # one flat list, as some converters write it
    parts = []
    for flat in segmentation:
        if not isinstance(flat, list) or len(flat) % 2:
            faults.add("unusable entry", where, "segmentation: expected an even count of coordinates")
            continue
        part = annotated_polygon(list(zip(flat[::2], flat[1::2], strict=True)), frame, where, faults)
        parts += [part] if part else []
    if len(parts) < 2:
        return (parts[0] if parts else None), None
    return max(parts, key=lambda part: part.area), union_mask(parts, frame)


def union_mask(parts: list[Polygon], frame: Frame) -> Mask | None:
    """The pixels that any of the polygons covers; None where they are too ragged for a ``Mask``."""
    bitmap = parts[0].to_bitmap(frame.size)
    for part in parts[1:]:
        bitmap = bitmap | part.to_bitmap(frame.size)
    try:
        return Mask.from_bitmap(bitmap)
    except RegionError:
        return None


COCO_LICENCE = "CC BY 4.0 (annotations); each photo has its own Flickr licence"
COCO_HOMEPAGE = "https://cocodataset.org"

COCO = Source(
    name="coco",
    title="COCO 2017, instances and captions",
    read=read_coco,
    files={split: (f"annotations/instances_{split}2017.json", f"{split}2017/") for split in ("train", "val")},
    licence=COCO_LICENCE,
    homepage=COCO_HOMEPAGE,
)
COCO_VAL = Source(
    name="coco_val",
    title="COCO val2017, regional classification",
    read=read_coco_val,
    files={"val": COCO.files["val"]},
    licence=COCO_LICENCE,
    homepage=COCO_HOMEPAGE,
    role="evaluation",
)
COCO_JSON = Source(
    name="coco_json",
    title="your own pictures in COCO's layout",
    read=read_coco_json,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://cocodataset.org/#format-data",
    role="own",
)
