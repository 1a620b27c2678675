"""Captioned pictures: CC595K, the 595,375 of CC3M that LLaVA chose for its first stage, and Flickr8k.

CC595K's ``chat.json`` is a list in LLaVA's layout::

    {"id": "GCC_train_002582585", "image": "GCC_train_002582585.jpg",
     "conversations": [{"from": "human", "value": "<image>\\nWrite a terse but informative summary of the picture."},
                       {"from": "gpt", "value": "olive oil is a healthy ingredient used liberally ."}]}

Flickr8k's ``captions.txt`` is a table, "image,caption" and then five lines for each picture.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.records import Record
from chatspot.data.sources.entries import (
    as_object,
    as_text,
    check_name,
    list_field,
    name_field,
    picture_path,
    place,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.source import Source
from chatspot.data.sources.text_lists import text_lines
from chatspot.errors import DataError

IMAGE_MARK = "<image>"  # stands before or after a question's text
# What CC3M's tokeniser set apart: "olive oil , salt ( fine ) .", "a man 's hat", "do n't"
BEFORE = re.compile(r" (?=[.,](?!\d)|[;:!?%)\]]|'(?:s|re|ve|ll|d|m)\b|n't\b)")
AFTER = re.compile(r"(?<=[(\[$#]) ")

Captions: TypeAlias = dict[Path, tuple[str, list[str]]]
"""Captions by picture, with the place of the first in the file."""


def read_cc595k(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record with one caption for each picture of ``chat.json`` that is there: about 15% of CC3M's addresses are
    dead, so ``images.zip`` has to be unpacked into ``images``."""
    CC595K.check(folder, split)
    file = folder / "chat.json"
    captions: Captions = {}
    for number, entry in enumerate(read_json(file, list, "a list of conversations, as LLaVA ships it")):
        where = place(file, f"[{number}]")
        with reported(where, faults):
            path, caption = captioned_picture(as_object(entry), folder)
            keep_caption(captions, path, caption, where, faults)
    yield from captioned_records(captions, CC595K, "cc3m", faults)


def captioned_picture(entry: dict[str, Any], folder: Path) -> tuple[Path, str]:
    """The picture of an entry and its caption: the first thing that "gpt" says."""
    if entry.get("image") is None:  # 40,688 entries of LLaVA's later mixture are text only (LLaVA #546)
        raise DataError("no field 'image': a conversation without a picture")
    path = picture_path(folder / "images", name_field(entry, "image"))
    for turn in list_field(entry, "conversations"):
        if as_object(turn).get("from") == "gpt":
            return path, readable(text_field(turn, "value").replace(IMAGE_MARK, " "))
    raise DataError("no turn of 'gpt' in 'conversations': no caption")


def keep_caption(captions: Captions, path: Path, caption: str, where: str, faults: Faults) -> None:
    """Put a picture's caption with its others; an empty one is a fault."""
    if caption:
        captions.setdefault(path, (where, []))[1].append(caption)
    else:
        faults.add("no answer", where, "the caption is empty")


def captioned_records(captions: Captions, source: Source, photos: str, faults: Faults) -> Iterator[Record]:
    """A record for each picture that is there, in the order of the captions; ``photos`` opens its id."""
    for path, (where, texts) in captions.items():
        frame = picture_frame(path, None, where, faults)
        if frame is not None:
            yield Record(path, frame.size, (), tuple(texts), source.name, image_ids=(f"{photos}:{path.stem}",),
                         licence=source.licence)  # fmt: skip


def readable(caption: str) -> str:
    """A tokenised caption with the tokeniser's spaces taken out. Its lower case stays: names cannot be told back."""
    return " ".join(AFTER.sub("", BEFORE.sub("", caption)).split())


CC595K = Source(
    name="cc595k",
    title="LLaVA-CC3M-Pretrain-595K",
    read=read_cc595k,
    files={"train": ("chat.json", "images/")},
    licence="CC3M: free for any purpose, please name Google; each picture keeps its owner's terms",
    homepage="https://huggingface.co/datasets/liuhaotian/LLaVA-CC3M-Pretrain-595K",
)


def read_flickr8k(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture of ``captions.txt`` with its captions, the tokeniser's spaces taken out. A caption
    with commas may stand in quotes or without."""
    FLICKR8K.check(folder, split)
    file = folder / "captions.txt"
    captions: Captions = {}
    for where, line in text_lines(file, "a picture and a caption a line"):
        if where == f"{file.name}:1" and line.replace(" ", "") == "image,caption":
            continue
        with reported(where, faults):
            name, comma, rest = line.partition(",")
            if not comma:
                raise DataError("expected a picture's name, a comma and a caption")
            check_name(name)
            path = picture_path(folder / "images", name)
            caption = readable(as_text(unquoted(rest), "caption"))
            keep_caption(captions, path, caption, where, faults)
    yield from captioned_records(captions, FLICKR8K, "flickr", faults)


def unquoted(text: str) -> str:
    """A table's last field; what follows further commas belongs to it."""
    if not text.startswith('"'):
        return text
    try:
        return ",".join(next(csv.reader([text])))
    except csv.Error as error:
        raise DataError(f"the caption's quotes cannot be read ({error})") from error


FLICKR8K = Source(
    name="flickr8k",
    title="Flickr8k, five captions a picture",
    read=read_flickr8k,
    files={"train": ("captions.txt", "images/")},
    licence="for research and teaching only; each picture under its own Flickr licence",
    homepage="https://hockenmaier.cs.illinois.edu/8k-pictures.html",
)
