"""Region JSON lines: the one format that annotated pictures are kept in.

A folder holds ``annotations.jsonl`` and the pictures that its lines name. One line is one picture::

    {"image": "images/1.jpg", "width": 640, "height": 480, "captions": ["..."],
     "regions": [{"box": [x1, y1, x2, y2], "label": "dog"}, {"polygon": [[x, y], ...], "text": "EXIT"}]}

Coordinates are pixels of the upright picture. Fields that are not named here are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatspot.errors import DataError, RegionError
from chatspot.regions import Box, Point, Polygon, Region

ANNOTATIONS = "annotations.jsonl"
PLATE_LABEL = "license plate"


@dataclass(frozen=True)
class RegionRecord:
    """One annotated region. ``label`` names it, ``text`` is what is written there; either may be missing.

    ``askable`` is false for crowds, for boxes without area and for text that is illegible or cut off.
    """

    box: Box | None
    polygon: Polygon | None
    point: Point | None
    label: str | None
    text: str | None
    askable: bool
    area_px: float

    @property
    def region(self) -> Region:
        """The region in its annotated form, a box where there is one."""
        form = self.box or self.polygon or self.point
        assert form is not None  # parse_region refuses a record without any
        return form


@dataclass(frozen=True)
class Record:
    """One annotated picture. ``size`` is (width, height) of the upright picture."""

    image: Path
    size: tuple[int, int]
    regions: tuple[RegionRecord, ...]
    captions: tuple[str, ...]
    source: str

    @property
    def id(self) -> str:
        """The picture's name within its source, without its ending."""
        return f"{self.source}/{self.image.stem}"


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a folder, in file order. Raises ``DataError`` with file and line for one that cannot be read."""
    file = Path(folder) / ANNOTATIONS
    if not file.is_file():
        raise DataError(f"{file} does not exist: expected a folder with {ANNOTATIONS} and its pictures")
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield parse_record(line, file.parent, f"{file}:{number}")


def parse_record(line: str, folder: Path, where: str) -> Record:
    """The record of one line; ``where`` opens the message of any error."""
    try:
        entry = json.loads(line)
        size = (int(entry["width"]), int(entry["height"]))
        regions = tuple(parse_region(r, size) for r in entry.get("regions", []))
        captions = tuple(str(c).strip() for c in entry.get("captions", []))
        return Record(folder / entry["image"], size, regions, captions, folder.name)
    except (KeyError, TypeError, ValueError) as error:  # JSON and region errors are ValueErrors
        missing = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{where}: {missing}; expected a picture's region record as documented") from error


def parse_region(entry: dict[str, Any], size: tuple[int, int]) -> RegionRecord:
    """One region of a line. What leaves the picture is clipped: annotators' boxes often overhang by a pixel."""
    box = usable_box(entry.get("box"), size)
    polygon = usable_polygon(entry.get("polygon"), size)
    point = Point.from_pixels(*entry["point"], size=size, outside="clip") if entry.get("point") else None
    if box is None and polygon is not None:
        box = polygon.bounding_box()
    degenerate = box is None and point is None
    if degenerate and not entry.get("box"):
        raise RegionError(f"a region needs a box, a polygon or a point, got {sorted(entry)}")
    if degenerate:
        point = Point.from_pixels(*entry["box"][:2], size=size, outside="clip")
    text = entry.get("text")
    askable = not (degenerate or entry.get("iscrowd") or entry.get("legible") is False or entry.get("cut_off"))
    width_px, height_px = box.to_pixels_xywh(size)[2:] if box else (0.0, 0.0)
    return RegionRecord(box, polygon, point, entry.get("label"), text, askable, width_px * height_px)


def usable_box(edges: Any, size: tuple[int, int]) -> Box | None:
    """The box, or None where the annotation has none or one without area (such boxes exist in COCO)."""
    if not edges:
        return None
    x1, y1, x2, y2 = (float(edge) for edge in edges)
    if x1 == x2 or y1 == y2:
        return None
    return Box.from_pixels(x1, y1, x2, y2, size=size, outside="clip")


def usable_polygon(corners: Any, size: tuple[int, int]) -> Polygon | None:
    """The polygon, or None where the annotation's outline encloses nothing (the box then stands for it)."""
    try:
        return Polygon.from_pixels(corners, size=size, outside="clip") if corners else None
    except RegionError:
        return None
