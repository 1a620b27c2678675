"""VizWiz-VQA-Grounding: what blind people asked about their photos, and where in the photo the answer is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    best_first,
    claimed_size,
    list_field,
    needed,
    picture_path,
    place,
    question_of,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.geometry import annotated_polygon, region_record
from chatspot.data.sources.mask_pictures import bitmap_mask, mask_pixels
from chatspot.data.sources.source import Source


def read_vizwiz(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record with one region and one question for each photo of ``<split>_grounding.json`` that is grounded.

    The region's polygon is the annotated outline and its box the outline's bounding box, the form that the paper asks
    with (section 4). Its mask is ``binary_masks_png/<split>/<photo>.png`` where that is there; it also serves a photo
    without a usable outline. Photos without grounding (the whole test split has none) are "no answer". Width and height
    may be missing; photos that were annotated before EXIF's turning are turned.
    """
    VIZWIZ_GROUNDING.check(folder, split)
    file = folder / f"{split}_grounding.json"
    for name, entry in read_json(file, dict, "an object keyed by file name, as VizWiz ships it").items():
        where = place(file, name)
        with reported(where, faults):
            path = picture_path(folder / split, name)
            mask_file = folder / "binary_masks_png" / split / f"{path.stem}.png"
            if not as_object(entry).get("answer_grounding") and not mask_file.is_file():
                faults.add("no answer", where, "no answer_grounding and no mask: the answer has no place")
                continue
            frame = picture_frame(path, claimed_size(entry, "width", "height"), where, faults)
            region = grounded_region(entry, mask_file, frame, where, faults) if frame else None
            if frame is None or region is None:
                continue
            question = question_of(text_field(entry, "question"), vizwiz_answers(entry), where, faults, regions=(0,))
            if question:
                yield Record(path, frame.size, (region,), (), VIZWIZ_GROUNDING.name, (question,),
                             image_ids=(f"vizwiz:{path.stem}",), licence=VIZWIZ_GROUNDING.licence)  # fmt: skip


def grounded_region(
    entry: dict[str, Any], mask_file: Path, frame: Frame, where: str, faults: Faults
) -> RegionRecord | None:
    """The place of the answer: one polygon of ``{"x": ..., "y": ...}`` in pixels, and a mask where there is one."""
    polygon = mask = None
    if entry.get("answer_grounding"):
        points = [as_object(point) for point in list_field(entry, "answer_grounding")]
        corners = [(needed(point, "x"), needed(point, "y")) for point in points]
        polygon = annotated_polygon(corners, frame, where, faults)
    if mask_file.is_file():
        pixels = mask_pixels(mask_file, "shape", frame, where, faults)
        mask = None if pixels is None else bitmap_mask(pixels, where, faults)
    return region_record(frame, polygon=polygon, mask=mask)


def vizwiz_answers(entry: dict[str, Any]) -> tuple[str, ...]:
    """The most common answer, then all of ``answers``: plain texts here, ``{"answer": ...}`` in VizWiz-VQA's files."""
    common = as_text(entry.get("most_common_answer") or "", "most_common_answer")
    given = list_field(entry, "answers") if entry.get("answers") else []
    answers = [text_field(one, "answer") if isinstance(one, dict) else as_text(one, "answers") for one in given]
    kept = best_first([answer for answer in answers if answer])
    if common and common in kept:  # it is one of them: put in front, not counted again
        at = kept.index(common)
        return (common, *kept[:at], *kept[at + 1 :])
    return (common, *kept) if common else kept


VIZWIZ_GROUNDING = Source(
    name="vizwiz_grounding",
    title="VizWiz-VQA-Grounding",
    read=read_vizwiz,
    files={split: (f"{split}_grounding.json", f"{split}/") for split in ("train", "val", "test")},
    licence="CC BY 4.0",
    homepage="https://vizwiz.org/tasks-and-datasets/answer-grounding-for-vqa/",
    role="evaluation",
)
