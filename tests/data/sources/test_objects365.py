"""Objects365: COCO's layout with folders that are not where it says, and names that need correcting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_files import annotations, found, picture, read

from chatspot.data.sources.objects365 import CORRECTED, OBJECTS365, readable_name
from chatspot.errors import DataError

NAME = "images/v1/patch8/objects365_v1_00420917.jpg"


def content(**changes: Any) -> dict[str, Any]:
    image = {"id": 420917, "width": 100, "height": 50, "file_name": NAME, "license": 5, "url": ""}
    box = {"id": 1, "image_id": 420917, "category_id": 53, "bbox": [80.0, 10.0, 30.0, 20.0], "area": 600.0,
           "iscrowd": 0, "isfake": 0, "isreflected": 0}  # fmt: skip
    return {"images": [image], "annotations": [box], "categories": [{"id": 53, "name": "Bakset"}], **changes}


@pytest.mark.parametrize(
    "place",
    [
        "train/patch8/objects365_v1_00420917.jpg",
        "train/images/v1/patch8/objects365_v1_00420917.jpg",
        "train/objects365_v1_00420917.jpg",
        "train/elsewhere/objects365_v1_00420917.jpg",
        "patch8/objects365_v1_00420917.jpg",
    ],
)
def test_pictures_are_found_by_the_end_of_their_path(tmp_path: Path, place: str) -> None:
    (tmp_path / "train").mkdir()
    picture(tmp_path / place)
    annotations(tmp_path / "zhiyuan_objv2_train.json", content())
    (record,), faults = read(OBJECTS365, tmp_path)
    assert record.image == tmp_path / place
    assert record.image_ids == ("objects365:420917",)
    assert record.regions[0].label == "basket"
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == pytest.approx((80, 10, 100, 30))
    assert found(faults) == {"outside region": 1}  # clipped


def test_missing_pictures_are_reported(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    annotations(tmp_path / "zhiyuan_objv2_val.json", content())
    records, faults = read(OBJECTS365, tmp_path, "val")
    assert (records, found(faults)) == ([], {"missing picture": 1})
    with pytest.raises(DataError, match=r"lacks zhiyuan_objv2_train\.json, train/"):
        read(OBJECTS365, tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("Person", "person"), ("Cigar/Cigarette ", "cigar or cigarette"), ("SUV", "SUV"), ("Campel", "camel"), ("", "")],
)
def test_names_are_corrected(name: str, said: str) -> None:
    assert readable_name(name) == said


def test_corrections_are_needed_and_final() -> None:
    assert all(name == name.strip() and "/" not in said for name, said in CORRECTED.items())
    assert all(CORRECTED.get(said, said) == said for said in CORRECTED.values())
