"""The command line: what is printed, saved and given back, for good arguments and hostile ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from typer.testing import CliRunner

import chatspot as package
from chatspot import Box, ChatSpot, Mask, Point, region_from_json
from chatspot.cli.main import app

WHAT = "What is this?"


def asked(folder: Path, photo: Path, *regions, question: str = WHAT, **given) -> str:
    """The answer that the Python interface gives."""
    return ChatSpot.from_pretrained(folder).ask(photo, question, *regions, max_new_tokens=6, **given).text


BOX = Box.from_normalized(0.1, 0.1, 0.5, 0.5)
POINT = Point.from_normalized(0.5, 0.25)


def test_help_and_version():
    for arguments in (["--help"], ["ask", "--help"], ["chat", "--help"], ["demo", "--help"], ["info", "--help"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"chatspot {package.__version__}\n")
    assert CliRunner().invoke(app, []).exit_code == 2


# ------------------------------------------------------------------------------------------------ ask


def test_ask_is_the_python_interface(chatspot: Callable, photo: Path, folder: Path):
    result = chatspot("ask", photo, WHAT, "--box", "12,8,60,40", "--max-new-tokens", 6)
    assert (result.exit_code, result.stderr) == (0, "")
    expected = asked(folder, photo, BOX)
    assert result.stdout == "".join(c for c in expected if c.isprintable() or c in "\n\t") + "\n"


def test_ask_as_json_with_regions_in_the_order_typed(chatspot: Callable, photo: Path, mask_picture: Path, folder: Path):
    result = chatspot(
        "ask", photo, WHAT, "--point", "60,20", "--mask", mask_picture, "--box=12,8,60,40", "--polygon",
        "0,0,120,0,120,80", "--point", "12,8", "--scribble", "12,8,60,40", "--json", "--max-new-tokens", 6,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    regions = [region_from_json(region) for region in record["regions"]]
    assert [type(region).__name__ for region in regions] == ["Point", "Mask", "Box", "Polygon", "Point", "Scribble"]
    assert regions[0] == POINT
    assert regions[2] == BOX
    assert record["answer"] == asked(folder, photo, *regions)
    assert (record["model"], record["size_wh"], record["question"]) == (folder.name, [120, 80], WHAT)
    assert (record["finish"], record["answer_regions"]) == ("length", [])
    assert 0 < record["confidence"] <= 1


def test_ask_with_other_settings(chatspot: Callable, photo: Path, folder: Path):
    def answer(*arguments: object) -> str:
        result = chatspot("ask", photo, *arguments, "--json", "--max-new-tokens", 6)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)["answer"]

    assert answer(WHAT, "--normalized", "--box", "0.1,0.1,0.5,0.5") == asked(folder, photo, BOX)
    assert answer(WHAT, "--long") == asked(folder, photo, style="long")
    assert answer("Is {region} red?", "--box", "12,8,60,40") == asked(folder, photo, BOX, question="Is {region} red?")
    plain = ChatSpot.from_pretrained(folder, focal_view=False).ask(photo, WHAT, BOX, max_new_tokens=6).text
    assert answer(WHAT, "--box", "12,8,60,40", "--no-focal-view") == plain


def test_ask_saves_an_overlay(chatspot: Callable, photo: Path, tmp_path: Path):
    result = chatspot("ask", photo, WHAT, "--box", "12,8,60,40", "--save-overlay", tmp_path / "out.PNG")
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "out.PNG") as drawn, Image.open(photo) as original:
        assert drawn.size == original.size
        changed = ImageChops.difference(drawn.convert("RGB"), original).getbbox()
    assert changed is not None


def hostile() -> list[tuple[list[str], int, str]]:
    """Arguments after ``ask`` ("PHOTO" stands for a real one), the exit code, and what stderr says."""
    return [
        (["none.png", WHAT], 3, "there is no picture at none.png"),
        (["", WHAT], 3, "folder"),
        ([".", WHAT], 3, "folder"),
        (["line\nbreak.png", WHAT], 3, "line"),
        (["/dev/zero", WHAT], 3, "no ordinary file"),
        ([__file__, WHAT], 3, "no picture that can be read"),
        (["PHOTO", ""], 4, "says nothing"),
        (["PHOTO", " \t\n"], 4, "says nothing"),
        (["PHOTO", "\udcff"], 4, "surrogate"),
        (["PHOTO", "What is {region}?"], 4, "1 places for regions but 0 came"),
        (["PHOTO", "x" * 20_000], 4, "too long"),
        (["PHOTO", WHAT, "--box", "1,2,3"], 2, "box '1,2,3' in pixels of a picture of 120 x 80: expected x1,y1,x2,y2"),
        (["PHOTO", WHAT, "--box", "30,20,10,40"], 2, "reversed"),
        (["PHOTO", WHAT, "--box", "-5,-5,10,10"], 2, "leaves the image"),
        (["PHOTO", WHAT, "--box", "nan,nan,nan,nan"], 2, "no number"),
        (["PHOTO", WHAT, "--box", "'; rm -rf /"], 2, "expected numbers"),
        (["PHOTO", WHAT, "--normalized", "--box", "12,8,60,40"], 2, "fractions from 0 to 1"),
        (["PHOTO", WHAT, "--point", "1e309,0"], 2, "no number"),
        (["PHOTO", WHAT, "--polygon", "0,0,1,1"], 2, "at least 3 corners"),
        (["PHOTO", WHAT, "--scribble", ""], 2, "expected numbers"),
        (["PHOTO", WHAT, "--mask", "none.png"], 3, "does not exist"),
        (["PHOTO", WHAT, "--mask", "none.json"], 2, "cannot be read"),
        (["PHOTO", WHAT, "--mask", "PHOTO.png"], 3, ""),
        (["PHOTO", WHAT, "--save-overlay", "out.exe"], 3, "should end in"),
        (["PHOTO", WHAT, "--save-overlay", "no/folder/out.png"], 3, "a folder that exists"),
        (["PHOTO", WHAT, "--max-new-tokens", "5000"], 4, "too long"),
        (["PHOTO", WHAT, "--device", "toaster"], 4, "no device 'toaster'"),
        (["PHOTO", WHAT, "--model", "no/such/model/folder"], 5, "no checkpoint folder"),
        (["PHOTO", WHAT, "--model", ""], 5, "checkpoint"),
    ]


@pytest.mark.parametrize(("arguments", "code", "message"), hostile())
def test_hostile_arguments(
    arguments: list[str], code: int, message: str, chatspot: Callable, photo: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """One clear line on stderr, nothing on stdout, the error's own exit code, no file."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = chatspot("ask", *(str(photo) if argument == "PHOTO" else argument for argument in arguments))
    assert result.exit_code == code, (result.stderr, result.exception)
    assert result.stdout == ""
    assert result.stderr.startswith("chatspot: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [[], ["PHOTO"], ["PHOTO", WHAT, "more"], ["PHOTO", WHAT, "--circle", "1"], ["PHOTO", WHAT, "--max-new-tokens", "0"],
     ["PHOTO", WHAT, "--max-new-tokens", "many"], ["PHOTO", WHAT, "--box"]],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], chatspot: Callable, photo: Path):
    result = chatspot("ask", *(str(photo) if argument == "PHOTO" else argument for argument in arguments))
    assert result.exit_code == 2
    assert "Error" in result.stderr


