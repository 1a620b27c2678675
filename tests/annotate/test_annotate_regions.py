"""Which regions are asked about: every layout of the file, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chatspot.annotate.region_files import read_regions
from chatspot.data.faults import Faults
from chatspot.errors import DataError


def read(file: Path, folder: Path, least_score: float = 0.0) -> tuple[dict[str, list[Any]], Faults]:
    """The boxes in pixels and labels of each picture, and the faults."""
    faults = Faults()
    found = {
        record.image.relative_to(folder.absolute()).as_posix(): [
            (region.box.to_pixels_xywh(record.size) if region.box else region.point, region.label)
            for region in record.regions
        ]
        for record in read_regions(file, folder.absolute(), faults, least_score)
    }
    return found, faults


def test_coco(folder: Path, regions: Path):
    found, faults = read(regions, folder)
    assert {name: len(each) for name, each in found.items()} == {"a.png": 3, "b 2.png": 2, "more/c_7.png": 4}
    assert found["a.png"][2] == ((15, 5, 30, 40), "stuff")
    assert faults.counts == {"missing picture": 1, "corrupt picture": 1, "unusable entry": 1}


def test_regions_that_a_detector_was_not_sure_of(folder: Path, regions: Path):
    assert len(read(regions, folder, 0.5)[0]["a.png"]) == 2
    assert len(read(regions, folder, 0.2)[0]["a.png"]) == 3


def test_a_detectors_results(folder: Path, tmp_path: Path):
    """Pictures by number, by name without ending, and by file name."""
    entries = [
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40], "score": 0.9},
        {"image_id": "a", "category_name": "cup", "bbox": [1, 2, 30, 40], "score": 0.4},
        {"file_name": "b 2.png", "bbox": [5, 5, 10, 10]},
        {"image_id": 8, "bbox": [1, 2, 30, 40]},
        {"image_id": 7, "bbox": [1, 2, 30, 40], "score": "high"},
        {"image_id": 7, "bbox": [500, 500, 1, 1]},
        {"bbox": [1, 2, 3, 4]},
        5,
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(entries))
    found, faults = read(file, folder, 0.3)
    assert found["more/c_7.png"] == [((1, 2, 30, 40), "category 3")]
    assert found["a.png"] == [((1, 2, 30, 40), "cup")]
    assert found["b 2.png"] == [((5, 5, 10, 10), "region")]
    assert sum(faults.counts.values()) == 5
    assert "a.png" not in read(file, folder, 0.5)[0]


def test_region_lines(folder: Path, tmp_path: Path):
    lines = [
        {"image": "more/c_7.png", "width": 120, "height": 80, "regions": [{"point": [5, 6]}, {"box": [0, 0, 9, 9]}]},
        {"image": "gone.png", "width": 120, "height": 80, "regions": [{"box": [0, 0, 9, 9]}]},
    ]
    file = tmp_path / "elsewhere.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{\n")
    found, faults = read(file, folder)
    assert [len(each) for each in found.values()] == [2]
    assert faults.counts == {"missing picture": 1, "unusable entry": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", "", "not JSON"),
        ("r.json", "{", "not JSON"),
        ("r.json", "5", "expected"),
        ("r.json", "{}", "expected COCO's layout"),
        ("r.json", '{"images": 5, "annotations": [], "categories": []}', "images: expected a list"),
        ("r.json", '{"images": [], "annotations": 5}', "annotations: expected a list"),
        ("r.json", "[" * 100_000, "cannot be read"),
    ],
)
def test_files_that_are_none(folder: Path, tmp_path: Path, name: str, content: str, message: str):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        read(file, folder)


def test_what_is_not_there(folder: Path, regions: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no folder"):
        read(regions, tmp_path / "nowhere")
    with pytest.raises(DataError, match="no file"):
        read(tmp_path / "nowhere.json", folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\secret.png", "a\x00.png", ""])
def test_no_picture_outside_the_folder_is_named(folder: Path, tmp_path: Path, name: str):
    file = tmp_path / "results.json"
    file.write_text(json.dumps([{"file_name": name, "bbox": [1, 2, 3, 4]}]))
    found, faults = read(file, folder)
    assert found == {}
    assert sum(faults.counts.values()) >= 1
