"""Masks that are picture files: the number of a class or a segment in every pixel, or a shape in black and white."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from chatspot.data.faults import Faults, Frame
from chatspot.data.sources.geometry import annotated_size, turned_bitmap
from chatspot.errors import DataError, RegionError
from chatspot.images.load import check_size
from chatspot.regions import Mask

if TYPE_CHECKING:
    import numpy as np

MOST_RUNS = 20_000  # of the rows of a shape that is cut into its areas; what has more is noise (a Mask's limit too)
COUNTED = ("1", "L", "P", "I;16")  # PIL's names for pictures of one number a pixel; of a palette's, its index


def mask_pixels(
    path: Path, kind: Literal["numbers", "colours", "shape"], frame: Frame, where: str, faults: Faults
) -> np.ndarray | None:
    """The pixels of a PNG mask as an array [height, width] in the frame of the upright picture, or None after a fault.

    ``numbers``: one number a pixel. ``colours``: red + 256 green + 65536 blue. ``shape``: 1 where it is not black. A
    mask is as large as the picture that its annotators saw, and turns with it.
    """
    import numpy as np

    if not os.path.isfile(path):
        faults.add("missing picture", where, f"the mask {path} does not exist")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as picture:
                check_size(picture, path.name)
                mode, size = picture.mode, picture.size
                values = np.asarray(picture if mode in COUNTED else picture.convert("RGB")).astype(np.int64)
    except Exception as error:  # a decoder that meets damage raises whatever it stumbles over
        faults.add("corrupt picture", where, f"the mask {path} cannot be opened ({error})")
        return None
    if (mode in COUNTED) == (kind == "colours") and kind != "shape":
        expected = "red, green and blue" if kind == "colours" else "one number"
        raise DataError(f"the mask {path.name} is of PIL's mode {mode}, expected {expected} in every pixel")
    if size != annotated_size(frame):
        wide, high = annotated_size(frame)
        faults.add("wrong size", where, f"the mask {path} is {size[0]} x {size[1]}, expected {wide} x {high}")
        return None
    if kind == "colours":
        values = values @ np.array([1, 256, 65536])
    elif kind == "shape":
        values = ((values if values.ndim == 2 else values.max(axis=2)) > 0).astype(np.int64)
    return turned_bitmap(values, frame.turned)


def bitmap_mask(bitmap: np.ndarray, where: str, faults: Faults) -> Mask | None:
    """The mask of the set pixels, or None after a fault: none is set, or more runs than a mask may have."""
    try:
        return Mask.from_bitmap(bitmap)
    except RegionError as error:
        faults.add("degenerate region", where, f"mask: {error}")
        return None


def connected_areas(bitmap: np.ndarray) -> Iterator[np.ndarray]:
    """The areas of set pixels that touch along a side, from the top, each as a bitmap of the whole picture. Raises
    ``RegionError`` for a shape of more than MOST_RUNS pieces of rows."""
    import numpy as np

    height, width = bitmap.shape
    edges = np.diff(np.pad(bitmap.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    if len(rows) > MOST_RUNS:
        raise RegionError(f"the shape has {len(rows):,} pieces of rows, more than {MOST_RUNS:,}")
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    first = np.searchsorted(rows, np.arange(height + 1))  # the first run of every row
    for row in range(1, height):
        above, run = int(first[row - 1]), int(first[row])
        while above < first[row] and run < first[row + 1]:
            if starts[above] < ends[run] and starts[run] < ends[above]:
                one, other = sorted((root(above), root(run)))
                parents[other] = one
            if ends[above] < ends[run]:
                above += 1
            else:
                run += 1
    areas: dict[int, list[int]] = {}
    for run in range(len(rows)):
        areas.setdefault(root(run), []).append(run)
    for runs in areas.values():
        area = np.zeros((height, width), dtype=bool)
        for run in runs:
            area[rows[run], starts[run] : ends[run]] = True
        yield area
