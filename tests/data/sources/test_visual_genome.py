"""Visual Genome: five files joined, each with its own names for the same things."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.records import Relation
from chatspot.data.sources.visual_genome import VISUAL_GENOME
from chatspot.errors import DataError

CLOCK = {"object_id": 1058498, "x": 40, "y": 9, "w": 20, "h": 30, "names": ["clock", "dial"], "synsets": [],
         "merged_object_ids": [77]}  # fmt: skip
STREET = {"object_id": 5046, "x": 0, "y": 30, "w": 100, "h": 20, "names": ["street"], "merged_object_ids": []}


def files(**changes: Any) -> dict[str, Any]:
    """The five files about one picture, as the data set's page shows them."""
    link = {"relationship_id": 15927, "predicate": "ON", "synsets": ["along.r.01"],
            "subject": {"object_id": 77, "x": 41, "y": 9, "w": 20, "h": 30, "name": "clock"},
            "object": {"object_id": 9, "x": 1, "y": 1, "w": 30, "h": 30, "names": ["wall"]}}  # fmt: skip
    region = {"region_id": 1382, "image_id": 1, "phrase": "the clock is green in colour ", "x": 42, "y": 5, "width": 8,
              "height": 13}  # fmt: skip
    url = "https://cs.stanford.edu/people/rak248/VG_100K_2/1.jpg"
    content = {
        "image_data": [{"image_id": 1, "width": 100, "height": 50, "url": url, "coco_id": 139, "flickr_id": None}],
        "objects": [{"image_id": 1, "objects": [CLOCK, STREET]}],
        "attributes": [{"image_id": 1, "attributes": [{**CLOCK, "attributes": ["green", "tall "]}, STREET]}],
        "relationships": [{"image_id": 1, "relationships": [link, link]}],
        "region_descriptions": [{"id": 1, "regions": [region]}],
    }
    return {**content, **changes}


def laid_out(folder: Path, content: dict[str, Any]) -> Path:
    for name, part in content.items():
        annotations(folder / f"{name}.json", part)
    for name in ("VG_100K", "VG_100K_2"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image_data\.json, objects\.json, attributes\.json"):
        read(VISUAL_GENOME, tmp_path)


def test_five_files_are_one_record(tmp_path: Path) -> None:
    picture(tmp_path / "VG_100K_2" / "1.jpg")
    (record,), faults = read(VISUAL_GENOME, laid_out(tmp_path, files()))
    assert [region.label for region in record.regions] == ["clock", "street", "wall", None]
    assert record.regions[0].attributes == ("green", "tall")
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == pytest.approx((40, 9, 60, 39))
    assert record.regions[3].descriptions == ("the clock is green in colour",)
    assert record.regions[3].box is not None
    assert record.regions[3].box.to_pixels((100, 50)) == pytest.approx((42, 5, 50, 18))
    assert record.relations == (Relation(0, "on", 2),)  # once, by the merged object's id
    assert record.image_ids == ("vg:1", "coco:139")
    assert not faults.counts


@pytest.mark.parametrize("folder", ["VG_100K", "VG_100K_2"])
@pytest.mark.parametrize("url", [None, "", "https://cs.stanford.edu/people/rak248/VG_100K/1.jpg", "x/y"])
def test_pictures_lie_in_two_folders(tmp_path: Path, folder: str, url: Any) -> None:
    picture(tmp_path / folder / "1.jpg")
    image = {"image_id": 1, "width": 100, "height": 50, "url": url}
    (record,), _ = read(VISUAL_GENOME, laid_out(tmp_path, files(image_data=[image])))
    assert record.image == tmp_path / folder / "1.jpg"
    assert record.image_ids == ("vg:1",)


def test_a_missing_picture_and_a_wrong_size(tmp_path: Path) -> None:
    records, faults = read(VISUAL_GENOME, laid_out(tmp_path, files()))
    assert (records, found(faults)) == ([], {"missing picture": 1})
    picture(tmp_path / "VG_100K_2" / "1.jpg", (120, 60))
    (record,), faults = read(VISUAL_GENOME, tmp_path)
    assert (record.size, found(faults)) == ((120, 60), {"wrong size": 1})


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"x": -904}, "outside region"),  # 5,654 regions begin outside
        ({"width": 0}, "degenerate region"),
        ({"phrase": " "}, "no answer"),
        ({"phrase": None}, "unusable entry"),
    ],
)
def test_described_regions_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], kind: str) -> None:
    picture(tmp_path / "VG_100K" / "1.jpg")
    region = {"region_id": 1, "phrase": "a clock", "x": 42, "y": 5, "width": 8, "height": 13, **change}
    parts = files(region_descriptions=[{"id": 1, "regions": [region]}])
    (record,), faults = read(VISUAL_GENOME, laid_out(tmp_path, parts))
    assert len(record.regions) == 3
    assert found(faults) == {kind: 1}


