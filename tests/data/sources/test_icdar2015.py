"""ICDAR 2015: photos with outlined words, and cut-out words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import found, picture, read

from chatspot.data.sources.icdar2015 import ICDAR2015, ICDAR2015_WORDS
from chatspot.errors import DataError

CORNERS = "10,5,60,6,60,20,10,19"


def scenes(folder: Path, text: str = f"\ufeff{CORNERS},Genaxis Theatre\r\n", number: int = 1) -> Path:
    """One photo of the split test and its text."""
    picture(folder / "ch4_test_images" / f"img_{number}.jpg")
    gt = folder / "Challenge4_Test_Task1_GT"
    gt.mkdir(exist_ok=True)
    (gt / f"gt_img_{number}.txt").write_text(text, encoding="utf-8")
    return folder


def words(folder: Path, gt: str = '\ufeffword_1.png, "EXIT"\r\n', coords: str | None = None) -> Path:
    """One cut-out word."""
    picture(folder / "word_1.png", (50, 20))
    (folder / "gt.txt").write_text(gt, encoding="utf-8")
    if coords is not None:
        (folder / "coords.txt").write_text(coords, encoding="utf-8")
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks ch4_test_images/, Challenge4_Test_Task1_GT/; get the set from"):
        read(ICDAR2015, tmp_path, "test")
    with pytest.raises(DataError, match=r"lacks gt\.txt; get the set from"):
        read(ICDAR2015_WORDS, tmp_path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("10,5,60,6,60,20,10,19", "unusable entry"),
        ("a,5,60,6,60,20,10,19,EXIT", "unusable entry"),
        ("10 5 60 6 60 20 10 19 EXIT", "unusable entry"),
        ("10,5,10,5,10,5,10,5,EXIT", "degenerate region"),
        ("900,5,960,6,960,20,900,19,EXIT", "outside region"),
        (f"{CORNERS},EX\x07IT", "unusable entry"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path: Path, text: str, kind: str) -> None:
    (record,), faults = read(ICDAR2015, scenes(tmp_path, f"{text}\n{CORNERS},YES\n"), "test")
    assert [region.text for region in record.regions] == ["YES"]
    assert found(faults) == {kind: 1}


def test_a_photo_without_words_and_words_without_a_photo(tmp_path: Path) -> None:
    scenes(scenes(tmp_path, ""), number=2)
    (tmp_path / "ch4_test_images" / "img_2.jpg").unlink()
    (record,), faults = read(ICDAR2015, tmp_path, "test")
    assert (record.id, record.regions, found(faults)) == ("icdar2015/img_1", (), {"missing picture": 1})


def test_a_text_that_is_no_utf_8_costs_one_photo(tmp_path: Path) -> None:
    scenes(tmp_path)
    (tmp_path / "Challenge4_Test_Task1_GT" / "gt_img_1.txt").write_bytes(f"{CORNERS},caf".encode() + b"\xe9")
    records, faults = read(ICDAR2015, tmp_path, "test")
    assert (records, found(faults)) == ([], {"unusable entry": 1})


def test_trap_the_file_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    (record,), faults = read(ICDAR2015, scenes(tmp_path), "test")
    (region,) = record.regions
    assert (region.text, region.label, region.askable) == ("Genaxis Theatre", "text", True)
    assert region.polygon is not None
    assert region.polygon.to_pixels((100, 50)) == ((10, 5), (60, 6), (60, 20), (10, 19))
    assert not faults.counts


def test_trap_a_text_may_hold_commas(tmp_path: Path) -> None:
    (record,), _ = read(ICDAR2015, scenes(tmp_path, f"{CORNERS},B1,\n{CORNERS},1,000\n"), "test")
    assert [region.text for region in record.regions] == ["B1,", "1,000"]


def test_trap_hashes_are_not_to_be_read(tmp_path: Path) -> None:
    (record,), faults = read(ICDAR2015, scenes(tmp_path, f"{CORNERS},###\r\n{CORNERS},\r\n{CORNERS},#1\r\n"), "test")
    assert [(region.text, region.askable) for region in record.regions] == [(None, False), (None, False), ("#1", True)]
    assert found(faults) == {"no answer": 2}


def test_photos_come_by_their_number(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        scenes(tmp_path, number=number)
    assert [record.image.stem for record in read(ICDAR2015, tmp_path, "test")[0]] == ["img_9", "img_10", "img_100"]


@pytest.mark.parametrize("line", ["word_1.png", "word_1.png, EXIT", '"EXIT"', '../word_1.png, "x"', 'gone.png, "x"'])
def test_words_that_cannot_be_used(tmp_path: Path, line: str) -> None:
    records, faults = read(ICDAR2015_WORDS, words(tmp_path, line))
    assert records == []
    assert faults.counts.total() == 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('word_1.png, "EXIT"', "EXIT"),
        ('word_1.png, "Genaxis, Theatre"', "Genaxis, Theatre"),
        ('word_1.png, "5\\" pipe"', '5" pipe'),
        ('word_1.png, ""quoted""', '"quoted"'),
        ('word_1.png,"[06]"', "[06]"),
    ],
)
def test_trap_words_stand_in_quotes_and_may_hold_some(tmp_path: Path, line: str, text: str) -> None:
    (record,), faults = read(ICDAR2015_WORDS, words(tmp_path, line))
    assert [region.text for region in record.regions] == [text]
    assert not faults.counts


@pytest.mark.parametrize(
    ("coords", "box", "faults"),
    [
        (None, (0, 0, 50, 20), {}),
        ("\ufeffword_1.png,0,2,33,2,32,18,0,17\r\n", (0, 2, 33, 18), {}),
        ("word_1.png,0,2,33\n", (0, 0, 50, 20), {"unusable entry": 1}),
        ("word_1.png,0,2,0,2,0,2,0,2\n", (0, 0, 50, 20), {"degenerate region": 1}),
        ("word_2.png,0,2,33,2,32,18,0,17\n", (0, 0, 50, 20), {}),
    ],
)
def test_trap_the_corners_are_in_another_file(
    tmp_path: Path, coords: str | None, box: tuple[int, ...], faults: dict[str, int]
) -> None:
    (record,), reported = read(ICDAR2015_WORDS, words(tmp_path, coords=coords))
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((50, 20)) == box
    assert found(reported) == faults


@settings(max_examples=80, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([*CORNERS.split(","), ",", '"', "\n", "\r", "###", "\ufeff", "\x00", "nan", "x"]))
)
def test_damaged_lines_never_crash(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "icdar2015"
    folder.mkdir(exist_ok=True)
    text = ",".join(pieces)
    assert len(read(ICDAR2015, scenes(folder, text), "test")[0]) == 1
    records, faults = read(ICDAR2015_WORDS, words(folder, f'word_1.png, "{text}"', f"word_1.png,{text}"))
    assert records or faults.counts
