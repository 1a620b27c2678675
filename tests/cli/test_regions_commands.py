"""``chatspot regions``: what is converted, flagged, drawn and printed, and how each command leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from chatspot.cli.main import app
from chatspot.dialects import DIALECTS

SHIKRA = "What is the person[0.148,0.350,0.576,0.497] scared of?"
QWEN = 'What is the person{"bbox_2d": [148, 300, 576, 496]} scared of?'


def regions(*arguments: object, input: str | None = None) -> Result:
    """``chatspot regions`` with these arguments."""
    return CliRunner().invoke(app, ["regions", *map(str, arguments)], input=input)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A picture of 640 x 480 pixels."""
    Image.new("RGB", (640, 480), "teal").save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def lines(path: Path, *entries: object) -> Path:
    """A file of JSON lines, the last one without an end."""
    path.write_text("\n".join(map(json.dumps, entries)))
    return path


def test_every_command_has_help() -> None:
    assert regions().exit_code == 2
    for command in ("list", "convert", "check"):
        result = regions(command, "--help")
        assert (result.exit_code, result.stderr) == (0, "")


def test_list_shows_every_dialect() -> None:
    assert [line.split()[0] for line in regions("list").stdout.splitlines()] == list(DIALECTS)


# -------------------------------------------------------------------------------------- convert


@pytest.mark.parametrize(
    ("options", "text", "code", "message"),
    [
        (["--from", "shikr", "--to", "qwen3-vl"], "", 2, "did you mean shikra"),
        (["--from", "shikra", "--to", "qwen3-vl"], "[0.9,0.5,0.1,0.6]", 2, "standard input: '[0.9,0.5,0.1,0.6]' at"),
        (["--from", "shikra", "--to", "qwen3-vl", "--from-frame", "whole"], "", 2, "counts in the frame padded"),
        (["--from", "shikra", "--to", "qwen3-vl", "--to-frame", "square"], "", 2, "there is no frame 'square'"),
        (["--from", "qwen2.5-vl", "--to", "shikra", "--from-resized", "7"], "", 2, "WIDTH,HEIGHT"),
        (["--from", "qwen2.5-vl", "--to", "shikra", "--from-resized", "0,7"], "", 2, "at least 1"),
        (["--from", "shikra", "--to", "paligemma"], "[0.5,0.5]", 2, "no form for a point"),
        (["--from", "shikra", "--to", "qwen-vl"], "<ref>", 4, "which is markup in qwen-vl"),
        (["--from", "gpt4roi", "--to", "shikra"], "<region1>", 4, "has no region beside the text"),
    ],
)
def test_what_cannot_be_converted_is_one_line(
    wide: Path, options: list[str], text: str, code: int, message: str
) -> None:
    result = regions("convert", *options, "--image", wide, input=text)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_text_needs_its_picture(tmp_path: Path) -> None:
    result = regions("convert", "--from", "shikra", "--to", "qwen3-vl", input=SHIKRA)
    assert (result.exit_code, "needs --image" in result.stderr) == (6, True)
    (tmp_path / "a.txt").write_text(SHIKRA)
    result = regions("convert", "--from", "shikra", "--to", "qwen3-vl", tmp_path / "a.txt")
    assert (result.exit_code, "names no picture" in result.stderr) == (6, True)


def test_standard_input_and_a_file_give_the_text_as_it_is(wide: Path, tmp_path: Path) -> None:
    options = ("--from", "shikra", "--to", "qwen3-vl", "--image", wide)
    assert regions("convert", *options, input=SHIKRA).stdout == QWEN
    (tmp_path / "a.txt").write_text(SHIKRA + "\n")
    assert regions("convert", *options, tmp_path / "a.txt").stdout == QWEN + "\n"


