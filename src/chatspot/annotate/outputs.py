"""Answers in the files that other tools open. Each writer gives the whole text of a file.

Regions are written in pixels of the upright picture. A region that was not answered is left out of COCO's and Label
Studio's files, has an empty answer in CSV, and no question in region JSON lines.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from chatspot.annotate.journal import Given, Journal, key_of
from chatspot.annotate.run import Asking, name_below
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.region_lines import record_fields
from chatspot.regions import Point, Polygon

CSV_COLUMNS = ("image", "width", "height", "region", "form", "x1", "y1", "x2", "y2", "label", "question", "answer",
               "confidence", "finish", "error")  # fmt: skip


@dataclass(frozen=True)
class Annotated:
    """One picture with what was answered: ``answers`` are one for each region of the record, None where it was not
    asked. ``name`` is the picture's path below its folder."""

    record: Record
    name: str
    answers: tuple[Given | None, ...]

    def told(self) -> Iterator[tuple[int, RegionRecord, Given]]:
        """The regions that have an answer, with their numbers."""
        for number, (region, answer) in enumerate(zip(self.record.regions, self.answers, strict=True)):
            if answer is not None and answer.error is None:
                yield number, region, answer


@dataclass(frozen=True)
class About:
    """Who was asked what."""

    model: str
    asking: Asking


Writer: TypeAlias = Callable[[Sequence[Annotated], About], str]


def annotated(records: Sequence[Record], folder: Path, journal: Journal) -> list[Annotated]:
    """The records with their answers, pictures without an askable region too."""
    found = []
    for record in records:
        name = name_below(record.image, folder)
        keys = [key_of(name, region.region.to_json()) for region in record.regions]
        answers = tuple(
            journal.given.get(key) if region.askable else None for key, region in zip(keys, record.regions, strict=True)
        )
        found.append(Annotated(record, name, answers))
    return found


