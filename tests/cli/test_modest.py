"""``ask`` and ``chat`` over a calibrated checkpoint: the reserve, its switch, and agreement."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chatspot import ChatSpot
from chatspot.cli.main import app
from chatspot.engine.calibration import FILE, Calibration

WHAT = "What is this?"
GIVEN = ("--max-new-tokens", "6")
NEVER_SURE = Calibration(((-1.0, 0.34),), 0.6, 0.2, 0.5, 200, {}, ())


@pytest.fixture
def modest(folder: Path, tmp_path: Path) -> Path:
    """The small checkpoint with a calibration that trusts no answer."""
    copy = shutil.copytree(folder, tmp_path / "modest")
    (copy / FILE).write_text(json.dumps(NEVER_SURE.to_json()), "utf-8")
    return copy


def shown(text: str) -> str:
    """A text as a terminal may show it."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def run(*arguments: object, input: str | None = None) -> str:
    """What a command that succeeds prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "calibration", "format": 2}'])
def test_a_calibration_that_cannot_be_read(modest: Path, photo: Path, content: str) -> None:
    (modest / FILE).write_text(content, "utf-8")
    result = CliRunner().invoke(app, ["ask", str(photo), WHAT, "--model", str(modest), "--device", "cpu"])
    assert result.exit_code == 5
    assert "fit it again with 'chatspot eval calibrate'" in result.stderr


def test_ask_and_chat_with_and_without_a_reserve(modest: Path, photo: Path) -> None:
    text = ChatSpot.from_pretrained(modest, "cpu").ask(photo, WHAT, max_new_tokens=6).text
    unsure = shown(f"I can't tell; perhaps: {text} (34 %)") + "\n"
    model = ("--model", modest, "--device", "cpu", *GIVEN)
    assert run("ask", photo, WHAT, *model) == unsure
    assert run("ask", photo, WHAT, "--no-modest", *model) == shown(text) + "\n"
    assert run("chat", photo, *model, input=WHAT) == unsure
    assert run("chat", photo, "--no-modest", *model, input=WHAT) == shown(text) + "\n"
    record = json.loads(run("ask", photo, WHAT, "--json", *model))
    assert (record["answer"], record["confidence"], record["sure"], record["agreement"]) == (text, 0.34, False, None)


def test_agreement_is_told_beside_the_answer(chatspot: Callable, photo: Path) -> None:
    plain = chatspot("ask", photo, WHAT, "--box", "12,8,60,40", *GIVEN)
    result = chatspot("ask", photo, WHAT, "--box", "12,8,60,40", "--agreement", 2, *GIVEN)
    assert result.stdout == plain.stdout
    assert result.stderr in [f"{count} of 2 answers about slightly moved regions agree\n" for count in range(3)]
    talk = chatspot("chat", photo, "--agreement", 2, *GIVEN, input=f"{WHAT} @box 12,8,60,40")
    assert talk.stderr == result.stderr or "of 2 answers" in talk.stderr
    assert chatspot("ask", photo, WHAT, "--agreement", 9).exit_code == 2


def test_a_process_of_its_own(modest: Path, photo: Path) -> None:
    command = [sys.executable, "-m", "chatspot", "ask", str(photo), WHAT, "--model", str(modest), *GIVEN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("I can't tell; perhaps: ")
    assert done.stdout.endswith(" (34 %)\n")
