"""A little COCO val2017 in its original files, and what a detector found there."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from chatspot.eval.coco import CLASS_NUMBERS, COCO_CLASSES

SIZE = (200, 100)
# class, left, top, width, height, crowd; the outline is the box, its lower left corner cut off
OBJECTS = {
    139: [
        ("person", 10, 10, 40, 80, 0),  # a rider,
        ("horse", 8, 14, 44, 80, 0),  # and the horse beneath: their boxes overlap by 0.75
        ("tie", 120, 20, 10, 12, 0),
        ("cup", 150, 60, 20, 20, 0),
        ("cup", 175, 60, 20, 20, 0),
        ("cup", 150, 10, 20, 20, 0),
    ],
    285: [("bear", 20, 5, 160, 90, 0)],
    632: [("person", 0, 0, 200, 100, 1), ("dog", 30, 30, 50, 50, 0), ("dog", 100, 30, 60, 50, 0)],
    724: [],
}


def number_of(name: str) -> int:
    return CLASS_NUMBERS[COCO_CLASSES.index(name)]


def coco_val(folder: Path) -> Path:
    """The annotations and pictures of val2017 as COCO lays them out."""
    annotations = []
    for image, objects in OBJECTS.items():
        for name, x, y, width, height, crowd in objects:
            outline = [x, y, x + width, y, x + width, y + height, x + width / 4, y + height, x, y + height * 3 / 4]
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": number_of(name),
                "bbox": [x, y, width, height], "area": width * height * 31 / 32, "iscrowd": crowd,
                "segmentation": [] if crowd else [outline],
            })  # fmt: skip
    images = [{"id": image, "file_name": f"{image:012}.jpg", "width": SIZE[0], "height": SIZE[1]} for image in OBJECTS]
    categories = [{"id": number_of(name), "name": name} for name in COCO_CLASSES]
    content = {"images": images, "annotations": annotations, "categories": categories, "licenses": []}
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content), "utf-8")
    (folder / "val2017").mkdir()
    for image in OBJECTS:
        Image.new("RGB", SIZE, (image % 255, 120, 90)).save(folder / "val2017" / f"{image:012}.jpg")
    return folder


def detections(file: Path, entries: list[tuple[int, str, tuple[float, float, float, float], float]]) -> Path:
    """A COCO results file of (picture, class, left top width height, score)."""
    found = [
        {"image_id": image, "category_id": number_of(name), "bbox": list(box), "score": score}
        for image, name, box, score in entries
    ]
    file.write_text(json.dumps(found), "utf-8")
    return file