def test_a_bug_is_not_swallowed(chatspot: Callable, photo: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ChatSpot, "ask", broken)
    result = chatspot("ask", photo, WHAT)
    assert isinstance(result.exception, ZeroDivisionError)


# ------------------------------------------------------------------------------------------------ chat


def test_chat_is_the_python_interface(chatspot: Callable, photo: Path, folder: Path, tmp_path: Path):
    lines = [WHAT, "", "Is @box 12,8,60,40 red?", f"/overlay {tmp_path / 'out.png'}", "/help", "/quit", "not read"]
    result = chatspot("chat", photo, "--max-new-tokens", 6, input="\n".join(lines))
    assert (result.exit_code, result.stderr) == (0, "")
    chat = ChatSpot.from_pretrained(folder).chat(photo, max_new_tokens=6)
    expected = [chat.ask(WHAT).text, chat.ask("Is {region} red?", BOX).text]
    for text in expected:
        assert "".join(c for c in text if c.isprintable() or c in "\n\t") in result.stdout
    assert "@box x1,y1,x2,y2" in result.stdout
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (120, 80)


def test_new_forgets(chatspot: Callable, photo: Path, folder: Path):
    result = chatspot("chat", photo, "--max-new-tokens", 6, input=f"Who?\n/new\n{WHAT}\n")
    shown = "".join(c for c in asked(folder, photo) if c.isprintable() or c in "\n\t")
    assert result.stdout.endswith(shown + "\n")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("@box 1,2,3 what?", 2, "got 3 number"),
        ("@point 500,1", 2, "leaves the image"),
        ("@mask none.png", 3, "does not exist"),
        ("/jump", 4, "no command /jump"),
        ("/overlay", 4, "needs a file"),
        ("/overlay out.exe", 3, "should end in"),
        ("x" * 20_000, 4, "too long"),
        ("What is {region}?", 4, "1 places for regions"),
    ],
)
def test_an_error_in_a_line_does_not_end_the_chat(
    line: str, code: int, message: str, chatspot: Callable, photo: Path, folder: Path
):
    result = chatspot("chat", photo, "--max-new-tokens", 6, input=f"{line}\n{WHAT}\n")
    assert result.exit_code == code, "lines were piped: the first error's code"
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    shown = "".join(c for c in asked(folder, photo) if c.isprintable() or c in "\n\t")
    assert result.stdout.endswith(shown + "\n"), "a failed line leaves no trace in the history"


