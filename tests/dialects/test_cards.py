"""The page of dialects is what the specifications say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from chatspot.dialects import DIALECTS
from chatspot.dialects.cards import card, dialect_page

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
RENEW = "run CHATSPOT_UPDATE_DOCS=1 pytest tests/dialects/test_cards.py"


def test_the_page_is_up_to_date() -> None:
    if os.environ.get("CHATSPOT_UPDATE_DOCS"):
        PAGE.write_text(dialect_page(), "utf-8")
    assert PAGE.read_text("utf-8") == dialect_page(), RENEW


@pytest.mark.parametrize("name", list(DIALECTS))
def test_every_dialect_has_a_card_with_frame_numbers_source_and_example(name: str) -> None:
    dialect = DIALECTS[name]
    text = card(dialect)
    assert text.startswith(f"## {name}\n")
    for part in ("Counts in: ", "Numbers: ", "Source: ", dialect.example):
        assert part in text
    if dialect.grid:
        assert "Moves at most: " in text
    assert text in dialect_page()


def test_the_example_of_the_page_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", dialect_page(), re.DOTALL).groups()  # type: ignore[union-attr]
    exec(code, {})
    assert capsys.readouterr().out == shown
