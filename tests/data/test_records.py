"""Region JSON lines in: what is kept, what is marked, what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatspot.data import read_records
from chatspot.data.records import parse_record
from chatspot.errors import DataError


def line(**changes: object) -> str:
    """A record of one box, changed."""
    record = {
        "image": "images/1.jpg",
        "width": 100,
        "height": 50,
        "regions": [{"box": [10, 5, 60, 45], "label": "dog"}],
    }
    return json.dumps({**record, **changes})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "expected a picture's region record"),
        ("3", "expected a picture's region record"),
        (json.dumps({"image": "1.jpg"}), "field 'width' is missing"),
        (line(width=0), "size"),
        (line(width="wide"), "invalid literal"),
        (line(regions=[{}]), "a region needs a box"),
        (line(regions=[{"box": [1, 2, 3]}]), "unpack"),
        (line(regions=[{"box": [60, 5, 10, 45]}]), "reversed"),
        (line(regions=[{"box": [float("nan"), 5, 10, 45]}]), "no number"),
        (line(regions=[{"box": ["a", 5, 10, 45]}]), "could not convert"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        parse_record(text, Path("here"), "here/annotations.jsonl:7")
    assert str(caught.value).startswith("here/annotations.jsonl:7: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotations\.jsonl does not exist"):
        list(read_records(tmp_path))


@pytest.mark.parametrize(
    ("region", "askable", "area"),
    [
        ({"box": [10, 5, 60, 45], "label": "dog"}, True, 2000.0),
        ({"box": [10, 5, 60, 45], "label": "dog", "iscrowd": True}, False, 2000.0),
        ({"box": [10, 5, 60, 45], "label": "dog", "iscrowd": "probable"}, False, 2000.0),
        ({"box": [10, 5, 60, 45], "text": "x", "legible": False}, False, 2000.0),
        ({"box": [10, 5, 60, 45], "text": "x", "cut_off": True}, False, 2000.0),
        ({"box": [10, 5, 10, 45], "label": "line"}, False, 0.0),  # such boxes exist in COCO
        ({"box": [90, 40, 120, 70], "label": "dog"}, True, 100.0),  # clipped at the border
        ({"polygon": [[0, 0], [40, 0], [40, 20]], "label": "dog"}, True, 800.0),  # the box is the outline's
        ({"point": [10, 5], "label": "dog"}, True, 0.0),
        ({"box": [0, 0, 10, 10], "polygon": [[1, 1], [2, 2]], "label": "dog"}, True, 100.0),  # an outline of nothing
    ],
)
def test_regions_that_may_be_asked_about(region: dict, askable: bool, area: float) -> None:
    found = parse_record(line(regions=[region]), Path("here"), "x").regions[0]
    assert found.askable is askable
    assert found.area_px == pytest.approx(area)


def test_records_carry_their_source_and_captions(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "annotations.jsonl").write_text(line(captions=[" A dog . "]) + "\n\n" + line(image="images/2.jpg") + "\n")
    first, second = read_records(folder)
    assert (first.id, second.id) == ("mine/1", "mine/2")
    assert first.captions == ("A dog .",)
    assert first.size == (100, 50)


def test_every_photo_record_reads(photos: Path) -> None:
    folders = sorted(path.parent for path in photos.glob("*/*/annotations.jsonl"))
    assert len(folders) >= 30
    assert sum(len(record.regions) for folder in folders for record in read_records(folder)) == 31_683
