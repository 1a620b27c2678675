"""Lay the samples of original formats out as their data sets have them, one folder for each source.

    python tests/data/sources/lay_out_samples.py PHOTOS FORMATS

PHOTOS holds ``original_format_samples``, ``train`` and ``heldout``; ``configs/data/photos-and-samples.yaml`` reads
FORMATS. Files are copied under the names that the sets give them, pictures are linked. A sample without pictures gets
those of PHOTOS that are the same photos. They lie there reduced, so where annotations are in pixels they are enlarged
to the size that these were made in: by the size the annotations state, else by comparing their boxes with those of
PHOTOS. What is still missing is printed, and each reader reports it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

Edges: TypeAlias = Sequence[float]
PICTURES = (".jpg", ".png")
NEAR_PX = 1.5  # between a reduced box and the same one in PHOTOS: the lists differ by a pixel, and are rounded


class Photos:
    """The photos of PHOTOS by the number that COCO gave them, else by their name."""

    def __init__(self, folder: Path):
        self.entries: dict[str, tuple[Path, dict[str, Any]]] = {}
        for file in sorted(folder.glob("*/*/annotations.jsonl")):
            for line in file.read_text("utf-8").splitlines():
                entry = json.loads(line)
                made_of = re.search(r"objects365_v2_\d{8}\.jpg", entry["source"])
                names = [Path(entry["image"]).name, made_of[0] if made_of else ""]
                if file.parent.name == "coco":
                    names.append(str(entry["coco_id"]))
                for name in names:
                    self.entries.setdefault(name, (file.parent / entry["image"], entry))

    def restore(self, name: str, to: Path, *, size: tuple[int, int] | None = None, boxes: Iterable[Edges] = ()) -> None:
        """Put a photo to ``to``: linked, or enlarged to ``size`` or to what ``boxes`` in its own pixels tell."""
        if name not in self.entries:
            return
        file, entry = self.entries[name]
        given = list(boxes)
        if given:
            known = [r["box"] for r in entry["regions"] if "box" in r]
            known += [a["object_box"] for r in entry["regions"] for a in r.get("actions", []) if a.get("object_box")]
            scale = scale_between(given, known)
            if scale is None:
                return
            size = (round(entry["width"] / scale), round(entry["height"] / scale))
        if size is None:
            link(file, to)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            Image.open(file).convert("RGB").resize(size, Image.Resampling.LANCZOS).save(to, quality=95)


def scale_between(given: Sequence[Edges], known: Sequence[Edges]) -> float | None:
    """By how much ``known`` boxes are smaller than the ``given`` ones: the scale at which most of them are equal, and
    among these the one that fits best."""
    found: list[tuple[Edges, Edges]] = []
    for one in sorted(given, key=lambda box: box[0] - box[2])[:3]:  # the widest tell it best
        for other in known:
            scale = (other[2] - other[0]) / (one[2] - one[0])
            equal = [
                (box, each)
                for box in given
                for each in known
                if all(abs(a * scale - b) < NEAR_PX for a, b in zip(box, each, strict=True))
            ]
            found = max(found, equal, key=len)
    pairs = [(a, b) for box, each in found for a, b in zip(box, each, strict=True)]
    return sum(a * b for a, b in pairs) / sum(a * a for a, _ in pairs) if pairs else None


def link(file: Path, to: Path) -> None:
    """Link a file, or copy it where that cannot be."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        to.symlink_to(file.resolve())
    except OSError:
        shutil.copyfile(file, to)


def put(folder: Path, to: Path) -> None:
    """All files of a folder: pictures linked, others copied, ".trimmed" and ".head" taken out of their names."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix().replace(".trimmed", "").replace(".head", "")
        if file.suffix in PICTURES:
            link(file, to / name)
        else:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / name)


def lay_out(photos: Path, out: Path) -> None:
    """Lay out every sample. The folder must be new."""
    samples, known = photos / "original_format_samples", Photos(photos)
    out.mkdir(parents=True)
    own_formats(samples, out)
    for name in ("animal_pose", "dlc_bench", "ferret_bench", "flickr8k"):
        put(samples / name, out / name)
    for name in ("gar_bench", "mdvp_bench"):  # train/ has folders of these names
        put(samples / name, out / f"{name}_original")
    put(samples / "openalpr_endtoend", out / "openalpr")
    put(samples / "icdar2015" / "word_recognition", out / "icdar2015_words")
    put(samples / "icdar2015" / "ch4_test_images", out / "icdar2015" / "ch4_test_images")
    put(samples / "icdar2015" / "gt", out / "icdar2015" / "Challenge4_Test_Task1_GT")
    dlc = json.loads((out / "dlc_bench" / "annotations.json").read_text("utf-8"))
    (out / "dlc_bench" / "images").mkdir()
    for image in dlc["images"]:
        to = out / "dlc_bench" / "images" / image["file_name"]
        known.restore(image["file_name"], to, size=(image["width"], image["height"]))
    camvid(samples / "camvid", out / "camvid")
    coco_panoptic(samples, out)
    coco_questions(samples, out, known)
    torchcv(samples / "torchcv_txt", out / "torchcv", known)
    vcoco(samples / "vcoco", out / "vcoco", known)
    visual_genome(samples / "visual_genome", out / "visual_genome")


def own_formats(samples: Path, out: Path) -> None:
    """Four photos of VOC in six formats."""
    many = samples / "voc_many_formats"
    for name in ("cvat", "imagenet", "labelme", "openimages", "pascalvoc", "yolo"):
        put(many / f"{name}_format", out / name)
        put(many / "images", out / name / "images")


def camvid(sample: Path, out: Path) -> None:
    """A frame of SegNet's split train and one of val."""
    for split, stem in (("train", "0001TP_006690"), ("val", "0016E5_07959")):
        link(sample / f"{stem}.jpg", out / split / f"{stem}.jpg")
        link(sample / f"{stem}_annot.png", out / f"{split}annot" / f"{stem}.png")
        paths = f"/SegNet/CamVid/{split}/{stem}.png /SegNet/CamVid/{split}annot/{stem}.png\n"
        (out / f"{split}.txt").write_text(paths)


