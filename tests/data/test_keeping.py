"""Pictures kept back: which they are, and that they are copied with their lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from chatspot.data.keeping import is_kept, keep_back
from chatspot.data.records import read_records
from chatspot.errors import DataError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("birds", "cups"):
        folder = tmp_path / "photos" / name
        (folder / "images").mkdir(parents=True)
        lines = []
        for number in range(30):
            Image.new("RGB", (8, 8)).save(folder / "images" / f"{number}.png")
            lines.append(json.dumps({"image": f"images/{number}.png", "width": 8, "height": 8, "regions": []}))
        (folder / "annotations.jsonl").write_text("\n".join(lines) + "\n\n")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (None, "holds no folder"),
        ("{", "names no picture"),
        ("[]", "names no picture"),
        ('{"width": 8}', "names no picture"),
        ('{"image": "/etc/passwd"}', "outside its folder"),
        ('{"image": "../a.png"}', "outside its folder"),
        ('{"image": "nowhere.png"}', "cannot be written"),
    ],
)
def test_what_cannot_be_kept_is_said(line: str | None, says: str, tmp_path: Path) -> None:
    if line is not None:
        (tmp_path / "photos" / "birds").mkdir(parents=True)
        (tmp_path / "photos" / "birds" / "annotations.jsonl").write_text(line)
    with pytest.raises(DataError, match=says):
        keep_back(tmp_path / "photos", tmp_path / "kept", 1.0)


def test_a_share_of_each_folder_is_copied_the_same_each_time(photos: Path, tmp_path: Path) -> None:
    counts = keep_back(photos, tmp_path / "kept", 0.3)
    assert counts == keep_back(photos, tmp_path / "kept", 0.3)
    assert all(2 <= count <= 18 for count in counts.values())
    for name, count in counts.items():
        records = list(read_records(tmp_path / "kept" / name))
        assert len(records) == count
        assert all(record.image.is_file() and is_kept(record.id, 0.3) for record in records)
        others = {record.id for record in read_records(photos / name)} - {record.id for record in records}
        assert not any(is_kept(other, 0.3) for other in others)


def test_no_share_and_all(photos: Path, tmp_path: Path) -> None:
    assert set(keep_back(photos, tmp_path / "none", 0.0).values()) == {0}
    assert set(keep_back(photos, tmp_path / "all", 1.0).values()) == {30}
