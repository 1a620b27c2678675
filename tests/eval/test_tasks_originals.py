"""Tasks that read one crop or one's own labels, on files as their data sets have them. (COCO: test_tasks_regions.)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from chatspot.errors import DataError
from chatspot.eval.tasks import find_task, open_folder, questions_of


def photo(file: Path, size: tuple[int, int] = (100, 50)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(file)


def icdar_words(folder: Path) -> None:
    photo(folder / "word_1.png", (50, 20))
    (folder / "gt.txt").write_text('\ufeffword_1.png, "EXIT"\r\n', "utf-8")


def icdar_scenes(folder: Path) -> None:
    photo(folder / "ch4_test_images" / "img_1.jpg")
    texts = folder / "Challenge4_Test_Task1_GT"
    texts.mkdir()
    (texts / "gt_img_1.txt").write_text("10,5,60,6,60,20,10,19,SALE\r\n70,5,90,5,90,9,70,9,###\r\n", "utf-8")


def plates(folder: Path) -> None:
    photo(folder / "eu" / "eu1.jpg")
    (folder / "eu" / "eu1.txt").write_text("eu1.jpg\t10\t5\t50\t20\tM5XSX\n", "utf-8")


def own_coco(folder: Path) -> None:
    photo(folder / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 5, 30, 20], "area": 600, "iscrowd": 0}],
        "categories": [{"id": 3, "name": "oat milk"}],
    }
    (folder / "labels.json").write_text(json.dumps(content), "utf-8")


def own_voc(folder: Path) -> None:
    photo(folder / "JPEGImages" / "a.jpg")
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>100</width><height>50</height><depth>3</depth></size>"
        "<object><name>oat milk</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>40</xmax><ymax>25</ymax></bndbox>"
        "</object></annotation>",
        "utf-8",
    )


@pytest.mark.parametrize(
    ("task", "layout", "source", "truths"),
    [
        ("words", icdar_words, "icdar2015_words", ["EXIT"]),
        ("words", icdar_scenes, "icdar2015", ["SALE"]),
        ("plates", plates, "openalpr", ["M5XSX"]),
        ("names", own_coco, "coco_json", ["oat milk"]),
        ("names", own_voc, "voc", ["oat milk"]),
    ],
)
def test_original_files_give_questions(tmp_path, task, layout, source, truths):
    folder = tmp_path / "set"
    folder.mkdir()
    layout(folder)
    if task == "names":  # users' own formats have no file names to be known by
        with pytest.raises(DataError, match=f"{source} is opened by --source {source}"):
            open_folder(find_task(task), folder)
    opened = open_folder(find_task(task), folder, source=source if task == "names" else None)
    assert opened.source.name == source
    questions = questions_of(find_task(task), opened)
    assert [q.truth for q in questions] == truths
    assert all(q.image.is_file() for q in questions)
    assert opened.facts()["source"] == source
