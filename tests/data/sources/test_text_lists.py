"""Lists in plain text: torchcv's boxes and OpenALPR's plates."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import found, picture, read

from chatspot.data.records import PLATE_LABEL
from chatspot.data.sources.text_lists import OPENALPR, TORCHCV, text_lines
from chatspot.errors import DataError

BOX = "10 5 60 45 1"
PIECES = ["a.jpg", "10", "5", "60", "45", "1", "nan", "1e999", "-3", "\t", " ", "\n", "\x00", "../a.jpg", "\ufeff", "x"]


def torchcv(folder: Path, text: str = f"000000000139.jpg {BOX}\n", split: str = "coco17_val") -> Path:
    """One picture and its list."""
    picture(folder / "images" / "000000000139.jpg")
    (folder / "coco_labels.txt").write_text("person\ntraffic light\n")
    (folder / f"{split}.txt").write_text(text)
    return folder


def openalpr(folder: Path, text: str = "eu1.jpg\t10\t5\t50\t20\tM5XSX\n") -> Path:
    """One photo of a country and its text."""
    picture(folder / "eu" / "eu1.jpg")
    (folder / "eu" / "eu1.txt").write_text(text)
    return folder


def test_text_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for content in (b"\xff\xfe", b"caf\xe9"):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.txt: cannot be read .* expected lines in UTF-8"):
            list(text_lines(file, "lines"))
    file.write_bytes(b"")
    assert list(text_lines(file, "lines")) == []
    file.write_bytes("\ufeffa\r\n\r\nb\x0bc\u2028d\ne".encode())
    assert list(text_lines(file, "lines")) == [("a.txt:1", "a"), ("a.txt:3", "b\x0bc\u2028d"), ("a.txt:4", "e")]


def test_what_torchcv_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks coco17_val\.txt, coco_labels\.txt; get the set from"):
        read(TORCHCV, tmp_path, "coco17_val")
    with pytest.raises(DataError, match="has no split 'mine'; it has coco17_train"):
        read(TORCHCV, tmp_path, "mine")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("000000000139.jpg 1 2 3 4", "unusable entry"),
        (f"000000000139.jpg {BOX} 7", "unusable entry"),
        ("gone.jpg", "missing picture"),
        ("..", "unusable entry"),
        ("a\x00.jpg", "unusable entry"),
    ],
)
def test_lines_of_torchcv_that_cannot_be_used(tmp_path: Path, line: str, kind: str) -> None:
    records, faults = read(TORCHCV, torchcv(tmp_path, line), "coco17_val")
    assert (records, found(faults)) == ([], {kind: 1})


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ("10 5 60 45 2", "unusable entry"),
        ("10 5 60 45 -1", "unusable entry"),
        ("10 5 60 45 0.5", "unusable entry"),
        ("10 5 x 45 1", "unusable entry"),
        ("60 5 10 45 1", "degenerate region"),
        ("10 5 nan 45 1", "degenerate region"),
        ("900 5 960 45 1", "outside region"),
    ],
)
def test_boxes_of_torchcv_that_cannot_be_used(tmp_path: Path, box: str, kind: str) -> None:
    (record,), faults = read(TORCHCV, torchcv(tmp_path, f"000000000139.jpg {box} {BOX}"), "coco17_val")
    assert [region.label for region in record.regions] == ["traffic light"]
    assert found(faults) == {kind: 1}


def test_trap_a_name_alone_is_a_picture_without_objects(tmp_path: Path) -> None:
    (record,), faults = read(TORCHCV, torchcv(tmp_path, "000000000139.jpg\n\n"), "coco17_val")
    assert (record.regions, found(faults)) == ((), {})


def test_trap_cocos_boxes_name_the_last_pixel(tmp_path: Path) -> None:
    (record,), _ = read(TORCHCV, torchcv(tmp_path), "coco17_val")
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == (10, 5, 61, 46)
    assert record.image_ids == ("coco:139",)


def test_trap_vocs_boxes_count_from_one_and_its_names_are_in_no_file(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "2007_000027.jpg")
    (tmp_path / "voc12_trainval.txt").write_text("2007_000027.jpg 10 5 60 45 14 1 1 100 50 10\n")
    (record,), faults = read(TORCHCV, tmp_path, "voc12_trainval")
    boxes = [(region.label, region.box.to_pixels((100, 50))) for region in record.regions if region.box]
    assert boxes == [("person", (9, 4, 60, 45)), ("dining table", (0, 0, 100, 50))]
    assert (record.image_ids, found(faults)) == (("voc:2007_000027",), {})


def test_what_openalpr_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks eu/; get the set from https://github\.com/openalpr"):
        read(OPENALPR, tmp_path, "eu")
    with pytest.raises(DataError, match=r"holds no \.txt file; expected a text for each photo"):
        read(OPENALPR, tmp_path, "all")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("eu1.jpg 10 5 50 20 M5XSX", "unusable entry"),
        ("eu1.jpg\t10\t5\t50\t20", "unusable entry"),
        ("eu1.jpg\tx\t5\t50\t20\tM5XSX", "unusable entry"),
        ("../eu/eu1.jpg\t10\t5\t50\t20\tM5XSX", "unusable entry"),
        ("eu2.jpg\t10\t5\t50\t20\tM5XSX", "missing picture"),
        ("eu1.jpg\t10\t5\t0\t20\tM5XSX", "degenerate region"),
        ("eu1.jpg\t10\t5\t50\t20\tM5\x07", "unusable entry"),
        ("eu1.jpg\t10\t5\t50\t20\t ", "no answer"),
    ],
)
def test_plates_that_cannot_be_used(tmp_path: Path, text: str, kind: str) -> None:
    records, faults = read(OPENALPR, openalpr(tmp_path, text), "eu")
    assert all(not region.askable for record in records for region in record.regions)
    assert found(faults) == {kind: 1}


def test_trap_plates_are_left_top_width_height_between_tabs(tmp_path: Path) -> None:
    for split in ("eu", "all"):
        (record,), faults = read(OPENALPR, openalpr(tmp_path), split)
        (plate,) = record.regions
        assert plate.box is not None
        assert plate.box.to_pixels((100, 50)) == (10, 5, 60, 25)
        assert (plate.label, plate.text, plate.askable) == (PLATE_LABEL, "M5XSX", True)
        assert not faults.counts


def test_trap_a_photo_of_two_plates_and_a_last_line_without_its_end(tmp_path: Path) -> None:
    text = "eu1.jpg\t10\t5\t50\t20\tM5XSX\r\neu1.jpg\t10\t30\t50\t15\tRK 565 AV"
    (record,), _ = read(OPENALPR, openalpr(tmp_path, text), "eu")
    assert [region.text for region in record.regions] == ["M5XSX", "RK 565 AV"]


@settings(max_examples=80, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14))
def test_damaged_lists_never_crash(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "lists"
    for source, make, split in ((TORCHCV, torchcv, "coco17_val"), (OPENALPR, openalpr, "eu")):
        for joint in (" ", "\t"):
            records, faults = read(source, make(folder / source.name, joint.join(pieces)), split)
            assert records or faults.counts or not "".join(pieces).replace("\ufeff", "").strip()
