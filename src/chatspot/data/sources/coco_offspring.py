"""Sets that say more about COCO's photos: V-COCO (what people do with what) and RefCOCO's phrases.

V-COCO as fredzzhang/vcoco passes it on: each entry of ``annotations`` has the parallel lists ``boxes_h``, ``boxes_o``
(left, top, right, bottom), ``actions`` and ``objects``, numbers into ``classes`` and into ``objects``, where 0 is the
background. The same box stands once for each pair it is in.

RefCOCO, RefCOCO+ and RefCOCOg as MiniGPT-4 evaluates them: a list of {"img_id": "COCO_train2014_000000580957_4",
"sents": "bowl behind the others", "bbox": [left, top, width, height], "height", "width"}, one entry a phrase. What
follows the photo's name in ``img_id`` numbers the object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord, Relation
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    coco_ids,
    list_field,
    name_field,
    needed,
    picture_path,
    place,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.geometry import annotated_box, annotated_box_xywh, region_record
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

# V-COCO's actions as a relation's words (ours); "instr" is what something is done with or on
ACTIONS = {
    "hold obj": "holding",
    "sit instr": "sitting on",
    "ride instr": "riding",
    "look obj": "looking at",
    "hit instr": "hitting with",
    "hit obj": "hitting",
    "eat obj": "eating",
    "eat instr": "eating with",
    "jump instr": "jumping with",
    "lay instr": "lying on",
    "talk_on_phone instr": "talking on",
    "carry obj": "carrying",
    "throw obj": "throwing",
    "catch obj": "catching",
    "cut instr": "cutting with",
    "cut obj": "cutting",
    "work_on_computer instr": "working on",
    "ski instr": "skiing on",
    "surf instr": "surfing on",
    "skateboard instr": "skateboarding on",
    "drink instr": "drinking from",
    "kick obj": "kicking",
    "read obj": "reading",
    "snowboard instr": "snowboarding on",
}
IMG_ID = re.compile(r"(COCO_(?:train|val)2014_([0-9]{12}))_[0-9]{1,12}")
REFCOCO_SPLITS = ("refcoco_val", "refcoco_testA", "refcoco_testB", "refcoco+_val", "refcoco+_testA", "refcoco+_testB",
                  "refcocog_val", "refcocog_test")  # fmt: skip


def read_vcoco(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each photo: people and things as regions, and what they do as relations. Photos lie in train2014
    and val2014, or under 2017's names anywhere in these."""
    VCOCO.check(folder, split)
    if not any((folder / name).is_dir() for name in ("train2014", "val2014")):
        raise DataError(f"{VCOCO.name}, split {split}: {folder} lacks its photos: expected train2014/ or val2014/ of "
                        f"COCO; get them from https://cocodataset.org ({VCOCO.licence})")  # fmt: skip
    file = folder / f"instances_vcoco_{split}.json"
    content = read_json(file, dict, "an object with annotations, classes and objects")
    try:
        entries = list_field(content, "annotations")
        actions = [as_text(name, "classes") for name in list_field(content, "classes")]
        names = [as_text(name, "objects") for name in list_field(content, "objects")]
    except DataError as error:
        raise DataError(f"{file}: {error}; expected V-COCO's instances layout") from error
    for number, entry in enumerate(entries):
        where = place(file, f"annotations[{number}]")
        with reported(where, faults):
            name = name_field(as_object(entry), "file_name")
            path = coco_photo(folder, name)
            frame = picture_frame(path, None, where, faults)
            if frame is not None:
                regions, relations = pairs_of(entry, actions, names, frame, where, faults)
                yield Record(path, frame.size, tuple(regions), (), VCOCO.name, (), tuple(relations), coco_ids(name),
                             VCOCO.licence)  # fmt: skip


def coco_photo(folder: Path, name: str) -> Path:
    """A photo of COCO 2014, which may bear 2017's name: the number alone."""
    short = name.rsplit("_", 1)[-1]
    parts = ("train2014", "val2014") if "train2014" in name else ("val2014", "train2014")
    return picture_path(folder, *(f"{part}/{each}" for part in parts for each in (name, short or name)))


