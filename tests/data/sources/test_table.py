"""The table of sources, and how pictures are found on a disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from small_files import found, picture
from test_mask_pictures import png_header

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.source import Source
from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError
from chatspot.images import MAX_PIXELS

PAGE = Path(__file__).parents[3] / "docs" / "data-sources.md"


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_is(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert source.title
    assert source.licence
    assert source.files
    assert source.homepage.startswith(("https://", "http://host.robots.ox.ac.uk/")) or source.role == "own"


@pytest.mark.parametrize("name", SOURCES)
def test_every_reader_names_what_is_missing(name: str, tmp_path: Path) -> None:
    for split in SOURCES[name].files:
        with pytest.raises(DataError, match=str(tmp_path)):
            list(SOURCES[name].read(tmp_path, split, Faults()))


def files_in_words(source: Source) -> str:
    """The files of each split as the page lists them."""
    splits: dict[tuple[str, ...], list[str]] = {}
    for split, names in source.files.items():
        splits.setdefault(names, []).append(split)
    return "; ".join(
        f"{', '.join(found)}: " + (", ".join(f"`{name}`" for name in names) or "see its module")
        for names, found in splits.items()
    )


def test_the_page_lists_every_source() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| `\w+`: ", line)]
    homes = {
        name: f"<{source.homepage}>" if "://" in source.homepage else "this page" for name, source in SOURCES.items()
    }
    assert rows == [
        f"| `{name}`: {source.title} | {source.role} | {files_in_words(source)} | {source.licence} | {homes[name]} |"
        for name, source in SOURCES.items()
    ]


def test_the_page_names_tests_that_exist() -> None:
    for line in PAGE.read_text("utf-8").splitlines():
        file = ""
        for named, test in re.findall(r"`(\w+\.py)?::(\w+)`", line):
            file = named or file
            assert f"def {test}(" in (Path(__file__).parent / file).read_text("utf-8"), f"{file}::{test}"


@pytest.mark.parametrize(
    ("width", "height"), [(MAX_PIXELS // 8000 + 1, 8000), (MAX_PIXELS + 1, 1), (12_000, 9_000), (60_000, 60_000)]
)
def test_a_picture_that_is_too_large_to_be_opened_is_reported(tmp_path: Path, width: int, height: int) -> None:
    """PIL warns from 89 million pixels on and refuses twice as many; ``open_image`` refuses earlier."""
    (tmp_path / "a.png").write_bytes(png_header(width, height))
    faults = Faults()
    assert picture_frame(tmp_path / "a.png", (width, height), "x", faults) is None
    assert found(faults) == {"corrupt picture": 1}
    assert f"{width} x {height}" in faults.kept[0].what or "exceeds limit" in faults.kept[0].what


def test_a_picture_of_the_largest_size_is_read(tmp_path: Path) -> None:
    Image.new("1", (8000, MAX_PIXELS // 8000)).save(tmp_path / "a.png")
    faults = Faults()
    frame = picture_frame(tmp_path / "a.png", None, "x", faults)
    assert frame is not None
    assert frame.size == (8000, MAX_PIXELS // 8000)
    assert not faults.counts


def test_evaluation_sets_are_marked() -> None:
    marked = {name for name, source in SOURCES.items() if source.role == "evaluation"}
    assert marked == {
        "coco_val", "coco_text_val", "vizwiz_grounding", "pointqa_test",
        "refcoco", "ferret_bench", "gar_bench", "dlc_bench", "mdvp_bench", "named_masks", "pope",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "sub/a.jpg",
        "a.jpg",
        "a.png",
        "a",
        "./sub/a.jpg",
        "../sub/a.jpg",
        "C:\\x\\sub\\a.jpg",
        "/data/x/sub/a.jpg",
        "x/a.JPG",
    ],
)
def test_a_picture_is_found_by_the_end_of_its_path(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "in" / "sub" / "a.jpg")
    picture(tmp_path / "outside.jpg")
    assert Pictures(tmp_path / "in").find(name) == tmp_path / "in" / "sub" / "a.jpg"
    assert not Pictures(tmp_path / "in").find("../outside.jpg").is_file()


@pytest.mark.parametrize("name", ["", "..", "/", "\\", "C:", "a\x00b", "x" * 5000, "\n"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="picture's"):
        Pictures(tmp_path).find(name)


def test_a_bare_name_of_two_pictures_is_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        picture(tmp_path / folder / "a.jpg")
    pictures = Pictures(tmp_path)
    assert pictures.find("two/a.jpg") == tmp_path / "two" / "a.jpg"
    with pytest.raises(DataError, match=r"2 pictures are called a\.jpg"):
        pictures.find("a.jpg")
