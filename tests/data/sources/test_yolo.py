"""YOLO: lines of fractions, names in another file, folders in many layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import found, picture, read

from chatspot.data.sources.yolo import YOLO
from chatspot.errors import DataError

LINE = "1 0.35 0.5 0.5 0.8\n"


def laid_out(
    folder: Path, line: str = LINE, image: str = "images/train/a.jpg", label: str = "labels/train/a.txt"
) -> Path:
    picture(folder / image)
    (folder / label).parent.mkdir(parents=True, exist_ok=True)
    (folder / label).write_text(line)
    (folder / "data.yaml").write_text("names: [cat, dog]\n")
    return folder


@pytest.mark.parametrize(
    ("image", "label", "split"),
    [
        ("images/train/a.jpg", "labels/train/a.txt", "train"),  # Ultralytics
        ("train/images/a.jpg", "train/labels/a.txt", "train"),  # Roboflow
        ("train/a.jpg", "train/a.txt", "train"),
        ("obj_train_data/a.png", "obj_train_data/a.txt", "all"),  # darknet
        ("photos/a.jpg", "yolo_format/a.txt", "all"),
    ],
)
def test_layouts(tmp_path: Path, image: str, label: str, split: str) -> None:
    (record,), faults = read(YOLO, laid_out(tmp_path, LINE, image, label), split)
    (region,) = record.regions
    assert region.label == "dog"
    assert region.box is not None
    assert region.box.to_pixels((100, 50)) == pytest.approx((10, 5, 60, 45))
    assert not faults.counts


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "names:\n  0: cat\n  1: dog\n"),
        ("obj.names", "cat\ndog\n"),
        ("classes.txt", "\ufeffcat\r\ndog\r\n"),
    ],
)
def test_names_stand_in_one_of_three_files(tmp_path: Path, file: str, text: str) -> None:
    (laid_out(tmp_path) / "data.yaml").unlink()
    (tmp_path / file).write_text(text, encoding="utf-8")
    (record,), _ = read(YOLO, tmp_path, "train")
    assert record.regions[0].label == "dog"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "nc: 2\n",
        "names: {\n",
        "- 1\n",
        "names: []\n",
        "names: [!!bool x]\n",
        "names: [!!int '']\n",
        "names: [!!timestamp x]\n",
        "names: {'" + "9" * 5000 + "': cat}\n",
        "names: [0x" + "f" * 5000 + "]\n",
    ],
)
def test_without_names_nothing_is_read(tmp_path: Path, text: str | None) -> None:
    laid_out(tmp_path)
    if text is None:
        (tmp_path / "data.yaml").unlink()
    else:
        (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match="names of the classes"):
        read(YOLO, tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("x", "unusable entry"),
        ("1", "unusable entry"),
        ("1 0.5 0.5", "unusable entry"),
        ("7 0.5 0.5 0.1 0.1", "unusable entry"),
        ("0.5 0.5 0.5 0.1 0.1", "unusable entry"),
        ("1 35 25 50 40", "unusable entry"),  # pixels
        ("1 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "unusable entry"),  # half a corner
        ("1 nan 0.5 0.1 0.1", "degenerate region"),
        ("1 0.5 0.5 0 0.1", "degenerate region"),
        ("1 0.1 0.1 0.2 0.2 0.3 0.3", "degenerate region"),
        ("1 1.2 0.5 0.5 0.8", "outside region"),
    ],
)
def test_lines_that_cannot_be_used_are_left_out(tmp_path: Path, line: str, kind: str) -> None:
    (record,), faults = read(YOLO, laid_out(tmp_path, f"\n{line}\n"), "train")
    assert record.regions == ()
    assert found(faults) == {kind: 1}
    assert faults.kept[0].where == "labels/train/a.txt:2"


def test_outlines_confidences_and_body_points(tmp_path: Path) -> None:
    laid_out(tmp_path, "0 0.1 0.2 0.5 0.2 0.5 0.8\n1 0.35 0.5 0.5 0.8 0.97\n")
    (record,), faults = read(YOLO, tmp_path, "train")
    assert record.regions[0].polygon is not None
    assert record.regions[1].polygon is None
    assert not faults.counts
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\nkpt_shape: [2, 2]\n")
    (tmp_path / "labels/train/a.txt").write_text("1 0.35 0.5 0.5 0.8 0.3 0.3 0.4 0.4\n")
    (record,), _ = read(YOLO, tmp_path, "train")
    assert record.regions[0].polygon is None


def test_pictures_without_objects_and_objects_without_picture(tmp_path: Path) -> None:
    laid_out(tmp_path, "")
    picture(tmp_path / "images" / "train" / "unseen.jpg")
    (tmp_path / "labels" / "train" / "lost.txt").write_text(LINE)
    (record,), faults = read(YOLO, tmp_path, "all")
    assert record.regions == ()
    assert found(faults) == {"missing picture": 1}
    with pytest.raises(DataError, match="images/val/"):
        read(YOLO, tmp_path, "val")


def test_two_label_files_of_one_name_are_reported(tmp_path: Path) -> None:
    laid_out(tmp_path, LINE, "photos/a.jpg", "one/a.txt")
    laid_out(tmp_path, LINE, "photos/a.jpg", "two/a.txt")
    records, faults = read(YOLO, tmp_path, "all")
    assert (records, found(faults)) == ([], {"unusable entry": 1})


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(["0", "1", "0.5", "-0.1", "1e400", "nan", "\n", "x", "\x00"]), st.text(max_size=3))
    )
)
def test_damaged_lines_never_crash(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder = tmp_path_factory.mktemp("yolo")
    laid_out(folder, "")
    (folder / "labels/train/a.txt").write_bytes(" ".join(pieces).encode("utf-8", "surrogatepass"))
    records, faults = read(YOLO, folder, "train")
    assert records or faults.counts


def test_real_files(photos: Path, tmp_path: Path) -> None:
    sample = photos / "original_format_samples" / "voc_many_formats"
    for name in ("images", "yolo_format"):
        (tmp_path / name).symlink_to(sample / name)
    for name in ("images", "yolo_format"):  # links to folders are not walked: link the files
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        for file in (sample / name).iterdir():
            (tmp_path / name / file.name).symlink_to(file)
    records, faults = read(YOLO, tmp_path, "all")
    assert [[region.label for region in record.regions] for record in records] == [
        ["person"], ["tvmonitor"] * 2, ["bottle", "diningtable"], ["motorbike"] * 2 + ["person"]
    ]  # fmt: skip
    assert not faults.counts
