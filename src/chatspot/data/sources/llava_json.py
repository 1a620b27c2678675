"""LLaVA's JSON: conversations about whole pictures, with which much of the field fine-tunes.

::

    [{"id": "1", "image": "coco/train2017/000000033471.jpg", "conversations": [
        {"from": "human", "value": "<image>\\nWhat colour is the bus?"}, {"from": "gpt", "value": "Red."}]}]

``<image>`` may stand before or after the text; 40,688 entries of LLaVA's own mixture have no ``image`` at all (LLaVA
#546). Coordinates inside the text ("[0.31, 0.20, 0.52, 0.60]") are numbers in a frame that the file does not name, of
the padded square or of the picture (LLaVA #606): such a turn and what follows it are left out and reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.records import Question, Record
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    coco_ids,
    list_field,
    needed,
    question_of,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

IMAGE_MARK = "<image>"
COORDINATES = re.compile(r"\[\s*\d*\.?\d+\s*,\s*\d*\.?\d+\s*(?:,\s*\d*\.?\d+\s*,\s*\d*\.?\d+\s*)?\]")
COCO_2017 = re.compile(r"(?:^|/)(?:coco|train2017|val2017)/(?:\w+/)?0*(\d+)\.jpg$")  # coco/train2017/000000033471.jpg
VG = re.compile(r"(?:^|/)VG_100K(?:_2)?/(\d+)\.jpg$")


def read_llava_json(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each entry of every .json file below the folder of the split, its turns as questions in order."""
    pictures = Pictures(folder, "images")
    for file in files_of(folder, split, ".json", "a list of conversations, as LLaVA reads it"):
        for at, entry in enumerate(read_json(file, list, "a list of conversations, as LLaVA reads it")):
            where = f"{file.name}[{at}]"
            with reported(where, faults):
                name = picture_name(as_object(entry))
                questions = list(turns_of(entry, where, faults))
                frame = picture_frame(pictures.find(name), None, where, faults) if questions else None
                if frame is not None:
                    yield Record(pictures.find(name), frame.size, (), (), LLAVA_JSON.name, tuple(questions),
                                 image_ids=ids_of_name(name), licence=LLAVA_JSON.licence)  # fmt: skip


def picture_name(entry: dict[str, Any]) -> str:
    """The name of an entry's one picture."""
    name = entry.get("image")
    if isinstance(name, list) and len(name) == 1:
        name = name[0]
    if name is None:
        raise DataError("no field 'image': a conversation without a picture")
    if isinstance(name, list):
        raise DataError(f"{len(name)} pictures in one conversation, expected one")
    return as_text(name, "image")


def ids_of_name(name: str) -> tuple[str, ...]:
    """The photo's ids that LLaVA's folders tell."""
    coco, vg = COCO_2017.search(name), VG.search(name)
    ids = [f"coco:{coco[1]}"] if coco else list(coco_ids(name))
    return (*ids, *([f"vg:{vg[1]}"] if vg else []))


def turns_of(entry: dict[str, Any], where: str, faults: Faults) -> Iterator[Question]:
    """The turns of a conversation, up to the first that cannot be used: later ones may lean on it."""
    turns = list_field(entry, "conversations")
    if len(turns) % 2:
        raise DataError(f"{len(turns)} turns, expected a reply to each")
    for at in range(0, len(turns), 2):
        question, answer = as_object(turns[at]), as_object(turns[at + 1])
        if (needed(question, "from"), needed(answer, "from")) not in (("human", "gpt"), ("user", "assistant")):
            raise DataError(f"turns {at} and {at + 1} are of {question['from']!r} and {answer['from']!r}, expected "
                            "'human' and 'gpt'")  # fmt: skip
        asked, said = (
            as_text(text_field(turn, "value").replace(IMAGE_MARK, " "), "value") for turn in (question, answer)
        )
        if COORDINATES.search(asked) or COORDINATES.search(said):
            faults.add("unusable entry", where, f"turn {at} has coordinates in its text, in a frame nobody names")
            return
        found = question_of(asked, [said] if said else [], where, faults)
        if found is None:
            return
        yield found


LLAVA_JSON = Source(
    name="llava_json",
    title="your own conversations in LLaVA's layout",
    read=read_llava_json,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md",
    role="own",
)
