"""The focal view: a region and its surroundings, cut from the picture to be shown at the encoder's full resolution.

*Deviation*: the paper shows the whole picture only. A small encoder cannot read a word that covers 20 of its pixels, so
nano shows the region as a further picture. It is a setting of the checkpoint and can be switched off.

::

    box       the box and a margin of MARGIN of its sides; no thinner than 1 : MAX_ASPECT, no smaller than LEAST_SIDE px
    point     a window of POINT_WINDOW of the picture's shorter side, centred on the point
    polygon, mask, scribble    the window of the bounding box, with everything outside the region dimmed

The window stays inside the picture, except for a point near the border, whose window is filled with grey so that the
point stays in the middle.
"""

from __future__ import annotations

from PIL import Image

from chatspot.regions import Box, Point, Region

MARGIN = 0.25  # of the box's side, on each side (our choice, see PAPER.md)
MAX_ASPECT = 2.0
LEAST_SIDE = 24  # pixels
POINT_WINDOW = 0.4
DIMMED = 0.35  # brightness that is left outside a polygon, mask or scribble
GREY = (127, 127, 127)


def focal_view(image: Image.Image, region: Region) -> Image.Image:
    """The focal view of ``region`` on the upright RGB ``image``, in the picture's own resolution (the image processor
    resizes it to the encoder's square)."""
    if isinstance(region, Point):
        return padded_crop(image, point_window(region, image.size))
    window = region_window(region, image.size)
    view = image.crop(window)
    if isinstance(region, Box):
        return view
    shape = Image.fromarray(region.to_bitmap(image.size)).crop(window)
    dark = view.point(lambda value: int(value * DIMMED))
    return Image.composite(view, dark, shape)


def region_window(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The window around a region with extent: whole pixels (x1, y1, x2, y2) inside an image of ``size``."""
    x1, y1, x2, y2 = region.bounds_xyxy
    width, height = size
    x1, x2, y1, y2 = x1 * width, x2 * width, y1 * height, y2 * height
    wide = max((x2 - x1) * (1 + 2 * MARGIN), LEAST_SIDE)
    high = max((y2 - y1) * (1 + 2 * MARGIN), LEAST_SIDE)
    wide, high = max(wide, high / MAX_ASPECT), max(high, wide / MAX_ASPECT)
    left, right = span_in((x1 + x2) / 2, wide, width)
    top, bottom = span_in((y1 + y2) / 2, high, height)
    return left, top, right, bottom


def span_in(center: float, length: float, limit: int) -> tuple[int, int]:
    """A span of whole pixels around ``center``, cut at 0 and ``limit``, at least one pixel long."""
    low = min(max(int(center - length / 2), 0), limit - 1)
    high = max(min(int(center + length / 2 + 0.999), limit), low + 1)
    return low, high


def point_window(point: Point, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square window around a point, in pixels; it may leave the image."""
    x, y = point.to_pixels(size)
    side = max(POINT_WINDOW * min(size), LEAST_SIDE)
    left, top = round(x - side / 2), round(y - side / 2)
    return left, top, left + round(side), top + round(side)


def padded_crop(image: Image.Image, window: tuple[int, int, int, int]) -> Image.Image:
    """A crop whose part outside the image is grey."""
    view = Image.new("RGB", (window[2] - window[0], window[3] - window[1]), GREY)
    view.paste(image, (-window[0], -window[1]))
    return view
