"""Region JSON lines in: what is kept, what is marked, what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatspot.data import read_records
from chatspot.data.records import Question, Relation, parse_record
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
        (line(regions=[3]), "has no attribute"),
        (line(regions=[{"box": [10, 5, 60, 45], "label": 3}]), "label is a text"),
        (line(regions=[{"box": [10, 5, 60, 45], "area": -1}]), "area is 0 to"),
        (line(regions=[{"mask": {"counts": [0, 4], "size_wh": [2, 2]}}]), "of the picture's size"),
        (line(regions=[{"mask": {"counts": [0, 3], "size_wh": [100, 50]}}]), "sum to"),
        (line(width=0, regions=[]), "whole pixels"),
        (line(width=99.5, regions=[]), "whole pixels"),
        (line(width=float("inf"), regions=[]), "infinity"),
        (line(captions=[None]), "a caption is a text"),
        (line(captions=["\ud800"]), "surrogates not allowed"),
        (line(qa=[{"q": "What?"}]), "field 'a' is missing"),
        (line(qa=[{"q": " ", "a": "x"}]), "needs a text and an answer"),
        (line(qa=[{"q": "What?", "a": ""}]), "needs a text and an answer"),
        (line(qa=[{"q": "What?", "a": []}]), "needs a text and an answer"),
        (line(qa=[{"q": "What?", "a": 3}]), "is a text"),
        (line(qa=[{"q": "What is <region1>?", "a": "x"}]), "there is no region 1 among the record's 1"),
        (line(qa=[{"q": "What?", "a": "x", "regions": [-1]}]), "there is no region -1"),
        (line(qa=[{"q": "What is <region>?", "a": "x"}]), "without a number"),
        (line(relations=[{"subject": 0, "predicate": "on", "object": 1}]), "there is no region 1"),
        (line(relations=[{"subject": 0, "object": 0}]), "field 'predicate' is missing"),
        (line(coco_id="x"), "invalid literal"),
        ("[" * 100_000, "recursion"),
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


def test_questions_name_their_regions() -> None:
    regions = [
        {"box": [1, 1, 9, 9], "qa": [{"q": "What is <region> on?", "a": "<region> is on it", "type": "place"}]},
        {"box": [20, 1, 40, 9], "qa": [{"q": "Which?", "a": ["this", "that"], "choices": ["A. this", "B. that"]}]},
    ]
    qa = [
        {"q": "Is it day?", "a": "yes", "source": "us"},
        {"q": "Is <region1> near <region0>?", "a": "no"},
        {"q": "Where?", "a": "at [0.1, 0.2, 0.3, 0.4]", "boxes": "in the text"},
    ]
    record = parse_record(line(regions=regions, qa=qa), Path("here"), "x")
    assert record.questions == (
        Question("Is it day?", ("yes",)),
        Question("Is <region1> near <region0>?", ("no",), (1, 0)),
        Question("What is <region0> on?", ("<region0> is on it",), (0,), "place"),
        Question("Which?\nA. this\nB. that", ("this", "that"), (1,)),
    )


def test_what_else_a_line_can_say() -> None:
    region = {
        "box": [10, 5, 60, 45],
        "attributes": ["brown", "brown"],
        "description": "a dog",
        "descriptions": ["a dog", "it sleeps "],
        "area": 1500,
        "askable": False,
        "colours_from_captions": ["red"],
    }
    more = {"licence": "CC0", "coco_id": "000000000139", "vg_id": 7, "image_ids": ["coco:139", "mine:1"]}
    relations = [{"subject": 0, "predicate": " near ", "object": 0}]
    record = parse_record(line(regions=[region], relations=relations, **more), Path("here"), "x")
    assert record.image_ids == ("coco:139", "mine:1", "vg:7")
    assert record.licence == "CC0"
    assert record.relations == (Relation(0, "near", 0),)
    found = record.regions[0]
    assert (found.attributes, found.descriptions) == (("brown",), ("a dog", "it sleeps"))
    assert (found.area_px, found.askable) == (1500.0, False)


def test_a_mask_is_a_region() -> None:
    mask = {"counts": [50 * 10 + 5, 40, 10, 40, 4405], "size_wh": [100, 50]}
    found = parse_record(line(regions=[{"mask": mask}]), Path("here"), "x").regions[0]
    assert found.mask is not None
    assert found.region.bounds_xyxy == pytest.approx((0.1, 0.1, 0.12, 0.9))
    assert found.area_px == pytest.approx(80)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["<region0>", "9"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["image", "width", "height", "regions", "captions", "qa", "relations", "licence", "coco_id", "image_ids"]
REGION_FIELDS = ["box", "polygon", "point", "mask", "label", "text", "area", "attributes", "descriptions", "qa"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(REGION_FIELDS), JSON))
def test_whatever_a_line_holds_is_a_record_or_our_error(fields: dict, region: dict) -> None:
    text = line(**{"regions": [{"box": [10, 5, 60, 45], **region}], **fields})
    try:
        assert parse_record(text, Path("here"), "x").size >= (1, 1)
    except DataError as error:
        assert str(error).startswith("x: ")  # noqa: PT017


def test_every_photo_record_reads(photos: Path) -> None:
    folders = sorted(path.parent for path in photos.glob("*/*/annotations.jsonl"))
    assert len(folders) >= 30
    records = [record for folder in folders for record in read_records(folder)]
    assert sum(len(record.regions) for record in records) == 31_683
    assert sum(len(record.questions) for record in records) == 1_908 + 903 - 39  # 39 have coordinates in their text
    assert sum(len(record.relations) for record in records) == 107
    assert sum(bool(record.image_ids) for record in records) == 1_805 + 59
