"""``chatspot data regionchat``: dialogues about regions from a language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chatspot.data import Record
    from chatspot.data.regionchat.settings import ChatSettings

PLAN, LEDGER, BATCHES = "run.json", "calls.sqlite", "batches"
SCHEMA = 1

regionchat_app = typer.Typer(
    name="regionchat", no_args_is_help=True, help="Dialogues about regions, written by a language model or by rules."
)

DataFolders = Annotated[list[Path], typer.Option("--data", help="Folder of region JSON lines; may be given again.")]
RunFolder = Annotated[Path, typer.Argument(help="The run's folder.")]
OutFolder = Annotated[Path, typer.Option("--out", help="The run's folder; an interrupted run goes on.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many pictures of each folder.")]
Model = Annotated[str | None, typer.Option(help="The model's name at the endpoint.")]
BaseUrl = Annotated[str | None, typer.Option(help="The endpoint, such as http://localhost:8000/v1; default: OpenAI's.")]
Settings = Annotated[Path | None, typer.Option("--settings", help="More settings (YAML): ChatSettings' fields.")]
KeyVariable = Annotated[str, typer.Option(help="Environment variable with the API key; local servers need none.")]
MostTokens = Annotated[int | None, typer.Option(min=1, help="Ceiling of tokens, read and written.")]
MostCost = Annotated[float | None, typer.Option(help="Ceiling of cost, in the currency of the prices.")]
InputPrice = Annotated[float | None, typer.Option(help="Price of a million tokens read.")]
OutputPrice = Annotated[float | None, typer.Option(help="Price of a million tokens written.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Calls under way at a time.")]
Seed = Annotated[int | None, typer.Option(help="Another seed gives other dialogues.")]


@regionchat_app.callback()
def regionchat() -> None:
    """Dialogues about regions, written by a language model or by rules."""


@regionchat_app.command()
def run(
    data: DataFolders,
    out: OutFolder,
    writer: Annotated[str, typer.Option(help="endpoint, or rules: free, from the annotation alone.")] = "endpoint",
    model: Model = None,
    base_url: BaseUrl = None,
    settings: Settings = None,
    limit: Limit = None,
    api_key_variable: KeyVariable = "OPENAI_API_KEY",
    most_tokens: MostTokens = None,
    most_cost: MostCost = None,
    input_price: InputPrice = None,
    output_price: OutputPrice = None,
    concurrency: Concurrency = None,
    seed: Seed = None,
) -> None:
    """Write dialogues; what came before an interruption is kept and not asked for again."""
    from chatspot.errors import DataError

    given = {
        "model": model, "base_url": base_url, "most_tokens": most_tokens, "most_cost": most_cost, "seed": seed,
        "input_price": input_price, "output_price": output_price, "concurrency": concurrency,
    }  # fmt: skip
    if writer == "rules":
        from chatspot.data.regionchat.run import write_by_rules

        show(write_by_rules(records_of(data, limit), out, seed=seed or 0).to_json())
        return
    if writer != "endpoint":
        raise DataError(f'--writer is "endpoint" or "rules", got {writer!r}')
    chosen = settings_of(given, settings)
    save_plan(out, chosen, data, limit)
    fill_and_replay(out, chosen, data, limit, os.environ.get(api_key_variable) or "none")


@regionchat_app.command()
def export(
    data: DataFolders,
    out: OutFolder,
    model: Model = None,
    settings: Settings = None,
    limit: Limit = None,
    most_tokens: MostTokens = None,
    most_cost: MostCost = None,
    input_price: InputPrice = None,
    output_price: OutputPrice = None,
    seed: Seed = None,
) -> None:
    """Write the calls that have no reply as batch files (OpenAI's Batch API), as far as the ceilings let."""
    with needing_packages():
        from chatspot.data.regionchat.batch import export_batches
        from chatspot.data.regionchat.ledger import open_ledger
        from chatspot.data.regionchat.run import planned_calls

    given = {
        "model": model, "most_tokens": most_tokens, "most_cost": most_cost, "seed": seed,
        "input_price": input_price, "output_price": output_price,
    }  # fmt: skip
    chosen = settings_of(given, settings)
    save_plan(out, chosen, data, limit)
    with open_ledger(out / LEDGER) as ledger:
        done = export_batches(ledger, planned_calls(records_of(data, limit), chosen), chosen, out / BATCHES)
    typer.echo(f"{done['exported']:,} calls exported, {done['over the ceiling']:,} left out by the ceilings")
    for file in done["files"]:
        typer.echo(str(file))


@regionchat_app.command(name="import")
def import_(
    folder: RunFolder, files: Annotated[list[Path], typer.Argument(help="Output files of the batch service.")]
) -> None:
    """Take a batch service's answers, and write samples and report."""
    with needing_packages():
        from chatspot.data.regionchat.batch import import_batch
        from chatspot.data.regionchat.ledger import open_ledger

    chosen, data, limit = load_plan(folder)
    with open_ledger(folder / LEDGER) as ledger:
        for file in files:
            counts = import_batch(ledger, file)
            typer.echo(f"{file}: " + (", ".join(f"{n:,} {what}" for what, n in sorted(counts.items())) or "empty"))
    replay_folder(folder, chosen, data, limit)


@regionchat_app.command()
def replay(folder: RunFolder) -> None:
    """Write samples and report again from the replies that are there; nothing is sent."""
    chosen, data, limit = load_plan(folder)
    replay_folder(folder, chosen, data, limit)


@regionchat_app.command()
def report(folder: RunFolder, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What was accepted, what was rejected and why, what it cost."""
    from chatspot.errors import DataError

    path = folder / "report.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no report of a RegionChat run ({error}); give the run's folder") from error
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        show(found)


def fill_and_replay(out: Path, chosen: ChatSettings, data: list[Path], limit: int | None, api_key: str) -> None:
    """Make the calls, write what came, and leave with an error where calls are missing."""
    import asyncio

    from chatspot.errors import DataError

    with needing_packages():
        from chatspot.data.regionchat.ledger import open_ledger
        from chatspot.data.regionchat.run import fill, planned_calls
        from chatspot.data.regionchat.run import replay as replay_calls

    records = list(records_of(data, limit))
    with open_ledger(out / LEDGER) as ledger, outcomes_bar(sum(1 for _ in planned_calls(records, chosen))) as step:
        stopped = asyncio.run(fill(ledger, planned_calls(records, chosen), chosen, api_key=api_key, progress=step))
        tally = replay_calls(ledger, records, chosen, out, stopped)
    show(tally.to_json())
    if stopped.startswith("signal"):
        raise KeyboardInterrupt
    if stopped:
        raise DataError(f"stopped early: {stopped}; {tally.planned - tally.answered:,} calls have no reply, the same "
                        "command goes on")  # fmt: skip


def replay_folder(folder: Path, chosen: ChatSettings, data: list[Path], limit: int | None) -> None:
    """Write samples and report from a run's ledger, and show the report."""
    with needing_packages():
        from chatspot.data.regionchat.ledger import open_ledger
        from chatspot.data.regionchat.run import replay as replay_calls

    with open_ledger(folder / LEDGER) as ledger:
        show(replay_calls(ledger, records_of(data, limit), chosen, folder).to_json())


def records_of(data: list[Path], limit: int | None) -> Iterator[Record]:
    """The records of several folders, the first ``limit`` of each."""
    from chatspot.data import read_records

    for folder in data:
        yield from islice(read_records(folder), limit)


def settings_of(given: dict[str, Any], path: Path | None) -> ChatSettings:
    """Settings from a YAML file and the command line, which wins."""
    from chatspot.errors import DataError

    with needing_packages():
        from chatspot.data.regionchat.settings import parse_settings
        from chatspot.data.strict import read_yaml

    values = (read_yaml(path, "file of settings", DataError) if path else None) or {}
    if not isinstance(values, dict):
        raise DataError(f"{path} should hold settings by name, got {type(values).__name__}")
    values |= {name: value for name, value in given.items() if value is not None}
    if "model" not in values:
        raise DataError("a run needs --model, the model's name at the endpoint; --writer rules needs none")
    return parse_settings(values, str(path or "settings"))


def save_plan(out: Path, chosen: ChatSettings, data: list[Path], limit: int | None) -> None:
    """Keep settings and data folders beside the replies. The API key is no setting and is written nowhere."""
    from chatspot.data.saving import write_whole

    folders = [str(folder.absolute()) for folder in data]
    plan = {"schema": SCHEMA, "data": folders, "limit": limit, "settings": chosen.model_dump(mode="json")}
    write_whole(out / PLAN, json.dumps(plan, indent=1) + "\n")


def load_plan(folder: Path) -> tuple[ChatSettings, list[Path], int | None]:
    """Settings, data folders and limit of a run's folder."""
    from chatspot.errors import DataError

    with needing_packages():
        from chatspot.data.regionchat.settings import parse_settings

    path = folder / PLAN
    try:
        plan = json.loads(path.read_text("utf-8"))
        settings, data, limit = plan["settings"], [Path(name) for name in plan["data"]], plan["limit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no plan of a RegionChat run ({error}); start with run or export") from error
    return parse_settings(settings, str(path)), data, limit


@contextmanager
def needing_packages() -> Iterator[None]:
    """Say which extra brings a package that is missing."""
    from chatspot.errors import DataError

    try:
        yield
    except ModuleNotFoundError as error:
        raise DataError(
            f"RegionChat needs the package {error.name}; install it with pip install 'chatspot[regionchat]'"
        ) from error


@contextmanager
def outcomes_bar(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal's stderr; what it gives takes each call's outcome."""
    from chatspot.progress import progress_bar

    counts: dict[str, int] = {}
    with progress_bar("calls", total) as advance:

        def step(outcome: str) -> None:
            counts[outcome] = counts.get(outcome, 0) + 1
            advance(title=", ".join(f"{n} {what}" for what, n in counts.items()))

        yield step


def show(report: dict[str, Any]) -> None:
    """Print a report as two columns."""
    from chatspot.cli.options import one_line
    from chatspot.data.regionchat.report import report_lines

    rows = report_lines(report)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name.ljust(width)}  {one_line(value)}")
