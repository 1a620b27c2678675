"""Predictions files whose answers have probabilities, for tests of calibration."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MODEL = {"name": "m", "files": {"w.bin": "1" * 64}}


def write_answers(file: Path, answers: Iterable[tuple[float | None, bool]], **header: Any) -> Path:
    """A predictions file of task words: each answer has a summed log-probability, and is right or not."""
    lines = [
        {"id": f"words/p{at}#0", "question": "?", "region": {"box": [0, 0, 1, 1]}, "size": [80, 60], "truth": "stop",
         "answer": "STOP" if right else "x", "logprob": logprob, "finish": "end", "tokens": [20, 2],
         "extra": {"form": "box"}}
        for at, (logprob, right) in enumerate(answers)
    ]  # fmt: skip
    facts: dict[str, Any] = {
        "kind": "predictions", "format": 2, "task": "words", "form": "box", "way": "focal", "noise": 0.0,
        "questions": len(lines), "questions_sha256": "0" * 64, "model": MODEL, "settings": {}, "limit": None,
        "data": {"folder": "words"}, "commit": "c0ffee", "machine": {}, "date": "2024-01-01", "command": "chatspot ...",
    }  # fmt: skip
    file.write_text("".join(json.dumps(each) + "\n" for each in ({**facts, **header}, *lines)), "utf-8")
    return file


def spread(count: int) -> list[tuple[float, bool]]:
    """Answers whose log-probability falls evenly; of ten neighbours the more are right the surer they are."""
    return [(-0.05 * at, at % 10 >= 10 * at // count) for at in range(count)]
