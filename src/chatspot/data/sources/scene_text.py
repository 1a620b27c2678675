"""Pictures with outlined and transcribed text: COCO-Text, HierText and ArT.

Text that its annotators could not read stays a region, so that nobody takes its place for empty, and is not askable;
each is counted as "no answer". Scores are therefore over legible, non-empty text only.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    coco_ids,
    list_field,
    name_field,
    picture_path,
    place,
    read_json,
    reported,
    text_field,
    whole_field,
)
from chatspot.data.sources.geometry import annotated_box_xywh, annotated_polygon
from chatspot.data.sources.long_lists import long_list
from chatspot.data.sources.source import Source
from chatspot.errors import DataError
from chatspot.regions import Box, Polygon

TEXT_LABEL = "text"
IGNORED = "###"  # ArT's transcription of what is not to be read


def read_coco_text(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """The training pictures that have text. The validation split is another source: it must not be trained on."""
    return coco_text_records(COCO_TEXT, folder, split, faults)


def read_coco_text_val(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """The validation pictures that have text."""
    return coco_text_records(COCO_TEXT_VAL, folder, split, faults)


def coco_text_records(source: Source, folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """The pictures of ``split`` ("train" or "val") that have text, from ``cocotext.v2.json``, which holds both.

    A picture is looked for by its ``file_name`` in train2014 and val2014: both splits are pictures of COCO train2014,
    and some copies have them elsewhere. The language is not looked at: its spelling differs between copies.
    """
    source.check(folder, split)
    file = folder / "cocotext.v2.json"
    content = read_json(file, dict, 'an object with "anns" and "imgs", as COCO-Text ships it')
    for key in ("anns", "imgs"):
        if not isinstance(content.get(key), dict):
            raise DataError(
                f'{file}: expected an object "{key}" keyed by id, got the fields {reprlib.repr(sorted(content))}'
            )
    of_picture: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for key, annotation in content["anns"].items():
        where = place(file, f"ann {key}")
        with reported(where, faults):  # keys are text, image_id is a number
            number = whole_field(as_object(annotation), "image_id")
            of_picture.setdefault(number, []).append((where, annotation))
    for key, image in content["imgs"].items():
        where = place(file, f"img {key}")
        with reported(where, faults):
            if text_field(as_object(image), "set") != split:
                continue
            annotations = of_picture.get(whole_field(image, "id"), [])
            name = name_field(image, "file_name")
            path = picture_path(folder, f"train2014/{name}", f"val2014/{name}")
            frame = picture_frame(path, claimed_size(image, "width", "height"), where, faults) if annotations else None
            if frame is None:
                continue
            regions = [coco_text_region(annotation, frame, at, faults) for at, annotation in annotations]
            ids = coco_ids(name) or (f"coco:{whole_field(image, 'id')}",)
            yield text_record(path, frame, regions, source, ids)


def coco_text_region(annotation: dict[str, Any], frame: Frame, where: str, faults: Faults) -> RegionRecord | None:
    """One annotation: ``bbox`` is left, top, width, height; the outline is a flat list, ``mask`` in version 2 and
    ``polygon`` in version 1. ``utf8_string`` may be absent or empty."""
    box = polygon = None
    with reported(where, faults):
        flat = annotation.get("mask") or annotation.get("polygon") or []
        if flat:
            if not isinstance(flat, list) or len(flat) % 2:
                raise DataError("mask: expected a flat list x1, y1, x2, y2, ...")
            polygon = annotated_polygon(list(zip(flat[0::2], flat[1::2], strict=True)), frame, where, faults)
    if "bbox" in annotation:
        box = annotated_box_xywh(annotation["bbox"], frame, where, faults)
    with reported(where, faults):
        legible = annotation.get("legibility") == "legible"
        return text_region(box, polygon, annotation.get("utf8_string") or "", legible, frame, where, faults)
    return None


def read_hier_text(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """Words and lines of ``gt/<split>.jsonl``, which is one JSON object in spite of its name. "val" and "validation"
    both read ``validation.jsonl``.

    Every word is a region with its own outline and text. A line of two or more words is one too, if all its words are
    legible. Paragraphs are not: their lines are not in reading order, so their text cannot be told.
    """
    HIER_TEXT.check(folder, split)
    name = HIER_TEXT_FILES[split]
    file = folder / "gt" / f"{name}.jsonl"
    entries = long_list(file, "annotations", 'one object with a list "annotations", as HierText ships it')
    for number, entry in enumerate(entries):
        where = place(file, f"annotations[{number}]")
        with reported(where, faults):
            image_id = name_field(as_object(entry), "image_id")
            path = picture_path(folder / name, f"{image_id}.jpg")
            size = claimed_size(entry, "image_width", "image_height")
            frame = picture_frame(path, size, f"{where} {image_id}", faults)
            if frame is not None:
                regions = hier_text_regions(list_field(entry, "paragraphs"), frame, f"{where} {image_id}", faults)
                yield text_record(path, frame, regions, HIER_TEXT, (f"openimages:{image_id}",))


def hier_text_regions(paragraphs: list[Any], frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord | None]:
    """The lines and words below ``paragraphs``, each line before its words."""
    for at, paragraph in enumerate(paragraphs):
        lines: list[Any] = []
        with reported(f"{where}, paragraph {at}", faults):
            lines = list_field(as_object(paragraph), "lines")
        for below, line in enumerate(lines):
            place = f"{where}, paragraph {at}, line {below}"
            words: list[Any] = []
            with reported(place, faults):
                words = list_field(as_object(line), "words")
                if len(words) > 1 and line.get("legible") is True:
                    yield hier_text_region(line, frame, place, faults)
            for inside, word in enumerate(words):
                with reported(f"{place}, word {inside}", faults):
                    yield hier_text_region(as_object(word), frame, f"{place}, word {inside}", faults)


def hier_text_region(part: dict[str, Any], frame: Frame, where: str, faults: Faults) -> RegionRecord | None:
    """A line or a word: ``vertices`` are absolute pixels; the text of what is illegible is empty."""
    polygon = annotated_polygon(list_field(part, "vertices"), frame, where, faults)
    return text_region(None, polygon, part.get("text") or "", part.get("legible") is True, frame, where, faults)


def read_art(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """The polygons of ``train_labels.json``, an object keyed by picture. It holds no sizes: the pictures' own are read.
    ``###`` and ``illegibility: true`` both say that a text is not to be asked; points outside are cut at the border."""
    ART.check(folder, split)
    file = folder / "train_labels.json"
    for key, entries in read_json(file, dict, "an object keyed by picture, as ArT ships it").items():
        where = place(file, key)
        with reported(where, faults):
            path = picture_path(folder / "train_images", f"{key}.jpg")
            if not isinstance(entries, list):
                raise DataError("expected a list of texts")
            frame = picture_frame(path, None, where, faults)
            if frame is not None:
                regions = art_regions(entries, frame, where, faults)
                yield text_record(path, frame, regions, ART, (f"art:{key}",))


