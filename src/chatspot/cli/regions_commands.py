"""``chatspot regions``: from one model's way to write regions to another's, and what is wrong with a file of them."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatspot.cli.options import one_line, save_overlay
from chatspot.errors import DataError, MessageError, RegionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chatspot.dialects import Dialect, Frame, Mention, Written
    from chatspot.dialects.check import Finding, Fit
    from chatspot.dialects.records import TextRecord

regions_app = typer.Typer(
    name="regions", no_args_is_help=True, help="Regions in other models' words: convert them, check them."
)

FAULTY = RegionError.exit_code
RECORDS = (".json", ".jsonl")
Photo = Annotated[Path | None, typer.Option("--image", help="The picture of every text that names none.")]
Folder = Annotated[Path | None, typer.Option("--images", help="Folder of the pictures that records name.")]
FrameName = Annotated[str | None, typer.Option(help="whole, padded or resized; the dialect's usual one by default.")]
Resized = Annotated[str | None, typer.Option(help="WIDTH,HEIGHT that the model resizes the picture to (qwen2.5-vl).")]


@regions_app.callback()
def regions() -> None:
    """Regions in other models' words: convert them, check them."""


@regions_app.command("list")
def list_dialects() -> None:
    """Show the dialects, each with its frame and an example."""
    from chatspot.dialects import DIALECTS

    width = max(map(len, DIALECTS))
    for dialect in DIALECTS.values():
        typer.echo(f"{dialect.name.ljust(width)}  {dialect.frames[0]:7}  {one_line(dialect.example)}")


@dataclass(frozen=True)
class Side:
    """One end of a conversion: the dialect, and its frame as the options name it."""

    dialect: Dialect
    frame_name: str | None
    resized: str | None

    def frame(self, record: TextRecord) -> Frame | None:
        """The frame for a record's picture; None for the dialect's usual one."""
        from chatspot.dialects import Frame

        if self.resized is None:
            return None if self.frame_name is None else Frame.of_kind(self.frame_name, record.size)  # type: ignore[arg-type]
        try:
            width, height = map(int, self.resized.split(","))
        except ValueError as error:
            raise RegionError(f"a resized picture is WIDTH,HEIGHT in pixels, got {self.resized!r}") from error
        return Frame.resized(record.size, (width, height))


@regions_app.command()
def convert(
    source: Annotated[str, typer.Option("--from", help="The dialect of the text (see regions list).")],
    target: Annotated[str, typer.Option("--to", help="The dialect to write.")],
    file: Annotated[Path | None, typer.Argument(help="Plain text, .json or .jsonl; standard input by default.")] = None,
    image: Photo = None,
    images: Folder = None,
    from_frame: FrameName = None,
    to_frame: FrameName = None,
    from_resized: Resized = None,
    to_resized: Resized = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Write a shape without a form as the next plainer one.")
    ] = False,
) -> None:
    """Rewrite a text, or the texts of a file's records, in another model's dialect, and print it."""
    from chatspot.dialects import find_dialect

    reading = Side(find_dialect(source), from_frame, from_resized)
    writing = Side(find_dialect(target), to_frame, to_resized)
    for record in records_of(file, image, images):
        try:
            entry = converted(record, reading, writing, approximate=approximate)
        except (RegionError, MessageError) as error:
            raise type(error)(f"{record.where}: {error}") from error
        if writing.dialect.beside or (file and file.suffix in RECORDS):
            typer.echo(json.dumps(entry, ensure_ascii=False))
        else:
            typer.echo(entry["text"], nl=False)


def converted(record: TextRecord, reading: Side, writing: Side, *, approximate: bool) -> dict[str, Any]:
    """A record with its texts in another dialect; regions that stand beside a text go into it or come out of it."""
    from chatspot.dialects import read_text, write_text
    from chatspot.dialects.records import beside_of, one_text, with_beside, without_beside

    def rewritten(text: str, beside: Sequence[Mention] = ()) -> Written:
        pieces = read_text(text, reading.dialect, size=record.size, frame=reading.frame(record), beside=beside)
        return write_text(
            pieces, writing.dialect, size=record.size, frame=writing.frame(record), approximate=approximate
        )

    if not (reading.dialect.beside or writing.dialect.beside):
        return record.with_texts(lambda text: rewritten(text).text)
    if reading.dialect.beside:
        written = rewritten(*beside_of(record, reading.dialect))
    else:
        written = rewritten(one_text(record, writing.dialect))
    if writing.dialect.beside:
        return with_beside(record, written, writing.dialect)
    return without_beside(record, written)


def records_of(file: Path | None, image: Path | None, images: Path | None) -> Iterable[TextRecord]:
    """The records of a file, or standard input as one text about ``image``."""
    from chatspot.dialects.records import TextRecord, read_records
    from chatspot.images import open_image

    if file is not None:
        yield from read_records(file, image=image, images=images)
        return
    if image is None:
        raise DataError("a text from standard input needs --image: its numbers mean nothing without the picture's size")
    yield TextRecord("standard input", open_image(image).size, image, {"text": sys.stdin.read()})


