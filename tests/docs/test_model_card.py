"""MODEL_CARD.md says what was measured."""

from __future__ import annotations

from card_sections import sections
from documents import ROOT, assert_renewed, filled


def test_the_cards_numbers_are_those_that_were_measured() -> None:
    assert_renewed(ROOT / "MODEL_CARD.md", lambda text: filled(text, **sections(ROOT)))
