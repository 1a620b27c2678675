"""The focal view: a region and its surroundings, cut from the picture to be shown at the encoder's full resolution.

*Deviation*: the paper shows the whole picture only. A small encoder cannot read a word that covers 20 of its pixels, so
nano shows the region as a further picture. It is a setting of the checkpoint and can be switched off.

::

    box              the box and a margin of MARGIN of its sides; no thinner than 1 : MAX_ASPECT, no smaller than
                     LEAST_SIDE px
    polygon, mask    the window of the bounding box, with everything outside the region dimmed
    scribble         the bounding box of the stroke and a margin of STROKE_MARGIN of its sides, as most strokes lie
                     inside what is meant; nothing is dimmed
    point            a window of POINT_WINDOW of the picture's shorter side, centred on the point

The window stays inside the picture, except for a point near the border, whose window is filled with grey so that the
point stays in the middle. ``focal_views`` cuts windows of several sizes around the same middle.
"""

from __future__ import annotations

from PIL import Image

from chatspot.regions import Box, Point, Region, Scribble

MARGIN = 0.25  # of the box's side, on each side (our choice, see PAPER.md)
STROKE_MARGIN = 0.625  # of a scribble's bounding box
SIZES = (0.8, 1.0, 1.25)  # of the windows of one region, where several are shown (our choice, see PAPER.md)
LOOSE_SIZES = (0.65, 1.0, 1.4)  # for a point or a scribble, which do not say how large the thing is
MAX_ASPECT = 2.0
LEAST_SIDE = 24  # pixels
POINT_WINDOW = 0.4
DIMMED = 0.35  # brightness that is left outside a polygon or mask
GREY = (127, 127, 127)


def focal_views(image: Image.Image, region: Region) -> list[Image.Image]:
    """The focal views of ``region`` at several sizes, the smallest first; that of ``focal_view`` is the middle one."""
    sizes = LOOSE_SIZES if isinstance(region, Point | Scribble) else SIZES
    shape = shape_of(image, region)
    return [view_of(image, region, shape, size) for size in sizes]


def focal_view(image: Image.Image, region: Region, size: float = 1.0) -> Image.Image:
    """The focal view of ``region`` on the upright RGB ``image``, in the picture's own resolution (the image processor
    resizes it to the encoder's square). ``size`` multiplies the window's sides."""
    return view_of(image, region, shape_of(image, region), size)


def shape_of(image: Image.Image, region: Region) -> Image.Image | None:
    """The region on a picture of the image's size, outside of which a view is dimmed; None where nothing is dimmed."""
    if isinstance(region, Point | Box | Scribble):
        return None
    return Image.fromarray(region.to_bitmap(image.size))


def view_of(image: Image.Image, region: Region, shape: Image.Image | None, size: float) -> Image.Image:
    """The window around the region, dimmed outside of its ``shape`` (``shape_of``)."""
    if isinstance(region, Point):
        return padded_crop(image, point_window(region, image.size, size))
    window = region_window(region, image.size, size)
    view = image.crop(window)
    if shape is None:
        return view
    dark = view.point(lambda value: int(value * DIMMED))
    return Image.composite(view, dark, shape.crop(window))


def region_window(region: Region, size_wh: tuple[int, int], size: float = 1.0) -> tuple[int, int, int, int]:
    """The window around a region with extent: whole pixels (x1, y1, x2, y2) inside an image of ``size_wh``. ``size``
    multiplies its sides, which LEAST_SIDE bounds nevertheless."""
    x1, y1, x2, y2 = region.bounds_xyxy
    width, height = size_wh
    x1, x2, y1, y2 = x1 * width, x2 * width, y1 * height, y2 * height
    times = size * (1 + 2 * (STROKE_MARGIN if isinstance(region, Scribble) else MARGIN))
    wide, high = max((x2 - x1) * times, LEAST_SIDE), max((y2 - y1) * times, LEAST_SIDE)
    wide, high = max(wide, high / MAX_ASPECT), max(high, wide / MAX_ASPECT)
    left, right = span_in((x1 + x2) / 2, wide, width)
    top, bottom = span_in((y1 + y2) / 2, high, height)
    return left, top, right, bottom


def span_in(center: float, length: float, limit: int) -> tuple[int, int]:
    """A span of whole pixels around ``center``, cut at 0 and ``limit``, at least one pixel long."""
    low = min(max(int(center - length / 2), 0), limit - 1)
    high = max(min(int(center + length / 2 + 0.999), limit), low + 1)
    return low, high


def point_window(point: Point, size_wh: tuple[int, int], size: float = 1.0) -> tuple[int, int, int, int]:
    """The square window around a point, in pixels, its side multiplied by ``size``; it may leave the image."""
    x, y = point.to_pixels(size_wh)
    side = max(size * POINT_WINDOW * min(size_wh), LEAST_SIDE)
    left, top = round(x - side / 2), round(y - side / 2)
    return left, top, left + round(side), top + round(side)


def padded_crop(image: Image.Image, window: tuple[int, int, int, int]) -> Image.Image:
    """A crop whose part outside the image is grey."""
    view = Image.new("RGB", (window[2] - window[0], window[3] - window[1]), GREY)
    view.paste(image, (-window[0], -window[1]))
    return view
