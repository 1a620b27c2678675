"""The README's table of times, made from committed result files.

``benchmarks/latency.py`` writes ``latency.json``. ``fresh-clone.json`` is written by hand after the two commands were
timed in a fresh clone without a cache: ``{"demo_s": ..., "test_s": ..., "machine": "...", "date": "..."}``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LATENCY, FRESH_CLONE = "latency.json", "fresh-clone.json"


def times_table(results: Path) -> str:
    """The table and a note on how it was measured, from the two files in ``results``; either may be missing."""
    rows, notes = [], []
    if (results / FRESH_CLONE).is_file():
        fresh = read(results / FRESH_CLONE)
        rows += [("`make demo`, fresh clone, nothing cached", minutes(fresh["demo_s"]), "")]
        rows += [("`make test` after it", minutes(fresh["test_s"]), "")]
        notes.append(f"The two commands: {fresh['machine']}, {fresh['date']}.")
    if (results / LATENCY).is_file():
        latency = read(results / LATENCY)
        targets, machine = latency["targets"], latency["machine"]
        rows += [
            ("first token about a new picture", f"{latency['new_image_s']:.2f} s", f"{targets['new_image_s']:g} s"),
            (
                "... about a further region",
                f"{latency['other_region_s']:.2f} s",
                f"{targets['other_region_s']:g} s",
            ),
            ("decoding", f"{latency['tokens_per_s']:.0f} tokens/s", f"bound {latency['bound_per_s']:.0f} tokens/s"),
            ("peak memory", f"{latency['peak_rss_gb']:.2f} GB", f"{targets['peak_rss_gb']:g} GB"),
        ]
        notes.append(
            f"The rest: medians of {latency['runs']} on {machine['cpu']}, {machine['cores']} cores, "
            f"{latency['dtype']}, {latency['date']}, by `benchmarks/latency.py` with the torch engine; the bound is "
            "measured memory bandwidth by bytes of weights. Nano's default on CPUs is [faster](docs/speed.md)."
        )
    lines = ["| what | measured | target |", "| --- | ---: | ---: |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), "", *notes]) if rows else ""


def read(file: Path) -> dict[str, Any]:
    """A result file."""
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return content


def minutes(seconds: float) -> str:
    """Seconds as people say them."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
