"""Every committed result says what it was measured with: a number that nobody can trace is no result."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))


def test_there_are_results() -> None:
    assert RESULTS


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_says_when_where_and_with_which_code(path: Path) -> None:
    found = json.loads(path.read_text("utf-8"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d.*", found["date"])
    assert re.fullmatch(r"[0-9a-f]{40}(, [0-9a-f]{40})*", found["commit"]), "measured with code that is not committed"
    assert found["machine"]
