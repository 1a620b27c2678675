"""Regions as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.cli.pointing import typed_line, typed_order, typed_region
from chatspot.errors import ImageError, RegionError
from chatspot.regions import Box, Mask, Point, Polygon, Scribble

IMAGE = Image.new("RGB", (120, 80))

TYPED = [
    ("box", "12,8,60,40", Box.from_normalized(0.1, 0.1, 0.5, 0.5)),
    ("box", " 12 , 8.0 ,6e1,+40 ", Box.from_normalized(0.1, 0.1, 0.5, 0.5)),
    ("point", "60,20", Point.from_normalized(0.5, 0.25)),
    ("point", "120,80", Point.from_normalized(1, 1)),
    ("polygon", "0,0,120,0,120,80", Polygon.from_normalized([(0, 0), (1, 0), (1, 1)])),
]


@pytest.mark.parametrize(("kind", "text", "expected"), TYPED)
def test_typed_in_pixels(kind: str, text: str, expected):
    assert typed_region(kind, text, IMAGE, normalized=False) == expected


def test_typed_as_fractions():
    assert typed_region("box", "0.1,0.1,.5,0.5", IMAGE, normalized=True) == Box.from_normalized(0.1, 0.1, 0.5, 0.5)
    assert typed_region("point", "1,1", IMAGE, normalized=True) == Point.from_normalized(1, 1)
    corners = [(0, 0), (1, 0), (1, 1)]
    assert typed_region("polygon", "0,0,1,0,1,1", IMAGE, normalized=True) == Polygon.from_normalized(corners)


def test_scribbles_have_a_round_pen_of_a_share_of_the_shorter_side():
    in_pixels = typed_region("scribble", "12,8,60,40", IMAGE, normalized=False)
    as_fractions = typed_region("scribble", "0.1,0.1,0.5,0.5", IMAGE, normalized=True)
    assert isinstance(in_pixels, Scribble)
    assert in_pixels == as_fractions
    assert in_pixels.pen_wh == pytest.approx((1.6 / 120, 1.6 / 80))
    assert isinstance(typed_region("scribble", "12,8", IMAGE, normalized=False), Scribble)


HOSTILE = [
    ("box", "", "expected numbers x1,y1,x2,y2"),
    ("box", ",,,", "expected numbers"),
    ("box", "1,2,3", r"expected x1,y1,x2,y2, got 3 number"),
    ("box", "1,2,3,4,5", "got 5 number"),
    ("box", "a,b,c,d", "expected numbers"),
    ("box", "1;2;3;4", "expected numbers"),
    ("box", "30,20,10,40", "reversed"),
    ("box", "10,20,10,40", "empty"),
    ("box", "nan,0,10,10", "no number"),
    ("box", "0,0,inf,10", "no number"),
    ("box", "0,0,1e999,10", "no number"),
    ("box", "-5,0,10,10", "leaves the image"),
    ("box", "0,0,121,80", "leaves the image"),
    ("box", "0x10,0,1,1", "expected numbers"),
    ("point", "1", "expected x,y, got 1"),
    ("point", "1,2,3,4", "got 4 number"),
    ("point", "500,2", "leaves the image"),
    ("point", "\x00,1", "expected numbers"),
    ("polygon", "0,0,10,10", "at least 3 corners"),
    ("polygon", "0,0,10,10,20", "got 5 number"),
    ("polygon", "0,0,10,10,20,20", "no area"),
    ("scribble", "", "expected numbers"),
    ("scribble", "1,2,3", "got 3 number"),
]


@pytest.mark.parametrize(("kind", "text", "message"), HOSTILE)
def test_hostile_regions(kind: str, text: str, message: str):
    with pytest.raises(RegionError, match=message) as raised:
        typed_region(kind, text, IMAGE, normalized=False)
    assert "120 x 80" in str(raised.value)


@given(st.sampled_from(["box", "point", "polygon", "scribble"]), st.text(max_size=40), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_text_is_a_region_or_a_region_error(kind: str, text: str, normalized: bool):
    try:
        region = typed_region(kind, text, IMAGE, normalized=normalized)
    except RegionError:
        return
    assert type(region).__name__.lower() == kind


# ------------------------------------------------------------------------------------------------ masks


def test_masks_from_a_picture_and_from_json_are_the_same(mask_picture: Path, tmp_path: Path):
    mask = typed_region("mask", str(mask_picture), IMAGE, normalized=False)
    assert isinstance(mask, Mask)
    bitmap = np.zeros((80, 120), dtype=bool)
    bitmap[20:60, 10:50] = True
    assert np.array_equal(mask.to_bitmap(), bitmap)
    for number, stored in enumerate((mask.to_json(), mask.to_json()["mask"])):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(stored))
        assert typed_region("mask", str(file), IMAGE, normalized=True) == mask


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("\xff\xfe", "is no JSON"),
        ("null", '"counts" and "size_wh"'),
        ("[]", '"counts" and "size_wh"'),
        ("{}", '"counts" and "size_wh"'),
        ('{"counts": [9600]}', '"counts" and "size_wh"'),
        ('{"counts": [9600], "size_wh": [120, 80]}', "empty"),
        ('{"counts": [1], "size_wh": [120, 80]}', "sum to"),
        ('{"counts": [-1, 9601], "size_wh": [120, 80]}', "0 or more"),
        ('{"counts": "abc", "size_wh": [120, 80]}', "mask"),
        ('{"counts": [0, 1e400], "size_wh": [120, 80]}', "mask"),
        ('{"counts": [0, 4], "size_wh": [2, 2]}', "is 2 x 2 pixels, the upright picture 120 x 80"),
        ('{"counts": [0, 9600], "size_wh": [80, 120]}', "is 80 x 120 pixels"),
        ('{"mask": {"counts": [0, 9600], "size_wh": [120, 80]}, "box": [0, 0, 1, 1]}', "exactly one of"),
    ],
)
def test_hostile_mask_files(content: str, message: str, tmp_path: Path):
    file = tmp_path / "mask.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(RegionError, match=message):
        typed_region("mask", str(file), IMAGE, normalized=False)


def test_masks_that_are_not_there_or_of_another_size(tmp_path: Path):
    with pytest.raises(RegionError, match="cannot be read"):
        typed_region("mask", str(tmp_path / "none.json"), IMAGE, normalized=False)
    with pytest.raises(ImageError, match="does not exist"):
        typed_region("mask", str(tmp_path / "none.png"), IMAGE, normalized=False)
    Image.new("L", (60, 40), "white").save(tmp_path / "small.png")
    with pytest.raises(RegionError, match="is 60 x 40 pixels, the upright picture 120 x 80"):
        typed_region("mask", str(tmp_path / "small.png"), IMAGE, normalized=False)
    Image.new("L", (120, 80), "black").save(tmp_path / "black.png")
    with pytest.raises(RegionError, match="empty"):
        typed_region("mask", str(tmp_path / "black.png"), IMAGE, normalized=False)


# ------------------------------------------------------------------------------------------------ order and lines


@pytest.mark.parametrize(
    ("arguments", "given", "expected"),
    [
        ("", {"box": [], "point": []}, ""),
        ("--box a --point b --box c", {"box": "ac", "point": "b"}, "box:a point:b box:c"),
        ("--point=b --box=a", {"box": "a", "point": "b"}, "point:b box:a"),
        ("--json --point b -- --box", {"box": [], "point": "b"}, "point:b"),
        ("--point --box --box a", {"box": "a", "point": ["--box"]}, "box:a point:--box"),  # a value like an option
    ],
)
def test_order_of_regions_over_kinds(arguments: str, given: dict, expected: str):
    found = typed_order(arguments.split(), given)
    assert " ".join(f"{kind}:{value}" for kind, value in found) == expected


LINES = [
    ("What is this?", "What is this?", []),
    ("What is @box 12,8,60,40?", "What is {region}?", [TYPED[0][2]]),
    ("@box 12, 8, 60, 40 What is it?", "{region} What is it?", [TYPED[0][2]]),
    ("Is @point 60,20 in @box 12,8,60,40.", "Is {region} in {region}", [TYPED[2][2], TYPED[0][2]]),
    ("@polygon 0,0,120,0,120,80", "{region}", [TYPED[4][2]]),
    ("mail me@box.com or @boxes or @", "mail me@box.com or @boxes or @", []),
    ("{} {region_} {{", "{} {region_} {{", []),
]


@pytest.mark.parametrize(("line", "question", "regions"), LINES)
def test_lines_of_a_chat(line: str, question: str, regions: list):
    assert typed_line(line, IMAGE) == (question, regions)


@pytest.mark.parametrize("line", ["@box", "@box What is it?", "@box 1,2,3", "@point 1,2,3", "@box 10,20,5,40", "@mask"])
def test_lines_with_regions_that_cannot_be(line: str):
    with pytest.raises((RegionError, ImageError)):
        typed_line(line, IMAGE)


@given(st.text(alphabet="@boxpint0123456789,. -", max_size=60))
@settings(deadline=None, max_examples=150)
def test_any_line_is_read_or_a_region_error(line: str):
    try:
        question, regions = typed_line(line, IMAGE)
    except RegionError:
        return
    assert question.count("{region}") == len(regions)
