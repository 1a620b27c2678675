"""The page of dialects, made from the specifications so that it cannot say anything else."""

from __future__ import annotations

from chatspot.dialects.frames import Frame, FrameKind
from chatspot.dialects.mentions import Mention
from chatspot.dialects.specification import Dialect, Grid
from chatspot.dialects.table import DIALECTS
from chatspot.dialects.writer import write_text
from chatspot.errors import ChatSpotError
from chatspot.regions import Box, Point, Polygon, Region

SHOWN_SIZE = (640, 480)
SHOWN: dict[str, Region] = {
    "a box": Box.from_pixels(160, 120, 320, 360, size=SHOWN_SIZE),
    "a point": Point.from_pixels(160, 120, size=SHOWN_SIZE),
    "an outline": Polygon.from_pixels([(160, 120), (320, 120), (320, 360), (160, 360)], size=SHOWN_SIZE),
}
SECOND = Box.from_pixels(0, 0, 640, 480, size=SHOWN_SIZE)
FRAMES: dict[FrameKind, str] = {
    "whole": "the whole upright picture (squashing to a square changes no fraction)",
    "padded": "the square that the picture is padded to, picture in the middle",
    "resized": "the picture after the model's own resizing",
}
INTRODUCTION = """# Region dialects

<!-- Made by chatspot.dialects.cards; CHATSPOT_UPDATE_DOCS=1 pytest tests/dialects/test_cards.py renews it. -->

Every model writes regions in its own way. `chatspot.dialects` reads and writes all of these and knows the frame in
which each counts, so that a region means the same place before and after:

```sh
chatspot regions convert --from shikra --to qwen3-vl --image photo.jpg question.txt
chatspot regions convert --from llava-1.5 --to qwen2.5-vl --images photos data.jsonl
chatspot regions check data.jsonl --dialect llava-1.5 --draw sheets
```

```python
from chatspot.dialects import convert_text, find_dialect

written = convert_text(
    "What is the person[0.148,0.350,0.576,0.497] scared of?",
    find_dialect("shikra"),
    find_dialect("qwen3-vl"),
    size=(640, 480),
)
print(written.text)
```

```text
What is the person{"bbox_2d": [148, 300, 576, 496]} scared of?
```

`check` flags what cannot be meant (off the scale, corners reversed, axes swapped, no area, outside the picture), draws
samples, and ranks dialects, frames and orders by how well they explain the file. Two frames can be told apart only on
pictures that are not square. With the true boxes beside the texts (`boxes`), their overlap decides.

What a dialect cannot say is an error, or with `--approximate` the next plainer shape. Words that hold a dialect's own
tags are refused, as no peer can quote them. Markup that names no possible region is an error and never passes as text.

*Moves at most* is by how much an edge can move when it is written and read again, in thousandths of the side of the
frame. A box that is narrower than a step may be opened to one step. The cards show one box (160, 120, 320, 360 pixels),
point and outline on a picture of 640 x 480. Sources name a peer's file or thread; no peer's code is used.

| dialect | frame | moves at most | points | boxes | outlines |
| --- | --- | ---: | --- | --- | --- |
"""


def dialect_page() -> str:
    """The text of ``docs/dialects.md``."""
    rows = [
        f"| [{d.name}](#{d.name.replace('.', '')}) | {' or '.join(d.frames)} | {moves(d)} | "
        + " | ".join(has(d, shape) for shape in ("point", "box", "polygon"))
        + " |"
        for d in DIALECTS.values()
    ]
    return INTRODUCTION + "\n".join([*rows, "", *(card(dialect) for dialect in DIALECTS.values())])


def has(dialect: Dialect, shape: str) -> str:
    """Whether a shape has a form in a dialect, for a table."""
    if dialect.beside:
        return "beside" if shape in dialect.beside.shapes else ""
    return "yes" if any(form.shape == shape for form in dialect.forms) else ""


def moves(dialect: Dialect) -> str:
    """The bound on an edge's move, in thousandths or pixels."""
    if dialect.grid is None:
        return "0"
    if isinstance(dialect.grid, Grid) and dialect.grid.steps is None:
        return f"{dialect.grid.bound(100) * 100:g} px"
    return f"{dialect.grid.bound(1) * 1000:.3g}"


def card(dialect: Dialect) -> str:
    """The specification of one dialect as Markdown."""
    lines = [f"## {dialect.name}", "", f"{dialect.title}. Source: {dialect.source}.", ""]
    lines += ["```text", dialect.example, "```", ""]
    lines += [f"- Counts in: {'; or '.join(FRAMES[frame] for frame in dialect.frames)}."]
    lines += [f"- Numbers: {numbers(dialect)}."]
    if dialect.grid is not None:
        lines.append(
            f"- Moves at most: {moves(dialect)}{'' if 'px' in moves(dialect) else ' thousandths of the side'}."
        )
    if any(form.shape == "box" for form in dialect.forms):
        together = next((form.separator for form in dialect.forms if form.shape == "box"), None)
        lines.append(f"- Several boxes of one mention: {'each on its own' if together is None else 'held together'}.")
    lines += [f"- {note}" for note in dialect.notes]
    lines += ["", "| | without a label | with the label dog |", "| --- | --- | --- |"]
    for name, regions in {**{n: (r,) for n, r in SHOWN.items()}, "two boxes": (SHOWN["a box"], SECOND)}.items():
        texts = [written(dialect, Mention(regions, label)) for label in (None, "dog")]
        if all(texts):
            lines.append(f"| {name} | {texts[0]} | {texts[1]} |")
    return "\n".join([*lines, ""])


def written(dialect: Dialect, mention: Mention) -> str:
    """A mention in a dialect as code in a table; empty where there is no form for it."""
    try:
        text = write_text([mention], dialect, size=SHOWN_SIZE, frame=Frame.of_kind(dialect.frames[0], SHOWN_SIZE)).text
    except ChatSpotError:
        return ""
    return f"`{text}`".replace("|", "\\|") if text else "(nothing in the text)"


def numbers(dialect: Dialect) -> str:
    """How a dialect's numbers are made, in words."""
    grid = dialect.grid
    if grid is None:
        return "none in the text"
    if not isinstance(grid, Grid):
        return f"cells of a grid of {grid.per_side} x {grid.per_side}, row by row from 0, {grid.digits} digits"
    if grid.steps is None:
        scale = "pixels from 0 to the side, less 1"
    else:
        top = grid.highest(1) / 10**grid.decimals
        scale = f"0 to {top:g}" + ("" if grid.has_end else f" (a side is {grid.steps}, the last mark is missing)")
    rounding = "rounded to the nearest" if grid.rounding == "nearest" else "cut off"
    shape = f", {grid.decimals} decimals" if grid.decimals else f", {grid.digits} digits" if grid.digits else ""
    ends = "" if grid.trailing_zeros else " without trailing zeros"
    middle = ", the middle of a step is read" if grid.shift else ""
    return f"{scale}, {rounding}{shape}{ends}{middle}"
