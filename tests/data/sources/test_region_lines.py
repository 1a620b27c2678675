"""Region JSON lines as a source: faults reported line by line, and the format written and read back."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import damaged, found, picture, read

from chatspot.data.faults import Faults
from chatspot.data.records import ANNOTATIONS, Question, Record, RegionRecord, Relation, read_records
from chatspot.data.sources.region_lines import REGION_LINES, write_region_lines
from chatspot.errors import DataError
from chatspot.regions import Box, Mask, Point, Polygon

SIZE = (100, 50)
ENTRY: dict[str, Any] = {
    "image": "images/a.jpg",
    "width": 100,
    "height": 50,
    "regions": [
        {"box": [10, 5, 60, 45], "label": "dog", "qa": [{"q": "Is <region> old?", "a": "no"}]},
        {"polygon": [[60, 5], [90, 5], [90, 45]], "text": "EXIT"},
        {"point": [20, 20], "label": "nose"},
    ],
    "qa": [{"q": "What is <region0> near?", "a": "<region1>"}, {"q": "Which?", "a": "it", "regions": [2]}],
    "relations": [{"subject": 0, "predicate": "near", "object": 1}, {"subject": 2, "predicate": "of", "object": 0}],
}

NESTED: Any = functools.reduce(lambda inner, _: [inner], range(600), 1)  # json reads it, copy.deepcopy gives up


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.jpg")
    return tmp_path


def lines(folder: Path, *entries: Any) -> tuple[list[Record], Faults]:
    (folder / ANNOTATIONS).write_text("\n".join(json.dumps(entry) for entry in entries) + "\n")
    return read(REGION_LINES, folder, "all")


def with_region(number: int, region: Any) -> dict[str, Any]:
    """The entry with one region replaced."""
    regions = list(ENTRY["regions"])
    regions[number] = region
    return {**ENTRY, "regions": regions}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks annotations\.jsonl"):
        read(REGION_LINES, tmp_path, "all")


def test_a_sound_line_reads_as_read_records_reads_it(folder: Path) -> None:
    records, faults = lines(folder, ENTRY)
    assert records == list(read_records(folder))
    assert not faults.counts


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (3, "unusable entry"),
        ({}, "unusable entry"),
        ({**ENTRY, "image": "\x00"}, "unusable entry"),
        ({**ENTRY, "image": "lost.jpg"}, "missing picture"),
        ({**ENTRY, "regions": {}}, "unusable entry"),
        ({**ENTRY, "qa": [{"q": "Who is <region9>?", "a": "x"}]}, "unusable entry"),
        ({**ENTRY, "captions": [3]}, "unusable entry"),
        ({**ENTRY, "image": "\ud800.jpg"}, "unusable entry"),
        ({**ENTRY, "note": NESTED}, "unusable entry"),
    ],
)
def test_lines_that_cannot_be_used_are_reported(folder: Path, entry: Any, kind: str) -> None:
    records, faults = lines(folder, entry, ENTRY)
    assert len(records) == 1
    assert found(faults) == {kind: 1}
    assert faults.kept[0].where.startswith(f"{ANNOTATIONS}:1")


def test_broken_bytes_cost_one_line(folder: Path) -> None:
    (folder / ANNOTATIONS).write_bytes(
        b'{"image": \n\xff\xfe\n' + json.dumps(ENTRY).encode() + b"\n\n" + b"[" * 100_000
    )
    records, faults = read(REGION_LINES, folder, "all")
    assert len(records) == 1
    assert found(faults) == {"unusable entry": 3}


@pytest.mark.parametrize(
    ("region", "kind"),
    [
        (3, "unusable entry"),
        ({"label": "dog"}, "unusable entry"),
        ({"box": [1, 2, 3]}, "unusable entry"),
        ({"box": [10, 5, 10, 45]}, "degenerate region"),
        ({"box": [200, 5, 300, 45]}, "outside region"),
        ({"mask": {"counts": [5000], "size_wh": [100, 50]}}, "degenerate region"),
    ],
)
def test_a_region_that_cannot_be_used_goes_with_what_names_it(folder: Path, region: Any, kind: str) -> None:
    (record,), faults = lines(folder, with_region(0, region))
    assert [r.label or r.text for r in record.regions] == ["EXIT", "nose"]
    assert record.questions == (Question("Which?", ("it",), (1,)),)
    assert record.relations == ()
    assert found(faults) == {kind: 1}


def test_regions_are_counted_anew(folder: Path) -> None:
    (record,), _ = lines(folder, with_region(1, {"box": [10, 5, 10, 45]}))
    assert record.relations == (Relation(1, "of", 0),)
    assert record.questions == (Question("Which?", ("it",), (1,)), Question("Is <region0> old?", ("no",), (0,)))


def test_the_pictures_size_and_turn_are_believed(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg", orientation=6)
    (record,), faults = lines(tmp_path, ENTRY)
    assert found(faults) == {"turned picture": 1}
    assert record.size == (50, 100)
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((50, 100)) == pytest.approx((5, 10, 45, 60))
    assert record.regions[2].point is not None
    assert record.regions[2].point.to_pixels((50, 100)) == pytest.approx((30, 20))
    (record,), faults = lines(tmp_path, {**ENTRY, "width": 7, "height": 9})
    assert (record.size, found(faults)["wrong size"]) == ((50, 100), 1)


@settings(max_examples=100, deadline=None)
@given(entry=damaged(ENTRY))
def test_damaged_lines_never_crash(tmp_path_factory: pytest.TempPathFactory, entry: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "region_lines"
    picture(folder / "images" / "a.jpg")
    records, faults = lines(folder, entry)
    assert records or faults.counts
    for record in records:
        assert all(number < len(record.regions) for q in record.questions for number in q.regions)


edge = st.integers(0, 40)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)


@st.composite
def regions(draw: Any) -> RegionRecord:
    x, y = draw(edge), draw(st.integers(0, 20))
    box = Box.from_pixels_xywh(x, y, draw(st.integers(1, 59)), draw(st.integers(1, 29)), size=SIZE)
    corners = [(x, y), (x + 20.25, y), (x + 20.25, y + 10.5)]
    polygon = draw(st.none() | st.just(Polygon.from_pixels(corners, size=SIZE)))
    point = draw(st.none() | st.just(Point.from_pixels(x + 0.5, y, size=SIZE)))
    bitmap = np.zeros((50, 100), dtype=bool)
    bitmap[y : y + 4, x : x + 9] = True
    mask = draw(st.none() | st.just(Mask.from_bitmap(bitmap)))
    texts = st.lists(TEXT, max_size=2, unique=True).map(tuple)
    area = draw(st.floats(0, 5000))
    return RegionRecord(box, polygon, point, draw(st.none() | TEXT), draw(st.none() | TEXT), draw(st.booleans()), area,
                        mask, draw(texts), draw(texts))  # fmt: skip


@st.composite
def records(draw: Any) -> Record:
    found_regions = tuple(draw(st.lists(regions(), min_size=1, max_size=3)))
    number = draw(st.integers(0, len(found_regions) - 1))
    questions = (Question(f"What is <region{number}>?", draw(st.lists(TEXT, min_size=1).map(tuple)), (number,), "x"),)
    safe = [q for q in questions if not any("<region" in answer for answer in q.answers)]
    captions = draw(st.lists(TEXT, max_size=2).map(tuple))
    return Record(Path("images/a.jpg"), SIZE, found_regions, captions, "mine", tuple(safe),
                  (Relation(number, "near", 0),), ("coco:1", "mine:2"), draw(st.just("") | TEXT))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(record=records())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, record: Record) -> None:
    folder = tmp_path_factory.getbasetemp() / "mine"
    picture(folder / "images" / "a.jpg")
    record = replace(record, image=folder / "images" / "a.jpg")
    assert write_region_lines([record], folder) == folder / ANNOTATIONS
    (back,), faults = read(REGION_LINES, folder, "all")
    assert not faults.counts
    assert replace(back, regions=()) == replace(record, regions=())
    for found_region, region in zip(back.regions, record.regions, strict=True):
        plain = {"box": None, "polygon": None, "point": None}
        assert replace(found_region, **plain) == replace(region, **plain)
        for form in ("box", "polygon", "point"):
            one, other = getattr(found_region, form), getattr(region, form)
            assert (one is None) == (other is None)
            assert one is None or one.bounds_xyxy == pytest.approx(other.bounds_xyxy, abs=1e-7)
    assert list(read_records(folder)) == [back]


def test_pictures_elsewhere_are_named_by_their_whole_path(tmp_path: Path) -> None:
    image = picture(tmp_path / "elsewhere" / "b.jpg")
    record = Record(image, SIZE, (), ("A dog.",), "x")
    write_region_lines([record], tmp_path / "out")
    (back,), _ = read(REGION_LINES, tmp_path / "out", "all")
    assert back == replace(record, source="out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [ANNOTATIONS]


def test_every_photo_record_reads(photos: Path) -> None:
    faults = Faults()
    folders = sorted(path.parent for path in photos.glob("train/*/annotations.jsonl"))
    strict = [record for folder in folders for record in read_records(folder)]
    read_here = [record for folder in folders for record in REGION_LINES.read(folder, "all", faults)]
    assert [record.image for record in read_here] == [record.image for record in strict]
    assert len(strict) == 6_302
    lost = sum(len(record.regions) for record in strict) - sum(len(record.regions) for record in read_here)
    assert found(faults) == {"degenerate region": lost}  # boxes without area, which read_records keeps as points
    assert lost < 5
