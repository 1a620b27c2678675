"""The numbers of docs/api.md are those of the committed results."""

from __future__ import annotations

import os

from documents import ROOT
from load_table import load_section, with_load

PAGE = ROOT / "docs" / "api.md"


def test_the_load_is_that_which_was_measured() -> None:
    text = PAGE.read_text("utf-8")
    found = with_load(text, load_section(ROOT / "benchmarks" / "results"))
    if os.environ.get("CHATSPOT_UPDATE_README"):
        PAGE.write_text(found, "utf-8")
        return
    assert text == found
