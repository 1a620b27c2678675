"""Small data sets for the readers' tests: pictures made here, annotation files as objects, and hostile values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from chatspot.data.faults import Faults
from chatspot.data.records import Record
from chatspot.data.sources.source import Source


def picture(file: Path, size: tuple[int, int] = (100, 50), orientation: int = 1) -> Path:
    """A grey picture stored as ``size``, in the format of its ending, with an EXIF orientation (JPEG only)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    Image.new("RGB", size, (90, 120, 150)).save(file, exif=exif)
    return file


def annotations(file: Path, content: Any) -> Path:
    """An annotation file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def read(source: Source, folder: Path, split: str = "train") -> tuple[list[Record], Faults]:
    """All records of a source, and what was found wrong."""
    faults = Faults()
    return list(source.read(folder, split, faults)), faults


def found(faults: Faults) -> dict[str, int]:
    """The faults' counts."""
    return dict(faults.counts)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [10**400, -1, 0, "", "\ud800", "\x00", "../../x.jpg", "/etc/passwd", "a" * 300, "<region9>", "###"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value, itself included."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from places(inner, (*path, at))


@st.composite
def damaged(draw: Callable[..., Any], content: Any) -> Any:
    """``content`` with one to three of its values replaced, removed, doubled or put under another name."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(content))))
        if not path:
            return draw(ANYTHING)
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        change = draw(st.sampled_from(["replace", "remove", "double", "rename"]))
        if change == "remove":
            del holder[path[-1]]
        elif change == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(["", "\ud800", "a\nb", "../up", "/up"]) | st.text(max_size=5))] = holder.pop(
                path[-1]
            )
        else:
            holder[path[-1]] = draw(ANYTHING)
    return content