def in_coco(pictures: Sequence[Annotated], about: About) -> str:
    """COCO's instances layout. Answers are the categories, whatever their case; ``score`` is the confidence. Points
    have no extent and are left out."""
    categories: dict[str, tuple[int, str]] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, picture in enumerate(pictures, 1):
        width, height = picture.record.size
        images.append({"id": image_id, "file_name": picture.name, "width": width, "height": height})
        for _, region, answer in picture.told():
            if region.box is None:
                continue
            name = category_name(answer.answer)
            number, _ = categories.setdefault(name.casefold(), (len(categories) + 1, name))
            entry = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": number,
                "bbox": list(region.box.to_pixels_xywh(picture.record.size)),
                "area": region.area_px,
                "iscrowd": 0,
                "segmentation": segmentation(region, picture.record.size),
                "attributes": {"answer": answer.answer, **({"was": region.label} if region.label else {})},
            }
            annotations.append({**entry, **({"score": answer.confidence} if answer.confidence is not None else {})})
    content = {
        "info": {"description": f"{about.asking.question} ({about.model})", "contributor": "chatspot annotate"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in categories.values()],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def category_name(answer: str) -> str:
    """An answer as a category: without a full stop at its end; "unknown" for none."""
    return answer.strip().removesuffix(".").strip() or "unknown"


def segmentation(region: RegionRecord, size: tuple[int, int]) -> Any:
    """The outline as COCO has it: run lengths, a polygon as a flat list, or an empty list."""
    if region.mask is not None:
        return {"counts": list(region.mask.counts), "size": [size[1], size[0]]}
    if region.polygon is not None:
        return [[value for corner in region.polygon.to_pixels(size) for value in corner]]
    return []


def in_lines(pictures: Sequence[Annotated], about: About) -> str:
    """This project's region JSON lines, each answer as a question of its region; ``chatspot train`` reads them."""
    lines = []
    for picture in pictures:
        entry = {**record_fields(picture.record, Path()), "image": picture.name}
        for number, _, answer in picture.told():
            asked = {"q": question_text(about.asking.question), "a": answer.answer or "unknown", "type": "annotated"}
            known = {"model": about.model, "confidence": answer.confidence, "finish": answer.finish}
            entry["regions"][number] = {**entry["regions"][number], "qa": [{**asked, **known}]}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return "".join(lines)


def question_text(question: str) -> str:
    """The question with its region's place as region JSON lines have it; at its end where it names none."""
    return question.replace("{region}", "<region>") if "{region}" in question else f"{question} <region>"


def in_csv(pictures: Sequence[Annotated], about: About) -> str:
    """One row for each region that was asked about, with its bounding box."""
    text = io.StringIO()
    rows = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    rows.writeheader()
    for picture in pictures:
        width, height = picture.record.size
        for number, (region, answer) in enumerate(zip(picture.record.regions, picture.answers, strict=True)):
            if not region.askable:
                continue
            row = {"image": picture.name, "width": width, "height": height, "region": number,
                   "form": next(iter(region.region.to_json())), "label": region.label or "",
                   "question": about.asking.question}  # fmt: skip
            x1, y1, x2, y2 = region.region.bounds_xyxy
            edges = (x1 * width, y1 * height, x2 * width, y2 * height)
            row |= {name: round(edge, 2) for name, edge in zip(("x1", "y1", "x2", "y2"), edges, strict=True)}
            if answer is not None:
                confidence = "" if answer.confidence is None else answer.confidence
                row |= {"answer": answer.answer, "confidence": confidence, "finish": answer.finish,
                        "error": answer.error or ""}  # fmt: skip
            rows.writerow(row)
    return text.getvalue()


def in_label_studio(pictures: Sequence[Annotated], about: About) -> str:
    """Tasks with predictions, as Label Studio imports them: each region with its answer as the label. Pictures are
    named as local files below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, which is the folder that was annotated."""
    tasks = []
    for picture in pictures:
        results = [label_result(picture, number, region, answer) for number, region, answer in picture.told()]
        scores = [answer.confidence for _, _, answer in picture.told() if answer.confidence is not None]
        prediction: dict[str, Any] = {"model_version": about.model, "result": results}
        if scores:
            prediction["score"] = round(sum(scores) / len(scores), 4)
        data = {"image": f"/data/local-files/?d={quote(picture.name)}"}
        tasks.append({"data": data, "predictions": [prediction]})
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def label_result(picture: Annotated, number: int, region: RegionRecord, answer: Given) -> dict[str, Any]:
    """One region of a prediction. Coordinates are in percent of the picture's sides."""
    width, height = picture.record.size
    form = region.polygon if region.polygon is not None and region.box is None else region.region
    value: dict[str, Any]
    if isinstance(form, Point):
        kind, value = "keypoint", {"x": form.x * 100, "y": form.y * 100, "width": 1}
    elif isinstance(form, Polygon):
        kind, value = "polygon", {"points": [[x * 100, y * 100] for x, y in form.points], "closed": True}
    else:
        x1, y1, x2, y2 = form.bounds_xyxy
        kind, value = "rectangle", {"x": x1 * 100, "y": y1 * 100, "width": (x2 - x1) * 100, "height": (y2 - y1) * 100,
                                    "rotation": 0}  # fmt: skip
    result = {
        "id": f"region{number}",
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": [category_name(answer.answer)]},
    }
    return {**result, **({"score": answer.confidence} if answer.confidence is not None else {})}


def label_studio_config(pictures: Sequence[Annotated]) -> str:
    """The labelling interface in which the predictions can be shown: Label Studio refuses labels that it lacks."""
    names = dict.fromkeys(category_name(answer.answer) for picture in pictures for _, _, answer in picture.told())
    labels = "".join(f"      <Label value={quoteattr(name)}/>\n" for name in names)
    blocks = "".join(
        f'    <{kind}Labels name="{kind.lower()}" toName="image">\n{labels}    </{kind}Labels>\n'
        for kind in ("Rectangle", "Polygon", "KeyPoint")
    )
    return f'<View>\n    <Image name="image" value="$image" zoom="true"/>\n{blocks}</View>\n'


WRITERS: dict[str, tuple[str, Writer]] = {
    "coco": ("annotated.coco.json", in_coco),
    "jsonl": ("annotated.jsonl", in_lines),
    "csv": ("annotated.csv", in_csv),
    "labelstudio": ("annotated.labelstudio.json", in_label_studio),
}
"""By the name of ``--out``: the file's name where none is given, and what writes it."""
