"""The numbers of docs/groceries.md, made from committed result files (``benchmarks/groceries.py`` writes them)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from documents import filled

from chatspot.eval.tables import read_results, results_table
from chatspot.train.abilities.retention import abilities_from_json, abilities_table


def with_numbers(text: str, results: Path) -> str:
    """The page with every number as the files in ``results`` say."""
    run: dict[str, Any] = json.loads((results / "run.json").read_text("utf-8"))
    abilities = json.loads((results / "abilities.json").read_text("utf-8"))
    before, after = (abilities_from_json(abilities[when]) for when in ("before", "after"))
    machine = run["machine"]
    ran = (
        f"On {machine['cores']} cores ({machine['processor']}): {run['steps']:,} steps over {run['dialogues']:,} "
        f"dialogues in {run['seconds'] / 60:.0f} minutes, vision features included; {run['peak_mb'] / 1000:.1f} GB of "
        "memory."
    )
    return filled(
        text,
        run=ran,
        results=results_table(read_results(results)),
        abilities=f"```text\n{abilities_table(before, after)}\n```",
    )
