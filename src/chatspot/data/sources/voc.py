"""Pascal VOC: one XML file for each picture, as VOC, ImageNet, LabelImg and Roboflow write it.

::

    <annotation><filename>2007_000027.jpg</filename><size><width>486</width><height>500</height></size>
      <object><name>person</name><difficult>0</difficult>
        <bndbox><xmin>174</xmin><ymin>101</ymin><xmax>349</xmax><ymax>351</ymax></bndbox></object></annotation>

VOC's own files count pixels from 1 and include the last one (its development kit), so their box begins a pixel earlier
than it says; label tools that write the same layout give edges. VOC's files are known by their <database> or <folder>.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import reported
from chatspot.data.sources.geometry import annotated_box, region_record
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, Pictures, files_of
from chatspot.data.sources.source import Source
from chatspot.data.sources.xml_files import child, child_text, number_of, read_xml, side_of
from chatspot.errors import DataError

EXPECTED = "one <annotation> of Pascal VOC"


def read_voc(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each XML file. A split is the list ``ImageSets/Main/<split>.txt`` where VOC's layout is there,
    else a folder of its name; "all" is every file below the folder. Pictures lie anywhere below the folder."""
    pictures = Pictures(folder, "JPEGImages")
    for file in annotation_files(folder, split):
        where = str(file.relative_to(folder))
        with reported(where, faults):
            root = read_xml(file, "annotation", EXPECTED)
            size = root.find("size")
            sides = [side_of(size.findtext(tag)) if size is not None else 0 for tag in ("width", "height")]
            path = pictures.find(child_text(root, "filename") or f"{file.stem}.jpg")
            if not os.path.isfile(path):  # pictures are renamed more often than the text in their files
                path = pictures.find(f"{file.stem}.jpg")
            frame = picture_frame(path, (sides[0], sides[1]) if all(sides) else None, where, faults)
            if frame is not None:
                regions = list(voc_regions(root, frame, where, faults))
                yield Record(path, frame.size, tuple(regions), (), VOC.name, licence=VOC.licence)


def annotation_files(folder: Path, split: str) -> list[Path]:
    """The XML files of a split."""
    listed = folder / "ImageSets" / "Main" / f"{split}.txt"
    if split == "all" or not listed.is_file():
        return files_of(folder, split, ".xml", EXPECTED)
    try:
        lines = listed.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{listed}: cannot be read ({error}); expected a picture's name a line") from error
    return [folder / "Annotations" / f"{line.split()[0]}.xml" for line in lines if line.strip()]


def voc_regions(root: Element, frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord]:
    """The usable objects of an annotation; what VOC's annotators called difficult is not askable."""
    first = 1 if counts_from_one(root) else 0
    for number, found in enumerate(root.iterfind("object")):
        spot = f"{where} object[{number}]"
        with reported(spot, faults):
            label = child_text(found, "name")
            if not label:
                raise DataError("<name> is empty")
            edges = child(found, "bndbox")
            x1, y1, x2, y2 = (number_of(edges.findtext(tag), f"<{tag}>") for tag in ("xmin", "ymin", "xmax", "ymax"))
            box = annotated_box((x1 - first, y1 - first, x2, y2), frame, spot, faults)
            difficult = child_text(found, "difficult") == "1"
            region = region_record(frame, box=box, label=label, askable=not difficult)
            if region is not None:
                yield region


def counts_from_one(root: Element) -> bool:
    """Whether the file is one of VOC's own."""
    return "VOC" in (root.findtext("source/database") or "") or (root.findtext("folder") or "").startswith("VOC20")


VOC = Source(
    name="voc",
    title="Pascal VOC XML, VOC's own or yours",
    read=read_voc,
    files={**OWN_SPLITS, "trainval": ()},
    licence=f"{OWN_LICENCE}; VOC's own pictures are under Flickr's terms",
    homepage="http://host.robots.ox.ac.uk/pascal/VOC/",
    role="own",
)
