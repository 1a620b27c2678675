"""Hypothesis strategies for this project's values; hypothesis shrinks a failure to the plainest one."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from chatspot.errors import RegionError
from chatspot.messages import Conversation, ImagePart, Message, Part, RegionPart, TextPart
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble

fractions = st.floats(0, 1, allow_nan=False)
pairs = st.tuples(fractions, fractions)
sides = st.integers(1, 4096)
sizes = st.tuples(sides, sides)


@st.composite
def spans(draw: st.DrawFn, least: float = 1e-6) -> tuple[float, float]:
    """(low, high) in [0, 1], at least ``least`` apart."""
    low = draw(st.floats(0, 1 - least))
    high = draw(st.floats(min(low + least, 1.0), 1))
    return low, high


@st.composite
def boxes(draw: st.DrawFn, least: float = 1e-6) -> Box:
    """A box with sides of at least ``least`` of the image."""
    (x1, x2), (y1, y2) = draw(spans(least)), draw(spans(least))
    return Box.from_normalized(x1, y1, x2, y2)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """A polygon of 3 to 9 corners that may cross itself."""
    corners = draw(st.lists(pairs, min_size=3, max_size=9))
    try:
        return Polygon.from_normalized(corners)
    except RegionError:  # it enclosed nothing
        return Polygon.from_normalized([(0.1, 0.2), (0.9, 0.3), (0.4, 0.8)])


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """A mask of 1 to 12 pixels a side with at least one pixel set."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    bitmap = draw(numpy_st.arrays(bool, shape))
    bitmap[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    return Mask.from_bitmap(np.array(bitmap))


pens = st.floats(1e-3, 0.5)
points = pairs.map(lambda xy: Point.from_normalized(*xy))
scribbles = st.builds(
    lambda path, pen: Scribble.from_normalized(path, pen_wh=pen),
    st.lists(pairs, min_size=1, max_size=9),
    st.tuples(pens, pens),
)
areas: st.SearchStrategy[Region] = st.one_of(boxes(), polygons(), masks(), scribbles)
regions: st.SearchStrategy[Region] = st.one_of(points, areas)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # no halves of surrogate pairs


@st.composite
def conversations(draw: st.DrawFn, texts: st.SearchStrategy[str] = texts, most_turns: int = 3) -> Conversation:
    """A conversation of 1 to ``most_turns`` questions with pictures and regions, answered but perhaps for the last."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", (TextPart(draw(texts) + "."),)))
    shown = 0
    for _ in range(draw(st.integers(1, most_turns))):
        parts: list[Part] = []
        for kind in draw(st.lists(st.sampled_from(["text", "image", "region"]), max_size=4)):
            if kind == "image":
                parts.append(ImagePart())
                shown += 1
            elif kind == "region" and shown:
                parts.append(RegionPart(draw(regions), draw(st.integers(0, shown - 1))))
            else:
                parts.append(TextPart(draw(texts)))
        style = draw(st.sampled_from([None, "short", "long"]))
        messages.append(Message("user", (*parts, TextPart(draw(texts) + "?")), style))
        answer: list[Part] = [TextPart("- " + draw(texts))]
        if shown and draw(st.booleans()):
            answer.append(RegionPart(draw(regions), draw(st.integers(0, shown - 1))))
        messages.append(Message("assistant", tuple(answer)))
    if draw(st.booleans()):
        messages.pop()
    return Conversation(tuple(messages))
