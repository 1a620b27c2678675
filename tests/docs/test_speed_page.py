"""docs/speed.md says what was measured."""

from __future__ import annotations

import pytest
from documents import ROOT, assert_renewed, filled
from engine_table import engine_table

PAGE, RESULT = ROOT / "docs" / "speed.md", ROOT / "benchmarks" / "results" / "engine_speed.json"


def test_the_engines_numbers_are_those_that_were_measured() -> None:
    if not RESULT.is_file():
        pytest.skip("benchmarks/engine_speed.py has not been run")
    assert_renewed(PAGE, lambda text: filled(text, engine=engine_table(RESULT)))
