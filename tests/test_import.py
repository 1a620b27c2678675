"""Importing the package is cheap, and its public names are what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chatspot
from chatspot import errors

HEAVY = ("torch", "transformers", "tokenizers", "shapely", "numpy", "PIL", "typer", "rich")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def loaded_by(statement: str) -> set[str]:
    """Which of HEAVY a fresh Python has loaded after ``statement``."""
    return set(run(f"import sys\n{statement}\nprint(*(n for n in {HEAVY!r} if n in sys.modules))").split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import chatspot", set()),
        ("import chatspot; chatspot.__version__; dir(chatspot)", set()),
        ("import chatspot.cli", set()),
        ("from chatspot import Box, Point; Box.from_normalized(0, 0, 1, 1)", set()),
        ("from chatspot import Conversation, MessageError", set()),
        ("from chatspot import ChatSpot", {"PIL"}),
        ("import chatspot.cli.main", {"typer", "rich"}),
    ],
)
def test_what_an_import_loads(statement: str, allowed: set[str]):
    assert loaded_by(statement) <= allowed


def test_import_takes_less_than_200_ms():
    """The fastest of five, each in a fresh Python: others on the machine only make it slower."""
    code = "import time; t = time.perf_counter(); import chatspot; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(5)) < 0.2


def test_public_names_are_sorted_complete_and_there():
    assert chatspot.__all__ == sorted(chatspot.__all__)
    assert set(chatspot.__all__) == {name for names in chatspot.ORIGIN.values() for name in names}
    for name in chatspot.__all__:
        assert getattr(chatspot, name) is not None
    assert set(chatspot.__all__) <= set(dir(chatspot))


def test_every_error_is_public_and_has_its_exit_code():
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    for name, kind in kinds.items():
        assert getattr(chatspot, name) is kind
    assert len({kind.exit_code for kind in kinds.values()}) == len(kinds)


def test_unknown_names():
    with pytest.raises(AttributeError, match="has no attribute 'Circle'"):
        _ = chatspot.Circle
    with pytest.raises(ImportError):
        from chatspot import Circle  # noqa: F401


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert chatspot.__version__ == version("chatspot")
