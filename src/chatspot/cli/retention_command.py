"""``chatspot eval retention``: what a model can do beside pointing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatspot.cli.eval_commands import Device, Model, open_engine, spoken


def retention(
    out: Annotated[Path, typer.Option(help="Predictions (JSON lines), for 'chatspot eval score'.")],
    model: Model = None,
    device: Device = "auto",
) -> None:
    """Ask the fixed general questions and weigh the fixed texts, without a picture."""
    from chatspot.eval.predict import RunFacts
    from chatspot.eval.retention import write_retention

    engine, facts = open_engine(model, None, device, "torch")  # texts are weighed by the model itself
    command = spoken("retention", model=facts["name"], out=out.name)
    found = write_retention(engine, out, RunFacts(facts, {"folder": "train/abilities/texts"}, command))
    typer.echo(f"{out}: {len(found)} questions and texts")
