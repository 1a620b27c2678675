"""Region JSON lines, this project's own format (``chatspot.data.records`` documents it), in and out.

``read_records`` stops at the first line that is wrong; this reader reports it and goes on, opens every picture's header
and turns, clips and checks the regions as all readers of this folder do.
"""

from __future__ import annotations

import copy
import json
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import ANNOTATIONS, REGION_MARK, Question, Record, RegionRecord, parse_record
from chatspot.data.sources.entries import as_object, claimed_size, needed, reported
from chatspot.data.sources.geometry import annotated_box, annotated_mask, annotated_point, annotated_polygon
from chatspot.data.sources.picture_files import OWN_LICENCE
from chatspot.data.sources.source import Source
from chatspot.errors import DataError
from chatspot.regions import Box, Mask, Point, Polygon

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # in a path: NUL and half characters


def read_region_lines(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each line of ``annotations.jsonl``. A region that cannot be used is left out with the questions
    and relations that name it; the others keep their order and are counted anew."""
    REGION_LINES.check(folder, split)
    return lines_in(folder / ANNOTATIONS, faults)


def lines_in(file: Path, faults: Faults, find: Callable[[str], Path] | None = None) -> Iterator[Record]:
    """The records of a file. Its pictures lie beside it, or where ``find`` finds the path of a line's picture."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file.name}:{number}"
            if not line.strip():
                continue
            with reported(where, faults):
                try:
                    entry = as_object(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise DataError(f"not JSON ({error})") from error
                name = needed(entry, "image")
                if not isinstance(name, str) or UNSTORABLE.search(name) or len(name) > 1000:
                    raise DataError(f"image: expected a path, got {reprlib.repr(name)}")
                path = find(name) if find else file.parent / name
                frame = picture_frame(path, claimed_size(entry, "width", "height"), where, faults)
                if frame is not None:
                    image = str(path.absolute()) if find else name
                    try:
                        usable = json.dumps(in_frame({**entry, "image": image}, frame, where, faults))
                    except RecursionError as error:  # lists in lists that json reads and copy.deepcopy does not
                        raise DataError(f"its values are nested too deeply ({error})") from error
                    yield parse_record(usable, file.parent, where)


def in_frame(entry: dict[str, Any], frame: Frame, where: str, faults: Faults) -> dict[str, Any]:
    """The entry with the picture's own size, regions in its frame and without those that cannot be used."""
    entry = {**copy.deepcopy(entry), "width": frame.size[0], "height": frame.size[1]}
    regions = entry.get("regions", [])
    if not isinstance(regions, list):
        raise DataError(f"regions: expected a list, got {reprlib.repr(regions)}")
    kept: dict[int, dict[str, Any]] = {}
    for number, region in enumerate(regions):
        spot = f"{where} region {number}"
        with reported(spot, faults):
            found = region_in_frame(as_object(region), frame, spot, faults)
            if found is not None:
                kept[number] = found
    if len(kept) < len(regions):
        renumber(entry, {old: new for new, old in enumerate(kept)})
    entry["regions"] = list(kept.values())
    return entry


def region_in_frame(region: dict[str, Any], frame: Frame, where: str, faults: Faults) -> dict[str, Any] | None:
    """The region with its forms clipped and in the picture's frame; None, after a fault, where none can be used."""
    forms: dict[str, Box | Polygon | Point | Mask | None] = {}
    if region.get("box"):
        forms["box"] = annotated_box(region["box"], frame, where, faults)
        if forms["box"] is None:
            return None
    if region.get("polygon"):
        forms["polygon"] = annotated_polygon(region["polygon"], frame, where, faults)
    if region.get("point"):
        forms["point"] = annotated_point(region["point"], frame, where, faults)
    if region.get("mask"):
        mask = as_object(region["mask"])
        size = needed(mask, "size_wh")
        forms["mask"] = annotated_mask(needed(mask, "counts"), size, frame, where, faults)
    if not forms:
        raise DataError(f"a region needs a box, a polygon, a point or a mask, got {sorted(region)}")
    written = {key: value for form in forms.values() if form for key, value in form_fields(form, frame.size).items()}
    return {**{key: value for key, value in region.items() if key not in forms}, **written} if written else None


def renumber(entry: dict[str, Any], numbers: dict[int, int]) -> None:
    """Number an entry's questions and relations anew after regions were left out; those that name one go with it."""
    questions, relations = entry.get("qa", []), entry.get("relations", [])
    if not isinstance(questions, list) or not isinstance(relations, list):
        raise DataError("qa, relations: expected lists")
    kept = []
    for question in map(as_object, questions):
        text = json.dumps(question)
        named = {int(mark) for mark in REGION_MARK.findall(text) if mark}
        own = question.get("regions", [])
        own = own if isinstance(own, list) else []
        if all(number in numbers for number in [*named, *own] if isinstance(number, int)):
            renamed = REGION_MARK.sub(lambda m: f"<region{numbers[int(m[1])]}>" if m[1] else m[0], text)
            kept.append(
                {**json.loads(renamed), "regions": [numbers.get(n, n) if isinstance(n, int) else n for n in own]}
            )
    entry["qa"] = kept
    entry["relations"] = [
        {**relation, "subject": numbers[relation["subject"]], "object": numbers[relation["object"]]}
        for relation in map(as_object, relations)
        if all(isinstance(relation.get(end), int) and relation[end] in numbers for end in ("subject", "object"))
    ]


def write_region_lines(records: Iterable[Record], folder: Path) -> Path:
    """Write records as ``annotations.jsonl`` into ``folder``, and return that file. Pictures are not copied: those
    below the folder are named relative to it, others by their whole path. The file appears when it is whole.

    What is read back is the same to a millionth of a pixel; its ``source`` is the folder's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ANNOTATIONS
    unfinished = folder / f".{ANNOTATIONS}.part"
    with unfinished.open("w", encoding="utf-8") as lines:
        for record in records:
            lines.write(json.dumps(record_fields(record, folder), ensure_ascii=False) + "\n")
    os.replace(unfinished, file)
    return file


def record_fields(record: Record, folder: Path) -> dict[str, Any]:
    """A record as one line's object."""
    picture, home = record.image.resolve(), folder.resolve()
    image = picture.relative_to(home).as_posix() if picture.is_relative_to(home) else str(picture)
    fields: dict[str, Any] = {"image": image, "width": record.size[0], "height": record.size[1]}
    fields["regions"] = [region_fields(region, record.size) for region in record.regions]
    if record.captions:
        fields["captions"] = list(record.captions)
    if record.questions:
        fields["qa"] = [question_fields(question) for question in record.questions]
    if record.relations:
        fields["relations"] = [{"subject": r.subject, "predicate": r.predicate, "object": r.object}
                               for r in record.relations]  # fmt: skip
    if record.image_ids:
        fields["image_ids"] = list(record.image_ids)
    if record.licence:
        fields["licence"] = record.licence
    return fields


def question_fields(question: Question) -> dict[str, Any]:
    """A question as an object."""
    answers = question.answers[0] if len(question.answers) == 1 else list(question.answers)
    fields = {"q": question.question, "a": answers, "regions": list(question.regions), "type": question.kind}
    return {key: value for key, value in fields.items() if value}


def region_fields(region: RegionRecord, size: tuple[int, int]) -> dict[str, Any]:
    """A region as an object."""
    fields: dict[str, Any] = {}
    for form in (region.box, region.polygon, region.point, region.mask):
        fields |= form_fields(form, size) if form else {}
    fields |= {"label": region.label, "text": region.text, "attributes": list(region.attributes),
               "descriptions": list(region.descriptions)}  # fmt: skip
    fields = {key: value for key, value in fields.items() if value}
    if not region.askable:
        fields["askable"] = False
    return {**fields, "area": region.area_px}


def form_fields(form: Box | Polygon | Point | Mask, size: tuple[int, int]) -> dict[str, Any]:
    """One form of a region in pixels."""
    if isinstance(form, Box):
        return {"box": list(form.to_pixels(size))}
    if isinstance(form, Polygon):
        return {"polygon": [list(corner) for corner in form.to_pixels(size)]}
    if isinstance(form, Point):
        return {"point": list(form.to_pixels(size))}
    return {"mask": {"counts": list(form.counts), "size_wh": list(form.size_wh)}}


REGION_LINES = Source(
    name="region_lines",
    title="your own pictures in this project's region JSON lines",
    read=read_region_lines,
    files={"all": (ANNOTATIONS,)},
    licence=OWN_LICENCE,
    homepage="docs/data-sources.md",
    role="own",
)
