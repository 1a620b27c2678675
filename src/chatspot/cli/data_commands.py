"""``chatspot data``: which sources can be read, what is wrong in them, what they look like, what a build holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chatspot.cli.build_commands import build
from chatspot.cli.regionchat_commands import regionchat_app
from chatspot.errors import DataError

if TYPE_CHECKING:
    from chatspot.data.looking import DataSet, Findings
    from chatspot.data.sources.source import Source

data_app = typer.Typer(name="data", no_args_is_help=True, help="Make training data, and look at it.")

UNHEALTHY = DataError.exit_code
T = TypeVar("T")

Folders = Annotated[
    list[Path],
    typer.Argument(
        help="A build, a folder of region JSON lines or of such folders, or with --source a set in its own files."
    ),
]
SourceName = Annotated[str | None, typer.Option("--source", help="Read the folders as this source (see data list).")]
Split = Annotated[str | None, typer.Option(help="The source's split; its first one by default.")]
Seed = Annotated[int, typer.Option(help="Another seed draws other samples.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data_app.callback()
def data() -> None:
    """Make training data, and look at it."""


@data_app.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """Show the sources that can be read: licence, homepage, splits and the files each needs."""
    from chatspot.data.sources.table import SOURCES

    if as_json:
        typer.echo(json.dumps([source_facts(source) for source in SOURCES.values()], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Sources", title_justify="left", show_lines=True)
    for column in ("source", "use", "licence", "split: files"):
        table.add_column(column, overflow="fold")  # an address or a path that is cut short is of no use
    for source in SOURCES.values():
        files = "\n".join(f"{split}: {', '.join(names)}" for split, names in source.files.items())
        name = f"[bold]{escape(source.name)}[/]\n{escape(source.title)}\n[dim]{escape(source.homepage)}[/]"
        table.add_row(name, source.role, Text(source.licence), Text(files))
    Console().print(table)


def source_facts(source: Source) -> dict[str, Any]:
    """A source, for programs."""
    return {
        "name": source.name,
        "title": source.title,
        "role": source.role,
        "licence": source.licence,
        "homepage": source.homepage,
        "files": {split: list(names) for split, names in source.files.items()},
    }


@data_app.command()
def doctor(
    folders: Folders,
    source: SourceName = None,
    split: Split = None,
    decode: Annotated[bool, typer.Option(help="Decode every picture to its end, or read headers only.")] = True,
    show: Annotated[int, typer.Option(min=0, help="So many findings of each kind are shown.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Find missing, corrupt, turned and wrong-sized pictures, and regions that cannot be used.

    Leaves with 6 when a picture or an entry is lost, or a set cannot be read.
    """
    from chatspot.data.looking import examine, find_sets

    reports = []
    with progress("Pictures") as step:
        for data_set in find_sets(folders, source, split):
            reports.append(examine(data_set, decode=decode, step=step))
    if as_json:
        typer.echo(json.dumps([report.to_json() for report in reports], indent=2, ensure_ascii=False))
    else:
        print_findings(reports, show)
    if not all(report.healthy for report in reports):
        raise typer.Exit(UNHEALTHY)