def coco_panoptic(samples: Path, out: Path) -> None:
    """The panoptic sample, and its boxes and outlines in YOLO's format with the names of their classes: boxes count
    COCO's 80 from 0, outlines bear COCO's own ids."""
    sample = samples / "coco_panoptic"
    put(sample / "panoptic_val2017", out / "coco_panoptic" / "annotations" / "panoptic_val2017")
    put(sample / "images", out / "coco_panoptic" / "val2017")
    text = (sample / "panoptic_val2017.trimmed.json").read_text("utf-8")
    (out / "coco_panoptic" / "annotations" / "panoptic_val2017.json").write_text(text, "utf-8")
    for name, labels in (("coco_yolo_boxes", "detection"), ("coco_yolo_outlines", "segmentation")):
        put(sample / f"yolo_{labels}_labels", out / name / "labels")
        put(sample / "images", out / name / "images")
    names = {category["id"]: category["name"] for category in json.loads(text)["categories"] if category["isthing"]}
    (out / "coco_yolo_outlines" / "data.yaml").write_text(json.dumps({"names": names}))  # JSON is YAML
    shutil.copyfile(samples / "torchcv_txt" / "coco_labels.txt", out / "coco_yolo_boxes" / "obj.names")


def coco_questions(samples: Path, out: Path, known: Photos) -> None:
    """POPE, whose questions need no pixels, and RefCOCO's phrases."""
    (out / "pope" / "val2014").mkdir(parents=True)
    for file in sorted((samples / "pope").iterdir()):
        name = file.name.replace(".head.jsonl", ".json")  # the set's files bear this name
        shutil.copyfile(file, out / "pope" / name)
        for image in {json.loads(line)["image"] for line in file.read_text("utf-8").splitlines()}:
            to = out / "pope" / "val2014" / image
            if not to.exists():
                known.restore(str(int(image[-16:-4])), to)
    put(samples / "refcoco_minigpt4", out / "refcoco")
    (out / "refcoco" / "train2014").mkdir()
    for file in sorted((out / "refcoco").glob("*.json")):
        for entry in json.loads(file.read_text("utf-8")):
            name = entry["img_id"].rsplit("_", 1)[0]
            to = out / "refcoco" / "train2014" / f"{name}.jpg"
            if not to.exists():
                known.restore(str(int(name[-12:])), to, size=(entry["width"], entry["height"]))


def torchcv(sample: Path, out: Path, known: Photos) -> None:
    """The lists, and the photos of theirs."""
    put(sample, out)
    (out / "images").mkdir()
    for file in sorted(out.glob("*_*val.txt")):
        for line in file.read_text("utf-8").splitlines():
            name, *fields = line.split()
            last = 1 if file.name.startswith("coco") else 0  # PHOTOS counts the last pixel of COCO's boxes in
            boxes = [
                [float(value) + (last if at > 1 else 0) for at, value in enumerate(fields[start : start + 4])]
                for start in range(0, len(fields), 5)
            ]
            photo = str(int(name[:-4])) if last else name
            known.restore(photo, out / "images" / name, boxes=boxes)


def vcoco(sample: Path, out: Path, known: Photos) -> None:
    """The test list, and the photos of its."""
    put(sample, out)
    (out / "val2014").mkdir()
    for entry in json.loads((out / "instances_vcoco_test.json").read_text("utf-8"))["annotations"]:
        name = entry["file_name"]
        known.restore(str(int(name[-16:-4])), out / "val2014" / name, boxes=entry["boxes_h"] + entry["boxes_o"])


def visual_genome(sample: Path, out: Path) -> None:
    """Three of Visual Genome's files. The list of pictures is made of the pictures' addresses, the descriptions of the
    graphs that hold them; attributes and the pictures themselves are in no sample."""
    put(sample, out)
    for folder in ("VG_100K", "VG_100K_2"):
        (out / folder).mkdir()
    objects = json.loads((out / "objects.json").read_text("utf-8"))
    images = [{"image_id": entry["image_id"], "url": entry["image_url"]} for entry in objects]
    (out / "image_data.json").write_text(json.dumps(images))
    graphs = json.loads((out / "region_graphs.json").read_text("utf-8"))
    described = [{"id": entry["image_id"], "regions": entry["regions"]} for entry in graphs]
    (out / "region_descriptions.json").write_text(json.dumps(described))
    (out / "attributes.json").write_text("[]")


def main() -> int:
    """Lay out the samples that the command line names."""
    if len(sys.argv) != 3:
        print("python tests/data/sources/lay_out_samples.py PHOTOS FORMATS")
        return 2
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]))
    for folder in sorted(Path(sys.argv[2]).iterdir()):
        count = sum(path.suffix in PICTURES for path in folder.rglob("*"))
        print(f"{folder.name}: {count} pictures (masks among them)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
