"""Lists in plain text: torchcv's boxes of whole data sets, and OpenALPR's plates.

torchcv has one line for each picture, "name x1 y1 x2 y2 class ...", five numbers a box; OpenALPR one file for each
photo, "name, x, y, width, height, plate" between tabs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import PLATE_LABEL, Record, RegionRecord
from chatspot.data.sources.entries import as_text, check_name, coco_ids, picture_path, reported
from chatspot.data.sources.geometry import annotated_box, annotated_box_xywh, region_record
from chatspot.data.sources.picture_files import Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.data.sources.xml_files import number_of
from chatspot.errors import DataError

# VOC's 20 classes in torchcv's order, which is the alphabet's
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
READABLE = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "TV or monitor"}


def text_lines(file: Path, expected: str) -> Iterator[tuple[str, str]]:
    """The lines of a text file that hold anything, each with its place; a byte order mark and CRLF are taken off.
    Raises ``DataError`` for a file that is no UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected {expected} in UTF-8") from error
    # not splitlines: it ends lines at characters that stand in transcriptions
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.strip():
            yield f"{file.name}:{number}", line


def read_torchcv(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each line of ``<split>.txt``; a line of a name alone is a picture without objects. Pictures lie
    anywhere below the folder. The names of COCO's classes are in ``coco_labels.txt``.

    Both kinds of list name the last pixel of a box: COCO's counts from 0, so a box ends one pixel later than it says;
    VOC's counts from 1, so it begins one earlier.
    """
    TORCHCV.check(folder, split)
    names = class_names(folder, split)
    of_voc = split.startswith("voc")
    pictures = Pictures(folder)
    for where, line in text_lines(folder / f"{split}.txt", "a picture and its boxes a line"):
        with reported(where, faults):
            name, *fields = line.split()
            if len(fields) % 5:
                raise DataError(f"expected x1 y1 x2 y2 class for each box, got {len(fields)} numbers")
            path = pictures.find(name)
            frame = picture_frame(path, None, where, faults)
            if frame is None:
                continue
            regions: list[RegionRecord] = []
            for at, five in enumerate(fields[start : start + 5] for start in range(0, len(fields), 5)):
                spot = f"{where} box {at}"
                with reported(spot, faults):
                    region = listed_region(five, names, of_voc, frame, spot, faults)
                    regions += [region] if region else []
            ids = (f"voc:{path.stem}",) if of_voc else coco_number(path.name)
            yield Record(path, frame.size, tuple(regions), (), TORCHCV.name, image_ids=ids, licence=TORCHCV.licence)


def listed_region(
    five: list[str], names: list[str], of_voc: bool, frame: Frame, where: str, faults: Faults
) -> RegionRecord | None:
    """The region of one box of a line."""
    x1, y1, x2, y2, number = (number_of(text, f"number {at}") for at, text in enumerate(five))
    if number not in range(len(names)):
        raise DataError(f"there is no class {five[4]}; there are {len(names)}, from 0")
    edges = (x1 - 1, y1 - 1, x2, y2) if of_voc else (x1, y1, x2 + 1, y2 + 1)
    return region_record(frame, box=annotated_box(edges, frame, where, faults), label=names[int(number)])


def class_names(folder: Path, split: str) -> list[str]:
    """The names of a list's classes, from ``coco_labels.txt``; VOC's are known."""
    if split.startswith("voc"):
        return [READABLE.get(name, name) for name in VOC_CLASSES]
    return [as_text(line, where) for where, line in text_lines(folder / "coco_labels.txt", "a class's name a line")]


def coco_number(file_name: str) -> tuple[str, ...]:
    """The photo's id, from COCO 2017's file names (000000532481.jpg) or 2014's."""
    stem = Path(file_name).stem
    return (f"coco:{int(stem)}",) if len(stem) == 12 and stem.isascii() and stem.isdigit() else coco_ids(file_name)


def read_openalpr(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each text file of a country's folder, a region with its number for each of its lines. Photos lie
    beside their text. A plate without a number stays a region that is not askable."""
    OPENALPR.check(folder, split)
    for file in files_of(folder, split, ".txt", "a text for each photo, as OpenALPR's benchmarks have"):
        with reported(file.name, faults):
            by_photo: dict[str, list[tuple[str, list[str]]]] = {}
            for where, line in text_lines(file, "name, x, y, width, height and plate between tabs"):
                with reported(where, faults):
                    fields = [field.strip() for field in line.split("\t")]
                    if len(fields) != 6:
                        raise DataError(f"expected 6 fields between tabs, got {len(fields)}")
                    check_name(fields[0])
                    by_photo.setdefault(fields[0], []).append((where, fields[1:]))
            for name, plates in by_photo.items():
                path = picture_path(file.parent, name)
                frame = picture_frame(path, None, plates[0][0], faults)
                if frame is not None:
                    regions = tuple(plate_regions(plates, frame, faults))
                    yield Record(path, frame.size, regions, (), OPENALPR.name, licence=OPENALPR.licence)


def plate_regions(plates: list[tuple[str, list[str]]], frame: Frame, faults: Faults) -> Iterator[RegionRecord]:
    """The plates of one photo that can be used."""
    for where, (*edges, number) in plates:
        with reported(where, faults):
            xywh = [number_of(text, f"number {at}") for at, text in enumerate(edges)]
            plate = as_text(number, "plate")
            box = annotated_box_xywh(xywh, frame, where, faults)
            region = region_record(frame, box=box, label=PLATE_LABEL, text=plate, askable=bool(plate))
            if region is not None:
                if not plate:
                    faults.add("no answer", where, "the plate has no number")
                yield region


TORCHCV_LISTS = {
    "coco17_train": ("coco_labels.txt",),
    "coco17_val": ("coco_labels.txt",),
    "voc07_trainval": (),
    "voc07_test": (),
    "voc12_trainval": (),
    "voc0712_trainval": (),
}
TORCHCV = Source(
    name="torchcv",
    title="torchcv's lists of COCO's and VOC's boxes",
    read=read_torchcv,
    files={split: (f"{split}.txt", *names) for split, names in TORCHCV_LISTS.items()},
    licence="MIT (lists); COCO's annotations CC BY 4.0, VOC's none stated; each photo under Flickr's terms",
    homepage="https://github.com/kuangliu/torchcv",
)
OPENALPR = Source(
    name="openalpr",
    title="OpenALPR's end-to-end benchmark of number plates",
    read=read_openalpr,
    files={"all": (), "eu": ("eu/",), "us": ("us/",), "br": ("br/",)},
    licence="AGPL-3.0 (repository); where its photos come from is not stated",
    homepage="https://github.com/openalpr/benchmarks",
)
