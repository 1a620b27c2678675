"""``chatspot bench``: is this installation as fast as its machine allows, and where does the time go?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatspot.cli import options
from chatspot.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from chatspot.engine.local_engine import LocalEngine
    from chatspot.engine.measured import Report, Stage

ADDRESSES = ("http://", "https://")


def bench(
    runs: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each stage; medians are shown.")] = 5,
    out: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers to a file as well.")
    ] = None,
    model: options.Model = None,
    device: options.Device = "auto",
    engine: options.EngineKind = "auto",
) -> None:
    """Measure how fast answers come here, each stage against this machine's memory and multipliers.

    Nothing else should run meanwhile.
    """
    from rich.console import Console

    if model is not None and model.lower().startswith(ADDRESSES):
        raise CheckpointError(f"{model} is a server, and chatspot bench measures what computes in this process; run it "
                              "on the server's machine, with --model and the server's checkpoint")  # fmt: skip
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise DataError(f"{out} should be a file in a folder that exists; choose another place")
    terminal = Console(stderr=True)
    with terminal.status("Measuring ...") as status:
        from chatspot.engine.measured import measure

        def open_engine() -> LocalEngine:
            from chatspot.engine.opening import open_engine

            return open_engine(model, engine, device)

        report = measure(open_engine, runs, lambda what: status.update(f"Measuring: {what} ..."))
    print_report(report, runs)
    if out is not None:
        write_report(out, report, runs)


def print_report(report: Report, runs: int) -> None:
    """The machine, and a table of the stages."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rates, costs = report.rates, report.costs
    options.print_table(
        [
            ("model", f"{report.checkpoint}, {costs.token_bytes / 1e6:,.1f} MB of weights a token"),
            ("engine", f"{report.engine} on {report.device}, medians of {runs}"),
            ("memory", f"reads {rates.read_bytes / 1e9:,.1f} GB/s"),
            ("products", f"{rates.language_operations / 1e9:,.0f} billion operations/s ({costs.language}), "
             f"{rates.tower_operations / 1e9:,.0f} of the tower's ({costs.tower})"),
        ]
    )  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for column in ("measured", "bound", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what bounds it")
    for stage in report.stages:
        share = "" if stage.share is None else f"{stage.share:.2f}"
        table.add_row(
            Text(stage.name), amount(stage.measured, stage), amount(stage.bound, stage), share, Text(stage.why)
        )
    Console().print(table)


def amount(value: float | None, stage: Stage) -> str:
    """A number of a stage with its unit."""
    if value is None:
        return ""
    if stage.unit == "s":
        return f"{value * 1e3:,.3g} ms" if value < 1 else f"{value:,.2f} s"
    unit = stage.unit.removeprefix("tokens") if stage.unit.endswith("/s") else f" {stage.unit}"
    return f"{value:,.2f}{unit}" if value < 10 else f"{value:,.0f}{unit}"


def write_report(out: Path, report: Report, runs: int) -> None:
    """The numbers, for programs."""
    from chatspot import __version__
    from chatspot.data.saving import write_whole
    from chatspot.eval.provenance import machine

    found: dict[str, Any] = {"chatspot": __version__, "machine": machine(), "runs": runs, **report.to_json()}
    try:
        write_whole(out, json.dumps(found, indent=2) + "\n")
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error}); choose another place") from error
