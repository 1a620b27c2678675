"""Parts of Markdown files: fenced code blocks, and places that are filled with what was measured."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``language`` and ``note`` of its first line, ``body`` between the fences, where that stands."""

    language: str
    note: str
    body: str
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text, in order."""
    return [Block(m[1], m[2].strip(), m[3], m.start(3), m.end(3)) for m in FENCE.finditer(text)]


def documents() -> list[Path]:
    """The Markdown files for readers."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])


def filled(text: str, **parts: str) -> str:
    """``text`` with each part between its markers, ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    for name, part in parts.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        assert tail, f"the page has no place for {name}"
        text = "\n".join([f"{head}{begin}", *([part] if part else []), f"{end}{tail}"])
    return text


def assert_renewed(page: Path, renewed: Callable[[str], str]) -> None:
    """The page is as ``renewed`` writes it from what was measured; CHATSPOT_UPDATE_README=1 writes it."""
    text = page.read_text("utf-8")
    found = renewed(text)
    if os.environ.get("CHATSPOT_UPDATE_README"):
        page.write_text(found, "utf-8")
        return
    assert text == found, "run CHATSPOT_UPDATE_README=1 pytest tests/docs"
