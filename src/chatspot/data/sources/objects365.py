"""Objects365 v2: two million boxes' worth of everyday things in COCO's layout, with traps of its own.

``zhiyuan_objv2_train.json`` names pictures as "images/v1/patch8/objects365_v1_00420917.jpg"; on the disk they lie in
"train/patch8/objects365_v1_00420917.jpg" or elsewhere, so they are looked up by ever shorter ends of their path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults
from chatspot.data.records import Record
from chatspot.data.sources.coco import instance_records, read_instances
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.source import Source

# The file's misspelt, shortened or unreadable names, and ours (our reading of the 365 names; mmdetection's
# fix_o365_names.py renames such names too, by a table that we did not copy).
CORRECTED = {
    "Bakset": "basket",
    "Ballon": "balloon",
    "Barrel/bucket": "barrel or bucket",
    "Billards": "billiards",
    "Blackboard/Whiteboard": "blackboard or whiteboard",
    "Board Eraser": "board eraser",
    "Bowl/Basin": "bowl or basin",
    "Buttefly": "butterfly",
    "Cabinet/shelf": "cabinet or shelf",
    "Campel": "camel",
    "Canned": "can of food",
    "Cigar/Cigarette": "cigar or cigarette",
    "Cosmetics Brush/Eyeliner Pencil": "cosmetics brush or eyeliner pencil",
    "Cue": "billiard cue",
    "Curling": "curling stone",
    "Cutting/chopping Board": "cutting board",
    "Dinning Table": "dining table",
    "Extention Cord": "extension cord",
    "Extractor": "extractor hood",
    "Formula 1": "Formula 1 car",
    "French": "French horn",
    "Hamimelon": "Hami melon",
    "Handbag/Satchel": "handbag or satchel",
    "Head Phone": "headphones",
    "Hotair ballon": "hot-air balloon",
    "Moniter/TV": "monitor or TV",
    "Mushroon": "mushroom",
    "Noddles": "noodles",
    "Orange/Tangerine": "orange or tangerine",
    "Pen/Pencil": "pen or pencil",
    "Picture/Frame": "picture or frame",
    "Router/modem": "router or modem",
    "Skiboard": "ski",
    "Soccer": "soccer ball",
    "Table Teniis paddle": "table tennis paddle",
    "Table Tennis": "table tennis ball",
    "Tape Measur/ Ruler": "tape measure or ruler",
    "Tennis": "tennis ball",
    "Tong": "tongs",
    "Trash bin Can": "trash bin",
    "Wallet/Purse": "wallet or purse",
    "Washing Machine/Drying Machine": "washing machine or dryer",
    "earphone": "earphones",
    "American Football": "American football",
    "French Fries": "French fries",
    "SUV": "SUV",
    "CD": "CD",
}


def read_objects365(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture. Boxes that leave the picture are clipped, pictures that are missing or corrupt are
    reported, names are corrected and in lower case. The whole file is held in memory (5 GB on disk for training)."""
    OBJECTS365.check(folder, split)
    return objects365_records(folder, split, faults)


def objects365_records(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """The records of one split."""
    instances = read_instances(folder / f"zhiyuan_objv2_{split}.json", faults)
    pictures = Pictures(folder, split)
    yield from instance_records(instances, pictures, OBJECTS365, faults, objects365_ids, readable=readable_name)


def objects365_ids(number: int, entry: dict[str, Any]) -> tuple[str, ...]:
    """The picture's name across sets: Ref-L4 and DLC-Bench stand on Objects365's pictures and name them by number."""
    return (f"objects365:{number}",)


def readable_name(name: str) -> str:
    """A category's name as an answer says it."""
    name = name.strip()
    return CORRECTED.get(name, name.lower())


OBJECTS365 = Source(
    name="objects365",
    title="Objects365 v2",
    read=read_objects365,
    files={split: (f"zhiyuan_objv2_{split}.json", f"{split}/") for split in ("train", "val")},
    licence="CC BY 4.0 (annotations); pictures from Flickr, for research",
    homepage="https://www.objects365.org",
)
