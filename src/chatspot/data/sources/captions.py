"""CC595K: the 595,375 captioned pictures of CC3M that LLaVA chose for its first stage.

``chat.json`` is a list in LLaVA's layout::

    {"id": "GCC_train_002582585", "image": "GCC_train_002582585.jpg",
     "conversations": [{"from": "human", "value": "<image>\\nWrite a terse but informative summary of the picture."},
                       {"from": "gpt", "value": "olive oil is a healthy ingredient used liberally ."}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.records import Record
from chatspot.data.sources.entries import (
    as_object,
    list_field,
    name_field,
    picture_path,
    place,
    read_json,
    reported,
    text_field,
)
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

IMAGE_MARK = "<image>"  # stands before or after a question's text
# What CC3M's tokeniser set apart: "olive oil , salt ( fine ) .", "a man 's hat", "do n't"
BEFORE = re.compile(r" (?=[.,](?!\d)|[;:!?%)\]]|'(?:s|re|ve|ll|d|m)\b|n't\b)")
AFTER = re.compile(r"(?<=[(\[$#]) ")


def read_cc595k(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record with one caption for each picture of ``chat.json`` that is there: about 15% of CC3M's addresses are
    dead, so ``images.zip`` has to be unpacked into ``images``."""
    CC595K.check(folder, split)
    file = folder / "chat.json"
    captions: dict[Path, tuple[str, list[str]]] = {}
    for number, entry in enumerate(read_json(file, list, "a list of conversations, as LLaVA ships it")):
        where = place(file, f"[{number}]")
        with reported(where, faults):
            path, caption = captioned_picture(as_object(entry), folder)
            if caption:
                captions.setdefault(path, (where, []))[1].append(caption)
            else:
                faults.add("no answer", where, "the caption is empty")
    for path, (where, texts) in captions.items():
        frame = picture_frame(path, None, where, faults)
        if frame is not None:
            yield Record(path, frame.size, (), tuple(texts), CC595K.name, image_ids=(f"cc3m:{path.stem}",),
                         licence=CC595K.licence)  # fmt: skip


def captioned_picture(entry: dict[str, Any], folder: Path) -> tuple[Path, str]:
    """The picture of an entry and its caption: the first thing that "gpt" says."""
    if entry.get("image") is None:  # 40,688 entries of LLaVA's later mixture are text only (LLaVA #546)
        raise DataError("no field 'image': a conversation without a picture")
    path = picture_path(folder / "images", name_field(entry, "image"))
    for turn in list_field(entry, "conversations"):
        if as_object(turn).get("from") == "gpt":
            return path, readable(text_field(turn, "value").replace(IMAGE_MARK, " "))
    raise DataError("no turn of 'gpt' in 'conversations': no caption")


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
