"""From words and regions to a text in a dialect."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby

from chatspot.dialects.frames import Frame
from chatspot.dialects.mentions import Mention, Piece, Written, checked_pieces
from chatspot.dialects.reader import checked_frame, read_text
from chatspot.dialects.scanner import PLACEHOLDER, control_pattern, label_pattern, scan
from chatspot.dialects.specification import Dialect, ShapeName
from chatspot.errors import MessageError, RegionError
from chatspot.prompts.written import written_points
from chatspot.regions import Box, Point, Region
from chatspot.regions.coordinates import XY, Size

SORT_WEIGHT = 10_000  # Molmo sorts its points by x times this plus y, in percent (data_formatter.py:308-323)


def write_text(
    pieces: Sequence[Piece],
    dialect: Dialect,
    *,
    size: Size,
    frame: Frame | None = None,
    approximate: bool = False,
) -> Written:
    """The pieces as a text in ``dialect`` about a picture of ``size``; ``frame`` is where its numbers count.

    A region without a form in the dialect is an error, or with ``approximate`` written as the next plainer shape: an
    outline as the box around it, a box as its middle. Raises ``RegionError`` for that, and ``MessageError`` when words
    or a label hold what the dialect would read as markup.
    """
    frame, checked = checked_frame(dialect, size, frame), checked_pieces(pieces)
    for piece in checked:
        if isinstance(piece, str):
            check_words(piece, dialect)
    if dialect.beside:
        return write_placeholders(checked, dialect, approximate)
    text, count = "", 0
    for is_words, group in groupby(checked, key=lambda piece: isinstance(piece, str)):
        if is_words:
            text += "".join(map(str, group))
            continue
        mentions = [piece for piece in group if isinstance(piece, Mention)]
        written = [each for mention in mentions for each in write_mention(mention, dialect, frame, approximate)]
        count += sum(len(mention.regions) for mention in mentions)
        opening, between, closing = dialect.run if len(written) > 1 else ("", "", "")
        text += opening + between.join(written) + closing
    again = sum(1 if found.form.shape == "polygon" else len(found.values) for found in scan(text, dialect))
    if again != count:
        raise MessageError(f"the words around the regions hold what {dialect.name} reads as a region, or as part of "
                           f"one: {count} were written, {again} would be read")  # fmt: skip
    return Written(text)


def check_words(words: str, dialect: Dialect) -> None:
    """Refuse words that hold the dialect's own tags: no peer has a way to quote them."""
    marks = control_pattern(dialect)
    found = marks.search(words) if marks else None
    if found:
        raise MessageError(f"the words hold {found[0]!r} at character {found.start()}, which is markup in "
                           f"{dialect.name}; take it out, there is no way to quote it")  # fmt: skip


def write_mention(mention: Mention, dialect: Dialect, frame: Frame, approximate: bool) -> list[str]:
    """The texts of a mention: one, or several where the dialect cannot hold its regions together."""
    assert dialect.grid is not None
    shaped = [shape_of(region, dialect, approximate) for region in mention.regions]
    if dialect.sorts_points:
        shaped.sort(key=lambda each: [SORT_WEIGHT * x * 100 + y * 100 for x, y in each[1]])
    written: list[str] = []
    for shape, group in groupby(shaped, key=lambda each: each[0]):
        for some in grouped([corners for _, corners in group], shape, dialect):
            form = next(f for f in dialect.forms if f.shape == shape and f.least <= len(some) <= (f.most or len(some)))
            items = [
                fill(form.item, {**dialect.grid.named(each, frame.size_wh), "n": str(at)})
                for at, each in enumerate(([frame.inward(c) for c in corners] for corners in some), 1)
            ]
            plain = not form.labelled or form.labelled.startswith("{label}")
            label = mention.label if not (plain and written) else None  # plain words are said once
            template = (form.labelled or "{label} " + form.bare) if label else form.bare
            shown = label_text(label, template, dialect) if label else ""
            written.append(fill(template, {"items": (form.separator or "").join(items), "label": shown}))
    return written


