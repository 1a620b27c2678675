"""Two small pictures that differ where regions can point."""

from __future__ import annotations

from PIL import Image


def quarters() -> Image.Image:
    """A picture with something else in every quarter."""
    picture = Image.new("RGB", (120, 80), "red")
    for color, place in (("green", (60, 0)), ("blue", (0, 40)), ("yellow", (60, 40))):
        picture.paste(Image.new("RGB", (60, 40), color), place)
    return picture


def corner() -> Image.Image:
    """A picture of the same size that differs in one corner."""
    picture = Image.new("RGB", (120, 80), "white")
    picture.paste((0, 0, 0), (0, 0, 40, 40))
    return picture
