"""The same question, five ways: how a model is shown which region is meant.

::

    text       coordinates in the question, in the model's dialect             the paper; Shikra, arXiv 2306.15195
    painted    a coloured outline on the picture, called by its colour         red circles, arXiv 2304.06712, and boxes,
                                                                               ViP-LLaVA, arXiv 2312.00784
    crop       the region's surroundings alone, no coordinates                 R-CNN's crops, arXiv 1311.2524
    focal      coordinates, and the surroundings as a further picture          this project (images/focal.py)
    mask       a coloured wash over the region, called by its colour           Set-of-Mark, arXiv 2310.11441

A way turns a conversation and its pictures into others, so any engine can be asked in any way. Lines are
PAINTED_SHARE of the picture's mean side wide and at least PAINTED_LEAST pixels, in pure colours; washes let half of the
picture through. These numbers are our choice: the sources' are given for pictures of one size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from PIL import Image, ImageDraw

from chatspot.engine.interface import Engine, Request
from chatspot.errors import DataError, MessageError
from chatspot.images import focal_view
from chatspot.images.focal import padded_crop, point_window, region_window
from chatspot.images.overlay import outlines
from chatspot.messages import Conversation, ImagePart, Message, Part, RegionPart, TextPart
from chatspot.regions import Box, Point, Region

Images: TypeAlias = tuple[Image.Image, ...]
Shown: TypeAlias = tuple[Conversation, Images]
Color: TypeAlias = tuple[int, int, int]

COLORS: dict[str, Color] = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0), "yellow": (255, 255, 0)}
PAINTED_SHARE, PAINTED_LEAST = 1 / 150, 2  # of the picture's mean side; pixels. 640 x 480 gives 4
RING_SHARE = 0.04  # radius of a point's ring, of the picture's mean side
WASH = 0.5  # share of the colour


@dataclass(frozen=True)
class Way:
    """A way to show regions. ``show`` gives the conversation and the pictures that the model is given instead of these;
    it raises ``MessageError`` for what cannot be shown so. ``views``: the model sees focal views."""

    name: str
    title: str
    show: Callable[[Conversation, Images], Shown]
    views: bool = False


def given(conversation: Conversation, images: Images) -> Shown:
    """As it is: the engine writes the coordinates."""
    return conversation, images


def with_views(conversation: Conversation, images: Images) -> Shown:
    """Behind each region of a user, its focal view as a further picture."""
    found: list[Image.Image] = []
    numbers: list[int] = []  # of the given pictures, in the new count
    messages = []
    for message in conversation.messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                found.append(images[len(numbers)])
                numbers.append(len(found) - 1)
                parts.append(part)
            elif isinstance(part, RegionPart):
                parts.append(replace(part, image=numbers[part.image]))
                if message.role == "user":
                    parts.append(ImagePart())
                    found.append(focal_view(images[part.image], part.region))
            else:
                parts.append(part)
        messages.append(replace(message, parts=tuple(parts)))
    return Conversation(tuple(messages)), tuple(found)


def cropped(conversation: Conversation, images: Images) -> Shown:
    """The focal view's window (the box and a quarter of its sides around it) in the picture's place, nothing dimmed."""
    regions = named_regions(conversation)
    if not regions:
        return conversation, images
    if len(regions) > 1 or len(images) != 1:
        raise MessageError(f"a crop shows one region of one picture, this conversation has {len(regions)} of "
                           f"{len(images)}; ask in another way")  # fmt: skip
    ((_, region),) = regions
    image = images[0]
    if isinstance(region, Point):
        view = padded_crop(image, point_window(region, image.size))
    else:
        view = image.crop(region_window(region, image.size))
    return in_words(conversation, {(0, region): "(this picture)"}), (view,)


def painted(conversation: Conversation, images: Images) -> Shown:
    """Boxes and outlines drawn on the pictures; a point is a ring around it."""
    return coloured(conversation, images, paint, {Box: "box", Point: "circle"}, "outline")


def washed(conversation: Conversation, images: Images) -> Shown:
    """The regions' areas coloured; a point's is a disc."""
    return coloured(conversation, images, wash, {}, "area")


def coloured(
    conversation: Conversation,
    images: Images,
    draw: Callable[[Image.Image, Region, Color], Image.Image],
    words: dict[type, str],
    other: str,
) -> Shown:
    """Each region drawn in a colour of its own, and called by it."""
    regions = named_regions(conversation)
    if len(regions) > len(COLORS):
        raise MessageError(f"there are colours for {len(COLORS)} regions, this conversation has {len(regions)}; ask in "
                           "another way")  # fmt: skip
    drawn, names = list(images), {}
    for (image, region), (name, color) in zip(regions, COLORS.items(), strict=False):
        drawn[image] = draw(drawn[image], region, color)
        names[image, region] = f"(the {name} {words.get(type(region), other)})"
    return in_words(conversation, names), tuple(drawn)


def named_regions(conversation: Conversation) -> list[tuple[int, Region]]:
    """The conversation's regions with the numbers of their pictures, each once."""
    parts = (part for message in conversation.messages for part in message.parts if isinstance(part, RegionPart))
    return list(dict.fromkeys((part.image, part.region) for part in parts))


