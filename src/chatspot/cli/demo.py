"""``chatspot demo``: the page in the browser, or questions about parts of a photo that ships with the package."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from chatspot.cli import options
from chatspot.cli.browsing import open_page
from chatspot.cli.chat import Talk, is_calibrated, talk, typed_lines
from chatspot.cli.pointing import typed_region
from chatspot.cli.serve_commands import serving
from chatspot.errors import ChatSpotError

if TYPE_CHECKING:
    from chatspot.engine import Engine

HOST, USUAL_PORT = "127.0.0.1", 8000
GRACE_S = 3.0  # for an answer that runs when the page is ended; nobody else is there
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
    page: Annotated[
        bool | None,
        typer.Option(
            "--page/--print",
            help="Serve the page, or print answers about a photo; by default the page, where a terminal is there to "
            "end it with Ctrl-C.",
            show_default=False,
        ),
    ] = None,
    save_overlay: Annotated[Path, typer.Option(metavar="OUT.png", help="--print: where the overlay is saved.")] = Path(
        "chatspot-demo.png"
    ),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="--page: the port; 8000, or a free one if that is taken.")
    ] = None,
    model: options.Model = None,
    device: options.Device = "auto",
    engine: options.EngineKind = "auto",
) -> None:
    """Open the page in the browser. Without a terminal (or with --print): answer questions about parts of a photo that
    ships with ChatSpot, save an overlay, then chat (at a terminal)."""
    if page is None:
        page = sys.stdin.isatty() and sys.stdout.isatty()
    if page:
        show_page(port, model, device, engine)
    else:
        print_answers(save_overlay, model, device, engine)


def show_page(port: int | None, model: str | None, device: str, engine: options.EngineKind) -> None:
    """Serve the page on this machine until Ctrl-C, and open the browser."""
    server = serving()
    from chatspot.serve.limits import Limits
    from chatspot.serve.service import Settings

    def open_engine() -> Engine:
        from chatspot.spot import ChatSpot

        return ChatSpot.from_pretrained(model, device, engine=engine).engine

    listener = listening(port)
    address = server.address_of(listener)
    typer.echo(f"The page: {address} (Ctrl-C ends)")
    typer.echo("The model is being opened; the first time, its weights are fetched and converted.")
    open_page(address)
    settings = Settings(Limits(grace_s=GRACE_S), hosts=server.allowed_hosts(HOST, None))
    server.run(open_engine, listener, settings, closing=lambda: typer.echo("\nThe page is closed."))


def listening(port: int | None) -> socket:
    """A socket on the port; without one on 8000, as ``chatspot serve``: a browser keeps sessions by address. Where that
    is taken, on any free one."""
    server = serving()
    if port is not None:
        return server.listening(HOST, port)
    try:
        return server.listening(HOST, USUAL_PORT)
    except ChatSpotError:
        return server.listening(HOST, 0)


def print_answers(save_overlay: Path, model: str | None, device: str, engine: options.EngineKind) -> None:
    """Answer QUESTIONS about PHOTO and save the overlay; then chat, at a terminal."""
    from chatspot.images import open_image

    options.check_overlay_path(save_overlay)
    image = open_image(resources.files("chatspot").joinpath("examples", PHOTO).read_bytes())
    regions = [typed_region(entry.kind, entry.typed, image, normalized=False) for entry in QUESTIONS]
    spot = options.open_spot(model, device, engine)
    asked = [(entry.question, region) for entry, region in zip(QUESTIONS, regions, strict=True)]
    answers = [answer.modest for answer in spot.ask_many(image, asked)]
    for number, (entry, answer) in enumerate(zip(QUESTIONS, answers, strict=True), 1):
        typer.echo(f'{number}. chatspot ask {PHOTO} "{entry.question}" --{entry.kind} {entry.typed}')
        typer.echo(f"   {options.one_line(answer)}")
    options.save_overlay(save_overlay, image, regions, answers)
    typer.echo(f"\nThe photo with the regions and answers: {save_overlay}")
    if sys.stdin.isatty():
        typer.echo(f"\nNow ask about {PHOTO}, {image.width} x {image.height} pixels. /help says how to point, "
                   "/quit leaves.")  # fmt: skip
        terminal = Talk(spot.chat(image), modest=is_calibrated(spot.engine))
        raise typer.Exit(talk(terminal, typed_lines(True), keep_code=False))
