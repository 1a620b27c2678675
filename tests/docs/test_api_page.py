"""The numbers of docs/api.md are those of the committed results."""

from __future__ import annotations

from documents import ROOT, assert_renewed, filled
from load_table import load_section

PAGE = ROOT / "docs" / "api.md"


def test_the_load_is_that_which_was_measured() -> None:
    assert_renewed(PAGE, lambda text: filled(text, load=load_section(ROOT / "benchmarks" / "results")))
