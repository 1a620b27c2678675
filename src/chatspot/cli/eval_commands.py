"""``chatspot eval``: ask held-out questions, score the answers, and put the numbers where people read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatspot.cli.eval_options import (
    Batch,
    CalibrationFile,
    Data,
    Detections,
    Device,
    Dialect,
    EngineKind,
    FocalView,
    FormOption,
    Ids,
    KeyVariable,
    Limit,
    Matching,
    Model,
    Name,
    Noise,
    ResultFolder,
    Source,
    Split,
    TaskName,
    Url,
    WayOption,
    of_model,
    spoken,
)

if TYPE_CHECKING:
    from chatspot.eval.opening import Chosen

NAMED_PARTS = ("train", "KEPT")  # folders of photo sets that are not held out, as recorded commands name them
eval_app = typer.Typer(name="eval", no_args_is_help=True, help="Measure how often the answers are right.")


@dataclass(frozen=True)
class Asking:
    """What is asked: the options that predict and run share."""

    task: str
    data: Path
    form: str | None
    noise: float
    limit: int | None
    ids: Path | None
    split: str | None
    source: str | None
    detections: Path | None


def asked_and_scored(
    context: typer.Context,
    task: TaskName,
    data: Data,
    out: Annotated[Path, typer.Option(help="predict: predictions (JSON lines), an interrupted run goes on. run: folder "
                                      "for predictions and result.")],
    form: FormOption = None,
    noise: Noise = 0.0,
    model: Model = None,
    engine: EngineKind = "chatspot",
    url: Url = None,
    dialect: Dialect = None,
    frame: Annotated[str | None, typer.Option(help="Where its numbers count; default: as its dialect says.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Leave the pictures out: what does language alone score?")] = (
        False
    ),
    key_variable: KeyVariable = None,
    name: Name = None,
    way: WayOption = None,
    limit: Limit = None,
    ids: Ids = None,
    split: Split = None,
    source: Source = None,
    detections: Detections = None,
    matching: Matching = None,
    batch: Batch = 32,
    keep_prompts: Annotated[bool, typer.Option("--keep-prompts", help="Keep prompts whole, not their hashes.")] = False,
    device: Device = "auto",
) -> None:  # fmt: skip
    """Both commands: what they ask is the same, run scores it too."""
    from chatspot.eval.opening import Chosen

    asking = Asking(task, data, form, noise, limit, ids, split, source, detections)
    chosen = Chosen(
        model=model, engine=engine, url=url, dialect=dialect, frame=frame, blind=blind,  # type: ignore[arg-type]
        key_variable=key_variable, device=device, way=way, name=name, parallel=batch,
    )  # fmt: skip
    if context.info_name == "predict":
        ask_all(asking, out, chosen, batch, keep_prompts)
        return
    stem = "-".join([task, *(each for each in (form, way, f"s{noise:g}" if noise else None) if each)])
    ask_all(asking, out / f"{stem}.jsonl", chosen, batch, keep_prompts)
    score_into(out / f"{stem}.jsonl", out / f"{stem}.json", matching)


eval_app.command("predict", help="Ask all questions of a task about a folder of pictures.")(asked_and_scored)
eval_app.command("run", help="Ask all questions of a task and score the answers.")(asked_and_scored)


def ask_all(asking: Asking, out: Path, chosen: Chosen, batch: int, keep_prompts: bool) -> None:
    """Ask what is to be asked and write the predictions."""
    from chatspot.data.faults import Faults
    from chatspot.eval.opening import open_engine
    from chatspot.eval.predict import RunFacts
    from chatspot.eval.predict import predict as predict_all
    from chatspot.eval.tasks import Draw, find_task, open_folder, questions_of, read_detections, read_ids

    task, faults = find_task(asking.task), Faults()
    folder = open_folder(task, asking.data, asking.split, asking.source)
    found = None if asking.detections is None else read_detections(asking.detections)
    questions = questions_of(
        task,
        folder,
        form=asking.form,
        limit=asking.limit,
        draw=Draw(asking.noise, found),
        pictures=None if asking.ids is None else read_ids(asking.ids),
        faults=faults,
    )
    for kind, count in faults.counts.items():
        typer.echo(f"{asking.data}: {kind}: {count} (left out)", err=True)
    engine, facts = open_engine(chosen)
    part = asking.data.resolve().parent.name
    place = f"PHOTOS/{part if part in NAMED_PARTS else 'heldout'}" if folder.source is None else "ORIGINAL"
    files = {name: each.name for name in ("ids", "detections") if (each := getattr(asking, name))}
    command = spoken("predict", task=asking.task, form=questions[0].extra["form"], noise=asking.noise or None,
                     data=f"{place}/{asking.data.resolve().name}", **of_model(chosen, facts["name"]),
                     way=chosen.way, limit=asking.limit, split=asking.split, source=asking.source, **files,
                     batch=batch, out=out.name)  # fmt: skip
    run_facts = RunFacts(facts, {**folder.facts(), **files}, command, asking.limit)
    outcome = predict_all(engine, questions, out, run_facts, batch=batch, way=chosen.way, keep_prompts=keep_prompts)
    typer.echo(f"{out}: {len(questions)} questions, {outcome.there} were answered before, {outcome.asked} now"
               + (f", {outcome.failed} failed (see their lines' \"error\")" if outcome.failed else ""))  # fmt: skip


@eval_app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="What 'chatspot eval predict' wrote.")],
    out: Annotated[Path | None, typer.Option(help="Result file, such as benchmarks/results/NAME.json.")] = None,
    matching: Matching = None,
    calibration: CalibrationFile = None,
) -> None:
    """Say how many answers are right, beside what guessing would get."""
    score_into(predictions, out, matching, calibration)


def score_into(predictions: Path, out: Path | None, matching: str | None, calibration: Path | None = None) -> None:
    """Score a predictions file, show the result and write it where one is wanted."""
    from chatspot.engine.calibration import read_calibration
    from chatspot.eval.matching import DEFAULT_RULE
    from chatspot.eval.predictions import read_predictions
    from chatspot.eval.score import score as score_file

    known = read_calibration(calibration) if calibration else None
    result = score_file(read_predictions(predictions), matching or DEFAULT_RULE, calibration=known)
    typer.echo(summary(result))
    write_json(result, out)


@eval_app.command()
def calibrate(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions on pictures that were not trained on.")],
    out: Annotated[Path, typer.Option(help="The calibration; a checkpoint keeps it as calibration.json.")],
    risk: Annotated[
        float, typer.Option(help="Share of wrong answers that may be among those given without a reserve.")
    ] = 0.2,
    matching: Matching = None,
) -> None:
    """Learn from answers with known truth how often answers as probable as these are right."""
    from chatspot.eval.calibration import calibrate as fitted
    from chatspot.eval.matching import DEFAULT_RULE

    found = fitted(predictions, risk=risk, matching=matching or DEFAULT_RULE)
    typer.echo(f"{found.n:,} answers of {found.model['name']}, {len(found.knots)} knots: right in "
               f"{found.knots[0][1]:.1%} to {found.knots[-1][1]:.1%} of the cases")  # fmt: skip
    typer.echo(f"sure from {found.threshold:.1%} on: {found.coverage:.1%} of the answers, {found.risk:.1%} of these "
               "are wrong")  # fmt: skip
    write_json(found.to_json(), out, "calibration")


@eval_app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Predictions of one model, form, way or noise.")],
    second: Annotated[Path, typer.Argument(help="Predictions of another, on the same data.")],
    out: Annotated[Path | None, typer.Option(help="Comparison file.")] = None,
    matching: Matching = None,
) -> None:
    """Say what the second file has more than the first, question by question."""
    from chatspot.eval.matching import DEFAULT_RULE
    from chatspot.eval.predictions import read_predictions
    from chatspot.eval.score import compare as compare_files

    found = compare_files(read_predictions(first), read_predictions(second), matching or DEFAULT_RULE)
    typer.echo(comparison_summary(found))
    write_json(found, out)


def write_json(result: dict[str, Any], out: Path | None, what: str = "result") -> None:
    """Write a result, comparison or calibration file, if one is wanted."""
    from chatspot.data.saving import saved_whole

    if out:
        with saved_whole(out, what) as half:
            half.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
        typer.echo(f"wrote {out}")


@eval_app.command(name="list")
def list_tasks() -> None:
    """Show the tasks: what they ask, by which forms, of which data."""
    from chatspot.eval.tasks import TASKS

    for task in TASKS.values():
        typer.echo(f"{task.name:12} {task.title}")
        typer.echo(f"{'':12} forms: {', '.join(task.forms)}; measures: {', '.join(m.name for m in task.measures)}")
        typer.echo(f"{'':12} data: heldout/{task.folder}, or the original files of {', '.join(task.sources)}")


@eval_app.command()
def pictures(
    instances: Annotated[Path, typer.Argument(help="COCO's instances_val2017.json, or a file in its layout.")],
    out: Annotated[Path, typer.Option(help="List for --ids of predict and run.")],
    count: Annotated[int, typer.Option("--n", min=1, help="How many pictures.")] = 1000,
) -> None:
    """Draw pictures by the published seed: COCO-1000 from instances_val2017.json."""
    from chatspot.eval.tasks import write_drawn_pictures

    typer.echo(f"wrote {out}: {count} pictures, SHA-256 of their names {write_drawn_pictures(instances, count, out)}")


@eval_app.command()
def ways(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions of the same task, shown in several ways.")],
    matching: Matching = None,
) -> None:
    """Show what each way to point is worth and what it costs: one line for each model and way, as Markdown."""
    from chatspot.eval.matching import DEFAULT_RULE
    from chatspot.eval.predictions import read_predictions
    from chatspot.eval.score import score as score_file
    from chatspot.eval.ways import table_of_ways

    results = [score_file(read_predictions(file), matching or DEFAULT_RULE) for file in predictions]
    typer.echo(table_of_ways(results), nl=False)


@eval_app.command()
def report(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions of one run, or of several to compare.")],
    out: Annotated[Path, typer.Option(help="The page, one HTML file.")] = Path("report.html"),
    photos: Annotated[
        Path | None, typer.Option(help="Folder with the photos, to draw single answers on (not for passing on).")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title; default: the models and what they were asked.")] = None,
    matching: Matching = None,
    calibration: CalibrationFile = None,
) -> None:
    """Write one page of tables, curves, confusions and single answers from predictions files alone."""
    from chatspot.engine.calibration import read_calibration
    from chatspot.eval.matching import DEFAULT_RULE
    from chatspot.eval.report import write_report

    known = read_calibration(calibration) if calibration else None
    write_report(predictions, out, photos=photos, title=title, matching=matching or DEFAULT_RULE, calibration=known)
    typer.echo(f"wrote {out}: {len(predictions)} predictions file(s), {out.stat().st_size / 1000:.0f} KB")


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
    from chatspot.eval.opening import Chosen, open_engine
    from chatspot.eval.provenance import source_commit, today
    from chatspot.eval.transcript import chosen_questions, exchanges, write_transcript

    questions = chosen_questions(data, count)
    way = None if focal_view is None else "focal" if focal_view else "text"
    engine, facts = open_engine(Chosen(model=model, device=device, way=way))
    folders = [f"PHOTOS/heldout/{folder.resolve().name}" for folder in data]
    command = spoken("transcript", data=folders, n=count, model=facts["name"], focal_view=engine.settings.focal_view)
    about = {"model": facts["name"], "command": command, "commit": source_commit(), "date": today()}
    for file in write_transcript(exchanges(engine, questions), out, photos, about):
        typer.echo(f"wrote {file}")
    typer.echo(f"overlays on the photos: {photos} (not for passing on)")


def summary(result: dict[str, Any]) -> str:
    """A result for the terminal."""
    from chatspot.eval.tables import in_unit, way_title, with_interval

    noise = f", s = {result['noise']:g}" if result["noise"] else ""
    lines = [
        f"{result['task']} by {result['form']}{noise}, shown as {way_title(result['way'])}: "
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
    lines += confidence_lines(result["confidence"])
    lines += [
        f"  always {majority['answer']!r}: {100 * majority['accuracy']:.1f} %",
        f"  could not be read (counted as wrong): {result['unread']}; failed (not scored): {result['errors']}",
        f"  shares in %; {result['interval']}; chance: these answers dealt out at random",
    ]
    return "\n".join(lines)


def confidence_lines(known: dict[str, Any] | None) -> list[str]:
    """What the answers' probabilities are worth, for the terminal; nothing where they have none."""
    if known is None:
        return []
    right = ", ".join(f"{100 * right:.1f} at {100 * float(share):.0f}" for share, right in known["accuracy_at"].items())
    lines = [
        f"  by probability, surest first: AURC {100 * known['aurc']:.1f} (unranked {100 * known['risk']:.1f}); right "
        f"{right} % coverage; ECE {100 * known['ece']:.1f} ({known['probability']})"
    ]
    if known["threshold"]:
        sure = known["threshold"]
        risks = [
            f"{100 * risk:.1f}" if (risk := sure[name]) is not None else "-" for name in ("risk", "risk_of_others")
        ]
        lines.append(f"  sure from {100 * sure['probability']:.1f} on: {100 * sure['coverage']:.1f} % of the answers, "
                     f"{risks[0]} % of these are wrong, of the others {risks[1]} %")  # fmt: skip
    return lines


def comparison_summary(found: dict[str, Any]) -> str:
    """A comparison for the terminal."""
    sides = [f"{side['model']['name']} by {side['form']} ({side['way']}, s = {side['noise']:g})"
             for side in (found["first"], found["second"])]  # fmt: skip
    lines = [
        f"{found['task']}: {sides[1]} against {sides[0]}, {found['n']} questions about {found['pictures']} pictures"
    ]
    for name, one in found["measures"].items():
        lines.append(
            f"  {name:24} {one['first']:7.3f} -> {one['second']:7.3f}  difference {one['difference']:+.3f} "
            f"[{one['low']:+.3f}, {one['high']:+.3f}]  {one['wins']} won, {one['losses']} lost, p = {one['p']:.2g}"
        )
    return "\n".join([*lines, f"  ({found['interval']}; p: exact two-sided sign test, McNemar's)"])
