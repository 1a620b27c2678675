"""What several commands share: options of the model, opening it, saving an overlay."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from chatspot.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

    from chatspot.messages import Style
    from chatspot.regions import Region
    from chatspot.spot import ChatSpot

NAME_WIDTH = 14  # of the longest name in a table
OVERLAY_FORMATS = (".png", ".jpg", ".jpeg", ".webp")

Model = Annotated[
    str | None, typer.Option(help="A checkpoint folder or hub id; without it the embedded chatspot-nano.")
]
EngineKind = Annotated[
    Literal["auto", "torch", "onnx"],
    typer.Option("--engine", help="What computes: onnx is faster on CPUs (chatspot[fast]); auto takes it for nano."),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, ...")]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Long = Annotated[bool, typer.Option("--long", help="Ask for an answer in detail.")]
Modest = Annotated[bool, typer.Option(help='Say "I can\'t tell" before an answer that the calibration does not trust.')]
Agreement = Annotated[
    int, typer.Option(min=0, max=8, help="Ask so many times more about slightly moved regions; say how many agree.")
]
NoFocalView = Annotated[
    bool, typer.Option("--no-focal-view", help="Do not show regions to the model as pictures of their own.")
]
Normalized = Annotated[
    bool, typer.Option("--normalized", help="Coordinates are fractions of width and height, 0 to 1; else pixels.")
]


def open_spot(
    model: str | None, device: str, engine: Literal["auto", "torch", "onnx"] = "auto", *, no_focal_view: bool = False
) -> ChatSpot:
    """The model, opened; a terminal shows that it takes a moment."""
    from rich.console import Console

    terminal = Console(stderr=True)
    with terminal.status("Opening the model (the first time, its weights are converted) ..."):
        from chatspot.spot import ChatSpot

        return ChatSpot.from_pretrained(model, device, focal_view=False if no_focal_view else None, engine=engine)


def answer_style(long: bool) -> Style:
    """The answer style that ``--long`` asks for, or its absence."""
    return "long" if long else "short"


def check_overlay_path(path: Path) -> None:
    """Refuse a place where no overlay can be saved, before anything is computed."""
    if path.suffix.lower() not in OVERLAY_FORMATS:
        raise ImageError(f"the overlay {path} should end in one of {', '.join(OVERLAY_FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise ImageError(f"the overlay {path} should lie in a folder that exists; there is no {path.absolute().parent}")


def save_overlay(
    path: Path, image: Image.Image, regions: Sequence[Region], labels: Sequence[str | None] | None = None
) -> None:
    """Draw the regions over the picture and save it; ``ImageError`` when it cannot be saved."""
    from chatspot.images import draw_regions

    check_overlay_path(path)
    drawn = draw_regions(image, regions, labels)
    try:
        drawn.save(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"the overlay cannot be saved at {path} ({error}); choose another place") from error


def agreeing(share: float, count: int) -> str:
    """How many of the answers about moved regions agree, for people."""
    return f"{round(share * count)} of {count} answers about slightly moved regions agree"


def one_line(text: str) -> str:
    """The text on a single line, without characters that steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def shown(text: str) -> str:
    """A model's text as a terminal may show it: line ends stay, characters that steer the terminal do not."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def print_table(rows: Sequence[tuple[str, Any]]) -> None:
    """Names and values in two columns, as plain text where the output is no terminal."""
    for name, value in rows:
        padded = name.ljust(NAME_WIDTH)
        bold = typer.style(padded, bold=True) if sys.stdout.isatty() else padded
        typer.echo(f"{bold}  {one_line(str(value))}")