@regions_app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Plain text, .json or .jsonl with texts that hold regions.")],
    dialect: Annotated[str | None, typer.Option(help="What the file should be in; else the best fit.")] = None,
    image: Photo = None,
    images: Folder = None,
    most: Annotated[int, typer.Option(min=1, help="So many records are read.")] = 2000,
    draw: Annotated[Path | None, typer.Option(help="Folder for drawn samples, sample-001.png and so on.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="So many records are drawn.")] = 20,
    seed: Annotated[int, typer.Option(help="Another seed draws other samples.")] = 0,
    show: Annotated[int, typer.Option(min=0, help="So many findings of each kind are shown.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which dialect, frame and order a file's regions fit best, and flag those that cannot be meant.

    Leaves with 2 when a region cannot be meant, or when another dialect or frame fits better than the one asked for.
    """
    from chatspot.dialects import find_dialect
    from chatspot.dialects.check import equally_good, find_faults, rank_fits

    wanted = None if dialect is None else find_dialect(dialect)
    if wanted is not None and wanted.grid is None:
        raise RegionError(f"{wanted.name} has no numbers in its texts, so there is nothing to check")
    records = list(islice(records_of(file, image, images), most))
    found = [record.sample() for record in records]
    fits = rank_fits(found)
    best = equally_good(fits)
    if not best:
        raise DataError(f"{file}: no dialect finds a region in its {len(records)} texts; see 'chatspot regions list'")
    judged = wanted or next((fit.dialect for fit in best if fit.is_usual), best[0].dialect)
    faults = list(find_faults(found, judged))
    agrees = any(fit.dialect is judged and fit.is_usual for fit in best)
    if as_json:
        typer.echo(json.dumps(report(judged, agrees, best, faults), indent=2, ensure_ascii=False))
    else:
        print_report(judged, agrees, best, faults, show)
    if draw is not None:
        chosen = random.Random(seed).sample(records, min(samples, len(records)))
        for path in drawn(chosen, judged, draw):
            typer.echo(path, err=as_json)
    if faults or not agrees:
        raise typer.Exit(FAULTY)


def described(fit: Fit) -> dict[str, Any]:
    """A fit, for programs."""
    return {
        "dialect": fit.dialect.name,
        "frame": fit.frame,
        "order": fit.order,
        "usual": fit.is_usual,
        "regions": fit.regions,
        "possible": fit.possible,
        "mean_iou": fit.mean_iou,
    }


def report(judged: Dialect, agrees: bool, best: list[Fit], faults: list[Finding]) -> dict[str, Any]:
    """What was found, for programs."""
    listed = [{"kind": fault.kind, "where": fault.where, "what": fault.what} for fault in faults]
    return {"dialect": judged.name, "agrees": agrees, "best": [described(fit) for fit in best], "faults": listed}


def print_report(judged: Dialect, agrees: bool, best: list[Fit], faults: list[Finding], show: int) -> None:
    """The best fits, then the findings by kind."""
    for fit in best:
        overlap = "" if fit.mean_iou is None else f", mean IoU {fit.mean_iou:.2f} with the true boxes"
        unusual = "" if fit.is_usual else "  (not as the dialect is meant)"
        typer.echo(f"fits: {fit.dialect.name}, frame {fit.frame}, {fit.order}: {fit.possible:,} of {fit.regions:,} "
                   f"regions possible{overlap}{unusual}")  # fmt: skip
    if len(best) > 1:
        typer.echo("These cannot be told apart by the file alone.")
    if not agrees:
        typer.echo(f"{judged.name} in its frame ({judged.frames[0]}) fits worse.")
    typer.echo(f"read as {judged.name}: {len(faults):,} regions cannot be meant" if faults else
               f"read as {judged.name}: every region can be meant")  # fmt: skip
    for kind in dict.fromkeys(fault.kind for fault in faults):
        of_kind = [fault for fault in faults if fault.kind == kind]
        typer.echo(f"{kind}: {len(of_kind):,}")
        for fault in of_kind[:show]:
            typer.echo(f"  {fault.where}: {one_line(fault.what)}")


def drawn(records: Sequence[TextRecord], dialect: Dialect, folder: Path) -> Iterable[Path]:
    """Draw the records that name a picture, those regions that can be; gives each file."""
    from chatspot.dialects import Frame
    from chatspot.dialects.check import attempt, items_of
    from chatspot.dialects.scanner import scan
    from chatspot.images import open_image

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be made: {error.strerror or error}") from error
    for number, record in enumerate((each for each in records if each.picture), 1):
        assert record.picture is not None
        picture = open_image(record.picture)
        frame = Frame.of_kind(dialect.frames[0], picture.size)
        shapes, labels = [], []
        for found in scan(record.sample().text, dialect):
            for values in items_of(found):
                region = attempt(found, values, dialect, frame)
                if region is not None:
                    shapes.append(region)
                    labels.append(found.label)
        path = folder / f"sample-{number:03}.png"
        save_overlay(path, picture, shapes, labels)
        yield path