def pairs_of(
    entry: dict[str, Any], actions: list[str], names: list[str], frame: Frame, where: str, faults: Faults
) -> tuple[list[RegionRecord], dict[Relation, None]]:
    """The regions of an entry, each once, and the relations between them."""
    lists = [list_field(entry, key) for key in ("boxes_h", "boxes_o", "actions", "objects")]
    if len({len(values) for values in lists}) > 1:
        raise DataError(f"boxes_h, boxes_o, actions and objects have {[len(values) for values in lists]} values, "
                        "expected as many each")  # fmt: skip
    regions: list[RegionRecord] = []
    relations: dict[Relation, None] = {}
    for at, (human, thing, action, object_) in enumerate(zip(*lists, strict=True)):
        spot = f"{where} pair {at}"
        with reported(spot, faults):
            verb, label = listed(action, actions, "action"), listed(object_, names, "object")
            if object_ == 0:
                raise DataError("its object is the background")
            ends = []
            for box, name in ((human, "person"), (thing, label)):
                region = region_record(frame, box=annotated_box(box, frame, spot, faults), label=name)
                if region is not None:
                    regions += [] if region in regions else [region]
                    ends.append(regions.index(region))
            if len(ends) == 2 and ends[0] != ends[1]:
                words = ACTIONS.get(verb, verb.rsplit(" ", 1)[0].replace("_", " "))
                relations[Relation(ends[0], words, ends[1])] = None
    return regions, relations


def listed(number: Any, names: list[str], what: str) -> str:
    """The name of that number."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(names):
        raise DataError(f"there is no {what} {number!r:.40}; there are {len(names)}, from 0")
    return names[number]


@dataclass
class Phrased:
    """A photo and its objects with their phrases, by ``img_id``."""

    where: str
    frame: Frame
    image_ids: tuple[str, ...]
    regions: dict[tuple[Any, ...], RegionRecord] = field(default_factory=dict)


def read_refcoco(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each photo of ``<split>.json``: a region for each object, with all its phrases as descriptions.
    No category is given, so none is a label. Photos are COCO train2014's."""
    REFCOCO.check(folder, split)
    file = folder / f"{split}.json"
    photos: dict[Path, Phrased | None] = {}
    for number, entry in enumerate(read_json(file, list, "a list of phrases, as MiniGPT-4 ships it")):
        where = place(file, f"[{number}]")
        with reported(where, faults):
            found = IMG_ID.fullmatch(name_field(as_object(entry), "img_id"))
            if not found:
                raise DataError("img_id: expected a photo's name and an object's number, as in "
                                "COCO_train2014_000000580957_4")  # fmt: skip
            path = coco_photo(folder, f"{found[1]}.jpg")
            if path not in photos:  # a photo that is missing is counted once, with its first phrase
                frame = picture_frame(path, claimed_size(entry, "width", "height"), where, faults)
                photos[path] = Phrased(where, frame, (f"coco:{int(found[2])}",)) if frame else None
            photo = photos[path]
            if photo is not None:
                add_phrase(photo, entry, where, faults)
    for path, photo in photos.items():
        if photo is not None and photo.regions:
            yield Record(path, photo.frame.size, tuple(photo.regions.values()), (), REFCOCO.name,
                         image_ids=photo.image_ids, licence=REFCOCO.licence)  # fmt: skip


def add_phrase(photo: Phrased, entry: dict[str, Any], where: str, faults: Faults) -> None:
    """Add a phrase to its object, which is one box whatever its number: some objects have two."""
    phrase = text_field(entry, "sents")
    if not phrase:
        faults.add("no answer", where, "the phrase is empty")
        return
    box = annotated_box_xywh(needed(entry, "bbox"), photo.frame, where, faults)
    region = region_record(photo.frame, box=box, descriptions=[phrase])
    if region is None or region.box is None:
        return
    known = photo.regions.setdefault(region.box.bounds_xyxy, region)
    both = tuple(dict.fromkeys((*known.descriptions, phrase)))
    photo.regions[region.box.bounds_xyxy] = replace(known, descriptions=both)


LICENCE = "COCO's annotations CC BY 4.0, each photo under its own Flickr licence; these lists: see their repository"

VCOCO = Source(
    name="vcoco",
    title="V-COCO, what people do",
    read=read_vcoco,
    files={split: (f"instances_vcoco_{split}.json",) for split in ("trainval", "test")},  # and train2014/ or val2014/
    licence=LICENCE,
    homepage="https://github.com/fredzzhang/vcoco",
)
REFCOCO = Source(
    name="refcoco",
    title="RefCOCO, RefCOCO+ and RefCOCOg (MiniGPT-4's evaluation lists)",
    read=read_refcoco,
    files={split: (f"{split}.json", "train2014/") for split in REFCOCO_SPLITS},
    licence=LICENCE,
    homepage="https://github.com/Vision-CAIR/MiniGPT-4",
    role="evaluation",
)
