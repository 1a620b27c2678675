"""The example of docs/notebook.md runs as it stands and prints what is shown."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from trained_nano import trained

pytest.importorskip("anywidget", reason="pip install 'chatspot[widget]'")

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@trained
def test_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = BLOCK.findall((ROOT / "docs" / "notebook.md").read_text("utf-8"))
    assert [language for language, _ in found] == ["python", "python", "text"]
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for language, text in found:
            if language == "python":
                exec(text, names)
    assert printed.getvalue() == found[-1][1]
