"""``chatspot annotate``: one question about every region of a folder of pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatspot.cli import options
from chatspot.errors import DataError, MessageError

if TYPE_CHECKING:
    from chatspot.data.faults import Faults
    from chatspot.engine import Engine


class Out(StrEnum):
    """What ``--out`` takes."""

    coco = "coco"
    jsonl = "jsonl"
    csv = "csv"
    labelstudio = "labelstudio"


def annotate(
    folder: Annotated[Path, typer.Argument(help="The folder with the pictures.", show_default=False)],
    regions: Annotated[
        Path, typer.Option(help="COCO's JSON, a detector's results, or region JSON lines.", show_default=False)
    ],
    ask: Annotated[str, typer.Option(help="The question; {region} is the region's place.", show_default=False)],
    out: Annotated[Out, typer.Option(help="The format of the answers.")] = Out.coco,
    to: Annotated[
        Path | None, typer.Option(help="The file to write; annotated.coco.json and the like by default.")
    ] = None,
    min_score: Annotated[float, typer.Option(help="Leave out regions that a detector was less sure of.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Regions asked about together.")] = 16,
    show: Annotated[int, typer.Option(min=0, help="So many findings of each kind are shown.")] = 5,
    long: options.Long = False,
    max_new_tokens: options.MaxNewTokens = 64,
    no_focal_view: options.NoFocalView = False,
    model: options.Model = None,
    device: options.Device = "auto",
    engine: options.EngineKind = "auto",
) -> None:
    """Ask about every region: chatspot annotate PHOTOS --regions boxes.json --ask "What is this?" --out coco

    Answers are kept in a .answers.jsonl file beside the output as they come; the same command goes on after a stop, and
    with another --out writes the same answers in another format.
    """
    from chatspot.annotate.journal import open_journal
    from chatspot.annotate.outputs import WRITERS, About, annotated, label_studio_config
    from chatspot.annotate.region_files import read_regions
    from chatspot.annotate.run import Asking, annotate
    from chatspot.data.faults import Faults
    from chatspot.data.saving import write_whole
    from chatspot.progress import progress_bar

    if not ask.strip() or ask.count("{region}") > 1:
        raise MessageError("--ask is a question with at most one {region}")
    faults = Faults()
    records = list(read_regions(regions, folder, faults, min_score))
    askable = sum(region.askable for record in records for region in record.regions)
    if not askable:
        print_findings(faults, show)
        raise DataError(f"{regions} names no region that can be asked about of a picture below {folder}")
    default_name, write = WRITERS[out]
    target = to or Path(default_name)
    asking = Asking(ask, options.answer_style(long), max_new_tokens)
    answering = open_engine(model, device, engine, no_focal_view)
    about = {"model": answering.name, "question": ask, "style": asking.style, "max_new_tokens": max_new_tokens,
             "settings": answering.settings.to_json()}  # fmt: skip
    with open_journal(journal_file(target), about) as journal:
        with progress_bar("regions", askable) as advance:
            outcome = annotate(answering, records, folder, asking, journal, faults, batch=batch, advance=advance)
        pictures = annotated(records, folder, journal)
    try:
        write_whole(target, write(pictures, About(answering.name, asking)))
        if out is Out.labelstudio:
            write_whole(target.with_suffix(".xml"), label_studio_config(pictures))
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error}); choose another --to") from error
    print_findings(faults, show)
    typer.echo(f"{target}: {outcome.asked:,} regions asked, {outcome.there:,} answered before, "
               f"{outcome.failed:,} failed, {outcome.skipped:,} skipped")  # fmt: skip


def open_engine(model: str | None, device: str, engine: options.EngineKind, no_focal_view: bool) -> Engine:
    """What answers."""
    return options.open_spot(model, device, engine, no_focal_view=no_focal_view).engine


def journal_file(target: Path) -> Path:
    """Where the answers are kept: beside the output, under its name without endings, so that all formats share it."""
    return target.with_name(f"{target.name.split('.')[0] or 'annotated'}.answers.jsonl")


def print_findings(faults: Faults, show: int) -> None:
    """What could not be used, counted, and the first findings of each kind; on standard error."""
    for kind, count in sorted(faults.counts.items()):
        typer.echo(f"{count:,} {kind}", err=True)
        shown = [fault for fault in faults.kept if fault.kind == kind][:show]
        for fault in shown:
            typer.echo(f"  {options.one_line(f'{fault.where}: {fault.what}')}", err=True)
        if count > len(shown):
            typer.echo(f"  and {count - len(shown):,} more", err=True)
