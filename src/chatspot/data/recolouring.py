"""Photos in which one thing has been given another colour, for questions about colours.

Few things in annotated photos have one colour that nobody would argue about, and half of these are black (of 1,405
things of COCO with outlines, 132 and 68). So the pixels inside an outline are moved, in CIE L*a*b*, onto a colour of
the survey's table (``dialogues.colours``): light, shade and texture stay, the colour is known, and each of the eleven
basic terms has its turn as often (black, which is believed only in good light, comes out less).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from chatspot.data.dialogues.colours import BASIC_TERMS, colour_table, lab_of, measured_colour
from chatspot.data.dialogues.names import has_colour
from chatspot.data.records import Record, RegionRecord, read_records
from chatspot.data.rendering import write_annotations
from chatspot.data.saving import saved_whole
from chatspot.errors import DataError
from chatspot.images import open_image

# Our choices, by looking at what came out.
LONGER_SIDE = 480  # pixels of a picture that is written
LEAST_SHARE = 0.01  # of the picture that a thing covers
MOST_SHARE = 0.5
SHADING = (0.45, 0.85)  # how much of its own light and shade a thing keeps
TEXTURE = (0.1, 0.5)  # ... and of its own differences of colour
SOFT_EDGE = 1.0  # pixels
TRIES = 4  # of the table's colours of one name, before a thing is passed over
MOST_PASSES = 4  # colours that one thing is shown in


def recolour_folder(folder: Path, photos: Sequence[Path], count: int, seed: int = 0) -> int:
    """Write at most ``count`` pictures, one recoloured thing each, into ``folder``; returns how many there are.

    ``photos`` are folders of region JSON lines with outlines. A thing is left out where its new colour, measured as any
    other's, is not the one that was meant. Raises ``DataError`` where no folder has an outline to fill.
    """
    things = [thing for photo in photos for thing in outlined(photo)]
    if not things:
        raise DataError(f"none of {', '.join(map(str, photos))} has things with outlines: there is nothing to recolour")
    random.Random(f"{seed}/recoloured").shuffle(things)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for turn in range(MOST_PASSES * len(things)):
        if len(lines) == count:
            break
        term = BASIC_TERMS[(turn + turn // len(things)) % len(BASIC_TERMS)]
        made = recoloured(*things[turn % len(things)], term, random.Random(f"{seed}/recoloured/{turn}"))
        if made is None:
            continue
        picture, entry = made
        name = f"images/colours-{len(lines):05d}.jpg"
        with saved_whole(folder / name, "picture") as half:
            picture.save(half, "JPEG", quality=88)
        size = {"width": picture.width, "height": picture.height}
        ids = list(things[turn % len(things)][0].image_ids)  # by which the leak guard knows the photo
        lines.append(json.dumps({"image": name, **size, "image_ids": ids, "regions": [entry]}))
    write_annotations(folder, lines)
    return len(lines)


def outlined(folder: Path) -> Iterator[tuple[Record, RegionRecord]]:
    """The things of a folder that can be recoloured: askable, large enough, with an outline and a name that has
    colours; at most two of a picture."""
    for record in read_records(folder):
        found = [region for region in record.regions if fillable(region, record)]
        yield from ((record, region) for region in sorted(found, key=lambda region: -region.area_px)[:2])


def fillable(region: RegionRecord, record: Record) -> bool:
    """Whether a region is a thing whose colour can be asked about."""
    if not region.askable or region.box is None or not region.label or not (region.polygon or region.mask):
        return False
    share = region.area_px / (record.size[0] * record.size[1])
    return LEAST_SHARE <= share <= MOST_SHARE and has_colour(region.label)


def recoloured(
    record: Record, region: RegionRecord, term: str, rng: random.Random
) -> tuple[Image.Image, dict[str, Any]] | None:
    """The picture with the region in the basic colour ``term``, and its annotation; None where no such colour holds."""
    picture = open_image(record.image)
    picture.thumbnail((LONGER_SIDE, LONGER_SIDE))
    pixels = np.asarray(picture)
    shape = region.polygon or region.mask
    assert shape is not None
    assert region.box is not None
    inside = shape.to_bitmap(picture.size)
    if not inside.any():
        return None
    thing = Thing(pixels, inside)
    for _ in range(TRIES):
        filled = thing.filled_with(target_of(term, rng), rng)
        seen = measured_colour(filled, shape)
        if seen is not None and seen.name == term:
            entry: dict[str, Any] = {"box": [round(value, 1) for value in region.box.to_pixels(picture.size)]}
            if region.polygon:
                entry["polygon"] = [[round(x, 1), round(y, 1)] for x, y in region.polygon.to_pixels(picture.size)]
            return Image.fromarray(filled), {**entry, "label": region.label, "attributes": [term]}
    return None


def target_of(term: str, rng: random.Random) -> np.ndarray:
    """L*a*b* of one of the table's colours that are called ``term``."""
    table, terms = colour_table()
    return table[rng.choice([at for at, one in enumerate(terms) if one == term])]


class Thing:
    """What is ``inside`` [height, width] of ``pixels`` [height, width, 3] uint8, to be shown in other colours."""

    def __init__(self, pixels: np.ndarray, inside: np.ndarray):
        lab = lab_of(pixels)
        self.pixels, self.differences = pixels, lab - np.median(lab[inside], axis=0)
        soft = Image.fromarray(inside.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(SOFT_EDGE))
        self.share = np.asarray(soft, dtype=np.float64)[..., None] / 255

    def filled_with(self, target: np.ndarray, rng: random.Random) -> np.ndarray:
        """The picture with the thing moved onto the colour ``target`` (L*a*b*)."""
        shading, texture = rng.uniform(*SHADING), rng.uniform(*TEXTURE)
        moved = target + self.differences * np.array([shading, texture, texture])
        moved[..., 0] = moved[..., 0].clip(0, 100)
        return (rgb_of(moved) * self.share + self.pixels * (1 - self.share)).round().astype(np.uint8)


def rgb_of(lab: np.ndarray) -> np.ndarray:
    """The inverse of ``lab_of``: sRGB values 0 to 255 [..., 3], clipped (IEC 61966-2-1, CIE 15)."""
    root_y = (lab[..., 0] + 16) / 116
    roots = np.stack([root_y + lab[..., 1] / 500, root_y, root_y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * [0.95047, 1.0, 1.08883]
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    linear = (xyz @ np.linalg.inv(to_xyz).T).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
