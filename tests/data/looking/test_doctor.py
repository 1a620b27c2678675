"""The doctor over region JSON lines and over builds: what is found, where, and what makes a set ill."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from small_sets import SIZE, jpeg

from chatspot.data.faults import Faults
from chatspot.data.looking import DataSet, examine, find_sets, pictures_of
from chatspot.errors import DataError


def turned(orientation: int) -> bytes:
    """A JPEG whose EXIF says that the camera was held on its side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", SIZE, "teal").save(file, "JPEG", exif=exif)
    return file.getvalue()


WHOLE = jpeg((400, 300))
BROKEN_OFF = WHOLE[: len(WHOLE) // 2]  # its header is whole


# ----------------------------------------------------------------------------------------- finding


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        find_sets([tmp_path / "nowhere"])
    with pytest.raises(DataError, match=r"holds neither manifest\.json"):
        find_sets([tmp_path])


def test_sets_are_found(build: Callable, lines: Callable, tmp_path: Path) -> None:
    first, second, built = lines(name="b"), lines(name="a"), build()
    assert [found.folder for found in find_sets([first])] == [first]
    assert [found.name for found in find_sets([tmp_path])] == ["a", "b", "built"]
    assert find_sets([built]) == [DataSet(built, "build")]
    assert [found.kind for found in find_sets([second, built])] == ["source", "build"]


def test_an_unknown_source_or_split_is_named(lines: Callable) -> None:
    with pytest.raises(DataError, match="there is no source 'region_line'; did you mean 'region_lines'"):
        find_sets([lines()], "region_line")
    with pytest.raises(DataError, match="no split 'never'"):
        find_sets([lines()], "region_lines", "never")


# ----------------------------------------------------------------------------------------- region JSON lines


def test_a_healthy_set(lines: Callable) -> None:
    (found,) = find_sets([lines()])
    findings = examine(found)
    assert findings.healthy
    assert (findings.pictures, findings.regions, findings.askable_regions) == (1, 1, 1)
    assert findings.faults.counts == {}


@pytest.mark.parametrize(
    ("entry", "files", "kind", "healthy"),
    [
        ({}, {}, "missing picture", False),
        ({}, {"images/1.jpg": b""}, "corrupt picture", False),
        ({}, {"images/1.jpg": b"<html>404</html>"}, "corrupt picture", False),
        ({}, {"images/1.jpg": BROKEN_OFF}, "corrupt picture", False),  # opens, and breaks off
        ("{", None, "unusable entry", False),
        ("[]", None, "unusable entry", False),
        ({"width": 100, "height": 50}, None, "wrong size", True),
        ({"regions": [{"box": [150, 50, 260, 90], "label": "dog"}]}, None, "outside region", True),
        ({"regions": [{"box": [20, 10, 20, 50], "label": "dog"}]}, None, "degenerate region", True),
        ({}, {"images/1.jpg": turned(6)}, "turned picture", True),
    ],
)
def test_what_is_found(entry: object, files: dict | None, kind: str, healthy: bool, lines: Callable) -> None:
    good = {"image": "images/good.jpg"}
    given = {"images/good.jpg": jpeg(), **({"images/1.jpg": jpeg()} if files is None else files)}
    folder = lines(good, entry, files=given)
    findings = examine(find_sets([folder])[0])
    assert findings.faults.counts[kind] >= 1, findings.faults.kept
    assert findings.healthy is healthy
    assert findings.pictures >= 1
    fault = findings.examples(kind, 1)[0]
    assert "annotations.jsonl:2" in fault.where or fault.where == "mine/1"
    assert findings.to_json()["counts"][kind] == findings.faults.counts[kind]


def test_headers_alone_miss_what_breaks_off(lines: Callable) -> None:
    folder = lines({"width": 400, "height": 300}, files={"images/1.jpg": BROKEN_OFF})
    (found,) = find_sets([folder])
    assert examine(found, decode=False).healthy
    assert not examine(found).healthy


def test_a_set_without_pictures_is_ill(lines: Callable) -> None:
    (found,) = find_sets([lines("")])
    findings = examine(found)
    assert not findings.healthy
    assert "no picture at all" in findings.fatal_error


# ----------------------------------------------------------------------------------------- builds


def test_a_healthy_build(build: Callable) -> None:
    steps = []
    findings = examine(DataSet(build(3), "build"), step=lambda: steps.append(1))
    assert findings.healthy, findings.faults.kept
    assert (findings.pictures, findings.dialogues, findings.regions, len(steps)) == (3, 3, 3, 3)


def damage_a_byte(folder: Path) -> None:
    shard = next(folder.glob("*.tar"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1  # in the padding: only the hash can tell
    shard.write_bytes(content)


def cut_short(folder: Path) -> None:
    shard = next(folder.glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:1024])


def take_away(folder: Path) -> None:
    next(folder.glob("*.tar")).unlink()


@pytest.mark.parametrize(
    ("harm", "says"),
    [(damage_a_byte, "SHA-256 is"), (cut_short, "damaged|holds"), (take_away, "does not exist")],
)
def test_a_damaged_shard_is_found(harm: Callable, says: str, build: Callable) -> None:
    folder = build()
    harm(folder)
    findings = examine(DataSet(folder, "build"))
    assert not findings.healthy
    fault = findings.faults.kept[0]
    assert fault.kind == "unusable entry"
    assert fault.where.endswith("instruct-00000.tar")
    assert any(re.search(says, kept.what) for kept in findings.faults.kept)


@pytest.mark.parametrize(
    ("edit", "kind", "says"),
    [
        (lambda facts: facts["images"][0].update(size_wh=[7, 7]), "wrong size", "the picture is 200 x 100"),
        (lambda facts: facts["dialogues"][0].update(messages=[]), "unusable entry", "at least one message"),
        (lambda facts: facts["dialogues"][0].pop("task"), "unusable entry", "'task' is missing"),
        (lambda facts: facts.pop("dialogues"), "unusable entry", "'dialogues' is missing"),
        (lambda facts: facts.update(schema=9), "unusable entry", "schema 9"),
    ],
)
def test_faults_inside_a_shard_have_their_key(edit: Callable, kind: str, says: str, build: Callable) -> None:
    findings = examine(DataSet(build(1, edit=edit), "build"))
    found = findings.examples(kind, 5)
    assert any(says in fault.what for fault in found)
    assert any("key 000000000" in fault.where + fault.what for fault in found)


def test_a_broken_picture_in_a_shard_is_found(build: Callable) -> None:
    folder = build(2, image=BROKEN_OFF)
    assert examine(DataSet(folder, "build")).faults.counts == {"corrupt picture": 2}
    assert examine(DataSet(folder, "build"), decode=False).faults.counts == {}


def test_a_build_without_a_readable_manifest_is_ill(build: Callable) -> None:
    folder = build()
    (folder / "manifest.json").write_text("{")
    findings = examine(DataSet(folder, "build"))
    assert not findings.healthy
    assert "is no manifest" in findings.fatal_error


# ----------------------------------------------------------------------------------------- pictures with dialogues


def test_pictures_of_a_build_are_its_dialogues(build: Callable) -> None:
    faults = Faults()
    found = list(pictures_of(DataSet(build(2), "build"), faults))
    assert [picture.id for picture in found] == ["set/0", "set/1"]
    assert [d.task for picture in found for d in picture.dialogues] == ["name", "name"]
    assert (found[0].stage, found[0].licence, found[0].size) == ("instruct", "CC0", SIZE)
    assert faults.counts == {}


def test_a_dialogue_that_cannot_be_read_is_reported_and_left_out(build: Callable) -> None:
    faults = Faults()
    folder = build(2, edit=lambda facts: facts["dialogues"].append({"id": "x", "task": "name", "messages": 3}))
    found = list(pictures_of(DataSet(folder, "build"), faults))
    assert [len(picture.dialogues) for picture in found] == [1, 1]
    assert faults.counts == {"unusable entry": 2}


def test_pictures_of_a_source_have_dialogues_made_by_rules(lines: Callable) -> None:
    (found,) = find_sets([lines()])
    (first,), (again,) = (list(pictures_of(found, Faults())) for _ in range(2))
    assert first == again
    assert first.dialogues
    assert first.size == SIZE
