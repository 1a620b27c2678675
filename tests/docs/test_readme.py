"""The README's examples are run as they stand, with the trained nano; what they print is compared with what is shown.

``CHATSPOT_UPDATE_README=1 pytest tests/docs/test_readme.py`` writes what they print now into the README.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, Block, assert_renewed, blocks, filled
from times import times_table

from trained_nano import trained

README = ROOT / "README.md"
EXAMPLES = "src/chatspot/examples"
NOT_RUN = "not-run"  # stands behind "python" where an example needs what a test cannot have
CONFIDENCE = re.compile(r"(?<=\"confidence\": )0\.\d+")
UPDATE = bool(os.environ.get("CHATSPOT_UPDATE_README"))


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ('{"confidence": 0.9505}', '{"confidence": 0.9487}', True),
        ('{"confidence": 0.9505}', '{"confidence": 0.9105}', False),
        ('{"confidence": 0.9505}', "{}", False),
        ('{"loss": 0.9505}', '{"loss": 0.9504}', False),
        ("a cat", "a  cat", True),
        ("a cat", "a cot", False),
        ("a ...", "a cat", True),
    ],
)
def test_what_counts_as_the_same(shown: str, printed: str, equal: bool) -> None:
    assert same(shown, printed) is equal


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the examples: only the example pictures, where the checkout has them."""
    shutil.copytree(ROOT / EXAMPLES, tmp_path / EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(shown: str, printed: str) -> bool:
    """Whether what is shown is what was printed; ``...`` stands for anything.

    A confidence may differ by 0.03: processors multiply 8 bits and bfloat16 in different ways (0.0104 between a Xeon
    and an EPYC was seen). So examples should ask what nano is sure of.
    """
    numbers = [[float(number) for number in CONFIDENCE.findall(text)] for text in (shown, printed)]
    if numbers[0] != pytest.approx(numbers[1], abs=0.03):
        return False
    shown, printed = (CONFIDENCE.sub("CONFIDENCE", text) for text in (shown, printed))
    return OutputChecker().check_output(shown, printed, ELLIPSIS | NORMALIZE_WHITESPACE)


def compare(found: list[tuple[Block, str]]) -> None:
    """Compare blocks with what they should hold, or, when updating, write it into the README."""
    assert found, "the README has no example"
    if UPDATE:
        text = README.read_text("utf-8")
        for block, printed in sorted(found, key=lambda pair: -pair[0].start):
            text = text[: block.start] + printed + text[block.end :]
        README.write_text(text, "utf-8")
        return
    for block, printed in found:
        assert same(block.body, printed), f"the README shows\n{block.body}\nit is\n{printed}"


def commands(body: str) -> list[str]:
    """The commands of a console block: the lines behind "$ "."""
    return [line.removeprefix("$ ") for line in body.splitlines() if line.startswith("$ ")]


def run(command: str) -> str:
    """What a command prints, run in a shell that finds this environment's programs first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@trained
def test_console_examples(checkout: Path) -> None:
    consoles = [block for block in blocks(README.read_text("utf-8")) if block.language == "console"]
    compare([(block, "".join(f"$ {line}\n{run(line)}" for line in commands(block.body))) for block in consoles])
    assert list(checkout.glob("*.png")), "no example saves an overlay"


@trained
def test_python_examples(checkout: Path) -> None:
    every = blocks(README.read_text("utf-8"))
    names: dict[str, Any] = {}
    found = []
    for block, follower in pairwise(every):
        if block.language == "python" and block.note != NOT_RUN:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.body, "README.md", "exec"), names)
            assert follower.language == "text", f"no output is shown for\n{block.body}"
            found.append((follower, printed.getvalue()))
    compare(found)


def test_imports_of_examples_that_are_not_run() -> None:
    examples = [b for b in blocks(README.read_text("utf-8")) if b.language == "python" and b.note == NOT_RUN]
    assert examples
    for block in examples:
        tree = ast.parse(block.body)
        imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert imports
        exec(compile(ast.Module(imports, []), "README.md", "exec"), {})


def test_times_are_those_of_the_committed_results() -> None:
    assert_renewed(README, lambda text: filled(text, times=times_table(ROOT / "benchmarks" / "results")))
