"""The page of the first row: its tokens, its pictures with their regions, and who may look at whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from chatspot.data.looking.drawing import drawn
from chatspot.data.saving import saved_whole
from chatspot.errors import ImageError
from chatspot.images.overlay import COLORS, seam
from chatspot.pages import jpeg_uri, rendered
from chatspot.prompts.reader import BOX, read_region
from chatspot.regions import Region
from chatspot.train.looking.first_sample import Branch, FirstSample, Group, Piece, visible
from chatspot.train.stream.features import View

PICTURE_WH, VIEW_WH = (640, 480), (220, 220)  # pixels at most of a picture and of a focal view (our choice)
QUALITY = 80  # of the JPEGs inside: about 50 KB a picture


def write_first_sample(sample: FirstSample, file: Path, image_fit: str, title: str) -> None:
    """Write the page, whole or not at all; ``image_fit`` is the prompt settings'. ``DataError`` where it cannot be
    written. A picture that cannot be opened is named in its place."""
    with saved_whole(file, "page of the first row") as half:
        half.write_text(first_sample_page(sample, image_fit, title), "utf-8")


def first_sample_page(sample: FirstSample, image_fit: str, title: str) -> str:
    """The page as HTML text; all text of samples is escaped by the template."""
    groups = [group_parts(group, image_fit) for group in sample.groups]
    return rendered(
        __package__,
        "pages/first_sample.html",
        filters={"visible": visible},
        title=title,
        sample=sample,
        dialogues=sum(branch.number > 0 for group in sample.groups for branch in group.branches),
        views=sum(len(group.views) for group in sample.groups),
        groups=groups,
        blocks=list(mask_blocks(sample)),
    )


def group_parts(group: Group, image_fit: str) -> dict[str, Any]:
    """What the template needs of a group."""
    numbers = {region: number for number, region in enumerate(group.regions, 1)}
    wholes = group.pictures
    branches = [marked(branch, numbers) for branch in group.branches]
    focal = [view for view in group.views if view.region is not None]
    return {
        "number": group.number + 1,
        "branches": [
            {"number": branch.number, "tokens": branch.end - branch.start, "learnt": branch.learnt, "parts": parts}
            for branch, parts in zip(group.branches, branches, strict=True)
        ],
        "pictures": [
            picture_parts(view, group.regions if len(wholes) == 1 else [], f"picture {at}" if at > 1 else "picture")
            for at, view in enumerate(wholes, 1)
        ],
        "focal": [
            {**focal_parts(view, image_fit), "number": number, **colors(number)}
            for view, number in zip(focal, named_before(branches, group), strict=True)
        ],
        "unplaced": len(group.regions) if len(wholes) != 1 else 0,
    }  # fmt: skip


def marked(branch: Branch, numbers: dict[Region, int]) -> list[dict[str, Any]]:
    """The pieces of a branch, each with the number of the region whose text it ends, or 0."""
    ends: dict[int, int] = {}  # place in the branch's text -> region
    text = "".join(piece.text for piece in branch.pieces if piece.kind != "picture")
    for match in BOX.finditer(text):
        region = read_region(match[1])
        if region is not None:
            ends[match.end()] = numbers[region]
    parts, place = [], 0
    for piece in branch.pieces:
        place += 0 if piece.kind == "picture" else len(piece.text)
        number = ends.pop(place, 0) if piece.kind != "picture" else 0
        parts.append({"piece": piece, "title": token_title(piece), "number": number, **colors(number)})
    return parts


def named_before(branches: list[list[dict[str, Any]]], group: Group) -> list[int]:
    """For each focal view the number of the region that stands before it in its branch, which is the one it shows."""
    numbers, views = [], iter(group.views)
    for parts in branches:
        last = 0
        for part in parts:
            last = part["number"] or last
            if part["piece"].kind == "picture" and next(views).region is not None:
                numbers.append(last)
    return numbers


def token_title(piece: Piece) -> str:
    """What a reader is told who points at a piece."""
    ids = f"{len(piece.ids)} tokens" if piece.kind == "picture" else "token " + " ".join(map(str, piece.ids))
    return f"{ids}{', learnt' if piece.learnt else ''}"


def colors(number: int) -> dict[str, Any]:
    """The colour of region ``number`` on the picture, and the ink that can be read on it."""
    color = COLORS[(number - 1) % len(COLORS)]
    return {"color": color, "ink": seam(color)}


def picture_parts(view: View, regions: list[Region], name: str) -> dict[str, Any]:
    """A picture with the regions that the text names, as a data URI."""
    try:
        return {"name": name, **jpeg_uri(drawn(view.picture.open(), regions, PICTURE_WH), QUALITY), "problem": ""}
    except ImageError as error:
        return {"name": name, "problem": str(error)}


def focal_parts(view: View, image_fit: str) -> dict[str, Any]:
    """A focal view as the vision tower is given it, as a data URI."""
    from chatspot.images import encoder_view

    name = f"focal view of a {type(view.region).__name__.lower()}"
    try:
        shown = encoder_view(view.picture.open(), view.region, image_fit)
    except ImageError as error:
        return {"name": name, "problem": str(error)}
    shown.thumbnail(VIEW_WH, Image.Resampling.LANCZOS)
    return {"name": name, **jpeg_uri(shown, QUALITY), "problem": ""}


def mask_blocks(sample: FirstSample) -> list[dict[str, Any]]:
    """The attention mask as SVG shapes in units of tokens, the reader's position downwards, what it sees across: a
    triangle where a branch sees itself up to its own place, a rectangle where it sees all of its group's beginning."""
    blocks = []
    for group in sample.groups:
        shared = next((branch for branch in group.branches if branch.number == 0), None)
        for branch in group.branches:
            start, end = branch.start, branch.end
            blocks.append({"points": f"{start},{start} {start},{end} {end},{end}", "own": True, "group": group.number})
            if shared is not None and branch is not shared:
                corners = ((shared.start, start), (shared.end, start), (shared.end, end), (shared.start, end))
                points = " ".join(f"{x},{y}" for x, y in corners)
                blocks.append({"points": points, "own": False, "group": group.number})
    return blocks
