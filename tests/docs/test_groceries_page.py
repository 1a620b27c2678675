"""The numbers of docs/groceries.md are those of the committed result files."""

from __future__ import annotations

from documents import ROOT, assert_renewed
from groceries_page import with_numbers

PAGE, RESULTS = ROOT / "docs" / "groceries.md", ROOT / "benchmarks" / "results" / "groceries"


def test_the_page_says_what_was_measured() -> None:
    assert_renewed(PAGE, lambda text: with_numbers(text, RESULTS))
