"""What the documents say about the tree, about other files and about commands is so."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from documents import ROOT, blocks, documents

from chatspot.cli.main import app

TREE_HEADING = "## What is where"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^(?:# |\$ )?(chatspot [^\n]*)$", re.MULTILINE)
RECIPES = sorted((ROOT / "configs").glob("*/*.yaml"))
LARGEST_PARTS = 25_000_000  # bytes of nano's trained parts together
LARGEST_OTHER = 1_000_000  # bytes of any other file
LONGEST_MODULE = 700  # lines


def tracked() -> list[str]:
    """The paths that git keeps."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout, so it cannot be said which files belong to it")
    return [path for path in done.stdout.split("\0") if path]


def tree_entries() -> Iterator[tuple[str, str]]:
    """Path and clause of each line of the README's tree; two blanks of indentation are one level."""
    _, _, text = (ROOT / "README.md").read_text("utf-8").partition(TREE_HEADING)
    parents: list[str] = []
    for line in blocks(text)[0].body.splitlines():
        name, _, clause = line.strip().partition(" ")
        parents = [*parents[: (len(line) - len(line.lstrip())) // 2], name]
        yield "".join(parents), clause.strip()


def test_the_readmes_tree_is_the_real_one() -> None:
    shown = dict(tree_entries())
    assert [path for path, clause in shown.items() if not clause] == []
    folders = [path for path in shown if path.endswith("/")]
    opened = ["", *(folder for folder in folders if any(path != folder and path.startswith(folder) for path in shown))]
    real = set()
    for folder in opened:
        for path in tracked():
            if path.startswith(folder):
                name, slash, _ = path.removeprefix(folder).partition("/")
                real.add(folder + name + slash)
    assert set(shown) == real


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = [target.split("#")[0] for target in LINK.findall(document.read_text("utf-8"))]
    inner = [target for target in targets if target and "://" not in target]
    assert [target for target in inner if not (document.parent / target).exists()] == []


def written_commands() -> list[tuple[str, str]]:
    """Each command line of ours in a document's shell blocks or in the head of a recipe, with where it stands."""
    found = []
    for document in documents():
        bodies = [b.body for b in blocks(document.read_text("utf-8")) if b.language in ("sh", "console")]
        found += [(command, document.name) for body in bodies for command in COMMAND.findall(body.replace("\\\n", " "))]
    for recipe in RECIPES:
        head = [line for line in recipe.read_text("utf-8").splitlines() if line.startswith("# chatspot ")]
        assert head, f"{recipe} does not begin with the command that runs it"
        found += [(line.removeprefix("# "), recipe.name) for line in head]
    return found


@pytest.mark.parametrize(("command", "where"), written_commands())
def test_commands_and_their_options_exist(command: str, where: str) -> None:
    words = shlex.split(command.split(" | ")[0], comments=True)[1:]
    current: Any = typer.main.get_command(app)
    while words and words[0] in getattr(current, "commands", {}):
        current = current.commands[words.pop(0)]
    assert not hasattr(current, "commands") or words[:1] == ["--help"], f"{where}: {command}: no such command"
    known = {name for parameter in current.params for name in [*parameter.opts, *parameter.secondary_opts]}
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given - known - {"--help"} == set(), f"{where}: {command}"


def test_every_file_keeps_to_the_budget() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in tracked() if (ROOT / path).is_file()}
    weights = {path for path in sizes if path.startswith("src/chatspot/weights/")}
    assert sum(sizes[path] for path in weights) <= LARGEST_PARTS
    assert {path: size for path, size in sizes.items() if path not in weights and size > LARGEST_OTHER} == {}
    modules = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in sizes if path.endswith(".py")}
    assert {path: lines for path, lines in modules.items() if lines > LONGEST_MODULE} == {}
