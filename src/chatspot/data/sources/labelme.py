"""LabelMe: one JSON file for each picture.

::

    {"imagePath": "..\\\\images\\\\a.jpg", "imageWidth": 500, "imageHeight": 375, "imageData": null,
     "shapes": [{"label": "dog", "shape_type": "rectangle", "points": [[54, 25], [454, 315]], "description": ""}]}

Coordinates are pixels. A rectangle is two opposite corners in any order, or four; a circle its middle and a place on
it; a mask two corners and a picture of what lies between them, in base64.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    list_field,
    needed,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.geometry import (
    annotated_box,
    annotated_point,
    annotated_polygon,
    annotated_size,
    ellipse_corners,
    region_record,
    turned_bitmap,
)
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.errors import DataError, RegionError
from chatspot.images.load import MAX_PIXELS
from chatspot.regions import Mask
from chatspot.regions.coordinates import as_pairs


def read_labelme(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each .json file that has ``shapes``. Pictures are looked up anywhere below the folder; one that is
    kept only inside ``imageData`` is missing."""
    pictures = Pictures(folder)
    read_one = False
    for file in files_of(folder, split, ".json", "LabelMe's, one for each picture"):
        where = str(file.relative_to(folder))
        with reported(where, faults):
            content = read_json(file, dict, "an object, as LabelMe writes it")
            if "shapes" not in content:
                raise DataError(f"field 'shapes' is missing; it has {sorted(content)[:9]}")
            read_one = True
            path = pictures.find(text_field(content, "imagePath"))
            frame = picture_frame(path, claimed_size(content, "imageWidth", "imageHeight"), where, faults)
            if frame is not None:
                regions = list(labelme_regions(content, frame, where, faults))
                yield Record(path, frame.size, tuple(regions), (), LABELME.name, licence=LABELME.licence)
    if not read_one:
        raise DataError(f"no .json file below {folder} has shapes; expected LabelMe's files")


def labelme_regions(content: dict[str, Any], frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord]:
    """The usable shapes of a file."""
    for number, shape in enumerate(list_field(content, "shapes")):
        spot = f"{where} shapes[{number}]"
        with reported(spot, faults):
            region = labelme_region(as_object(shape), frame, spot, faults)
            if region is not None:
                yield region


def labelme_region(shape: dict[str, Any], frame: Frame, where: str, faults: Faults) -> RegionRecord | None:
    """The region of one shape; None after a fault."""
    label = text_field(shape, "label")
    said = as_text(shape.get("description") or "", "description")
    descriptions = [said] if said else []
    kind = shape.get("shape_type") or "polygon"  # version 3 and older wrote polygons only
    try:
        points = as_pairs(needed(shape, "points"), "points")
    except RegionError as error:
        raise DataError(str(error)) from error
    if kind == "polygon" or (kind == "rectangle" and len(points) == 4):
        polygon = annotated_polygon(points, frame, where, faults)
        return region_record(frame, polygon=polygon, label=label, descriptions=descriptions)
    if kind == "point" and len(points) == 1:
        point = annotated_point(points[0], frame, where, faults)
        return region_record(frame, point=point, label=label, descriptions=descriptions)
    if kind not in ("rectangle", "circle", "mask") or len(points) != 2:
        raise DataError(f"a shape {kind!r} of {len(points)} points is no region that is read here")
    (ax, ay), (bx, by) = points
    if kind == "circle":
        radius = math.hypot(bx - ax, by - ay)
        polygon = annotated_polygon(ellipse_corners((ax, ay), (radius, radius)), frame, where, faults)
        return region_record(frame, polygon=polygon, label=label, descriptions=descriptions)
    edges = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    if kind == "mask":
        mask = labelme_mask(needed(shape, "mask"), edges, frame)
        return region_record(frame, mask=mask, label=label, descriptions=descriptions)
    box = annotated_box(edges, frame, where, faults)
    return region_record(frame, box=box, label=label, descriptions=descriptions)


def labelme_mask(text: Any, edges: tuple[float, float, float, float], frame: Frame) -> Mask:
    """The mask of a shape: a picture in base64, laid down with its left top corner at that of ``edges``."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"its mask has {picture.width} x {picture.height} pixels, more than are read")
            piece = np.asarray(picture.convert("L")) > 0
        left, top = round(edges[0]), round(edges[1])
    except (
        binascii.Error,
        struct.error,
        TypeError,
        ValueError,
        OverflowError,
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"its mask is no picture in base64 ({error})") from error
    width, height = annotated_size(frame)
    bitmap = np.zeros((height, width), dtype=bool)
    rows, columns = max(height - max(top, 0), 0), max(width - max(left, 0), 0)
    inside = piece[max(-top, 0) :, max(-left, 0) :][:rows, :columns]
    if not inside.any():
        raise DataError(f"none of its mask's pixels is inside a picture of {width} x {height}")
    bitmap[max(top, 0) : max(top, 0) + inside.shape[0], max(left, 0) : max(left, 0) + inside.shape[1]] = inside
    try:
        return Mask.from_bitmap(turned_bitmap(bitmap, frame.turned))
    except RegionError as error:
        raise DataError(str(error)) from error


LABELME = Source(
    name="labelme",
    title="your own pictures, annotated with LabelMe",
    read=read_labelme,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://github.com/wkentaro/labelme",
    role="own",
)
