"""What the encoder is given for a picture or a region, and the sheet that nano's tower reads.

A sheet shows one view twice, so that a frozen pair of encoders can each do what it was trained for::

    +----------------+  0
    |  the view,     |       the picture, or the focal view of a region, stretched to a square of SIDE pixels
    |  stretched     |
    +----------------+  SIDE
    |  line  | grey  |       the region alone as a line of text: LINE_HEIGHT pixels high, its width in proportion
    +----------------+  SIDE + LINE_HEIGHT

*Deviation*: the paper shows the whole picture only. See PAPER.md: nano tower.
"""

from __future__ import annotations

import math

from PIL import Image

from chatspot.images.focal import GREY, focal_view, focal_views
from chatspot.regions import Point, Region

SIDE = 256
LINE_HEIGHT = 48  # what PP-OCR's recognition models read
# Lines are drawn wider than they are, so that two letters seldom share a visual token: of 1,531 training words 36 %
# have such a pair at 1.0 and 12 % at 1.5, and the recogniser reads them no worse (83 and 84 %).
LINE_STRETCH = 1.5


def encoder_view(image: Image.Image, region: Region | None, image_fit: str) -> Image.Image:
    """The upright RGB ``image`` or, with a ``region``, its focal view, as the checkpoint's ``image_fit`` wants it:
    "sheet" gives a sheet of SIDE x (SIDE + LINE_HEIGHT) pixels, any other leaves the fitting to the image processor."""
    view = image if region is None else focal_view(image, region)
    return view if image_fit != "sheet" else sheet(view, line_of(image, region, view))


def encoder_views(image: Image.Image, region: Region, image_fit: str) -> list[Image.Image]:
    """What ``encoder_view`` gives, at several sizes of the focal view (``focal_views``). The line of a sheet is the
    same on all of them."""
    views = focal_views(image, region)
    if image_fit != "sheet":
        return views
    line = line_of(image, region, views[len(views) // 2])
    return [sheet(view, line) for view in views]


def line_of(image: Image.Image, region: Region | None, view: Image.Image) -> Image.Image:
    """What a sheet shows as a line of text: the region alone, or the ``view`` where there is nothing narrower."""
    return view if region is None or isinstance(region, Point) else region_alone(image, region)


def sheet(view: Image.Image, alone: Image.Image) -> Image.Image:
    """The sheet of a ``view`` with the line of ``alone`` beneath it."""
    page = Image.new("RGB", (SIDE, SIDE + LINE_HEIGHT), GREY)
    page.paste(view.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (0, 0))
    width = round(LINE_HEIGHT * LINE_STRETCH * alone.width / alone.height)
    line = alone.resize((min(max(width, 8), SIDE), LINE_HEIGHT), Image.Resampling.BILINEAR)
    page.paste(line, (0, SIDE))
    return page


def region_alone(image: Image.Image, region: Region) -> Image.Image:
    """The pixels of the region's bounding box, whole pixels and at least one."""
    x1, y1, x2, y2 = region.bounds_xyxy
    width, height = image.size
    left, top = min(math.floor(x1 * width), width - 1), min(math.floor(y1 * height), height - 1)
    right, bottom = max(math.ceil(x2 * width), left + 1), max(math.ceil(y2 * height), top + 1)
    return image.crop((left, top, right, bottom))
