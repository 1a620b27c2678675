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


@eval_app.command()
def predict(
    task: Annotated[str, typer.Option(help="coco, words, plates, or names (your own labels).")],
    data: Annotated[Path, typer.Option(help="Folder of region JSON lines, such as heldout/coco.")],
    out: Annotated[Path, typer.Option(help="Predictions (JSON lines); an interrupted run goes on.")],
    form: Annotated[str, typer.Option(help="How regions are pointed at: box or point.")] = "box",
    model: Model = None,
    focal_view: FocalView = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only so many, drawn by a fixed seed.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions answered together.")] = 16,
    device: Device = "auto",
) -> None:
    """Ask all questions of a task about a folder of held-out pictures."""
    from chatspot.eval.predict import RunFacts
    from chatspot.eval.predict import predict as predict_all
    from chatspot.eval.provenance import data_facts
    from chatspot.eval.tasks import find_task, questions_of

    questions = questions_of(find_task(task), data, form=form, limit=limit)
    engine, facts = open_engine(model, focal_view, device)
    command = spoken("predict", task=task, form=form, data=f"PHOTOS/heldout/{data.resolve().name}", model=facts["name"],
                     focal_view=engine.settings.focal_view, limit=limit, batch=batch, out=out.name)  # fmt: skip
    outcome = predict_all(engine, questions, out, RunFacts(facts, data_facts(data), command, limit), batch=batch)
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
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
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
    from chatspot.eval.tables import with_interval

    lines = [
        f"{result['task']} by {result['form']}, focal view {'on' if result['focal_view'] else 'off'}: "
        f"{result['n']} answers about {result['pictures']} pictures",
        f"  accuracy              {with_interval(result['micro'])} %",
    ]
    if result["macro"]:
        lines.append(f"  mean over {len(result['classes']):>3} classes  {with_interval(result['macro'])} %")
    lines += [
        f"  always {result['majority']['answer']!r:<14} {100 * result['majority']['accuracy']:.1f} %",
        f"  these answers, dealt at random  {100 * result['chance']:.1f} %",
        f"  unmatched answers     {result['unmatched']}",
        f"  failed, not scored    {result['errors']}",
        f"  ({result['interval']})",
    ]
    return "\n".join(lines)
