"""Draw regions over a picture: numbered, in colours that colour-blind people can tell apart, with optional captions.

The colours are seven of the eight of Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/;
their black is left out. Every line has a thin light or dark seam, so it can be seen on any ground. Captions are set in
the font that Pillow brings along; it knows Latin letters, others show as small boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from chatspot.errors import ImageError
from chatspot.regions import Box, Mask, Point, Region, Scribble

Color: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[float, float, float, float]
XY: TypeAlias = tuple[float, float]

COLORS: tuple[Color, ...] = (
    (213, 94, 0),  # vermillion
    (0, 114, 178),  # blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
)
WHITE, BLACK = (255, 255, 255), (20, 20, 20)
TINT = 0.45  # how much of its colour covers a mask's or scribble's area
LINE_SHARE, LEAST_LINE = 1 / 180, 1.75  # of the picture's mean side, and pixels
FONT_SHARE, LEAST_FONT = 1 / 32, 11.0
RING_LINES = 4.5  # radius of a point's ring, in line widths
CAPTION_SHARE = 0.6  # of the picture's width that one caption may take
HIDDEN_SHARE = 0.25  # a region with more of it under a caption counts as hidden
DRAWN_PIXELS = 8_000_000  # lines are drawn up to 4 times as large as this allows, then reduced: that smooths them


def draw_regions(
    image: Image.Image, regions: Sequence[Region], labels: Sequence[str | None] | None = None
) -> Image.Image:
    """A new RGB picture of the size of the upright ``image`` with ``regions`` drawn over it, numbered from 1.

    A point is a ring and a dot, a box and a polygon are outlines, a mask and a scribble are tinted areas with an
    outline. With ``labels``, one for each region, a caption says number and label; one that is too long is shortened.
    Captions stay inside the picture and keep clear of each other where there is room.

    Raises ``ImageError`` when there are labels but not one for each region.
    """
    if labels is not None and len(labels) != len(regions):
        raise ImageError(f"draw_regions needs one label for each region (None for no label): got {len(labels)} labels "
                         f"for {len(regions)} regions")  # fmt: skip
    canvas = image.convert("RGB")  # always a copy
    if not regions:
        return canvas
    size = canvas.size
    colors = [COLORS[index % len(COLORS)] for index in range(len(regions))]
    factor = max(1, min(4, math.isqrt(DRAWN_PIXELS // max(size[0] * size[1], 1))))
    layer = Image.new("RGBA", (size[0] * factor, size[1] * factor))
    large_first = sorted(range(len(regions)), key=lambda index: -regions[index].area)
    for index in large_first:
        if isinstance(regions[index], (Mask, Scribble)):
            tint(layer, regions[index], colors[index])
    line = line_width(size) * factor
    for index in large_first:
        draw_outline(ImageDraw.Draw(layer), regions[index], layer.size, colors[index], line)
    font = ImageFont.load_default(max(LEAST_FONT, mean_side(size) * FONT_SHARE))
    captions = [caption(index, labels[index] if labels else None, font, size) for index in range(len(regions))]
    plates = placed_plates([plate_size(text, font) for text in captions], regions, size)
    for plate, color in zip(plates, colors, strict=True):
        corners = [value * factor for value in plate]
        ImageDraw.Draw(layer).rounded_rectangle(
            corners, radius=line, fill=(*color, 255), outline=(*seam(color), 255), width=max(1, round(line / 4))
        )
    small = layer.resize(size, Image.Resampling.BOX) if factor > 1 else layer
    canvas.paste(small, mask=small.getchannel("A"))
    pen = ImageDraw.Draw(canvas)
    for text, plate, color in zip(captions, plates, colors, strict=True):
        middle = ((plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2)
        pen.text(middle, text, font=font, fill=seam(color), anchor="mm")
    return canvas


def mean_side(size: tuple[int, int]) -> float:
    """The side of a square as large as the picture, in pixels."""
    return math.sqrt(size[0] * size[1])


def line_width(size: tuple[int, int]) -> float:
    """The width of an outline on a picture of ``size``, in pixels."""
    return max(LEAST_LINE, mean_side(size) * LINE_SHARE)


def seam(color: Color) -> Color:
    """White or near-black, whichever stands out more against ``color`` (relative luminance as in WCAG 2)."""
    parts = [(v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in color]
    luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    return BLACK if luminance > 0.3 else WHITE


def tint(layer: Image.Image, region: Region, color: Color) -> None:
    """Lay a region's area over ``layer`` (RGBA) in a see-through colour."""
    shape = Image.fromarray(region.to_bitmap(layer.size)).convert("L").point(lambda value: round(value * TINT))
    wash = Image.new("RGBA", layer.size, (*color, 0))
    wash.putalpha(shape)
    layer.alpha_composite(wash)