def print_findings(reports: list[Findings], show: int) -> None:
    """A table of the sets, a table of what was found in them, and the first findings of each kind."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from chatspot.data.looking.doctor import COSTS, FATAL

    console = Console()
    sets = Table("set", "", title="Sets", title_justify="left")
    for column in ("pictures", "regions", "askable", "dialogues"):
        sets.add_column(column, justify="right")
    for report in reports:
        verdict = Text("healthy", "green") if report.healthy else Text("ill", "bold red")
        annotated = report.data_set.kind == "source"
        askable = f"{report.askable_regions:,}" if annotated else ""
        dialogues = "" if annotated else f"{report.dialogues:,}"
        sets.add_row(
            Text(report.data_set.name), verdict, f"{report.pictures:,}", f"{report.regions:,}", askable, dialogues
        )
    console.print(sets)
    faults = Table("set", "finding", title="Findings", title_justify="left")
    faults.add_column("count", justify="right")
    faults.add_column("what it costs")
    for report in reports:
        for kind, count in sorted(report.faults.counts.items(), key=lambda item: (item[0] not in FATAL, -item[1])):
            style = "bold red" if kind in FATAL else ""
            faults.add_row(Text(report.data_set.name), Text(kind, style), f"{count:,}", COSTS.get(kind, ""))
    if faults.row_count:
        console.print(faults)
    else:
        console.print("No findings.")
    for report in reports:
        if report.fatal_error:
            console.print(Text(f"{report.data_set.name}: {report.fatal_error}", "bold red"), soft_wrap=True)
        for kind, count in sorted(report.faults.counts.items()):
            shown = report.examples(kind, show)
            for fault in shown:
                place = f"{report.data_set.name}/{fault.where}" if len(reports) > 1 else fault.where
                console.print(Text(f"{place}: {kind}: {fault.what}"), soft_wrap=True)
            if shown and count > len(shown):
                console.print(Text(f"  and {count - len(shown):,} more: {kind}", "dim"), soft_wrap=True)


@data_app.command()
def inspect(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Folder for the sheets, sheet-001.png and so on.")],
    source: SourceName = None,
    split: Split = None,
    count: Annotated[int, typer.Option(min=1, help="So many dialogues are drawn.")] = 27,
    task: Annotated[str | None, typer.Option(help="Only dialogues of this task.")] = None,
    sample: Annotated[list[str] | None, typer.Option(help="The dialogue of this id; may be given again.")] = None,
    seed: Seed = 0,
) -> None:
    """Draw pictures with their regions and dialogues on sheets (PNG)."""
    from chatspot.data.faults import Faults
    from chatspot.data.looking import Survey, find_sets, pictures_of, write_sheets
    from chatspot.data.looking.pictures import only

    sets = find_sets(folders, source, split)
    wanted = set(sample or ())
    survey = Survey(seed)
    with progress("Pictures") as step:
        for data_set in sets:
            for picture in stepping(pictures_of(data_set, Faults()), step):
                survey.add(only(picture, task, wanted), keep=count)
    if not survey.dialogues:
        asked = ", ".join([*([f"task {task}"] if task else []), *sorted(wanted)]) or "any dialogue"
        raise DataError(f"{names_of(sets)}: found no dialogue that is {asked}; look with 'chatspot data doctor', or at "
                        "the tasks with 'chatspot data stats'")  # fmt: skip
    for path in write_sheets(survey.samples(count), out):
        typer.echo(path)


@data_app.command()
def stats(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="The card, an HTML file.")],
    source: SourceName = None,
    split: Split = None,
    title: Annotated[str | None, typer.Option(help="The card's title; the sets' names by default.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="So many dialogues are drawn on the card.")] = 24,
    seed: Seed = 0,
) -> None:
    """Write the data card: one HTML page with counts, sizes, answers, rejects and drawn samples."""
    from chatspot.data.faults import Faults
    from chatspot.data.looking import Survey, data_card, find_sets, pictures_of
    from chatspot.data.looking.card import rejected_by, rejected_dialogues, write_card
    from chatspot.data.shards import read_manifest

    sets = find_sets(folders, source, split)
    survey, rejected = Survey(seed), dict[str, dict[str, int]]()
    with progress("Pictures") as step:
        for data_set in sets:
            faults = Faults()
            for picture in stepping(pictures_of(data_set, faults), step):
                survey.add(picture, keep=2 if samples else 0)
            rejected |= {data_set.name: dict(faults.counts)}
            if data_set.kind == "regionchat":
                rejected[data_set.name] |= rejected_dialogues(data_set.folder)
    one_build = len(sets) == 1 and sets[0].kind == "build"
    manifest = read_manifest(sets[0].folder).facts if one_build else None
    if manifest:
        rejected |= rejected_by(manifest)
    name = title or (manifest or {}).get("name") or names_of(sets)
    html = data_card(survey, title=name, about=about(sets), rejected=rejected, manifest=manifest, samples=samples)
    write_card(html, out)
    typer.echo(
        f"{out}: {survey.pictures:,} pictures, {survey.dialogues:,} dialogues, {out.stat().st_size / 1e6:.1f} MB"
    )


def names_of(sets: list[DataSet]) -> str:
    """The sets' names, not too many of them."""
    names = [data_set.name for data_set in sets]
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def about(sets: list[DataSet]) -> str:
    """A sentence on where the card's dialogues come from."""
    kinds = {data_set.kind for data_set in sets}
    if kinds == {"build"}:
        return "Built shards: every dialogue that training reads from them is counted here."
    if kinds == {"regionchat"}:
        return "Dialogues that a RegionChat run wrote and that passed its checks."
    if kinds == {"source"}:
        return "Annotated pictures. The dialogues are those that rules make from the annotations with default settings."
    return "Sets of several kinds: builds and RegionChat runs as they are stored, sources with dialogues made by rules."


@contextmanager
def progress(what: str) -> Iterator[Callable[[], None]]:
    """A count on the terminal while something is read: ``with progress("Pictures") as step: step()``."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    terminal = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda: bar.advance(task)


def stepping(items: Iterable[T], step: Callable[[], None]) -> Iterator[T]:
    """The items, ``step`` called after each."""
    for item in items:
        yield item
        step()


@data_app.command()
def keep(
    photos: Annotated[Path, typer.Option(help="Folder of folders of region JSON lines.")],
    out: Annotated[Path, typer.Option(help="Where the kept pictures are copied to.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the pictures of each folder.")] = 0.05,
    seed: Seed = 0,
) -> None:
    """Keep some pictures back from training, to calibrate by: copy a share of them.

    A build with --drop-leaks leaves them out where its configuration lists their folders under "evaluation".
    """
    from chatspot.data.keeping import keep_back

    for name, count in keep_back(photos, out, share, seed).items():
        typer.echo(f"{out / name}: {count} pictures")


@data_app.command()
def draw(
    photos: Annotated[Path, typer.Option(help="Folder of training photo folders (coco, voc2012, ...).")],
    out: Annotated[Path, typer.Option(help="Where the folders words, plates, cutouts and colours are written.")],
    fonts: Annotated[list[Path], typer.Option(help="Folder with freely licensed fonts; may be given again.")],
    scale: Annotated[float, typer.Option(help="Multiplies the number of pictures.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other pictures.")] = 0,
) -> None:
    """Draw words, number plates and cut-outs on photos, and give things in them other colours, as region JSON lines."""
    from chatspot.data.drawn import draw_training_pictures
    from chatspot.model import gguf
    from chatspot.model.weights import language_weights

    tokens = gguf.read_gguf(language_weights())[0]["tokenizer.ggml.tokens"]
    for name, count in draw_training_pictures(photos, out, fonts, tokens, scale=scale, seed=seed).items():
        typer.echo(f"{out / name}: {count} pictures")


data_app.command()(build)
data_app.add_typer(regionchat_app)
