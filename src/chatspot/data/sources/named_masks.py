"""Objects of LVIS and PACO by mask and name: the two lists that open-vocabulary naming is measured on since Osprey.

``lvis_val_1k_category.json`` (1,000 photos, 4,004 objects) and ``paco_val_1k_category.json`` (4,263) are lists with an
entry a photo, whose ``categories`` and ``annotations`` are parallel; a segmentation is polygons or COCO's run lengths::

    {"file_name": "000000574520.jpg", "height": 480, "width": 640, "categories": ["baseball_bat"],
     "annotations": [{"segmentation": [[x, y, x, y, ...]], ...}]}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.coco import outline_of
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    coco_ids,
    list_field,
    needed,
    place,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.geometry import region_record
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.source import Source
from chatspot.errors import DataError


def read_named_masks(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each photo of ``<split>_val_1k_category.json`` that is there: a region for each object. Photos are
    COCO's and lie anywhere below the folder."""
    NAMED_MASKS.check(folder, split)
    file = folder / NAMED_MASKS.files[split][0]
    pictures = Pictures(folder, "images", "val2017", "train2017")
    for number, entry in enumerate(read_json(file, list, "a list of photos with categories and annotations")):
        where = place(file, f"[{number}]")
        with reported(where, faults):
            path = pictures.find(text_field(as_object(entry), "file_name"))
            frame = picture_frame(path, claimed_size(entry, "width", "height"), where, faults)
            if frame is not None:
                regions = named_regions(entry, frame, where, faults)
                name = path.name
                ids = (f"coco:{int(path.stem)}",) if path.stem.isascii() and path.stem.isdigit() else coco_ids(name)
                yield Record(path, frame.size, tuple(regions), (), NAMED_MASKS.name, image_ids=ids,
                             licence=NAMED_MASKS.licence)  # fmt: skip


def named_regions(entry: dict[str, Any], frame: Frame, where: str, faults: Faults) -> list[RegionRecord]:
    """The objects of a photo. Names have underscores as blanks."""
    names, annotations = list_field(entry, "categories"), list_field(entry, "annotations")
    if len(names) != len(annotations):
        raise DataError(f"{len(names)} categories and {len(annotations)} annotations, expected as many")
    regions = []
    for at, (name, annotation) in enumerate(zip(names, annotations, strict=True)):
        spot = f"{where} annotation {at}"
        with reported(spot, faults):
            label = " ".join(as_text(name, "categories").replace("_", " ").split())
            if not label:
                raise DataError("the category has no name")
            polygon, mask = outline_of(needed(as_object(annotation), "segmentation"), frame, spot, faults)
            region = region_record(frame, polygon=polygon, mask=mask, label=label)
            regions += [region] if region else []
    return regions


NAMED_MASKS = Source(
    name="named_masks",
    title="LVIS and PACO, 1,000 photos each (Osprey's evaluation lists)",
    read=read_named_masks,
    files={split: (f"{split}_val_1k_category.json",) for split in ("lvis", "paco")},  # and COCO's photos below
    licence="LVIS and PACO: CC BY 4.0 (annotations); photos of COCO, each under its own Flickr licence",
    homepage="https://github.com/CircleRadon/Osprey",
    role="evaluation",
)
