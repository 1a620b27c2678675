"""The results table of README and model card, generated from committed result files; nobody types a number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chatspot.data.saving import write_whole
from chatspot.errors import DataError
from chatspot.eval.score import FORMAT, KIND
from chatspot.eval.tasks import TASKS, find_task
from chatspot.eval.ways import FOCAL, WAYS

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
BRIEF = "<!-- results:begin brief -->"  # in the place of BEGIN: one row for each task and model, its plainest
COLUMNS = ("model", "task", "pointed by", "shown", "n", "measure", "result", "by class %", "majority %", "chance %")


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The evaluation results in a folder's JSON files, in the table's order; files of other kinds are passed over.

    Raises ``DataError`` for a file that is no JSON.
    """
    results = []
    for file in sorted(folder.glob("*.json")):
        try:
            result = json.loads(file.read_text("utf-8"))
        except ValueError as error:
            raise DataError(f"{file} is no JSON ({error}); score again") from error
        if isinstance(result, dict) and result.get("kind") == KIND:
            if result.get("format") != FORMAT:
                raise DataError(f"{file} has format {result.get('format')!r}, this version reads {FORMAT}; score again")
            find_task(result["task"])
            results.append(result)
    return sorted(results, key=place)


def place(result: dict[str, Any]) -> tuple[Any, ...]:
    """Where a result stands in the table: by model, task, form, way, noise and date."""
    tasks, ways = list(TASKS), [FOCAL.name, *WAYS]
    way = ways.index(result["way"]) if result["way"] in ways else len(ways)
    return (result["model"]["name"], tasks.index(result["task"]), result["form"], way, result["noise"], result["date"])


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table with a note on how to read it. Raises ``DataError`` when there is none."""
    if not results:
        raise DataError("there is no result to show; make one with 'chatspot eval score'")
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "|".join([" --- "] * 4 + [" ---: ", " --- "] + [" ---: "] * 4) + "|",
    ]
    lines += ["| " + " | ".join(row(result)) + " |" for result in results]
    dates = sorted({str(result["date"])[:10] for result in results})
    machines = sorted({machine_words(result["machine"]) for result in results})
    return "\n".join([
        *lines,
        "",
        "Held-out photos. An answer that says nothing which could be compared counts as wrong. In brackets: "
        f"{results[0]['interval']}. *By class*: the mean of the classes' accuracies. *Majority*: always giving the "
        "commonest truth. *Chance*: these answers dealt out at random. What each task asks and when an answer is right "
        "is stated in `docs/bench.md`; the whole record of each row, with its command, is in `benchmarks/results/`. "
        f"Measured {' to '.join(dict.fromkeys([dates[0], dates[-1]]))} on {'; '.join(machines)}.",
    ])  # fmt: skip


def plainest(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first result of each model, task and set of photos in the table's order: by box, in the model's own way,
    without noise."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for result in sorted(results, key=place):
        first.setdefault((result["model"]["name"], title(result)), result)
    return list(first.values())


def row(result: dict[str, Any]) -> list[str]:
    """One result as the cells of COLUMNS."""
    count = f"{result['n']:,}"
    if result["limit"] is not None:
        count += " (drawn)"
    if result["errors"]:
        count += f" ({result['errors']:,} failed)"
    measures = result["measures"]
    main = measures[result["main"]]
    noise = f", s = {result['noise']:g}" if result["noise"] else ""
    return [
        str(result["model"]["name"]),
        title(result),
        result["form"] + noise,
        way_title(result["way"]),
        count,
        main["title"],
        with_interval(main),
        with_interval(measures["macro"]) if "macro" in measures else "",
        f"{100 * result['majority']['accuracy']:.1f}" if result["majority"] else "",
        in_unit(main["chance"], main["unit"]),
    ]


def title(result: dict[str, Any]) -> str:
    """What was asked, and of which photos if not the task's own: "name the object (own labels): clothing"."""
    task, folder = find_task(result["task"]), result["data"].get("folder")
    return task.title if folder in (task.folder, None) else f"{task.title}: {folder}"


def way_title(name: str) -> str:
    """How regions are shown, in a word or two."""
    return WAYS[name].title if name in WAYS else name


def with_interval(measure: dict[str, Any]) -> str:
    """A measure with its bounds, a share as per cent: "61.2 [58.8, 63.5]"."""
    value, low, high = (in_unit(measure[name], measure["unit"]) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if low else value


def in_unit(value: float | None, unit: str) -> str:
    """A number as people read it: a share as per cent; "" for None."""
    if value is None:
        return ""
    return f"{100 * value:.1f}" if unit == "share" else f"{value:.2f}"


def machine_words(machine: dict[str, Any]) -> str:
    """A machine in a few words."""
    where = machine.get("device", "cpu")
    place = machine["processor"] if where == "cpu" else f"{where} beside {machine['processor']}"
    return f"{place}, {machine['cores']} cores"


def with_table(text: str, results: Sequence[dict[str, Any]], where: str) -> str:
    """``text`` with the results' table between its markers. Raises ``DataError`` naming ``where`` unless there is BEGIN
    or BRIEF, once, and then END."""
    brief = BRIEF in text
    begin = BRIEF if brief else BEGIN
    if text.count(BEGIN) + text.count(BRIEF) != 1 or text.count(END) != 1 or text.find(END) < text.find(begin):
        raise DataError(f"{where} needs the lines {BEGIN} (or {BRIEF}) and {END}, each once and in this order, around "
                        "the results")  # fmt: skip
    before, after = text.split(begin)[0], text.split(END)[1]
    return f"{before}{begin}\n{results_table(plainest(results) if brief else results)}\n{END}{after}"


def write_tables(results: Path, files: Iterable[Path]) -> list[Path]:
    """Put the table of the result folder ``results`` into each file; gives back those that changed."""
    found = read_results(results)
    changed = []
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} does not exist; it should hold {BEGIN} and {END}")
        old = file.read_text("utf-8")
        new = with_table(old, found, str(file))
        if new != old:
            write_whole(file, new)
            changed.append(file)
    return changed
