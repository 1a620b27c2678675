"""Region JSON lines: the one format that annotated pictures are kept in.

A folder holds ``annotations.jsonl`` and the pictures that its lines name. One line is one picture::

    {"image": "images/1.jpg", "width": 640, "height": 480, "captions": ["..."],
     "regions": [{"box": [x1, y1, x2, y2], "label": "dog", "attributes": ["brown"], "descriptions": ["a dog asleep"],
                  "qa": [{"q": "What is <region> lying on?", "a": "a sofa"}]},
                 {"polygon": [[x, y], ...], "text": "EXIT"}],
     "qa": [{"q": "What is <region0> near?", "a": "the exit", "regions": [0]}],
     "relations": [{"subject": 0, "predicate": "below", "object": 1}],
     "licence": "CC BY 4.0", "coco_id": 139, "vg_id": 2317, "image_ids": ["st-vqa:..."]}

Coordinates are pixels of the upright picture. A region has a ``box``, a ``polygon``, a ``point`` [x, y] or a ``mask``
{"counts": [...], "size_wh": [width, height]} (COCO's plain run lengths), or several of them; ``area`` is its area in
square pixels where that is not its box's. ``iscrowd``, ``"legible": false``, ``cut_off`` and ``"askable": false`` say
that a region must not be asked about.

``<regionN>`` in a question or answer stands for region number N of the record, ``<region>`` in a region's own ``qa``
for that region. ``a`` is a text or a list of texts, the best one first; ``choices`` are lines that follow the question;
``type`` says what kind of question it is. A question with the field ``boxes`` has coordinates in its text and is left
out. Fields that are not named here are ignored. Every reader of another format ends in the same ``Record``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatspot.errors import DataError, RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Region

ANNOTATIONS = "annotations.jsonl"
PLATE_LABEL = "license plate"
REGION_MARK = re.compile(r"<region(\d{0,9})>")


@dataclass(frozen=True)
class RegionRecord:
    """One annotated region. ``label`` names it, ``text`` is what is written there; either may be missing.

    ``askable`` is false for crowds, for boxes without area and for text that is illegible or cut off. ``area_px`` is
    the annotated area in square pixels of the picture, else that of its box; 0 for a point.
    """

    box: Box | None
    polygon: Polygon | None
    point: Point | None
    label: str | None
    text: str | None
    askable: bool
    area_px: float
    mask: Mask | None = None
    attributes: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()

    @property
    def region(self) -> Region:
        """The region in its annotated form, a box where there is one."""
        form = self.box or self.polygon or self.point
        assert form is not None  # parse_region refuses a record without any
        return form


@dataclass(frozen=True)
class Question:
    """A question that came with the picture. ``question`` and ``answers`` may name regions of the record as
    ``<region0>``; ``answers`` are all that annotators gave, the best one first; ``regions`` are the numbers of the
    regions that the question is about, empty for the whole picture. ``kind`` is the source's name for such questions.
    """

    question: str
    answers: tuple[str, ...]
    regions: tuple[int, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Relation:
    """Region number ``subject`` stands in the relation ``predicate`` to region number ``object``."""

    subject: int
    predicate: str
    object: int


@dataclass(frozen=True)
class Record:
    """One annotated picture. ``size`` is (width, height) of the upright picture.

    ``image_ids`` name the photo across data sets, such as ("coco:139", "vg:2317"): the leak guard compares them.
    """

    image: Path
    size: tuple[int, int]
    regions: tuple[RegionRecord, ...]
    captions: tuple[str, ...]
    source: str
    questions: tuple[Question, ...] = ()
    relations: tuple[Relation, ...] = ()
    image_ids: tuple[str, ...] = ()
    licence: str = ""

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
        return record_of(json.loads(line), folder)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        # JSON, region and data errors are ValueErrors
        missing = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{where}: {missing}; expected a picture's region record as documented") from error


def record_of(entry: dict[str, Any], folder: Path) -> Record:
    """The record of a parsed line. Raises whatever its fields stumble over; ``parse_record`` names the line."""
    size = (whole_side(entry["width"]), whole_side(entry["height"]))
    regions = tuple(parse_region(r, size) for r in entry.get("regions", []))
    captions = tuple(plain(c, "a caption").strip() for c in entry.get("captions", []))
    asked = [parse_question(q, None, len(regions)) for q in entry.get("qa", []) if "boxes" not in q]
    for number, region in enumerate(entry.get("regions", [])):
        asked += [parse_question(q, number, len(regions)) for q in region.get("qa", []) if "boxes" not in q]
    relations = tuple(
        Relation(region_number(r["subject"], len(regions)), plain(r["predicate"], "a predicate").strip(),
                 region_number(r["object"], len(regions)))
        for r in entry.get("relations", [])
    )  # fmt: skip
    image = folder / plain(entry["image"], "image")
    licence = plain(entry.get("licence", ""), "licence")
    return Record(image, size, regions, captions, folder.name, tuple(asked), relations, ids_of(entry), licence)


def ids_of(entry: dict[str, Any]) -> tuple[str, ...]:
    """The names that the photo has across data sets: ``image_ids`` as they stand, COCO's and Visual Genome's numbers
    as "coco:139" and "vg:2317"."""
    found = [plain(name, "image_ids") for name in entry.get("image_ids", [])]
    for key, prefix in (("coco_id", "coco"), ("coco_id_by_image_match", "coco"), ("vg_id", "vg")):
        if entry.get(key) is not None:
            found.append(f"{prefix}:{int(entry[key])}")
    return tuple(dict.fromkeys(found))


def parse_question(entry: dict[str, Any], own: int | None, count: int) -> Question:
    """A question of a record of ``count`` regions; ``own`` is the number of the region it was written at, if any."""
    given = entry["a"] if isinstance(entry["a"], list) else [entry["a"]]
    texts = [plain(text, "a question's text").strip() for text in (entry["q"], *entry.get("choices", []), *given)]
    if not texts[0] or not given or "" in texts[-len(given) :]:
        raise ValueError(f"a question needs a text and an answer, got {json.dumps(entry)[:80]}")
    if own is not None:
        texts = [text.replace("<region>", f"<region{own}>") for text in texts]
    marked = [mark for text in texts for mark in REGION_MARK.findall(text)]
    if "" in marked:
        raise ValueError("<region> without a number stands only in the questions of a region")
    named = [own] if own is not None else entry.get("regions", [])
    numbers = dict.fromkeys(region_number(number, count) for number in (*named, *map(int, marked)))
    asked, answers = texts[: -len(given)], texts[-len(given) :]
    return Question("\n".join(asked), tuple(answers), tuple(numbers), plain(entry.get("type", ""), "type"))


def region_number(value: Any, count: int) -> int:
    """``value`` as the number of one of ``count`` regions."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise ValueError(f"there is no region {value!r} among the record's {count}; they count from 0")
    return value


