"""The table of contents of the command line, and how its errors leave.

A command's module is imported here, but none of them imports PyTorch before its command runs: ``--help`` stays quick.
Every error that the project raises on purpose is one line on stderr and its exit code; anything else is a bug and shows
where it came from.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from chatspot.cli.annotate_command import annotate
from chatspot.cli.ask import AskCommand, ask
from chatspot.cli.bench_command import bench
from chatspot.cli.chat import chat
from chatspot.cli.data_commands import data_app
from chatspot.cli.demo import demo
from chatspot.cli.eval_commands import eval_app
from chatspot.cli.export_command import export
from chatspot.cli.info import info
from chatspot.cli.options import one_line
from chatspot.cli.regions_commands import regions_app
from chatspot.cli.retention_command import retention
from chatspot.cli.serve_commands import serve
from chatspot.cli.train_commands import train_app
from chatspot.errors import ChatSpotError

INTERRUPTED = 130  # what shells give back after Ctrl-C


class Reporting(TyperGroup):
    """Commands whose errors on purpose leave as one line on stderr and the error's exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ChatSpotError as error:
            typer.echo(f"chatspot: {one_line(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            typer.echo("", err=True)
            raise typer.Exit(INTERRUPTED) from None


def show_version(wanted: bool) -> None:
    """``--version``."""
    if wanted:
        from chatspot import __version__

        typer.echo(f"chatspot {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Reporting, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def chatspot(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Point at a part of a picture and talk about exactly that part."""


# The commands, in the order of --help. A group of commands is a typer.Typer of its own: app.add_typer(group, name=...).
app.command(cls=AskCommand)(ask)
app.command()(chat)
app.command()(demo)
app.command()(annotate)
app.command()(info)
app.command()(bench)
app.command()(serve)
app.command()(export)
app.add_typer(data_app)
app.add_typer(regions_app)
app.add_typer(train_app)
eval_app.command()(retention)
app.add_typer(eval_app)


def run() -> None:
    """Run the command line on ``sys.argv`` and leave."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # an answer's é must not end a program on an ASCII terminal
    app(prog_name="chatspot")