def test_records_keep_everything_but_their_texts(wide: Path, tmp_path: Path) -> None:
    llava = {"id": 7, "image": "wide.png", "conversations": [{"from": "human", "value": SHIKRA}, {"from": "gpt"}]}
    chat = {"width": 640, "height": 480, "messages": [{"role": "user", "content": [{"type": "text", "text": SHIKRA}]}]}
    data = lines(tmp_path / "data.jsonl", llava, chat)
    result = regions("convert", "--from", "shikra", "--to", "qwen3-vl", data)
    assert result.exit_code == 0
    first, second = map(json.loads, result.stdout.splitlines())
    assert first == llava | {"conversations": [{"from": "human", "value": QWEN}, {"from": "gpt"}]}
    assert second["messages"][0]["content"][0]["text"] == QWEN


def test_frames_and_resized_pictures_are_options(wide: Path) -> None:
    def converted(*options: str, text: str = "[100, 200, 300, 400]", source: str = "merlin") -> str:
        return regions("convert", "--from", source, "--to", "qwen3-vl", "--image", wide, *options, input=text).stdout

    assert converted() == '{"bbox_2d": [100, 200, 300, 400]}'
    assert converted("--from-frame", "padded") == '{"bbox_2d": [100, 100, 300, 367]}'
    pixels = '{"bbox_2d": [161, 119, 322, 357]}'
    assert converted(source="qwen2.5-vl", text=pixels) == '{"bbox_2d": [250, 250, 500, 750]}'
    assert converted("--from-resized", "1288,952", source="qwen2.5-vl", text=pixels) == (
        '{"bbox_2d": [125, 125, 250, 375]}'
    )


def test_regions_beside_a_text_go_there_and_back(wide: Path, tmp_path: Path) -> None:
    for name in ("gpt4roi", "ms-swift", "osprey"):
        there = regions("convert", "--from", "qwen3-vl", "--to", name, "--image", wide, input=QWEN)
        assert there.exit_code == 0, there.stderr
        data = lines(tmp_path / "data.jsonl", json.loads(there.stdout))
        back = regions("convert", "--from", name, "--to", "qwen3-vl", "--image", wide, data)
        assert json.loads(back.stdout) == {"text": QWEN}


def test_ms_swift_names_and_pixels_are_read(wide: Path, tmp_path: Path) -> None:
    objects = {"ref": ["cat"], "bbox": [[160, 120, 320, 360], [320, 240]], "bbox_type": "real"}
    data = lines(tmp_path / "a.jsonl", {"image": "wide.png", "text": "<ref-object> <bbox><bbox>", "objects": objects})
    result = regions("convert", "--from", "ms-swift", "--to", "qwen-vl", data)
    assert json.loads(result.stdout)["text"] == "cat <box>(250,250),(500,750)</box><box>(500,500)</box>"


@pytest.mark.parametrize(
    ("objects", "code"),
    [
        ([], 4),
        ({"bbox": 5}, 4),
        ({"bbox": [[1, 2, 3, 4]], "bbox_type": "x"}, 4),
        ({"ref": ["a"], "bbox": [[1, 2, 3, 4]]}, 4),
        ({"ref": 5, "bbox": [[1, 2, 3, 4]]}, 4),
        ({"bbox": [[1, 2, 3]]}, 2),
        ({"bbox": ["abcd"]}, 2),
        ({"bbox": [[4, 4, 3, 5]]}, 2),
        ({"bbox": []}, 4),
    ],
)
def test_objects_that_are_none(wide: Path, tmp_path: Path, objects: object, code: int) -> None:
    data = lines(tmp_path / "a.jsonl", {"image": "wide.png", "text": "<bbox>", "objects": objects})
    assert regions("convert", "--from", "ms-swift", "--to", "qwen-vl", data).exit_code == code


def test_several_texts_cannot_share_the_regions_beside_them(tmp_path: Path) -> None:
    data = lines(tmp_path / "a.jsonl", {"width": 9, "height": 9, "question": "[0.1,0.5,0.2,0.6]", "answer": "a"})
    result = regions("convert", "--from", "shikra", "--to", "gpt4roi", data)
    assert (result.exit_code, "one text" in result.stderr) == (4, True)


