"""``chatspot eval retention``: what a model can do beside pointing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatspot.cli.eval_options import Device, Dialect, EngineKind, KeyVariable, Model, Name, Url, of_model, spoken


def retention(
    out: Annotated[Path, typer.Option(help="Predictions (JSON lines), for 'chatspot eval score'.")],
    model: Model = None,
    engine: EngineKind = "torch",
    url: Url = None,
    dialect: Dialect = None,
    key_variable: KeyVariable = None,
    name: Name = None,
    device: Device = "auto",
) -> None:
    """Ask the fixed general questions without a picture, and weigh the fixed texts (--engine torch alone can)."""
    from chatspot.eval.opening import Chosen, open_engine
    from chatspot.eval.predict import RunFacts
    from chatspot.eval.retention import write_retention

    chosen = Chosen(
        model=model, engine=engine, url=url, dialect=dialect,  # type: ignore[arg-type]
        key_variable=key_variable, device=device, name=name,
    )  # fmt: skip
    opened, facts = open_engine(chosen)
    command = spoken("retention", **of_model(chosen, facts["name"], usual="torch"), out=out.name)
    found = write_retention(opened, out, RunFacts(facts, {"folder": "train/abilities/texts"}, command))
    typer.echo(f"{out}: {len(found)} questions and texts")
