"""The table of sources, and how pictures are found on a disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_files import picture

from chatspot.data.faults import Faults
from chatspot.data.sources.picture_files import Pictures
from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError


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


def test_evaluation_sets_are_marked() -> None:
    marked = {name for name, source in SOURCES.items() if source.role == "evaluation"}
    assert marked == {"coco_val", "coco_text_val", "vizwiz_grounding", "pointqa_test"}


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
