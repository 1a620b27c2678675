"""The files that come out are what other tools read, and this project's readers read them back."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chatspot.annotate.journal import Given
from chatspot.annotate.outputs import About, Annotated, in_coco, in_csv, in_label_studio, in_lines, label_studio_config
from chatspot.annotate.run import Asking
from chatspot.cli.main import app
from chatspot.data.faults import Faults
from chatspot.data.records import Record, RegionRecord, read_records
from chatspot.data.sources.coco import read_coco_json
from chatspot.data.sources.label_studio import read_label_studio
from chatspot.errors import DataError
from chatspot.regions import Box, Mask, Point, Polygon
from trained_nano import trained

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "src/chatspot/examples"
PAGE = ROOT / "docs/annotate.md"
SIZE = (120, 80)
ABOUT = About("nano", Asking("What is {region}?"))


def region(**forms: Any) -> RegionRecord:
    """A region that may be asked about."""
    fields = {"box": None, "polygon": None, "point": None, "label": None, "text": None, "askable": True, "area_px": 9.0}
    return RegionRecord(**{**fields, **forms})


POLYGON = Polygon.from_pixels([(10, 10), (60, 10), (60, 50)], size=SIZE)
MASK = Mask.from_runs([0, 80, 9520], size=SIZE)
REGIONS = (
    region(box=Box.from_pixels(5, 5, 35, 45, size=SIZE), label="thing"),
    region(box=POLYGON.bounding_box(), polygon=POLYGON),
    region(polygon=POLYGON),
    region(box=MASK.bounding_box(), mask=MASK),
    region(point=Point.from_pixels(60, 40, size=SIZE)),
    region(box=Box.from_pixels(0, 0, 9, 9, size=SIZE), askable=False),
    region(box=Box.from_pixels(1, 1, 9, 9, size=SIZE)),
    region(box=Box.from_pixels(2, 2, 9, 9, size=SIZE)),
)
ANSWERS = ("A cup.", 'say "é", <b>', "a cup", "", "a point", None, None, "")


@pytest.fixture
def pictures(folder: Path) -> list[Annotated]:
    """A picture with regions of every form; one has no answer, one has an error."""
    record = Record(folder / "b 2.png", SIZE, REGIONS, (), "x")
    answers = [
        None if text is None else Given("b 2.png", one.region.to_json(), text, 0.5, "end")
        for one, text in zip(REGIONS, ANSWERS, strict=True)
    ]
    answers[-1] = Given("b 2.png", REGIONS[-1].region.to_json(), error="broken")
    return [
        Annotated(record, "b 2.png", tuple(answers)),
        Annotated(Record(folder / "a.png", SIZE, (), (), "x"), "a.png", ()),
    ]


def test_coco(pictures: list[Annotated], folder: Path):
    text = in_coco(pictures, ABOUT)
    content = json.loads(text)
    assert [image["file_name"] for image in content["images"]] == ["b 2.png", "a.png"]
    assert [category["name"] for category in content["categories"]] == ["A cup", 'say "é", <b>', "unknown"]
    first, second, third = content["annotations"]
    assert (first["bbox"], first["category_id"], first["score"]) == ([5, 5, 30, 40], 1, 0.5)
    assert first["attributes"] == {"answer": "A cup.", "was": "thing"}
    assert second["segmentation"] == [[10, 10, 60, 10, 60, 50]]
    assert third["segmentation"] == {"counts": [0, 80, 9520], "size": [80, 120]}
    assert len({one["id"] for one in content["annotations"]}) == 3
    (folder / "instances.json").write_text(text, "utf-8")
    faults = Faults()
    records = list(read_coco_json(folder, "all", faults))
    assert not faults.counts
    assert [region.label for region in records[0].regions] == ["A cup", 'say "é", <b>', "unknown"]
    assert records[0].regions[0].box == REGIONS[0].box


def test_region_lines(pictures: list[Annotated], folder: Path):
    (folder / "annotations.jsonl").write_text(in_lines(pictures, ABOUT), "utf-8")
    found = list(read_records(folder))
    assert [record.image for record in found] == [folder / "b 2.png", folder / "a.png"]
    questions = found[0].questions
    assert [question.answers[0] for question in questions] == ["A cup.", 'say "é", <b>', "a cup", "unknown", "a point"]
    assert [question.regions for question in questions] == [(0,), (1,), (2,), (3,), (4,)]
    assert questions[0].question == "What is <region0>?"
    assert not found[0].regions[5].askable


def test_csv(pictures: list[Annotated]):
    rows = list(csv.DictReader(in_csv(pictures, ABOUT).splitlines()))
    assert [row["region"] for row in rows] == ["0", "1", "2", "3", "4", "6", "7"]
    assert rows[0]["answer"] == "A cup."
    assert [float(rows[0][edge]) for edge in ("x1", "y1", "x2", "y2")] == [5, 5, 35, 45]
    assert rows[1]["answer"] == 'say "é", <b>'
    assert (rows[5]["answer"], rows[6]["error"]) == ("", "broken")
    assert {row["image"] for row in rows} == {"b 2.png"}


def test_label_studio(pictures: list[Annotated], folder: Path):
    """The predictions have the shape of annotations: taken over as such, our reader of its exports reads them."""
    tasks = json.loads(in_label_studio(pictures, ABOUT))
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=b%202.png"
    prediction = tasks[0]["predictions"][0]
    assert prediction["model_version"] == "nano"
    assert prediction["score"] == 0.5
    known = {label.attrib["value"] for label in ElementTree.fromstring(label_studio_config(pictures)).iter("Label")}
    tools = {tool.attrib["name"] for tool in ElementTree.fromstring(label_studio_config(pictures)) if len(tool)}
    for result in prediction["result"]:
        assert set(result["value"][result["type"]]) <= known
        assert result["from_name"] in tools
    exported = [{"data": task["data"], "annotations": task["predictions"]} for task in tasks]
    (folder / "export.json").write_text(json.dumps(exported), "utf-8")
    faults = Faults()
    first, second = read_label_studio(folder, "all", faults)
    assert not faults.counts
    assert [one.label for one in first.regions] == ["A cup", 'say "é", <b>', "a cup", "unknown", "a point"]
    assert first.regions[0].box is not None
    assert first.regions[0].box.iou(REGIONS[0].region) > 0.999
    assert second.regions == ()


@pytest.mark.parametrize("write", [in_coco, in_lines, in_csv, in_label_studio])
def test_nothing_at_all_is_written_as_nothing(write: Any):
    assert isinstance(write([], ABOUT), str)


# ------------------------------------------------------------------------------------------------ the command


def command(*arguments: Any) -> Any:
    """``chatspot annotate`` in this process."""
    return CliRunner().invoke(app, ["annotate", *map(str, arguments)])


@pytest.mark.parametrize("out", ["coco", "jsonl", "csv", "labelstudio"])
def test_every_format_from_the_same_answers(
    lively: Path, folder: Path, regions: Path, tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    given = (folder, "--regions", regions, "--ask", "What?", "--model", lively, "--max-new-tokens", 3, "--show", 1)
    first = command(*given)
    assert first.exit_code == 0, first.output
    assert "8 regions asked, 0 answered before, 0 failed, 0 skipped" in first.stdout
    assert "1 missing picture" in first.stderr
    assert "gone.png does not exist" in first.stderr
    again = command(*given, "--out", out)
    assert "0 regions asked, 8 answered before" in again.stdout
    written = Path(again.stdout.split(":")[0])
    assert written.stat().st_size > 300
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "something half-written is left"
    assert Path("annotated.labelstudio.xml").exists() is (out == "labelstudio")


def test_commands_that_cannot_be(lively: Path, folder: Path, regions: Path, tmp_path: Path):
    given = ("--model", lively, "--to", tmp_path / "out.json")
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    for arguments, code, message in (
        ((folder, "--regions", regions, "--ask", " "), 4, "--ask"),
        ((folder, "--regions", regions, "--ask", "{region}{region}"), 4, "--ask"),
        ((folder, "--regions", empty, "--ask", "What?"), DataError.exit_code, "names no region"),
        ((tmp_path / "none", "--regions", regions, "--ask", "What?"), DataError.exit_code, "no folder"),
        ((folder, "--regions", regions, "--ask", "What?", "--out", "xml"), 2, "--out"),
    ):
        found = command(*arguments, *given)
        assert found.exit_code == code, found.output
        assert message in found.output
    assert not (tmp_path / "out.json").exists()


@trained
def test_the_example_of_the_page_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With nano, on the bundled pictures."""
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text("utf-8")
    block = page.split("```json\n")[1].split("```")[0]
    Path("regions.json").write_text(block, "utf-8")
    found = command(EXAMPLES, "--regions", "regions.json", "--ask", "What is this?", "--out", "csv")
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader(Path("annotated.csv").read_text("utf-8").splitlines()))
    shown = page.split("```text\n")[1].split("```")[0].split("\n")
    for row, line in zip(rows, shown, strict=False):
        assert line.split()[-1] == row["answer"], "the page shows other answers"
    assert len(rows) == 4
