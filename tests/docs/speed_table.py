"""The table of training speed in docs/train.md, made from the committed result of ``benchmarks/training_speed.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def speed_table(results: Path) -> str:
    """The rows and a note on how they were measured."""
    found: dict[str, Any] = json.loads((results / "training_speed.json").read_text("utf-8"))
    lines = ["| what | dialogues/s | times Trainer | three epochs, times Trainer | peak GB |",
             "| --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    lines += [
        f"| {row['row']} | {row['dialogues_per_s']:.2f} | {row['times_first_row']:.2f} | "
        f"{row['times_first_row_3_epochs']:.2f} | {row['peak_mb'] / 1024:.2f} |"
        for row in found["rows"]
    ]
    first, machine = found["rows"][0], found["machine"]
    note = (
        f"{first['dialogues']:.0f} dialogues about {first['pictures']:.0f} pictures, one pass; {machine['processor']}, "
        f"{machine['cores']} cores, PyTorch {found['torch']}, {found['date'][:10]}."
    )
    return "\n".join([*lines, "", note])