def art_regions(entries: list[Any], frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord | None]:
    """The texts of one picture."""
    for at, entry in enumerate(entries):
        with reported(f"{where}[{at}]", faults):
            polygon = annotated_polygon(list_field(as_object(entry), "points"), frame, f"{where}[{at}]", faults)
            text = text_field(entry, "transcription")
            legible = text != IGNORED and not entry.get("illegibility")
            yield text_region(None, polygon, text, legible, frame, f"{where}[{at}]", faults)


def text_region(
    box: Box | None, polygon: Polygon | None, text: Any, legible: bool, frame: Frame, where: str, faults: Faults
) -> RegionRecord | None:
    """A region of text, or None where no form of it can be used. Only legible text that is not empty is askable."""
    if box is None and polygon is not None:
        box = polygon.bounding_box()
    if box is None:
        return None
    read = as_text(text, "text") if legible else ""
    if not read:
        faults.add("no answer", where, "the text is empty" if legible else "the text is illegible")
    width_px, height_px = box.to_pixels_xywh(frame.size)[2:]
    return RegionRecord(box, polygon, None, TEXT_LABEL, read or None, bool(read), width_px * height_px)


def text_record(path: Path, frame: Frame, regions: Any, source: Source, image_ids: tuple[str, ...]) -> Record:
    """The record of a picture's texts."""
    kept = tuple(region for region in regions if region is not None)
    return Record(path, frame.size, kept, (), source.name, image_ids=image_ids, licence=source.licence)


HIER_TEXT_FILES = {"train": "train", "val": "validation", "validation": "validation"}

COCO_TEXT = Source(
    name="coco_text",
    title="COCO-Text v2, training split",
    read=read_coco_text,
    files={"train": ("cocotext.v2.json", "train2014/")},
    licence="CC BY 4.0 (annotations); each photo has its own Flickr licence",
    homepage="https://bgshih.github.io/cocotext/",
)
COCO_TEXT_VAL = Source(
    name="coco_text_val",
    title="COCO-Text v2, validation split",
    read=read_coco_text_val,
    files={"val": ("cocotext.v2.json", "train2014/")},
    licence=COCO_TEXT.licence,
    homepage=COCO_TEXT.homepage,
    role="evaluation",
)
HIER_TEXT = Source(
    name="hier_text",
    title="HierText",
    read=read_hier_text,
    files={split: (f"gt/{name}.jsonl", f"{name}/") for split, name in HIER_TEXT_FILES.items()},
    licence="CC BY-SA 4.0 (annotations); pictures of Open Images, CC BY 2.0",
    homepage="https://github.com/google-research-datasets/hiertext",
)
ART = Source(
    name="art",
    title="ICDAR 2019 ArT, task 3",
    read=read_art,
    files={"train": ("train_labels.json", "train_images/")},
    licence="no licence found; terms of the Robust Reading Competition",
    homepage="https://rrc.cvc.uab.es/?ch=14",
)
