"""``chatspot ask``: one question about parts of a photo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from chatspot.cli import options
from chatspot.cli.pointing import typed_order, typed_region

if TYPE_CHECKING:
    from chatspot.regions import Region
    from chatspot.spot import Answer

TYPED_ARGUMENTS = "chatspot.typed"


class AskCommand(TyperCommand):
    """Keeps the arguments as they were typed, for the order of the regions."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[TYPED_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def ask(
    ctx: typer.Context,
    photo: Annotated[Path, typer.Argument(help="The picture file.", show_default=False)],
    question: Annotated[
        str, typer.Argument(help="The question; {region} is the place of a region.", show_default=False)
    ],
    box: Annotated[list[str] | None, typer.Option(metavar="X1,Y1,X2,Y2", help="A box; may be repeated.")] = None,
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A point; may be repeated.")] = None,
    polygon: Annotated[list[str] | None, typer.Option(metavar="X,Y,X,Y,X,Y,...", help="An outline.")] = None,
    scribble: Annotated[list[str] | None, typer.Option(metavar="X,Y,X,Y,...", help="A freehand stroke.")] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A black and white picture of the photo's size, or run lengths in JSON."),
    ] = None,
    normalized: options.Normalized = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer and what was asked as JSON.")] = False,
    save_overlay: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Save the photo with the regions drawn over it.")
    ] = None,
    long: options.Long = False,
    max_new_tokens: options.MaxNewTokens = 64,
    agreement: options.Agreement = 0,
    modest: options.Modest = True,
    no_focal_view: options.NoFocalView = False,
    model: options.Model = None,
    device: options.Device = "auto",
    engine: options.EngineKind = "auto",
) -> None:
    """Ask about parts of a photo: chatspot ask photo.jpg "What is this?" --box 10,20,300,200"""
    from chatspot.images import open_image

    image = open_image(photo)
    given = {"box": box or [], "point": point or [], "polygon": polygon or [], "scribble": scribble or []}
    typed = typed_order(ctx.meta[TYPED_ARGUMENTS], {**given, "mask": mask or []})
    regions = [typed_region(kind, text, image, normalized=normalized) for kind, text in typed]
    if save_overlay:
        options.check_overlay_path(save_overlay)
    spot = options.open_spot(model, device, engine, no_focal_view=no_focal_view)
    style = options.answer_style(long)
    answer = spot.ask(image, question, *regions, style=style, max_new_tokens=max_new_tokens, agreement=agreement)
    if as_json:
        record = {"model": spot.engine.name, "photo": str(photo), "size_wh": list(image.size), "question": question}
        typer.echo(json.dumps(record | json_answer(answer, regions)))
    else:
        typer.echo(options.shown(answer.modest if modest else answer.text))
        if answer.agreement is not None:
            typer.echo(options.agreeing(answer.agreement, agreement), err=True)
    if save_overlay:
        options.save_overlay(save_overlay, image, *overlay_parts(answer, regions))


def json_answer(answer: Answer, regions: list[Region]) -> dict[str, Any]:
    """The answer for ``--json``; coordinates are fractions of the upright picture's width and height."""
    return {
        "regions": [region.to_json() for region in regions],
        "answer": answer.text,
        "answer_regions": [region.to_json() for region in answer.regions],
        "confidence": None if answer.confidence is None else round(answer.confidence, 4),
        "sure": answer.sure,
        "agreement": answer.agreement,
        "finish": answer.finish,
    }


def overlay_parts(answer: Answer, regions: list[Region]) -> tuple[list[Region], list[str | None]]:
    """What the overlay shows: the regions asked about, a single one with the answer, and those the answer names."""
    labels: list[str | None] = [answer.text] if len(regions) == 1 else [None] * len(regions)
    return [*regions, *answer.regions], [*labels, *("answer" for _ in answer.regions)]
