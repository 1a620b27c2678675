"""The numbers of docs/groceries.md are those of the committed result files."""

from __future__ import annotations

import os

from documents import ROOT
from groceries_page import with_numbers

PAGE, RESULTS = ROOT / "docs" / "groceries.md", ROOT / "benchmarks" / "results" / "groceries"


def test_the_page_says_what_was_measured() -> None:
    text = PAGE.read_text("utf-8")
    found = with_numbers(text, RESULTS)
    if os.environ.get("CHATSPOT_UPDATE_README"):
        PAGE.write_text(found, "utf-8")
        return
    assert text == found
