"""CVAT for images 1.1: one XML file for a task.

::

    <annotations><version>1.1</version>
      <image id="0" name="a.jpg" width="500" height="375">
        <box label="dog" occluded="0" xtl="54.0" ytl="25.0" xbr="454.0" ybr="315.0" rotation="0.0">
          <attribute name="colour">brown</attribute></box>
        <polygon label="dog" points="1.0,2.0;3.0,4.0;5.0,0.0"/></image></annotations>

Read are boxes (turned ones too), polygons, ellipses, points and masks. Polylines, skeletons and cuboids are reported
and left out, tags (labels of whole pictures) are passed over. Coordinates are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import as_text, reported
from chatspot.data.sources.geometry import (
    annotated_box,
    annotated_point,
    annotated_polygon,
    annotated_size,
    ellipse_corners,
    region_record,
    rotated_corners,
    turned_bitmap,
)
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.data.sources.xml_files import attribute_number, number_of, read_xml, side_of
from chatspot.errors import DataError, RegionError
from chatspot.regions import Mask

TEXT_ATTRIBUTES = ("text", "transcription")  # attributes of these names are what is written there (our choice)
NO_VALUES = ("", "false", "true", "__undefined__")  # a switch without its name says nothing


def read_cvat(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each <image> of every .xml file below the folder of the split, those without regions too. The
    values of a region's attributes are its ``attributes``. Videos (<track>) are refused: export them as images."""
    pictures = Pictures(folder, "images")
    for file in files_of(folder, split, ".xml", "CVAT for images 1.1"):
        root = read_xml(file, "annotations", "CVAT for images 1.1")
        if root.find("track") is not None:
            raise DataError(f'{file}: it has <track>s, as "CVAT for video" writes; export it as "CVAT for images"')
        for image in root.iterfind("image"):
            where = f"{file.name} image {image.get('id')}"
            with reported(where, faults):
                path = pictures.find(as_text(image.get("name") or "", "name"))
                sides = side_of(image.get("width")), side_of(image.get("height"))
                frame = picture_frame(path, sides if all(sides) else None, where, faults)
                if frame is not None:
                    regions = list(cvat_regions(image, frame, where, faults))
                    yield Record(path, frame.size, tuple(regions), (), CVAT.name, licence=CVAT.licence)


def cvat_regions(image: Element, frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord]:
    """The usable shapes of a picture."""
    for number, shape in enumerate(image):
        spot = f"{where} <{shape.tag}> {number}"
        if shape.tag != "tag":
            with reported(spot, faults):
                yield from cvat_region(shape, frame, spot, faults)


def cvat_region(shape: Element, frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord]:
    """The regions of one shape: several for several points, none after a fault."""
    label = as_text(shape.get("label") or "", "label")
    values = {str(found.get("name")): as_text(found.text or "", "attribute") for found in shape.iterfind("attribute")}
    text = next((values[name] for name in TEXT_ATTRIBUTES if values.get(name)), None)
    said = [value for name, value in values.items() if name not in TEXT_ATTRIBUTES and value not in NO_VALUES]
    box = polygon = mask = None
    places: list[list[float]] = []
    if shape.tag == "box":
        left, top, right, bottom = (attribute_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        degrees = number_of(shape.get("rotation") or "0", "rotation")
        if degrees % 360 and math.isfinite(degrees):
            middle = ((left + right) / 2, (top + bottom) / 2)
            corners = rotated_corners(left, top, right - left, bottom - top, degrees, middle)
            polygon = annotated_polygon(corners, frame, where, faults)
        else:
            box = annotated_box((left, top, right, bottom), frame, where, faults)
    elif shape.tag == "polygon":
        polygon = annotated_polygon(pairs(shape), frame, where, faults)
    elif shape.tag == "ellipse":
        x, y, rx, ry = (attribute_number(shape, name) for name in ("cx", "cy", "rx", "ry"))
        degrees = number_of(shape.get("rotation") or "0", "rotation")
        if not math.isfinite(degrees):
            raise DataError(f"rotation: expected degrees, got {degrees}")
        polygon = annotated_polygon(ellipse_corners((x, y), (rx, ry), degrees), frame, where, faults)
    elif shape.tag == "mask":
        mask = cvat_mask(shape, frame)
    elif shape.tag == "points":
        places = pairs(shape)
    else:
        raise DataError(f"<{shape.tag}> is no region that is read here")
    points = [annotated_point(place, frame, where, faults) for place in places] or [None]
    for point in points:
        region = region_record(frame, box=box, polygon=polygon, mask=mask, point=point, label=label, text=text,
                               attributes=said)  # fmt: skip
        if region is not None:
            yield region


def pairs(shape: Element) -> list[list[float]]:
    """The places in ``points``, "x,y;x,y"."""
    texts = [text.split(",") for text in (shape.get("points") or "").split(";")]
    return [[number_of(value, "points") for value in text] for text in texts]


def cvat_mask(shape: Element, frame: Frame) -> Mask:
    """The mask of ``rle``, run lengths along the rows of the rectangle left, top, width and height, unset first."""
    import numpy as np

    left, top, wide, high = (side(shape, name) for name in ("left", "top", "width", "height"))
    width, height = annotated_size(frame)
    if left + wide > width or top + high > height:
        raise DataError(f"the mask's rectangle {left}, {top}, {wide} x {high} leaves a picture of {width} x {height}")
    runs = [number_of(text, "rle") for text in (shape.get("rle") or "").split(",")]
    if any(run < 0 or run != run // 1 for run in runs) or sum(runs) != wide * high:
        raise DataError(f"rle: expected whole runs that sum to {wide} x {high} pixels, got a sum of {sum(runs):g}")
    piece = np.repeat(np.arange(len(runs)) % 2 == 1, [int(run) for run in runs]).reshape(high, wide)
    bitmap = np.zeros((height, width), dtype=bool)
    bitmap[top : top + high, left : left + wide] = piece
    try:
        return Mask.from_bitmap(turned_bitmap(bitmap, frame.turned))
    except RegionError as error:
        raise DataError(str(error)) from error


def side(shape: Element, name: str) -> int:
    """A whole number of pixels, 0 or more, in an attribute."""
    value = attribute_number(shape, name)
    if not 0 <= value < 1e6 or value != int(value):
        raise DataError(f"{name} of <{shape.tag}>: expected whole pixels, got {value:g}")
    return int(value)


CVAT = Source(
    name="cvat",
    title="your own pictures, annotated with CVAT (CVAT for images 1.1)",
    read=read_cvat,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://docs.cvat.ai/docs/manual/advanced/xml_format/",
    role="own",
)