def draw_outline(pen: ImageDraw.ImageDraw, region: Region, size: tuple[int, int], color: Color, line: float) -> None:
    """Draw one region's outline (or a point's ring and dot): its seam below, its colour above."""
    seam_color = (*seam(color), 255)
    full = (*color, 255)
    if isinstance(region, Point):
        x, y = region.x * size[0], region.y * size[1]
        radius = line * RING_LINES
        for ink, wider in ((seam_color, line / 3), (full, 0.0)):
            disc(pen, x, y, radius + wider, None, ink, line + 2 * wider)
            disc(pen, x, y, line + wider, ink, None, 0)
        return
    rings = list(outlines(region, size, line / 2))
    for ink, width in ((seam_color, line * 1.7), (full, line)):
        for ring in rings:
            pen.line(ring, fill=ink, width=max(1, round(width)), joint="curve")
            if width >= 3:  # the joint of the last and the first corner
                disc(pen, *ring[0], width / 2, ink, None, 0)


def disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Any, outline: Any, width: float) -> None:
    """A circle around (x, y), filled or as a line of ``width``."""
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=outline, width=round(width))


def outlines(region: Region, size: tuple[int, int], inset: float) -> Iterator[list[XY]]:
    """The closed rings of a region in pixels, kept ``inset`` pixels away from the border, where half of a line would
    be lost."""
    import shapely

    def pixel(x: float, y: float) -> XY:
        return (kept(x * size[0], size[0]), kept(y * size[1], size[1]))

    def kept(value: float, limit: int) -> float:
        return min(max(value, inset), max(limit - 1 - inset, 0.0))

    if isinstance(region, Box):
        x1, y1, x2, y2 = region.bounds_xyxy
        corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1))
        yield [pixel(x, y) for x, y in corners]
        return
    for part in shapely.get_parts(region.geometry):
        if part.geom_type == "Polygon":
            for ring in (part.exterior, *part.interiors):
                yield [pixel(x, y) for x, y in ring.coords]


def caption(index: int, label: str | None, font: Any, size: tuple[int, int]) -> str:
    """Number and label on one line, shortened to CAPTION_SHARE of the picture's width."""
    text = "  ".join([str(index + 1), " ".join((label or "").split())]).rstrip()
    limit = max(size[0] * CAPTION_SHARE, font.size * 4)
    if font.getlength(text) <= limit:
        return text
    while len(text) > 1 and font.getlength(text + "…") > limit:
        text = text[: min(len(text) - 1, int(len(text) * 0.97))]
    return text.rstrip() + "…"


def plate_size(text: str, font: Any) -> XY:
    """Width and height of the plate behind a caption, in pixels."""
    padding = font.size * 0.3
    return font.getlength(text) + 2 * padding, font.size * 1.15 + padding


def placed_plates(wanted: Sequence[XY], regions: Sequence[Region], size: tuple[int, int]) -> list[Rectangle]:
    """A place inside the picture for each caption's plate: clear of the plates before it and of the points, hiding no
    region, as near as possible to its own."""
    marks = [mark(region, size) for region in regions]
    points = [found for found, region in zip(marks, regions, strict=True) if isinstance(region, Point)]
    plates: list[Rectangle] = []
    for extent, own in zip(wanted, marks, strict=True):

        def badness(place: Rectangle) -> tuple[float, float]:
            taken = sum(overlap(place, other) for other in (*plates, *points))
            shares = (overlap(place, other) / area(other) for other in marks)
            return round(taken, 3), round(sum(share for share in shares if share > HIDDEN_SHARE), 3)

        plates.append(min(places(extent, own, size), key=badness))  # the first of the best
    return plates


def mark(region: Region, size: tuple[int, int]) -> Rectangle:
    """The rectangle that a region's drawing takes, in pixels."""
    if isinstance(region, Point):
        x, y = region.to_pixels(size)
        reach = (RING_LINES + 1) * line_width(size)
        return x - reach, y - reach, x + reach, y + reach
    x1, y1, x2, y2 = region.bounds_xyxy
    return x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]


def places(extent: XY, own: Rectangle, size: tuple[int, int]) -> Iterator[Rectangle]:
    """Places for a plate, the most natural first: above, inside, below and beside its region, then further and further
    away; all inside the picture as far as it is large enough."""
    width, height = extent
    x1, y1, x2, y2 = own
    rows = (y1 - height, y1, y2, y2 - height)
    tries = [(x, y) for y in rows for x in (x1, x2 - width)] + [(x, y) for y in (y1, y2) for x in (x2, x1 - width)]
    for step in range(1, math.ceil(size[1] / max(height, 1))):
        tries += [(x1, y1 - (step + 1) * height), (x1, y2 + step * height), (x1, y1 + step * height)]
    for x, y in tries:
        left = max(0.0, min(x, size[0] - 1 - width))
        top = max(0.0, min(y, size[1] - 1 - height))
        yield left, top, left + width, top + height


def overlap(a: Rectangle, b: Rectangle) -> float:
    """The area that two rectangles share, in square pixels."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def area(rectangle: Rectangle) -> float:
    """The area of a rectangle in square pixels, at least 1."""
    return max((rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1]), 1.0)
