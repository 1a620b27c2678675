"""COCO's panoptic annotations: every pixel belongs to one thing or to one kind of stuff.

``panoptic_val2017.json`` lists ``segments_info`` [{id, category_id, iscrowd, bbox, area}] for each picture; the pixels
are in a PNG of the same name, where red + 256 green + 65536 blue is a segment's id and 0 is nothing. ``file_name`` of
an annotation is that PNG; the photo is found by ``image_id``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.coco import COCO_HOMEPAGE, COCO_LICENCE, Instances, read_instances
from chatspot.data.sources.entries import (
    as_object,
    check_name,
    claimed_size,
    list_field,
    name_field,
    picture_path,
    reported,
    whole_field,
)
from chatspot.data.sources.geometry import region_record
from chatspot.data.sources.mask_pictures import bitmap_mask, mask_pixels
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

MADE_OF = re.compile(r"(wall|floor)-(brick|stone|tile|wood)")  # "wall-brick" is a brick wall
NAMES = {"playingfield": "playing field"}


def read_coco_panoptic(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture, a region for each segment with its mask. A class of stuff is one region, however
    many pieces it lies in. Crowds are kept and not askable."""
    COCO_PANOPTIC.check(folder, split)
    return panoptic_records(folder, split, faults)


def panoptic_records(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """The records of one split."""
    instances = read_instances(folder / f"annotations/panoptic_{split}2017.json", faults)
    masks = folder / f"annotations/panoptic_{split}2017"
    for number, image in enumerate(instances.images):
        where = f"{instances.file.name} images[{number}]"
        with reported(where, faults):
            image_id = whole_field(as_object(image), "id")
            path = picture_path(folder / f"{split}2017", name_field(image, "file_name"))
            frame = picture_frame(path, claimed_size(image, "width", "height"), where, faults)
            if frame is None:
                continue
            regions: list[RegionRecord] = []
            for at, annotation in instances.annotations.pop(image_id, []):
                spot = f"{instances.file.name} annotations[{at}] of {path.name}"
                with reported(spot, faults):
                    regions += segment_regions(annotation, masks, instances.names, frame, spot, faults)
            yield Record(path, frame.size, tuple(regions), (), COCO_PANOPTIC.name, image_ids=(f"coco:{image_id}",),
                         licence=licence_of(image, instances))  # fmt: skip
    for image_id, left in instances.annotations.items():
        faults.add("unusable entry", f"{instances.file.name} annotations[{left[0][0]}]",
                   f"there is no usable image {image_id}")  # fmt: skip


def licence_of(image: dict[str, Any], instances: Instances) -> str:
    """The photo's own licence, else the set's."""
    number = image.get("license")
    return instances.licences.get(number if isinstance(number, int) else -1, COCO_PANOPTIC.licence)


def segment_regions(
    annotation: dict[str, Any], masks: Path, names: dict[int, str], frame: Frame, where: str, faults: Faults
) -> list[RegionRecord]:
    """The segments of one picture that can be used."""
    import numpy as np

    segments, name = list_field(annotation, "segments_info"), name_field(annotation, "file_name")
    check_name(name)
    pixels = mask_pixels(masks / name, "colours", frame, where, faults)
    if pixels is None:
        return []
    regions = []
    left = set(np.unique(pixels).tolist()) - {0}
    for number, segment in enumerate(segments):
        spot = f"{where} segment {number}"
        with reported(spot, faults):
            segment_id, category = whole_field(as_object(segment), "id"), whole_field(segment, "category_id")
            left.discard(segment_id)
            if category not in names:
                raise DataError(f"there is no category {category}; the file has {len(names)}")
            bitmap = pixels == segment_id
            mask = bitmap_mask(bitmap, spot, faults) if segment_id else None
            region = region_record(frame, mask=mask, label=readable_stuff(names[category]),
                                   askable=not segment.get("iscrowd"), area_px=float(bitmap.sum()))  # fmt: skip
            regions += [region] if region else []
    if left:
        faults.add("unusable entry", where, f"{len(left)} segments of the PNG are not in segments_info: {min(left)}")
    return regions


def readable_stuff(name: str) -> str:
    """A class's name as an answer says it: "sky-other-merged" is the sky, "wall-brick" a brick wall."""
    name = re.sub(r"(-other|-merged|-stuff)+$", "", name)
    made = MADE_OF.fullmatch(name)
    if made:
        return f"{made[2].replace('tile', 'tiled').replace('wood', 'wooden')} {made[1]}"
    return NAMES.get(name, name.replace("-", " "))


COCO_PANOPTIC = Source(
    name="coco_panoptic",
    title="COCO 2017, panoptic",
    read=read_coco_panoptic,
    files={
        split: (f"annotations/panoptic_{split}2017.json", f"annotations/panoptic_{split}2017/", f"{split}2017/")
        for split in ("train", "val")
    },
    licence=COCO_LICENCE,
    homepage=COCO_HOMEPAGE,
)
