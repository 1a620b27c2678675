"""The tables of load in docs/api.md, made from the committed results of ``benchmarks/serve_load.py`` and its soak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UNMEASURED = "Not measured yet: `python benchmarks/serve_load.py` and `python benchmarks/serve_soak.py`."


def load_section(results: Path) -> str:
    """The rows, how they were measured, and what the soak found."""
    files = [results / name for name in ("serve_load.json", "serve_soak.json")]
    load, soak = (json.loads(file.read_text("utf-8")) if file.is_file() else None for file in files)
    parts = [*load_lines(load), *soak_lines(soak)] if load or soak else [UNMEASURED]
    return "\n".join(parts)


def load_lines(found: dict[str, Any] | None) -> list[str]:
    """The table of load."""
    if found is None:
        return []
    lines = [
        "| clients | answers | errors | answers/s | first token s, 50 / 95 / 99 % | whole answer s, 50 / 95 / 99 % |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in found["rows"]:
        first, total = (" / ".join(f"{row[name][key]:.2f}" for key in ("p50", "p95", "p99"))
                        for name in ("first_s", "total_s"))  # fmt: skip
        errors = sum(row["errors"].values())
        lines.append(f"| {row['row']} | {row['n']:,} | {errors} | {row['answers_per_s']:.2f} | {first} | {total} |")
    machine, same = found["machine"], found["same_answers"]
    return [
        *lines,
        "",
        f"{found['seconds']:g} s a row, clients and server on one machine ({machine['processor']}, {machine['cores']} "
        f"cores), {found['model']}, {found['date'][:10]}. Answers computed together come "
        f"{found['batched_times_single']:.1f} times as fast as one at a time; of {same['questions']} questions that "
        f"both were asked, {same['alike']} were answered alike.",
    ]


def soak_lines(found: dict[str, Any] | None) -> list[str]:
    """What the soak found."""
    if found is None:
        return []
    requests = sum(found["done"].values())
    return [
        "",
        f"In {found['minutes']:g} minutes of mixed load ({requests:,} requests: answers, new pictures, clients that "
        f"leave, bodies that break off, requests that are refused) its memory changed by {found['growth_mb']:+.1f} MB "
        f"after the first third, {found['slope_mb_per_hour']:+.1f} MB an hour.",
    ]