# ---------------------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("", 6, "no dialect finds a region"),
        ("{", 6, "data.jsonl:1 is no JSON"),
        ("\n5", 6, "data.jsonl:2: a record is an object"),
        ('{"text": "a"}', 6, "names no picture"),
        ('{"text": "a", "image": 5}', 6, '"image" is one path'),
        ('{"text": "a", "image": "none.png"}', 3, "there is no picture"),
        ('{"text": "a", "width": 0, "height": 5}', 2, "at least 1"),
        ('{"text": "a", "width": 5, "height": 5, "boxes": 5}', 6, '"boxes" is a list'),
        ('{"text": "a", "width": 5, "height": 5, "boxes": [[1, 2]]}', 6, '"boxes" is a list'),
        ("[" * 100_000, 6, "is no JSON"),
    ],
)
def test_files_that_cannot_be_checked(tmp_path: Path, content: str, code: int, message: str) -> None:
    (tmp_path / "data.jsonl").write_text(content)
    result = regions("check", tmp_path / "data.jsonl")
    assert result.exit_code == code
    assert message in result.stderr


def test_bytes_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(b"\xff\xfe")
    assert regions("check", tmp_path / "data.jsonl").exit_code == 6
    assert regions("check", tmp_path / "none.jsonl").exit_code == 6
    assert regions("check", tmp_path).exit_code == 6


def unpadded(folder: Path) -> Path:
    """LLaVA's words with fractions of the picture as it is, many of them near its upper and lower edge."""
    entries = [{"image": "wide.png", "text": f"At [0.{at}1, 0.0{at}, 0.{at}9, 0.{at + 1}3]."} for at in range(1, 9)]
    return lines(folder / "data.jsonl", *entries)


def test_a_file_in_the_wrong_frame_is_flagged_and_drawn(wide: Path, tmp_path: Path) -> None:
    data = unpadded(tmp_path)
    result = regions("check", data, "--dialect", "llava-1.5", "--draw", tmp_path / "drawn", "--samples", 3)
    assert result.exit_code == 2
    assert "fits: llava-1.5, frame whole, as written: 8 of 8 regions possible" in result.stdout
    assert "llava-1.5 in its frame (padded) fits worse." in result.stdout
    assert "outside the picture (wrong frame?): 8" in result.stdout
    assert "data.jsonl:1: [0.11, 0.01, 0.19, 0.23]" in result.stdout
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [f"sample-00{n}.png" for n in (1, 2, 3)]


def test_a_healthy_file_leaves_with_nothing(wide: Path, tmp_path: Path) -> None:
    entries = [
        {"image": "wide.png", "text": f'{{"bbox_2d": [{at}00, {at}50, {at}90, 999], "label": "a"}}'}
        for at in range(1, 9)
    ]
    result = regions("check", lines(tmp_path / "data.jsonl", *entries), "--draw", tmp_path / "drawn")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "fits: qwen3-vl, frame whole, as written: 8 of 8" in result.stdout
    assert "every region can be meant" in result.stdout
    assert len(list((tmp_path / "drawn").iterdir())) == 8
    picture = Image.open(tmp_path / "drawn" / "sample-001.png")
    assert len(picture.getcolors(100_000) or ()) > 1  # something was drawn on the plain picture


def test_json_says_the_same(wide: Path, tmp_path: Path) -> None:
    result = regions("check", unpadded(tmp_path), "--dialect", "llava-1.5", "--json")
    found = json.loads(result.stdout)
    assert (found["dialect"], found["agrees"], len(found["faults"])) == ("llava-1.5", False, 8)
    assert found["best"][0]["frame"] == "whole"


def test_true_boxes_are_compared(wide: Path, tmp_path: Path) -> None:
    entry = {"image": "wide.png", "text": "[0.25, 0.31, 0.5, 0.69]", "boxes": [[160, 120, 320, 360]]}
    result = regions("check", lines(tmp_path / "a.jsonl", entry), "--dialect", "llava-1.5")
    assert result.exit_code == 0
    assert "fits: llava-1.5, frame padded, as written: 1 of 1 regions possible, mean IoU 0.9" in result.stdout


def test_a_dialect_without_numbers_cannot_be_checked(wide: Path, tmp_path: Path) -> None:
    assert regions("check", unpadded(tmp_path), "--dialect", "osprey").exit_code == 2
