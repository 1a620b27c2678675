"""Single answers to look at: drawn on the photo where it is at hand, otherwise as outlines on an empty frame.

Photos have licences of their own and are not passed on, so a committed page shows frames: the asked region in its
place, and faintly the other regions that the same file asks about on that picture, with their names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chatspot.data.looking.drawing import drawn
from chatspot.errors import ChatSpotError
from chatspot.eval.predictions import Prediction
from chatspot.eval.report.runs import Run
from chatspot.images import open_image
from chatspot.pages import jpeg_uri
from chatspot.prompts import read_regions
from chatspot.regions import Box, Point, Region, region_from_json

RIGHT = 0.5  # an answer that is worth less is wrong
FRAME_WH = (340, 255)  # units of a frame at most; a card is about so many pixels wide
PHOTO_QUALITY = 76
WORST, FLIPS = 9, 6  # answers that are shown, and flips to each side
MOST_AROUND = 12  # other regions on a frame
LEAST_NAMED_W = 46  # units; a narrower region has no room for its name
LETTER_W = 6.2  # units that a letter takes at most
COARSE = 0.004  # of the picture: outlines are drawn to that, which is about a unit
PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

Row = dict[str, Any]


class Photos:
    """Where photos may be: ``find`` gives a prediction's photo below ``folder``, None without one."""

    def __init__(self, folder: Path | None):
        self.places: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*")) if folder else []:
            if path.suffix.lower() in PICTURE_ENDINGS:
                self.places.setdefault(path.stem, []).append(path)

    def find(self, run: Run, prediction: Prediction) -> Path | None:
        """The photo named as in the question's id; of several alike, one in a folder named as the run's data."""
        found = self.places.get(prediction.picture.rpartition("/")[2], [])
        own = [path for path in found if str(run.header.data.get("folder")) in path.parts]
        return next(iter(own or found), None)


def worst(run: Run) -> list[Prediction]:
    """The wrong answers that the model was surest of; where no answer has a probability, the first wrong ones."""
    wrong = [
        prediction for prediction, judged in run.answered if (worth := run.worth(judged)) is not None and worth < RIGHT
    ]
    return sorted(wrong, key=lambda p: (-(p.logprob if p.logprob is not None else -1e9), p.id))[:WORST]


def case(run: Run, prediction: Prediction, photos: Photos, other: Prediction | None = None) -> Row:
    """What the template needs of one answer, and of the ``other`` answer to the same question."""
    return {
        "id": prediction.id,
        "question": prediction.question,
        "truths": prediction.truths[:4],
        "answer": prediction.answer or "",
        "sure": sureness(prediction),
        "other": None if other is None else {"answer": other.answer or "", "sure": sureness(other)},
        **picture(run, prediction, photos),
    }


def sureness(prediction: Prediction) -> str:
    """The probability of the whole answer, such as "p = 0.93", or nothing."""
    return "" if prediction.logprob is None else f"p = {math.exp(prediction.logprob):.2f}"


def picture(run: Run, prediction: Prediction, photos: Photos) -> Row:
    """The photo with its regions as "photo", or a frame with outlines as "frame"; neither where there is no region."""
    regions = regions_of(prediction)
    if not any(regions.values()):
        return {"photo": None, "frame": None}
    path = photos.find(run, prediction)
    if path is not None:
        try:
            shown = drawn(open_image(path), [region for each in regions.values() for region in each], FRAME_WH)
            return {"photo": jpeg_uri(shown, PHOTO_QUALITY), "frame": None}
        except ChatSpotError:  # not the photo that was asked about, or broken: the frame shows what is known
            pass
    return {"photo": None, "frame": frame(run, prediction, regions)}


def regions_of(prediction: Prediction) -> dict[str, list[Region]]:
    """The regions of a question and its answer: those "asked" about, the "right" one where it was asked for (the box in
    ``extra``, see task ground), and those that the answer "said"."""
    right = prediction.extra.get("box")
    return {
        "asked": [region_from_json(prediction.region)] if prediction.region else [],
        "right": [Box.from_normalized(*right)] if right else [],
        "said": list(read_regions(prediction.answer or "")) if right else [],
    }


def frame(run: Run, prediction: Prediction, regions: dict[str, list[Region]]) -> Row:
    """A frame of the picture's aspect with outlines: those of ``regions``, and "around" the picture's other regions."""
    scale = min(FRAME_WH[0] / prediction.size[0], FRAME_WH[1] / prediction.size[1])
    size = max(round(prediction.size[0] * scale), 1), max(round(prediction.size[1] * scale), 1)
    others = [each for each in run.by_picture[prediction.picture] if each.region not in ({}, prediction.region)]
    return {
        "width": size[0],
        "height": size[1],
        "around": [
            {**outline(region, size), **named(each, region, size)}
            for each in others[:MOST_AROUND]
            for region in [region_from_json(each.region)]
        ],
        "drawn": [{**outline(region, size), "kind": kind} for kind, found in regions.items() for region in found],
    }


def outline(region: Region, size: tuple[int, int]) -> Row:
    """A region as an SVG path, or as the place of a point, in units of a frame of ``size``."""
    width, height = size
    if isinstance(region, Point):
        return {"path": "", "x": f"{region.x * width:.1f}", "y": f"{region.y * height:.1f}"}
    return {"path": " ".join(ring(corners, width, height) for corners in rings(region)), "x": "", "y": ""}


def rings(region: Region) -> Iterable[Sequence[tuple[float, float]]]:
    """The outer and inner borders of a region's area, coarse enough to be drawn small."""
    geometry = region.geometry.simplify(COARSE)
    for part in getattr(geometry, "geoms", [geometry]):
        if part.geom_type == "Polygon":
            yield list(part.exterior.coords)
            yield from (list(inner.coords) for inner in part.interiors)


def ring(corners: Sequence[tuple[float, float]], width: int, height: int) -> str:
    """A closed line as an SVG path."""
    places = " ".join(f"{x * width:.1f},{y * height:.1f}" for x, y in corners[:-1])
    return f"M{places}Z"


def named(prediction: Prediction, region: Region, size: tuple[int, int]) -> Row:
    """Where the name of a region stands, if there is room for it."""
    name = prediction.truths[0] if prediction.truths else ""
    left, top, right, _ = region.bounds_xyxy
    room = (right - left) * size[0]
    fits = room >= LEAST_NAMED_W and len(name) * LETTER_W <= room - 6
    return {
        "name": name if fits else "",
        "title": name,
        "left": f"{left * size[0] + 4:.1f}",
        "base": f"{min(top * size[1] + 12, size[1] - 3):.1f}",
    }
