"""CVAT for images 1.1: one XML file a task, shapes of many kinds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import found, picture, read

from chatspot.data.sources.cvat import CVAT
from chatspot.errors import DataError

BOX = '<box label="dog" occluded="0" xtl="10.0" ytl="5.0" xbr="60.0" ybr="45.0" rotation="0.0"/>'

FIELDS = ["label", "points", "xtl", "ytl", "xbr", "ybr", "rotation", "cx", "cy", "rx", "ry", "rle", "left", "top"]
FIELDS += ["width", "height"]
VALUES = ["1", "40", "nan", "1e400", "-3", "", "1,2;3,4;9,1", "0,1600", ";", "x"]


def document(shapes: str, name: str = "sub/a.jpg") -> str:
    return (f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta/>'
            f'<image id="0" name="{name}" width="100" height="50">{shapes}</image></annotations>')  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "sub" / "a.jpg")
    return tmp_path


def read_one(folder: Path, shapes: str) -> tuple[tuple, dict[str, int]]:
    (folder / "annotations.xml").write_text(document(shapes))
    (record,), faults = read(CVAT, folder, "all")
    return record.regions, found(faults)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no element found"),
        ("<annotation/>", "expected <annotations>"),
        ('<annotations><track id="0"/></annotations>', "CVAT for video"),
    ],
)
def test_another_file_is_refused(folder: Path, text: str, says: str) -> None:
    (folder / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=says):
        read(CVAT, folder, "all")


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ("<box/>", "unusable entry"),
        (BOX.replace("10.0", "ten"), "unusable entry"),
        (BOX.replace("60.0", "10.0"), "degenerate region"),
        (BOX.replace("10.0", "-100"), "outside region"),
        (BOX.replace('rotation="0.0"', 'rotation="nan"'), None),
        ('<polyline label="a" points="1,2;3,4"/>', "unusable entry"),
        ('<polygon label="a"/>', "unusable entry"),
        ('<polygon label="a" points="1,2;3"/>', "unusable entry"),
        ('<polygon label="a" points="1,2;3,4"/>', "degenerate region"),
        ('<mask label="a" left="0" top="0" width="3" height="2" rle="1,2"/>', "unusable entry"),
        ('<mask label="a" left="99" top="0" width="3" height="2" rle="1,5"/>', "unusable entry"),
        ('<mask label="a" left="0" top="0" width="3" height="2" rle="6"/>', "unusable entry"),
        ('<mask label="a" left="0" top="0" width="3" height="2" rle="nan"/>', "unusable entry"),
        ('<ellipse label="a" cx="9" cy="9" rx="3" ry="2" rotation="inf"/>', "unusable entry"),
        ('<tag label="night"/>', None),
    ],
)
def test_shapes_that_cannot_be_used_are_left_out(folder: Path, shape: str, kind: str | None) -> None:
    regions, faults = read_one(folder, shape)
    assert faults == ({kind: 1} if kind else {})
    assert len(regions) == ('rotation="nan"' in shape)  # a box that is not turned


@pytest.mark.parametrize(
    ("shape", "bounds"),
    [
        (BOX, (10, 5, 60, 45)),
        (BOX.replace('rotation="0.0"', 'rotation="90.0"'), (15, 0, 55, 50)),
        ('<polygon label="dog" points="10.00,5.00;60.00,5.00;60.00,45.00"/>', (10, 5, 60, 45)),
        ('<ellipse label="dog" cx="50" cy="25" rx="40" ry="20"/>', (10, 5, 90, 45)),
        ('<mask label="dog" left="10" top="5" width="4" height="2" rle="1, 2, 2, 3"/>', (11, 5, 14, 7)),
    ],
)
def test_shapes(folder: Path, shape: str, bounds: tuple[float, ...]) -> None:
    (region,), faults = read_one(folder, shape)
    assert region.box.to_pixels((100, 50)) == pytest.approx(bounds, abs=0.01)
    assert region.label == "dog"
    assert not faults


def test_a_mask_runs_along_its_rows(folder: Path) -> None:
    (region,), _ = read_one(folder, '<mask label="a" left="10" top="5" width="4" height="2" rle="1,2,2,3"/>')
    assert region.mask.to_bitmap()[5:7, 10:14].tolist() == [[False, True, True, False], [False, True, True, True]]


def test_several_points_are_several_regions(folder: Path) -> None:
    regions, _ = read_one(folder, '<points label="nose" points="1,2;30,40"/>')
    assert [region.point.to_pixels((100, 50)) for region in regions] == [(1.0, 2.0), (30.0, 40.0)]


def test_attributes_and_text(folder: Path) -> None:
    said = '<attribute name="colour">brown</attribute><attribute name="wet">false</attribute>'
    said += '<attribute name="text">REX</attribute><attribute name="x"></attribute>'
    (region,), _ = read_one(folder, BOX.replace("/>", f">{said}</box>"))
    assert (region.attributes, region.text) == (("brown",), "REX")


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["box", "polygon", "points", "ellipse", "mask", "skeleton"]),
            st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES)),
        )
    )
)
def test_damaged_shapes_never_crash(tmp_path_factory: pytest.TempPathFactory, shapes: list) -> None:
    folder = tmp_path_factory.getbasetemp() / "cvat"
    picture(folder / "images" / "sub" / "a.jpg")
    texts = []
    for tag, fields in shapes:
        written = " ".join(f'{key}="{value}"' for key, value in fields.items())
        texts.append(f"<{tag} {written}/>")
    regions, faults = read_one(folder, "".join(texts))
    assert len(regions) + sum(faults.values()) >= len(shapes)


def test_real_files(photos: Path, tmp_path: Path) -> None:
    sample = photos / "original_format_samples" / "voc_many_formats"
    (tmp_path / "images").mkdir()
    for file in (sample / "images").iterdir():
        os.symlink(file, tmp_path / "images" / file.name)
    (tmp_path / "annotations.xml").symlink_to(sample / "cvat_format" / "annotations.xml")
    records, faults = read(CVAT, tmp_path, "all")
    assert {record.image.stem: len(record.regions) for record in records} == {
        "2007_000027": 1, "2007_000121": 2, "2007_000250": 2, "2007_000364": 3
    }  # fmt: skip
    assert set(faults.counts) <= {"missing picture"}
    assert {region.label for record in records for region in record.regions} >= {"person", "motorbike", "bottle"}
