"""``chatspot eval``: ask held-out questions, score the answers, and put the numbers where people read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chatspot.engine.torch_engine import TorchEngine

eval_app = typer.Typer(name="eval", no_args_is_help=True, help="Measure how often the answers are right.")

NANO = "chatspot-nano"
Model = Annotated[str | None, typer.Option(help="Checkpoint folder or hub id; default: nano.")]
FocalView = Annotated[
    bool | None, typer.Option("--focal-view/--no-focal-view", help="Default: as the checkpoint says.")
]
Device = Annotated[str, typer.Option(help='"auto", "cpu", or a GPU such as "cuda:0".')]
ResultFolder = Annotated[Path, typer.Option(help="Folder of result files.")]


Task = Annotated[str, typer.Option(help="What is asked; 'chatspot eval list' shows the tasks.")]
Data = Annotated[Path, typer.Option(help="Folder of region JSON lines or of a data set's original files.")]
FormOption = Annotated[
    str | None, typer.Option(help="How regions are pointed at: box, point, polygon, mask, scribble or picture.")
]
Noise = Annotated[float, typer.Option(min=0, max=0.99, help="Jitter boxes by this share of their sides (s).")]
Limit = Annotated[int | None, typer.Option(min=1, help="Ask only so many, drawn by a fixed seed.")]
Batch = Annotated[int, typer.Option(min=1, help="Questions answered together.")]
Split = Annotated[str | None, typer.Option(help="Split of the original files; default: a held-out one.")]
Ids = Annotated[Path | None, typer.Option(help="File of picture names (coco:139), one a line: ask about these alone.")]
Predictions = Annotated[Path, typer.Option(help="Predictions (JSON lines); an interrupted run goes on.")]


@eval_app.command()
def predict(
    task: Task,
    data: Data,
    out: Predictions,
    form: FormOption = None,
    noise: Noise = 0.0,
    model: Model = None,
    focal_view: FocalView = None,
    limit: Limit = None,
    ids: Ids = None,
    split: Split = None,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """Ask all questions of a task about a folder of held-out pictures."""
    from chatspot.data.faults import Faults
    from chatspot.eval.predict import RunFacts
    from chatspot.eval.predict import predict as predict_all
    from chatspot.eval.tasks import Draw, find_task, open_folder, questions_of, read_ids

    folder, faults = open_folder(find_task(task), data, split), Faults()
    pictures = None if ids is None else read_ids(ids)
    questions = questions_of(find_task(task), folder, form=form, limit=limit, draw=Draw(noise), pictures=pictures,
                             faults=faults)  # fmt: skip
    for kind, count in faults.counts.items():
        typer.echo(f"{data}: {kind}: {count}", err=True)
    engine, facts = open_engine(model, focal_view, device)
    command = spoken("predict", task=task, form=questions[0].extra["form"], noise=noise or None,
                     data=f"PHOTOS/heldout/{data.resolve().name}", model=facts["name"],
                     focal_view=engine.settings.focal_view, limit=limit, ids=ids.name if ids else None, split=split,
                     batch=batch, out=out.name)  # fmt: skip
    outcome = predict_all(engine, questions, out, RunFacts(facts, folder.facts(), command, limit), batch=batch)
    typer.echo(f"{out}: {len(questions)} questions, {outcome.there} were answered before, {outcome.asked} now"
               + (f", {outcome.failed} failed (see their lines' \"error\")" if outcome.failed else ""))  # fmt: skip


@eval_app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="What 'chatspot eval predict' wrote.")],
    out: Annotated[Path | None, typer.Option(help="Result file, such as benchmarks/results/NAME.json.")] = None,
) -> None:
    """Say how many answers are right, beside what guessing would get."""
    from chatspot.eval.predictions import read_predictions
    from chatspot.eval.score import score as score_file

    result = score_file(read_predictions(predictions))
    typer.echo(summary(result))
    write_result(result, out)


def write_result(result: dict[str, Any], out: Path | None) -> None:
    """Write a result file, if one is wanted."""
    from chatspot.data.saving import saved_whole

    if out:
        with saved_whole(out, "result") as half:
            half.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
        typer.echo(f"wrote {out}")


@eval_app.command()
def tables(
    results: ResultFolder = Path("benchmarks/results"),
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="File with the markers; may be given again. Default: README, and MODEL_CARD if it "
                     "has them."),
    ] = None,
) -> None:  # fmt: skip
    """Write the results table into README.md and MODEL_CARD.md."""
    from chatspot.eval.tables import BEGIN, write_tables

    if not files:
        card = Path("MODEL_CARD.md")
        has_markers = card.is_file() and BEGIN in card.read_text("utf-8")
        files = [Path("README.md"), *([card] if has_markers else [])]
    changed = write_tables(results, files)
    for file in files:
        typer.echo(f"{file}: {'updated' if file in changed else 'up to date'}")


@eval_app.command()
def transcript(
    data: Annotated[list[Path], typer.Option(help="Held-out folder; may be given again.")],
    count: Annotated[int, typer.Option("--n", min=1, help="How many questions.")] = 10,
    out: Annotated[Path, typer.Option(help="The page is OUT.md, its drawings lie in the folder OUT.")] = Path(
        "docs/transcript"
    ),
    photos: Annotated[Path, typer.Option(help="Overlays on the photos themselves; git must ignore it.")] = Path(
        "runs/transcript"
    ),
    model: Model = None,
    focal_view: FocalView = None,
    device: Device = "auto",
) -> None:
    """Ask a few held-out questions and show question, region, answer and truth."""
    from chatspot.eval.provenance import source_commit, today
    from chatspot.eval.transcript import chosen_questions, exchanges, write_transcript

    questions = chosen_questions(data, count)
    engine, facts = open_engine(model, focal_view, device)
    folders = [f"PHOTOS/heldout/{folder.resolve().name}" for folder in data]
    command = spoken("transcript", data=folders, n=count, model=facts["name"], focal_view=engine.settings.focal_view)
    about = {"model": facts["name"], "command": command, "commit": source_commit(), "date": today()}
    for file in write_transcript(exchanges(engine, questions), out, photos, about):
        typer.echo(f"wrote {file}")
    typer.echo(f"overlays on the photos: {photos} (not for passing on)")


def open_engine(model: str | None, focal_view: bool | None, device: str) -> tuple[TorchEngine, dict[str, Any]]:
    """The engine over a checkpoint (None: nano), and what result files say of the model."""
    from chatspot.engine.torch_engine import TorchEngine
    from chatspot.eval.provenance import model_facts, nano_facts
    from chatspot.model.checkpoint import load_checkpoint
    from chatspot.model.nano import nano_checkpoint

    checkpoint = load_checkpoint(nano_checkpoint() if model is None else model)
    engine = TorchEngine(checkpoint, device=device, focal_view=focal_view)
    facts = nano_facts(NANO) if model is None else model_facts(checkpoint.path, Path(model).name)
    return engine, {**facts, "dtype": str(engine.dtype).removeprefix("torch.")}


def spoken(command: str, **options: Any) -> str:
    """A command as somebody else would type it: PHOTOS for where their photos are, nano left out, no other paths."""
    words = ["chatspot", "eval", command]
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
        elif isinstance(value, list):
            words += [f"--{option} {each}" for each in value]
        elif value is not None and (name, value) != ("model", NANO):
            words.append(f"--{option} {value}")
    return " ".join(words)


def summary(result: dict[str, Any]) -> str:
    """A result for the terminal."""
    from chatspot.eval.tables import WAYS, in_unit, with_interval

    noise = f", s = {result['noise']:g}" if result["noise"] else ""
    lines = [
        f"{result['task']} by {result['form']}{noise}, shown as {WAYS.get(result['way'], result['way'])}: "
        f"{result['n']} answers about {result['pictures']} pictures",
        f"  {'':44} {'result':>20}  {'chance':>6}  {'n':>6}",
    ]
    for measure in result["measures"].values():
        chance = in_unit(measure["chance"], measure["unit"])
        lines.append(f"  {measure['title']:44} {with_interval(measure):>20}  {chance:>6}  {measure['n']:>6,}")
    for name, group in (result["groups"] or {}).items():
        lines.append(
            f"    of these {name:35} {with_interval({**group, 'unit': 'share'}):>20}  {'':>6}  {group['n']:>6,}"
        )
    majority = result["majority"]
    lines += [
        f"  always {majority['answer']!r}: {100 * majority['accuracy']:.1f} %",
        f"  could not be read (counted as wrong): {result['unread']}; failed (not scored): {result['errors']}",
        f"  shares in %; {result['interval']}; chance: these answers dealt out at random",
    ]
    return "\n".join(lines)
