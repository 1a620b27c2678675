"""The results table of README and model card, generated from committed result files; nobody types a number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chatspot.errors import DataError
from chatspot.eval.score import KIND
from chatspot.eval.tasks import TASKS, find_task

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = ("model", "task", "pointed by", "focal view", "n", "accuracy %", "by class %", "majority %", "chance %")
TASK_TITLES = {
    "coco": "name the object (COCO)",
    "words": "read the word (ICDAR 2015)",
    "plates": "read the plate (OpenALPR)",
    "names": "name the object (own labels)",
}


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
            find_task(result["task"])
            results.append(result)
    tasks = list(TASKS)
    return sorted(
        results, key=lambda r: (r["model"]["name"], tasks.index(r["task"]), r["form"], not r["focal_view"], r["date"])
    )


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table with a note on how to read it. Raises ``DataError`` when there is none."""
    if not results:
        raise DataError("there is no result to show; make one with 'chatspot eval score'")
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "|".join([" --- "] * 4 + [" ---: "] * 5) + "|"]
    lines += ["| " + " | ".join(row(result)) + " |" for result in results]
    dates = sorted({str(result["date"])[:10] for result in results})
    machines = sorted({machine_words(result["machine"]) for result in results})
    return "\n".join([
        *lines,
        "",
        f"Held-out photos, wrong answers counted as wrong; in brackets: {results[0]['interval']}. *By class*: "
        "the mean of the classes' accuracies. *Majority*: always "
        "giving the commonest truth. *Chance*: these answers dealt out at random. When an answer is right is stated in "
        "`src/chatspot/eval/matching.py`; the whole record of each row, with its command, is in `benchmarks/results/`. "
        f"Measured {' to '.join(dict.fromkeys([dates[0], dates[-1]]))} on {'; '.join(machines)}.",
    ])  # fmt: skip


def row(result: dict[str, Any]) -> list[str]:
    """One result as the cells of COLUMNS."""
    count = f"{result['n']:,}"
    if result["limit"] is not None:
        count += " (drawn)"
    if result["errors"]:
        count += f" ({result['errors']:,} failed)"
    return [
        str(result["model"]["name"]),
        TASK_TITLES.get(result["task"], result["task"]),
        result["form"],
        "on" if result["focal_view"] else "off",
        count,
        with_interval(result["micro"]),
        with_interval(result["macro"]) if result["macro"] else "",
        f"{100 * result['majority']['accuracy']:.1f}",
        f"{100 * result['chance']:.1f}",
    ]


def with_interval(value: dict[str, float]) -> str:
    """A share as per cent with its bounds, such as "61.2 [58.8, 63.5]"."""
    return f"{100 * value['value']:.1f} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def machine_words(machine: dict[str, Any]) -> str:
    """A machine in a few words."""
    where = machine.get("device", "cpu")
    place = machine["processor"] if where == "cpu" else f"{where} beside {machine['processor']}"
    return f"{place}, {machine['cores']} cores"


def with_table(text: str, table: str, where: str) -> str:
    """``text`` with ``table`` between its markers. Raises ``DataError`` naming ``where`` unless each is there once, in
    order."""
    begin, end = text.find(BEGIN), text.find(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or end < begin:
        raise DataError(f"{where} needs the lines {BEGIN} and {END}, each once and in this order, around the results")
    return f"{text[: begin + len(BEGIN)]}\n{table}\n{text[end:]}"


def write_tables(results: Path, files: Iterable[Path]) -> list[Path]:
    """Put the table of the result folder ``results`` into each file; gives back those that changed."""
    table = results_table(read_results(results))
    changed = []
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} does not exist; it should hold {BEGIN} and {END}")
        old = file.read_text("utf-8")
        new = with_table(old, table, str(file))
        if new != old:
            file.write_text(new, "utf-8")
            changed.append(file)
    return changed
