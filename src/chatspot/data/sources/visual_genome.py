"""Visual Genome v1.2: objects, attributes, relationships and region descriptions, joined in one record a picture.

Traps that are handled here: regions write ``width`` and ``height`` where objects write ``w`` and ``h``, and their file
names the picture ``id`` where others write ``image_id``; the ends of a relationship carry ``name`` or ``names``; some
sizes in image_data.json are wrong and 5,654 regions begin outside the picture (``geometry`` treats both); pictures lie
in two folders, and which one stands only in ``url``; about half of them are COCO's (``coco_id``).
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord, Relation
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    claimed_size,
    list_field,
    needed,
    read_json,
    reported,
    text_field,
    whole_field,
)
from chatspot.data.sources.geometry import annotated_box_xywh, region_record
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

# file -> (the list of a picture's entries, the names that the picture's id may have)
PARTS = {
    "objects": ("objects", ("image_id", "id")),
    "attributes": ("attributes", ("image_id", "id")),
    "relationships": ("relationships", ("image_id", "id")),
    "region_descriptions": ("regions", ("id", "image_id")),
}


@dataclass
class Scene:
    """One picture's regions while its files are joined; ``numbers`` finds a region by the object ids it has had."""

    frame: Frame
    regions: list[RegionRecord] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    attributes: dict[int, list[str]] = field(default_factory=dict)


def read_visual_genome(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture of image_data.json that is there, in its order.

    Regions are the objects with their attributes, then what only relationships name, then the described regions, which
    have a description and no label. ``image_ids`` are "vg:1" and, for COCO's pictures, "coco:139". The four annotation
    files are held in memory.
    """
    VISUAL_GENOME.check(folder, split)
    return visual_genome_records(folder, faults)


def visual_genome_records(folder: Path, faults: Faults) -> Iterator[Record]:
    """The records of a folder whose files are there."""
    parts = {name: entries_by_picture(folder / f"{name}.json", *PARTS[name], faults) for name in PARTS}
    pictures = Pictures(folder, "VG_100K", "VG_100K_2")
    for number, image in enumerate(read_json(folder / "image_data.json", list, "a list of pictures")):
        where = f"image_data.json[{number}]"
        with reported(where, faults):
            image_id = whole_field(as_object(image), "id" if "image_id" not in image else "image_id")
            frame = None
            path = vg_picture(pictures, image_id, image.get("url"))
            frame = picture_frame(path, claimed_size(image, "width", "height"), where, faults)
            if frame is None:
                continue
            scene = Scene(frame)
            own = {name: entries.get(image_id, []) for name, entries in parts.items()}
            add_attributes(scene, own["attributes"], f"attributes.json {image_id}", faults)
            add_objects(scene, own["objects"] or own["attributes"], f"objects.json {image_id}", faults)
            relations = relations_of(scene, own["relationships"], f"relationships.json {image_id}", faults)
            add_descriptions(scene, own["region_descriptions"], f"region_descriptions.json {image_id}", faults)
            coco_id = image.get("coco_id")
            ids = (f"vg:{image_id}", *((f"coco:{coco_id}",) if isinstance(coco_id, int) else ()))
            yield Record(path, frame.size, tuple(scene.regions), (), VISUAL_GENOME.name, relations=tuple(relations),
                         image_ids=ids, licence=VISUAL_GENOME.licence)  # fmt: skip


def entries_by_picture(file: Path, key: str, id_keys: tuple[str, ...], faults: Faults) -> dict[int, list[Any]]:
    """The lists at ``key`` of an annotation file, by the picture's id."""
    found: dict[int, list[Any]] = {}
    for number, entry in enumerate(read_json(file, list, f"a list of pictures with {key}")):
        with reported(f"{file.name}[{number}]", faults):
            entries = list_field(as_object(entry), key)
            inner = entries[0] if entries and isinstance(entries[0], dict) else {}
            holder = next((each for each in (entry, inner) for name in id_keys if name in each), entry)
            name = next((name for name in id_keys if name in holder), id_keys[0])
            found.setdefault(whole_field(holder, name), []).extend(entries)
    return found


def vg_picture(pictures: Pictures, image_id: int, url: Any) -> Path:
    """A picture's file: its folder stands only in the ``url``, which some copies of the list leave out."""
    folder = url.rsplit("/", 2)[-2] if isinstance(url, str) and url.count("/") > 1 else ""
    return pictures.find(f"{folder}/{image_id}.jpg" if folder in ("VG_100K", "VG_100K_2") else f"{image_id}.jpg")


def names_of(entry: dict[str, Any]) -> list[str]:
    """An object's names, from ``names`` or ``name``; none where it has neither."""
    names = entry.get("names")
    if names is None:
        names = entry.get("name") or []
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list):
        raise DataError(f"names: expected a list, got {reprlib.repr(names)}")
    return [text for name in names if (text := as_text(name, "names"))]