def whole_side(value: Any) -> int:
    """A picture's width or height in pixels."""
    side = int(value)
    if side < 1 or side != float(value):
        raise ValueError(f"a picture's size is whole pixels, at least 1 a side, got {value!r}")
    return side


def plain(value: Any, name: str) -> str:
    """``value`` if it is text that can be stored."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, got {value!r}")
    value.encode()  # half of a surrogate pair is a UnicodeEncodeError, which is a ValueError
    return value


def parse_region(entry: dict[str, Any], size: tuple[int, int]) -> RegionRecord:
    """One region of a line. What leaves the picture is clipped: annotators' boxes often overhang by a pixel."""
    box = usable_box(entry.get("box"), size)
    polygon = usable_polygon(entry.get("polygon"), size)
    mask = parse_mask(entry["mask"], size) if entry.get("mask") else None
    point = Point.from_pixels(*entry["point"], size=size, outside="clip") if entry.get("point") else None
    outline = polygon or mask
    if box is None and outline is not None:
        box = outline.bounding_box()
    degenerate = box is None and point is None
    if degenerate and not entry.get("box"):
        raise RegionError(f"a region needs a box, a polygon, a point or a mask, got {sorted(entry)}")
    if degenerate:
        point = Point.from_pixels(*entry["box"][:2], size=size, outside="clip")
    hidden = entry.get("iscrowd") or entry.get("legible") is False or entry.get("cut_off")
    askable = not (degenerate or hidden or entry.get("askable") is False)
    descriptions = [entry["description"]] if entry.get("description") else []
    descriptions += entry.get("descriptions", [])
    return RegionRecord(
        box,
        polygon,
        point,
        optional_text(entry, "label"),
        optional_text(entry, "text"),
        askable,
        parse_area(entry.get("area"), box, size),
        mask,
        tuple(dict.fromkeys(plain(text, "an attribute") for text in entry.get("attributes", []))),
        tuple(dict.fromkeys(plain(text, "a description").strip() for text in descriptions)),
    )


def optional_text(entry: dict[str, Any], key: str) -> str | None:
    """The text at ``key``, or None where there is none."""
    return None if entry.get(key) is None else plain(entry[key], key)


def parse_area(annotated: Any, box: Box | None, size: tuple[int, int]) -> float:
    """The annotated area in square pixels, else the box's."""
    if annotated is not None:
        area = float(annotated)
        if not 0 <= area <= size[0] * size[1]:
            raise ValueError(f"a region's area is 0 to {size[0] * size[1]} square pixels here, got {annotated!r}")
        return area
    width_px, height_px = box.to_pixels_xywh(size)[2:] if box else (0.0, 0.0)
    return width_px * height_px


def parse_mask(entry: dict[str, Any], size: tuple[int, int]) -> Mask:
    """The mask of a region, in the picture's own size."""
    mask = Mask.from_runs(entry["counts"], size=entry["size_wh"])
    if mask.size_wh != size:
        raise ValueError(f"a mask is of the picture's size {size}, got {mask.size_wh}")
    return mask


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
