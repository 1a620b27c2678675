"""``chatspot data``: what is listed, found, drawn and written, and how each command leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from chatspot.cli.main import app
from chatspot.data.sources.table import SOURCES


def data(*arguments: object) -> Result:
    """``chatspot data`` with these arguments, on a terminal wide enough for whole lines."""
    return CliRunner().invoke(app, ["data", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def photos_of_dogs(tmp_path: Path) -> Path:
    """Region JSON lines of three pictures."""
    folder = tmp_path / "dogs"
    (folder / "images").mkdir(parents=True)
    for number in range(3):
        picture = Image.new("RGB", (200, 100), "teal")
        picture.paste((200, 90, 30), (20, 10, 100, 50))
        picture.save(folder / f"images/{number}.png")
    write_lines(folder, range(3))
    return folder


def write_lines(folder: Path, numbers: range, **changes: object) -> None:
    """The annotations of the pictures of these numbers."""
    regions = [{"box": [20, 10, 100, 50], "label": "dog"}]
    facts = {"width": 200, "height": 100, "regions": regions, "captions": ["A dog."], **changes}
    lines = [json.dumps({"image": f"images/{number}.png", **facts}) for number in numbers]
    (folder / "annotations.jsonl").write_text("\n".join(lines) + "\n")


def test_every_command_has_help() -> None:
    assert data().exit_code == 2
    for command in ("list", "doctor", "inspect", "stats", "draw", "build", "regionchat"):
        result = data(command, "--help")
        assert (result.exit_code, result.stderr) == (0, "")


# ----------------------------------------------------------------------------------------- list


def test_list_names_every_source_with_its_licence() -> None:
    result = CliRunner().invoke(app, ["data", "list"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert "…" not in result.stdout
    for source in SOURCES.values():
        assert source.name in result.stdout
    assert [entry["name"] for entry in json.loads(data("list", "--json").stdout)] == list(SOURCES)


def test_list_as_json_says_what_is_needed() -> None:
    for entry in json.loads(data("list", "--json").stdout):
        assert set(entry) == {"name", "title", "role", "licence", "homepage", "files"}
        assert entry["licence"]
        assert entry["files"]


# ----------------------------------------------------------------------------------------- doctor


def test_doctor_of_a_healthy_set(photos_of_dogs: Path) -> None:
    result = data("doctor", photos_of_dogs)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "healthy" in result.stdout
    assert "No findings." in result.stdout


def test_doctor_of_an_ill_set_leaves_with_6(photos_of_dogs: Path) -> None:
    (photos_of_dogs / "images/1.png").unlink()
    (photos_of_dogs / "images/2.png").write_bytes(b"<html>not found</html>")
    result = data("doctor", photos_of_dogs)
    assert result.exit_code == 6
    for expected in ("ill", "missing picture", "corrupt picture", "annotations.jsonl:2", "images/2.png"):
        assert expected in result.stdout
    report = json.loads(data("doctor", photos_of_dogs, "--json").stdout)[0]
    assert report["healthy"] is False
    assert report["counts"] == {"corrupt picture": 1, "missing picture": 1}
    assert {fault["kind"] for fault in report["faults"]} == set(report["counts"])


def test_doctor_shows_some_findings_of_many(photos_of_dogs: Path) -> None:
    write_lines(photos_of_dogs, range(10, 30))
    result = data("doctor", photos_of_dogs, "--show", 3)
    assert result.stdout.count("does not exist") == 3
    assert "and 17 more: missing picture" in result.stdout


def test_doctor_of_repaired_faults_is_content(photos_of_dogs: Path) -> None:
    write_lines(photos_of_dogs, range(3), width=100, height=50, regions=[])
    result = data("doctor", photos_of_dogs)
    assert result.exit_code == 0
    assert "wrong size" in result.stdout


def test_markup_in_a_set_is_only_text(photos_of_dogs: Path) -> None:
    odd = photos_of_dogs.rename(photos_of_dogs.parent / "[red]dogs[")
    (odd / "images/1.png").unlink()
    result = data("doctor", odd)
    assert result.exit_code == 6
    assert "[red]dogs[" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "is no folder"),
        (["."], "holds neither manifest.json"),
        ([".", "--source", "kokos"], "there is no source 'kokos'"),
        ([".", "--source", "doc_vqa"], "lacks"),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "inspect", "stats"])
def test_a_folder_that_cannot_be_read_is_named(
    command: str, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [] if command == "doctor" else ["--out", "out.html"]
    result = data(command, *arguments, *more)
    assert result.exit_code == 6
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------- inspect


def test_inspect_draws_sheets(photos_of_dogs: Path, tmp_path: Path) -> None:
    result = data("inspect", photos_of_dogs, "--out", tmp_path / "sheets", "--count", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split() == [str(tmp_path / "sheets/sheet-001.png")]
    with Image.open(tmp_path / "sheets/sheet-001.png") as sheet:
        assert sheet.width == 2 * 32 + 2 * 560 + 24  # two columns


def test_inspect_draws_what_is_asked_for(photos_of_dogs: Path, tmp_path: Path) -> None:
    result = data("inspect", photos_of_dogs, "--out", tmp_path / "a", "--task", "no such task")
    assert result.exit_code == 6
    assert "no dialogue that is task no such task" in result.stderr
    result = data("inspect", photos_of_dogs, "--out", tmp_path / "a", "--sample", "no/such")
    assert result.exit_code == 6
    assert "no/such" in result.stderr
    assert not (tmp_path / "a").exists()


# ----------------------------------------------------------------------------------------- stats


def test_stats_writes_one_card(photos_of_dogs: Path, tmp_path: Path) -> None:
    result = data("stats", photos_of_dogs, "--out", tmp_path / "card.html", "--title", "Dogs <3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "3 pictures" in result.stdout
    html = (tmp_path / "card.html").read_text("utf-8")
    assert "Dogs &lt;3" in html
    assert "data:image/jpeg;base64," in html
    again = data("stats", photos_of_dogs, "--out", tmp_path / "again.html", "--title", "Dogs <3")
    assert again.exit_code == 0
    assert (tmp_path / "again.html").read_text("utf-8") == html


def test_stats_of_nothing_says_so(photos_of_dogs: Path, tmp_path: Path) -> None:
    write_lines(photos_of_dogs, range(3), regions=[], captions=[])
    result = data("stats", photos_of_dogs, "--out", tmp_path / "card.html")
    assert result.exit_code == 6
    assert "there is no dialogue in 3 pictures" in result.stderr


def test_stats_counts_what_was_left_out(photos_of_dogs: Path, tmp_path: Path) -> None:
    (photos_of_dogs / "images/1.png").unlink()
    assert data("stats", photos_of_dogs, "--out", tmp_path / "card.html").exit_code == 0
    assert "missing picture" in (tmp_path / "card.html").read_text("utf-8")


# ----------------------------------------------------------------------------------------- builds and RegionChat runs


@pytest.fixture
def built(photos_of_dogs: Path, tmp_path: Path) -> Path:
    """A build of the pictures of dogs, in which one of three is a duplicate."""
    (photos_of_dogs / "images/2.png").write_bytes((photos_of_dogs / "images/1.png").read_bytes())
    picture = Image.new("RGB", (200, 100), "white")
    picture.paste((0, 0, 0), (100, 0, 200, 100))
    picture.save(photos_of_dogs / "images/0.png")
    sources = [{"name": "region_lines", "folder": "dogs", "stages": ["align", "instruct"]}]
    (tmp_path / "mixture.yaml").write_text(json.dumps({"name": "dogs", "sources": sources}))
    result = data("build", "--config", tmp_path / "mixture.yaml", "--out", tmp_path / "built", "--data", tmp_path)
    assert result.exit_code == 0, result.stderr
    return tmp_path / "built"


def test_a_build_is_looked_at(built: Path, tmp_path: Path) -> None:
    result = data("doctor", built, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)[0]
    assert (report["kind"], report["healthy"], report["counts"]) == ("build", True, {})
    manifest = json.loads((built / "manifest.json").read_text())
    assert report["dialogues"] == manifest["totals"]["samples"]
    assert data("inspect", built, "--out", tmp_path / "sheets").exit_code == 0
    assert data("stats", built, "--out", tmp_path / "card.html").exit_code == 0
    html = (tmp_path / "card.html").read_text("utf-8")
    for expected in ("<h1>dogs</h1>", "duplicate", manifest["config_sha256"], manifest["shards"][0]["sha256"]):
        assert expected in html


def test_a_damaged_build_leaves_with_6(built: Path, tmp_path: Path) -> None:
    for shard in built.glob("**/*.tar"):
        shard.write_bytes(shard.read_bytes()[:700])
    assert data("doctor", built).exit_code == 6
    result = data("stats", built, "--out", tmp_path / "card.html")
    assert result.exit_code == 6
    assert ".tar is damaged" in result.stderr
    assert not (tmp_path / "card.html").exists()


def test_a_regionchat_run_is_looked_at(photos_of_dogs: Path, tmp_path: Path) -> None:
    boxes = ([20, 10, 100, 50], [110, 10, 160, 60], [110, 65, 190, 95])
    regions = [{"box": box, "label": label} for box, label in zip(boxes, ("dog", "cat", "red ball"), strict=True)]
    write_lines(photos_of_dogs, range(3), regions=regions)
    run = tmp_path / "run"
    result = data("regionchat", "run", "--data", photos_of_dogs, "--out", run, "--writer", "rules")
    assert result.exit_code == 0, result.stderr
    report = json.loads(data("doctor", run, "--json").stdout)[0]
    accepted = json.loads((run / "report.json").read_text())["dialogues"]["accepted"]
    assert (report["kind"], report["healthy"], report["dialogues"]) == ("regionchat", True, accepted)
    assert accepted > 0
    assert data("inspect", run, "--out", tmp_path / "sheets").exit_code == 0
    refused = {"dialogues": {"rejected": {"coordinate leak": 17}}, "calls": {"failed": {"timeout": 2}}}
    (run / "report.json").write_text(json.dumps(refused))
    assert data("stats", run, "--out", tmp_path / "card.html").exit_code == 0
    html = (tmp_path / "card.html").read_text("utf-8")
    assert "coordinate leak" in html
    assert "call failed: timeout" in html
    (run / "report.json").write_text("[]")
    result = data("stats", run, "--out", tmp_path / "card.html")
    assert result.exit_code == 6
    assert "is no report of a RegionChat run" in result.stderr


# ----------------------------------------------------------------------------------------- real photos


def test_a_real_set_is_healthy(photos: Path, tmp_path: Path) -> None:
    folder = photos / "train" / "license_plates"
    result = data("doctor", folder)
    assert result.exit_code == 0, result.stdout
    result = data("stats", folder, "--out", tmp_path / "card.html")
    assert result.exit_code == 0, result.stderr
