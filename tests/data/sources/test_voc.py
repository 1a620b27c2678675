"""Pascal VOC: one XML file a picture, from VOC and from tools that write its layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import found, picture, read

from chatspot.data.sources.voc import VOC
from chatspot.errors import DataError

OBJECT = """<object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>60</xmax><ymax>45</ymax></bndbox></object>"""


def document(objects: str = OBJECT, database: str = "Unknown", name: str = "a.jpg", size: str = "100") -> str:
    return (f"<annotation><folder>x</folder><filename>{name}</filename><source><database>{database}</database></source>"
            f"<size><width>{size}</width><height>50</height><depth></depth></size>{objects}</annotation>")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.jpg")
    return tmp_path


def test_a_folder_without_such_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.xml file"):
        read(VOC, tmp_path, "all")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no element found"),
        ("{}", "cannot be read as XML"),
        ("<annotations/>", "its root is <annotations>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "document type"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "cannot be read as XML"),
        (document(name="x\x7f"), "control characters"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(folder: Path, text: str, says: str) -> None:
    (folder / "a.xml").write_text(text)
    records, faults = read(VOC, folder, "all")
    assert records == []
    assert found(faults) == {"unusable entry": 1}
    assert says in faults.kept[0].what


BOMB = (
    '<?xml version="1.0" encoding="{}"?><!DOCTYPE annotation [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;&a;">'
    "<!ENTITY c '&b;&b;&b;&b;'>]><annotation><filename>&c;</filename></annotation>"
)


@pytest.mark.parametrize(
    ("named", "encoding"),
    [
        ("utf-8", "utf-8"), ("utf-8", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16", "utf-16-le"),
        ("latin-1", "latin-1"), ("utf-16", "utf-16-be"),
    ],
)  # fmt: skip
def test_entities_are_refused_in_every_encoding(folder: Path, named: str, encoding: str) -> None:
    (folder / "a.xml").write_bytes(BOMB.format(named).encode(encoding))
    records, faults = read(VOC, folder, "all")
    assert (records, found(faults)) == ([], {"unusable entry": 1})
    assert "document type" in faults.kept[0].what


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_other_encodings_are_read_and_words_about_a_document_type_too(folder: Path, encoding: str) -> None:
    told = document(OBJECT.replace("dog", "<![CDATA[<!DOCTYPE dog]]>"))
    (folder / "a.xml").write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{told}'.encode(encoding))
    (record,), faults = read(VOC, folder, "all")
    assert [region.label for region in record.regions] == ["<!DOCTYPE dog"]
    assert not faults.counts


@pytest.mark.parametrize(
    ("objects", "kind"),
    [
        ("<object/>", "unusable entry"),
        (OBJECT.replace("dog", " "), "unusable entry"),
        (OBJECT.replace("11", "x"), "unusable entry"),
        (OBJECT.replace("<ymin>6</ymin>", ""), "unusable entry"),
        (OBJECT.replace("11", "61"), "degenerate region"),
        (OBJECT.replace("11", "nan"), "degenerate region"),
        (OBJECT.replace("60", "600"), "outside region"),
    ],
)
def test_objects_that_cannot_be_used_are_left_out(folder: Path, objects: str, kind: str) -> None:
    (folder / "a.xml").write_text(document(objects))
    (record,), faults = read(VOC, folder, "all")
    assert record.regions == ()
    assert found(faults) == {kind: 1}


@pytest.mark.parametrize(("database", "left_top"), [("Unknown", (11, 6)), ("The VOC2007 Database", (10, 5))])
def test_vocs_own_files_count_from_one(folder: Path, database: str, left_top: tuple[int, int]) -> None:
    (folder / "a.xml").write_text(document(database=database))
    (record,), _ = read(VOC, folder, "all")
    (region,) = record.regions
    assert region.box is not None
    assert region.box.to_pixels((100, 50)) == pytest.approx((*left_top, 60, 45))
    assert (region.label, region.askable) == ("dog", True)


def test_difficult_objects_are_not_asked_about(folder: Path) -> None:
    (folder / "a.xml").write_text(document(OBJECT.replace("<difficult>0", "<difficult>1")))
    (record,), _ = read(VOC, folder, "all")
    assert not record.regions[0].askable


@pytest.mark.parametrize("name", ["a.png", "a", "", "C:\\Users\\me\\photos\\a.jpg", "another.jpg"])
def test_the_picture_is_found_by_the_name_of_either(folder: Path, name: str) -> None:
    (folder / "a.xml").write_text(document(name=name))
    (record,), _ = read(VOC, folder, "all")
    assert record.image == folder / "images" / "a.jpg"


@pytest.mark.parametrize(("size", "faults"), [("0", {}), ("x", {}), ("inf", {}), ("90", {"wrong size": 1})])
def test_sizes_that_are_none(folder: Path, size: str, faults: dict[str, int]) -> None:
    (folder / "a.xml").write_text(document(size=size))
    (record,), reported = read(VOC, folder, "all")
    assert record.size == (100, 50)
    assert found(reported) == faults


def test_splits_are_lists_or_folders(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(document(name=f"{name}.jpg"))
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("b\n\nc -1\n")
    records, faults = read(VOC, tmp_path, "trainval")
    assert [record.id for record in records] == ["voc/b"]
    assert found(faults) == {"unusable entry": 1}  # c.xml is not there
    assert len(read(VOC, tmp_path, "all")[0]) == 2
    with pytest.raises(DataError, match="no folder val/"):
        read(VOC, tmp_path, "val")


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from([*OBJECT.split(), OBJECT, "<object>", "</bndbox>", "&amp;", "&#0;", "1e999", "<part/>"]))
)
def test_damaged_files_never_crash(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder = tmp_path_factory.mktemp("voc")
    picture(folder / "a.jpg")
    (folder / "a.xml").write_text(document("".join(pieces)))
    records, faults = read(VOC, folder, "all")
    assert records or faults.counts


def test_real_files(photos: Path) -> None:
    samples = photos / "original_format_samples"
    records, faults = read(VOC, samples / "groceries_voc_xml", "all")
    assert [len(record.regions) for record in records] == [2, 3]
    assert not faults.counts
    both = samples / "voc_many_formats"
    records, faults = read(VOC, both, "all")
    assert found(faults)["unusable entry"] == 1  # CVAT's file lies there too
    by_tool = {name: [r.regions for r in records][at : at + 4] for name, at in (("imagenet", 0), ("voc", 4))}
    assert [len(regions) for regions in by_tool["imagenet"]] == [1, 2, 2, 3]
    for one, other in zip(by_tool["imagenet"], by_tool["voc"], strict=True):
        boxes = [{(r.label, round(r.box.x2, 6), round(r.box.y2, 6)) for r in each if r.box} for each in (one, other)]
        assert boxes[0] == boxes[1]