def in_words(conversation: Conversation, names: dict[tuple[int, Region], str]) -> Conversation:
    """The conversation with each region's name in its place."""

    def named(message: Message) -> Message:
        parts = (TextPart(names[p.image, p.region]) if isinstance(p, RegionPart) else p for p in message.parts)
        return replace(message, parts=tuple(parts))

    return Conversation(tuple(map(named, conversation.messages)))


def paint(image: Image.Image, region: Region, color: Color) -> Image.Image:
    """A copy of the picture with the region's outline, its line inside the region and the picture."""
    canvas = image.copy()
    pen = ImageDraw.Draw(canvas)
    side = math.sqrt(canvas.width * canvas.height)
    width = max(PAINTED_LEAST, round(side * PAINTED_SHARE))
    if isinstance(region, Point):
        x, y = region.to_pixels(canvas.size)
        pen.ellipse(circle(x, y, side * RING_SHARE), outline=color, width=width)
    elif isinstance(region, Box):
        x1, y1, x2, y2 = region.bounds_xyxy
        left, top = math.floor(x1 * canvas.width), math.floor(y1 * canvas.height)
        right, bottom = math.ceil(x2 * canvas.width) - 1, math.ceil(y2 * canvas.height) - 1
        pen.rectangle((left, top, max(right, left), max(bottom, top)), outline=color, width=width)
    else:
        for ring in outlines(region, canvas.size, width / 2):
            pen.line(ring, fill=color, width=width, joint="curve")
    return canvas


def wash(image: Image.Image, region: Region, color: Color) -> Image.Image:
    """A copy of the picture with the region's area half covered."""
    if isinstance(region, Point):
        shape = Image.new("L", image.size)
        radius = math.sqrt(image.width * image.height) * RING_SHARE
        ImageDraw.Draw(shape).ellipse(circle(*region.to_pixels(image.size), radius), fill=255)
    else:
        shape = Image.fromarray(region.to_bitmap(image.size)).convert("L")
    return Image.composite(Image.blend(image, Image.new("RGB", image.size, color), WASH), image, shape)


def circle(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    """The square around a circle."""
    return x - radius, y - radius, x + radius, y + radius


TEXT = Way("text", "coordinates as text", given)
PAINTED = Way("painted", "painted outline", painted)
CROP = Way("crop", "crop", cropped)
FOCAL = Way("focal", "focal view", with_views, views=True)
MASK = Way("mask", "mask overlay", washed)
WAYS = {way.name: way for way in (TEXT, PAINTED, CROP, FOCAL, MASK)}


def find_way(name: str) -> Way:
    """The way of that name; ``DataError`` when there is none."""
    if name not in WAYS:
        raise DataError(f"there is no way {name!r} to show a region; there are {', '.join(WAYS)}")
    return WAYS[name]


def way_of(engine: Engine, name: str | None) -> Way:
    """The way that an engine is asked in: the named one, or the one that its settings say.

    An engine whose model has focal views of its own is to be opened with them for "focal", and without them for every
    other way. Raises ``DataError`` where it was not.
    """
    own = engine.settings.focal_view
    if name is None:
        return FOCAL if own else TEXT
    way = find_way(name)
    if own and not way.views:
        raise DataError(f"way {name} shows no focal views, but {engine.name} was opened with them; open it without")
    return way


def request_in(way: Way, engine: Engine, request: Request) -> Request:
    """The request as the way shows it. A model with focal views of its own makes them itself."""
    if way.views and engine.settings.focal_view:
        return request
    conversation, images = way.show(request.conversation, request.images)
    return replace(request, conversation=conversation, images=images)


def table_of_ways(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of results (``score.score``), a line for each model, task, form and way: the main measure, and
    what an answer cost."""
    lines = [
        "| model | task | pointed by | shown as | n | measure | value | 95 % interval | s/answer | read | written |",
        "| --- | --- | --- | --- | ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    order = list(WAYS)
    for result in sorted(results, key=lambda r: (r["model"]["name"], r["task"], r["form"], order.index(r["way"]))):
        main = result["measures"][result["main"]]
        scale = 100 if main["unit"] == "share" else 1
        tokens = result.get("tokens_per_answer") or [None, None]
        cells = [
            result["model"]["name"], result["task"], result["form"], WAYS[result["way"]].title, f"{main['n']:,}",
            main["title"], f"{scale * main['value']:.1f}", f"{scale * main['low']:.1f} to {scale * main['high']:.1f}",
            f"{result['seconds_per_answer']:.3f}", *("" if count is None else f"{count:.0f}" for count in tokens),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