def add_attributes(scene: Scene, entries: list[Any], where: str, faults: Faults) -> None:
    """Collect what is said of each object, by its id; many objects have no ``attributes``."""
    for at, entry in enumerate(entries):
        with reported(f"{where}[{at}]", faults):
            said = as_object(entry).get("attributes")
            if said is not None and not isinstance(said, list):
                raise DataError(f"attributes: expected a list, got {reprlib.repr(said)}")
            texts = [as_text(attribute, "attributes") for attribute in said or []]
            scene.attributes.setdefault(whole_field(entry, "object_id"), []).extend(text for text in texts if text)


def add_objects(scene: Scene, entries: list[Any], where: str, faults: Faults) -> None:
    """Add a picture's objects."""
    for at, entry in enumerate(entries):
        with reported(f"{where}[{at}]", faults):
            add_object(scene, as_object(entry), f"{where}[{at}]", faults)


def add_object(scene: Scene, entry: dict[str, Any], where: str, faults: Faults) -> int | None:
    """Add an object, and give its number; None after a fault. One that is there already (``merged_object_ids`` too) is
    found by its id, whatever box and name the second file gives it."""
    object_id = whole_field(entry, "object_id")
    if object_id in scene.numbers:
        return scene.numbers[object_id]
    names = names_of(entry)
    merged = entry.get("merged_object_ids")
    ids = [object_id, *(each for each in (merged if isinstance(merged, list) else []) if isinstance(each, int))]
    box = annotated_box_xywh([needed(entry, key) for key in ("x", "y", "w", "h")], scene.frame, where, faults)
    attributes = list(itertools.chain.from_iterable(scene.attributes.get(each, []) for each in ids))
    region = region_record(scene.frame, box=box, label=names[0] if names else None, attributes=attributes)
    if region is None:
        return None
    scene.regions.append(region)
    for each in ids:
        scene.numbers.setdefault(each, len(scene.regions) - 1)
    return len(scene.regions) - 1


def relations_of(scene: Scene, entries: list[Any], where: str, faults: Faults) -> list[Relation]:
    """The relationships between usable regions, each once; predicates in lower case ("ON" and "on" are one)."""
    found: dict[Relation, None] = {}
    for at, entry in enumerate(entries):
        spot = f"{where}[{at}]"
        with reported(spot, faults):
            predicate = text_field(as_object(entry), "predicate").lower()
            if not predicate:
                raise DataError("the predicate is empty")
            subject = add_object(scene, as_object(needed(entry, "subject")), f"{spot} subject", faults)
            object_ = add_object(scene, as_object(needed(entry, "object")), f"{spot} object", faults)
            if subject is not None and object_ is not None and subject != object_:
                found[Relation(subject, predicate, object_)] = None
    return list(found)


def add_descriptions(scene: Scene, entries: list[Any], where: str, faults: Faults) -> None:
    """Add a picture's described regions."""
    for at, entry in enumerate(entries):
        spot = f"{where}[{at}]"
        with reported(spot, faults):
            phrase = text_field(as_object(entry), "phrase")
            if not phrase:
                faults.add("no answer", spot, "the phrase is empty")
                continue
            edges = [needed(entry, key) for key in ("x", "y", "width", "height")]
            box = annotated_box_xywh(edges, scene.frame, spot, faults)
            region = region_record(scene.frame, box=box, descriptions=[phrase])
            scene.regions += [region] if region else []


VISUAL_GENOME = Source(
    name="visual_genome",
    title="Visual Genome v1.2",
    read=read_visual_genome,
    files={"train": ("image_data.json", *(f"{name}.json" for name in PARTS), "VG_100K/", "VG_100K_2/")},
    licence="CC BY 4.0 (annotations); pictures of COCO and YFCC100M, each under its own Flickr licence",
    homepage="https://homes.cs.washington.edu/~ranjay/visualgenome/",
)