def grouped(regions: list[list[XY]], shape: ShapeName, dialect: Dialect) -> list[list[list[XY]]]:
    """Regions of one shape, by what one mention of the dialect holds; a polygon's items are its corners."""
    if shape == "polygon":
        return [[[corner] for corner in corners] for corners in regions]
    together = any(form.separator is not None for form in dialect.forms if form.shape == shape)
    return [regions] if together else [[corners] for corners in regions]


def fill(template: str, values: dict[str, str]) -> str:
    """The template with its placeholders replaced; braces in the values stay as they are."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def label_text(label: str, template: str, dialect: Dialect) -> str:
    """The label as it stands in the template."""
    if dialect.json_labels:
        return json.dumps(label, ensure_ascii=False)
    if not re.fullmatch(label_pattern(template), label):
        raise MessageError(f"the label {label[:60]!r} cannot stand in {dialect.name}: at most 200 characters on one "
                           "line, without blanks at its ends and the characters that end it there")  # fmt: skip
    return label


def shape_of(region: Region, dialect: Dialect, approximate: bool) -> tuple[ShapeName, list[XY]]:
    """The shape that the dialect writes a region as, and its points in the picture's frame."""
    points = list(written_points(region)) if not isinstance(region, (Point, Box)) else []
    if points:
        for form in dialect.forms:
            if form.shape == "polygon" and form.least <= len(points) <= (form.most or len(points)):
                return "polygon", points
    own = type(region).__name__.lower()
    shapes = {form.shape for form in dialect.forms}
    tries: list[ShapeName] = ["point"] if own == "point" else ["box", "point"]
    for shape in tries:
        if shape in shapes and (approximate or shape == own):
            if shape == "box":
                x1, y1, x2, y2 = region.bounds_xyxy
                return shape, [(x1, y1), (x2, y2)]
            place = region if isinstance(region, Point) else region.bounding_box().center
            return shape, [(place.x, place.y)]
    has = ", ".join(sorted(shapes))
    hint = "" if approximate or own == "point" else "; or let it be approximated (approximate=True)"
    corners = f" of {len(points)} corners" if points else ""
    raise RegionError(f"{dialect.name} has no form for a {own}{corners}, only for: {has}{hint}")


def write_placeholders(pieces: Sequence[Piece], dialect: Dialect, approximate: bool) -> Written:
    """The text with a placeholder for each region, and the regions."""
    assert dialect.beside is not None
    spec, text, beside = dialect.beside, "", list[Mention]()
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        text += f"{piece.label} " if piece.label else ""
        for region in piece.regions:
            name = type(region).__name__.lower()
            if name not in spec.shapes:
                if not approximate or isinstance(region, Point):
                    raise RegionError(f"{dialect.name} takes only: {', '.join(spec.shapes)}; got a {name}")
                region = region.bounding_box()
            text += fill(spec.placeholder, {"n": str(spec.first + len(beside))})
            beside.append(Mention((region,)))
    if spec.most is not None and len(beside) > spec.most:
        raise RegionError(f"{dialect.name} shows at most {spec.most} region beside a text, got {len(beside)}; ask "
                          "about one at a time")  # fmt: skip
    return Written(text, tuple(beside))


def convert_text(
    text: str,
    source: Dialect,
    target: Dialect,
    *,
    size: Size,
    source_frame: Frame | None = None,
    target_frame: Frame | None = None,
    beside: Sequence[Mention] = (),
    approximate: bool = False,
) -> Written:
    """``text`` of one dialect in another, about the same picture of ``size``. Raises what reading and writing raise."""
    pieces = read_text(text, source, size=size, frame=source_frame, beside=beside)
    return write_text(pieces, target, size=size, frame=target_frame, approximate=approximate)
