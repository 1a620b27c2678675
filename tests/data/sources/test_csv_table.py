"""CSV: tables of boxes with whatever columns people use."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import found, picture, read

from chatspot.data.sources.csv_table import CSV
from chatspot.errors import DataError

HEAD = "image,label,xmin,ymin,xmax,ymax\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected the columns image"),
        ("a.jpg,1,2,3,4,dog\n", "expected the columns image"),
        ("image,label,xmin,ymin\n", "expected the columns image"),
        ("label,xmin,ymin,xmax,ymax\n", "expected the columns image"),
        (HEAD + "a" * 200_000, "field larger"),
    ],
)
def test_another_table_is_refused(folder: Path, text: str, says: str) -> None:
    (folder / "boxes.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        read(CSV, folder, "all")


def test_a_file_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / "boxes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read(CSV, folder, "all")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a.jpg,dog,x,5,60,45", "unusable entry"),
        ("a.jpg,dog,10,5", "unusable entry"),
        (",dog,10,5,60,45", "unusable entry"),
        ("a.jpg,dog,60,5,10,45", "degenerate region"),
        ("a.jpg,dog,nan,5,10,45", "degenerate region"),
        ("a.jpg,dog,80,5,160,45", "outside region"),
        ("b.jpg,dog,10,5,60,45", "missing picture"),
    ],
)
def test_lines_that_cannot_be_used_are_left_out(folder: Path, row: str, kind: str) -> None:
    (folder / "boxes.csv").write_text(f"{HEAD}\n{row}\n")
    records, faults = read(CSV, folder, "all")
    assert not any(record.regions for record in records)
    assert found(faults) == {kind: 1}
    assert faults.kept[0].where == "boxes.csv:3"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "a.jpg,dog,10,5,60,45\n",
        "\ufeffclass;FileName;x1;y1;x2;y2\r\ndog;images/a.jpg;10;5;60;45\r\n",
        "image\tlabel\tx\ty\twidth\theight\na\tdog\t10\t5\t50\t40\n",
        "image_id,name,left,top,width,height\na.jpg,dog,10,5,50,40",
        "image;label;xmin;ymin;xmax;ymax\na.jpg;dog;10,0;5,0;60,0;45,0\n",  # a comma as the decimal point
        'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\na,,dog,,"0,1","0,6",0.1,0.9,0\n',
    ],
)
def test_columns(folder: Path, text: str) -> None:
    (folder / "boxes.csv").write_text(text, encoding="utf-8")
    (record,), faults = read(CSV, folder, "all")
    (region,) = record.regions
    assert region.box is not None
    assert region.box.to_pixels((100, 50)) == pytest.approx((10, 5, 60, 45))
    assert (region.label, region.askable) == ("dog", True)
    assert not faults.counts


def test_text_groups_sizes_and_empty_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    (tmp_path / "boxes.csv").write_text(
        "image,text,xmin,ymin,xmax,ymax,IsGroupOf,image_width,image_height\n"
        'a.jpg,"EXIT, 1",10,5,60,45,1,90,50\nb.jpg,,,,,,,,\na.jpg,,10,5,60,45,0,90,50\n'
    )
    (first, second), faults = read(CSV, tmp_path, "all")
    assert [(region.text, region.askable) for region in first.regions] == [("EXIT, 1", False), (None, True)]
    assert second.regions == ()
    assert found(faults) == {"wrong size": 1}


@settings(max_examples=80, deadline=None)
@given(st.text(st.sampled_from('a.,jpgdo"g0159-\n\r;\x00\t é'), max_size=60))
def test_damaged_lines_never_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "csv"
    picture(folder / "images" / "a.jpg")
    (folder / "boxes.csv").write_text(f"{HEAD}a.jpg,dog,10,5,60,45\n{text}", encoding="utf-8", newline="")
    try:
        records, faults = read(CSV, folder, "all")
    except DataError as error:
        assert "boxes.csv" in str(error)  # noqa: PT017
    else:
        assert records or faults.counts


def test_real_files(photos: Path, tmp_path: Path) -> None:
    sample = photos / "original_format_samples" / "voc_many_formats"
    (tmp_path / "images").mkdir()
    for file in (sample / "images").iterdir():
        (tmp_path / "images" / file.name).symlink_to(file)
    (tmp_path / "boxes.csv").symlink_to(sample / "openimages_format" / "all_bounding_boxes.csv")
    records, faults = read(CSV, tmp_path, "all")
    assert [len(record.regions) for record in records] == [1, 2, 2, 3]
    assert not faults.counts
