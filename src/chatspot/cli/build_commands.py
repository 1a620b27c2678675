"""``chatspot data build``: from sources to shards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def build(
    config: Annotated[Path, typer.Option(help="What goes in: a YAML file such as configs/data/photos.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder of the shards; a build that was interrupted there goes on.")],
    data: Annotated[list[Path] | None, typer.Option(help="Folder above the sources; may be given again.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray: a Ray cluster.")] = "local",
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave evaluation pictures out, and count them, instead of failing.")
    ] = False,
) -> None:
    """Build shards to train on: a mixture of sources, without evaluation pictures and duplicates."""
    from chatspot.data.build.config import load_config
    from chatspot.data.build.run import build as build_shards

    manifest = build_shards(
        load_config(config), out, data or [Path()], workers=workers, engine=engine, drop_leaks=drop_leaks,
        show_progress=sys.stderr.isatty(),
    )  # fmt: skip
    facts = manifest.facts
    for source in facts["sources"]:
        rejected = ", ".join(f"{count} {reason}" for reason, count in source["rejected"].items())
        typer.echo(f"{source['name']}: {source['pictures']} pictures, {source['samples']} dialogues"
                   + (f"; left out: {rejected}" if rejected else ""))  # fmt: skip
    totals, guard = facts["totals"], facts["guard"]
    typer.echo(f"leak guard: {guard['pictures']} evaluation pictures known, {len(guard['dropped'])} found and left out")
    size = sum(shard.bytes for shard in manifest.shards) / 1e6
    typer.echo(f"{out}: {totals['pictures']} pictures with {totals['samples']} dialogues in {len(manifest.shards)} "
               f"shard(s), {size:.1f} MB")  # fmt: skip
