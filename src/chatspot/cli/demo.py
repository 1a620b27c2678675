"""``chatspot demo``: questions about parts of a photo that ships with the package."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from chatspot.cli import options
from chatspot.cli.chat import talk, typed_lines
from chatspot.cli.pointing import typed_region

PHOTO = "coffee.jpg"  # see examples/README.md for where it comes from


class DemoQuestion(NamedTuple):
    """A question about a region of PHOTO, the region as it is typed on the command line."""

    question: str
    kind: str
    typed: str


QUESTIONS = (
    DemoQuestion("What is this?", "box", "172,14,416,314"),  # the cup
    DemoQuestion("What can you see in this region?", "polygon",
                 "398,66,424,70,390,220,408,262,396,312,352,327,327,298,336,252,372,228"),  # the spoon
    DemoQuestion("What is the object here?", "point", "60,140"),  # the table
)  # fmt: skip


def demo(
    save_overlay: Annotated[Path, typer.Option(metavar="OUT.png", help="Where the overlay is saved.")] = Path(
        "chatspot-demo.png"
    ),
    model: options.Model = None,
    device: options.Device = "auto",
) -> None:
    """Answer questions about parts of a photo that ships with ChatSpot, save an overlay, then chat (at a terminal)."""
    from chatspot.images import open_image

    options.check_overlay_path(save_overlay)
    image = open_image(resources.files("chatspot").joinpath("examples", PHOTO).read_bytes())
    regions = [typed_region(entry.kind, entry.typed, image, normalized=False) for entry in QUESTIONS]
    spot = options.open_spot(model, device)
    asked = [(entry.question, region) for entry, region in zip(QUESTIONS, regions, strict=True)]
    answers = [answer.text for answer in spot.ask_many(image, asked)]
    for number, (entry, answer) in enumerate(zip(QUESTIONS, answers, strict=True), 1):
        typer.echo(f'{number}. chatspot ask {PHOTO} "{entry.question}" --{entry.kind} {entry.typed}')
        typer.echo(f"   {options.one_line(answer)}")
    options.save_overlay(save_overlay, image, regions, answers)
    typer.echo(f"\nThe photo with the regions and answers: {save_overlay}")
    if sys.stdin.isatty():
        typer.echo(f"\nNow ask about {PHOTO}, {image.width} x {image.height} pixels. /help says how to point, "
                   "/quit leaves.")  # fmt: skip
        raise typer.Exit(talk(spot.chat(image), typed_lines(True), keep_code=False))
