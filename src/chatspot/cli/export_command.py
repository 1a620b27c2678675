"""``chatspot export``: a checkpoint as other programs open it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not exist, or be empty.")],
    model: Annotated[str, typer.Option(help="A checkpoint folder or hub id.")],
    target: Annotated[Literal["vllm"], typer.Option("--for", help="What is to open it.")],
) -> None:
    """Write a checkpoint as vLLM opens it: chatspot export --model runs/7b --for vllm exported"""
    from chatspot.model.export import export_for_vllm

    folder = export_for_vllm(model, out)
    typer.echo(f"{folder} holds the model for {target}; see docs/vllm.md:")
    typer.echo(f'  vllm serve {folder} --served-model-name chatspot-7b --mm-processor-kwargs \'{{"backend": "pil"}}\'')
    typer.echo("  chatspot serve --engine remote --url http://127.0.0.1:8000/v1 --dialect chatspot --port 8001")