def test_objects_need_no_names_and_no_attributes(tmp_path: Path) -> None:
    picture(tmp_path / "VG_100K" / "1.jpg")
    objects = [{**CLOCK, "names": []}, {**STREET, "names": None, "name": "road"}]
    parts = files(objects=[{"image_id": 1, "objects": objects}], attributes=[], region_descriptions=[])
    (record,), faults = read(VISUAL_GENOME, laid_out(tmp_path, parts))
    assert [region.label for region in record.regions] == [None, "road", "wall"]
    assert not faults.counts


def test_a_relation_needs_two_usable_ends(tmp_path: Path) -> None:
    picture(tmp_path / "VG_100K" / "1.jpg")
    ends = {"predicate": "on", "subject": CLOCK}
    wrong = [
        {**ends, "object": {**STREET, "object_id": 8, "w": -4}},
        {**ends, "object": CLOCK},
        {"predicate": "", "subject": CLOCK, "object": STREET},
        {"predicate": "on", "subject": CLOCK},
    ]
    parts = files(relationships=[{"image_id": 1, "relationships": wrong}])
    (record,), faults = read(VISUAL_GENOME, laid_out(tmp_path, parts))
    assert record.relations == ()
    assert found(faults) == {"degenerate region": 1, "unusable entry": 2}


@settings(max_examples=80, deadline=None)
@given(content=damaged(files()))
def test_damaged_files_never_crash(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "vg"
    picture(folder / "VG_100K_2" / "1.jpg")
    laid_out(folder, files())
    laid_out(
        folder, {name: part for name, part in content.items() if name in files()} if isinstance(content, dict) else {}
    )
    try:
        records, _ = read(VISUAL_GENOME, folder)
    except DataError:
        assert not all(isinstance(part, list) for part in content.values())
    else:
        for record in records:
            assert all(max(r.subject, r.object) < len(record.regions) for r in record.relations)


def test_real_files(photos: Path, tmp_path: Path) -> None:
    sample = photos / "original_format_samples" / "visual_genome"
    for name in ("objects", "relationships"):
        shutil.copy(sample / f"{name}.trimmed.json", tmp_path / f"{name}.json")
    scenes = json.loads((sample / "objects.trimmed.json").read_text())
    graphs = json.loads((sample / "region_graphs.trimmed.json").read_text())
    images = []
    for scene in scenes:  # the sample has no pictures: grey ones large enough take their place
        right = max(each["x"] + each["w"] for each in scene["objects"])
        bottom = max(each["y"] + each["h"] for each in scene["objects"])
        images.append({"image_id": scene["image_id"], "width": right, "height": bottom, "url": ""})
        picture(tmp_path / "VG_100K" / f"{scene['image_id']}.jpg", (right, bottom))
    laid_out(tmp_path, {"image_data": images, "attributes": []})
    annotations(tmp_path / "region_descriptions.json", [
        {"id": graph["image_id"], "regions": graph["regions"]} for graph in graphs
    ])  # fmt: skip
    records, faults = read(VISUAL_GENOME, tmp_path)
    assert len(records) == len(scenes)
    assert sum(len(record.relations) for record in records) > 50
    assert sum(bool(region.descriptions) for record in records for region in record.regions) > 50
    assert set(faults.counts) <= {"outside region"}
