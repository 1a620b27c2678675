"""PAPER.md names symbols and tests: each must be there, and every open question of the paper must have a decision."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAPER = (ROOT / "PAPER.md").read_text("utf-8")
SYMBOL = re.compile(r"`(chatspot(?:\.\w+)+):([A-Za-z_][\w.]*)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
SYMBOLS = sorted(set(SYMBOL.findall(PAPER)))
TESTS = sorted(set(TEST.findall(PAPER)))
OPEN_QUESTIONS = 12
SECTION = "## Where the paper is silent or contradicts itself"


def named(module: str, path: str) -> Any:
    """The object at ``path`` in ``module``; a field of a class that has no default counts by its annotation."""
    found: Any = import_module(module)
    for name in path.split("."):
        annotations = getattr(found, "__annotations__", {})
        found = annotations[name] if not hasattr(found, name) and name in annotations else getattr(found, name)
    return found


def rows(section: str) -> list[list[str]]:
    """The cells of each row of the table under a heading, without its head."""
    _, _, text = PAPER.partition(section + "\n")
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize(("module", "path"), SYMBOLS, ids=[f"{module}:{path}" for module, path in SYMBOLS])
def test_every_symbol_is_there(module: str, path: str) -> None:
    assert named(module, path) is not None


@pytest.mark.parametrize(("path", "name"), TESTS, ids=[f"{path}::{name}" for path, name in TESTS])
def test_every_test_is_there(path: str, name: str) -> None:
    assert (ROOT / path).is_file(), f"there is no {path}"
    source = (ROOT / path).read_text("utf-8")
    assert re.search(rf"^def {name or 'test_'}", source, re.MULTILINE), f"{path} has no {name or 'test'}"


def test_no_name_in_the_form_of_a_symbol_is_passed_over() -> None:
    in_code = re.findall(r"`([^`\n]+)`", PAPER)
    modules = [text for text in in_code if text.startswith("chatspot.")]
    paths = [text for text in in_code if text.startswith("tests/")]
    assert modules
    assert paths
    assert [text for text in modules if not SYMBOL.fullmatch(f"`{text}`")] == []
    assert [text for text in paths if not TEST.fullmatch(f"`{text}`")] == []


def test_every_open_question_has_a_decision_a_reason_a_place_and_a_test() -> None:
    table = rows(SECTION)
    assert [row[0] for row in table] == [str(number) for number in range(1, OPEN_QUESTIONS + 1)]
    for number, question, decision, reason, place, test in table:
        assert all((question, decision, reason)), f"row {number} is incomplete"
        assert SYMBOL.search(place), f"row {number} names no place in the code"
        assert TEST.search(test), f"row {number} names no test"


def test_every_fact_of_the_paper_has_a_place_and_a_test() -> None:
    table = rows("## Facts of the paper")
    assert table
    for fact, place, test in table:
        assert SYMBOL.search(place), f"no place in the code for: {fact}"
        assert TEST.search(test), f"no test for: {fact}"
