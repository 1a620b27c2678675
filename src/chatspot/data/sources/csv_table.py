"""CSV: one line for each region, in the columns that people and tools use.

::

    image,label,xmin,ymin,xmax,ymax        pixels; also x1,y1,x2,y2 or x,y,width,height
    ImageID,LabelName,XMin,XMax,YMin,YMax  Open Images: fractions of the picture

The first line names the columns, in any order; others are ignored. Fields are separated by commas, semicolons or tabs;
a comma may stand for the decimal point ("0,358"). ``text`` is what is written there, ``image_width`` and
``image_height`` the picture's size, ``IsGroupOf`` 1 a crowd.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import as_text, reported
from chatspot.data.sources.geometry import annotated_box, annotated_size, region_record
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.data.sources.xml_files import number_of, side_of
from chatspot.errors import DataError

IMAGE_COLUMNS = ("image", "filename", "file_name", "image_path", "path", "imageid", "image_id")
LABEL_COLUMNS = ("label", "class", "labelname", "class_name", "category", "name")
TEXT_COLUMNS = ("text", "transcription")
CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("x_min", "y_min", "x_max", "y_max"))
EXTENTS = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
OPEN_IMAGES = ("ImageID", "XMin", "XMax", "YMin", "YMax")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what. ``edges`` are x1, y1, x2, y2, or x, y, width and height with ``extent``."""

    image: str
    label: str | None
    text: str | None
    edges: tuple[str, ...]
    extent: bool
    fractions: bool


def read_csv_table(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture that the .csv (or .tsv) files below the folder of the split name, in the order of
    their first lines. Pictures are looked up below the folder, also without their ending."""
    pictures = Pictures(folder, "images")
    rows: dict[Path, list[tuple[str, Columns, dict[str, str]]]] = {}
    for file in files_of(folder, split, ".[ct]sv", "a table with a column image and the edges of boxes"):
        header, lines = table_of(file)
        columns = columns_of(header, file)
        for number, row in lines:
            where = f"{file.name}:{number}"
            with reported(where, faults):
                name = row.get(columns.image, "").strip()
                if not name:
                    raise DataError(f"the column {columns.image} is empty")
                rows.setdefault(pictures.find(name), []).append((where, columns, row))
    for path, entries in rows.items():
        where, _, first = entries[0]
        sides = side_of(first.get("image_width")), side_of(first.get("image_height"))
        frame = picture_frame(path, sides if all(sides) else None, where, faults)
        if frame is not None:
            regions = list(table_regions(entries, frame, faults))
            yield Record(path, frame.size, tuple(regions), (), CSV.name, licence=CSV.licence)


def table_of(file: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The header of a table and its other lines, by their number in the file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected a table in UTF-8") from error
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{file}: {error}; expected a table") from error
    return header, numbered_rows(reader, header, file)


def numbered_rows(reader: Iterator[list[str]], header: list[str], file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a table that hold anything, with their numbers."""
    try:
        for row in reader:
            if any(row):
                yield getattr(reader, "line_num", 0), dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise DataError(f"{file}:{getattr(reader, 'line_num', 0)}: {error}; expected a table") from error


def columns_of(header: list[str], file: Path) -> Columns:
    """Which columns hold what. Raises ``DataError`` that names the columns that were expected."""
    lower = {name.lower(): name for name in reversed(header)}
    fractions = set(OPEN_IMAGES) <= set(header)
    image = first_of(IMAGE_COLUMNS, lower)
    corners = next((edges for edges in CORNERS if set(edges) <= lower.keys()), None)
    extents = next((edges for edges in EXTENTS if set(edges) <= lower.keys()), None)
    edges = corners or extents
    if image is None or edges is None:
        raise DataError(f"{file}:1: expected the columns image, label, xmin, ymin, xmax and ymax (or x, y, width and "
                        f"height), got {', '.join(header)[:200] or 'nothing'}")  # fmt: skip
    return Columns(image, first_of(LABEL_COLUMNS, lower), first_of(TEXT_COLUMNS, lower),
                   tuple(lower[edge] for edge in edges), corners is None, fractions)  # fmt: skip


def first_of(names: tuple[str, ...], lower: Mapping[str, str]) -> str | None:
    """The first of the names that is a column."""
    return next((lower[name] for name in names if name in lower), None)


def table_regions(
    entries: list[tuple[str, Columns, dict[str, str]]], frame: Frame, faults: Faults
) -> Iterator[RegionRecord]:
    """The usable regions of a picture's lines; a line without any edge names a picture without regions."""
    width, height = annotated_size(frame)
    for where, columns, row in entries:
        texts = [row.get(edge, "").strip() for edge in columns.edges]
        if not any(texts):
            continue
        with reported(where, faults):
            values = [number_of(text.replace(",", "."), edge) for edge, text in zip(columns.edges, texts, strict=True)]
            a, b, c, d = values
            if columns.extent:
                c, d = a + c, b + d
            if columns.fractions:
                a, b, c, d = a * width, b * height, c * width, d * height
            label = as_text(row.get(columns.label, ""), "label") if columns.label else None
            text = as_text(row.get(columns.text, ""), "text") if columns.text else None
            crowd = row.get("IsGroupOf", "").strip() == "1"
            region = region_record(frame, box=annotated_box((a, b, c, d), frame, where, faults), label=label, text=text,
                                   askable=not crowd)  # fmt: skip
            if region is not None:
                yield region


CSV = Source(
    name="csv",
    title="your own pictures with a table of boxes",
    read=read_csv_table,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://storage.googleapis.com/openimages/web/download_v7.html",
    role="own",
)
