"""The bar counts on standard error, and only for who looks at a terminal."""

from __future__ import annotations

import pytest

from chatspot.progress import progress_bar


@pytest.mark.parametrize("shown", [None, False])
def test_without_a_terminal_nothing_is_written(shown: bool | None, capfd: pytest.CaptureFixture[str]):
    with progress_bar("asking", 3, shown=shown) as advance:
        advance()
    assert capfd.readouterr() == ("", "")


def test_what_is_done_is_counted_and_the_title_may_change(capfd: pytest.CaptureFixture[str]):
    with progress_bar("asking", 5, done=1, shown=True) as advance:
        advance()
        advance(2, title="2 failed")
    out, err = capfd.readouterr()
    assert out == ""
    assert "2 failed" in err
    assert "4/5" in err
