"""``chatspot data``: pictures to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(name="data", no_args_is_help=True, help="Make training data.")


@data_app.callback()
def data() -> None:
    """Make training data."""


@data_app.command()
def draw(
    photos: Annotated[Path, typer.Option(help="Folder of training photo folders (coco, voc2012, ...).")],
    out: Annotated[Path, typer.Option(help="Where the folders words, plates and cutouts are written.")],
    fonts: Annotated[list[Path], typer.Option(help="Folder with freely licensed fonts; may be given again.")],
    scale: Annotated[float, typer.Option(help="Multiplies the number of pictures.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other pictures.")] = 0,
) -> None:
    """Draw words, number plates and cut-outs on photos, as region JSON lines."""
    from chatspot.data.drawn import draw_training_pictures
    from chatspot.model import gguf
    from chatspot.model.weights import language_weights

    tokens = gguf.read_gguf(language_weights())[0]["tokenizer.ggml.tokens"]
    for name, count in draw_training_pictures(photos, out, fonts, tokens, scale=scale, seed=seed).items():
        typer.echo(f"{out / name}: {count} pictures")