def test_a_chat_without_lines(chatspot: Callable, photo: Path):
    assert chatspot("chat", photo, input="").exit_code == 0


# ------------------------------------------------------------------------------------------------ demo and info


def test_demo(chatspot: Callable, tmp_path: Path):
    result = chatspot("demo", "--save-overlay", tmp_path / "demo.png", input="")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("chatspot ask coffee.jpg") == 3
    with Image.open(tmp_path / "demo.png") as drawn:
        assert drawn.size == (600, 400)
    assert chatspot("demo", "--save-overlay", tmp_path / "demo.txt").exit_code == 3


def test_example_pictures_are_small_and_their_origin_is_told():
    examples = Path(package.__file__).parent / "examples"
    origin = (examples / "README.md").read_text("utf-8")
    pictures = sorted(examples.glob("*.jpg"))
    assert len(pictures) == 3
    for path in pictures:
        with Image.open(path) as picture:
            assert f"| `{path.name}` | {picture.width} x {picture.height} |" in origin
            assert max(picture.size) <= 640
        assert path.stat().st_size < 150_000


def test_info(chatspot: Callable, folder: Path):
    result = chatspot("info")
    assert result.exit_code == 0, result.stderr
    for text in (package.__version__, str(folder), "cpu", "chatspot-nano, version 1", "focal view on", "2,048",
                 "SheetTower", "million parameters", "cache folder", "written as digits",
                 "this language model"):  # fmt: skip
        assert text in result.stdout
    failed = CliRunner().invoke(app, ["info", "--model", "nowhere"])
    assert failed.exit_code == 5
    assert package.__version__ in failed.stdout, "what can be told is told"


# ------------------------------------------------------------------------------------------------ as a real process


def process(*arguments: object, **given) -> subprocess.Popen:
    command = [sys.executable, "-m", "chatspot", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, **given)


def test_ask_as_a_process_in_a_terminal_that_lacks_letters(photo: Path, folder: Path):
    """An answer's letter that the terminal cannot show is escaped; it does not end the program."""
    spot = ChatSpot.from_pretrained(folder)
    answers = ((word, spot.ask(photo, word, BOX, max_new_tokens=6).text) for word in map("What {}?".format, range(99)))
    question, answer = next(each for each in answers if "\N{REPLACEMENT CHARACTER}" in each[1])
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    arguments = ("ask", photo, question, "--model", folder, "--box", "12,8,60,40", "--max-new-tokens", 6)
    running = process(*arguments, env=environment)
    out, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (0, b"")
    text = "".join(c for c in answer if c.isprintable() or c in "\n\t")
    assert out == (text + "\n").encode("latin-1", "backslashreplace")


def test_ctrl_c_ends_with_130(photo: Path, folder: Path):
    running = process("chat", photo, "--model", folder, "--max-new-tokens", 3)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"/help\n")
    running.stdin.flush()
    assert running.stdout.readline().startswith(b"Type a question")  # it listens now
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130
    assert b"Traceback" not in err


def test_the_mask_of_a_whole_photo_is_a_region_too(chatspot: Callable, photo: Path, tmp_path: Path, folder: Path):
    Image.new("L", (120, 80), "white").save(tmp_path / "white.png")
    result = chatspot("ask", photo, WHAT, "--mask", tmp_path / "white.png", "--json", "--max-new-tokens", 6)
    assert json.loads(result.stdout)["answer"] == asked(folder, photo, Mask.from_runs([0, 9600], size=(120, 80)))
