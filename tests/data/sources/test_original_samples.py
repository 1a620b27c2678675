"""Every reader on the real sample of its format, laid out as ``lay_out_samples`` does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lay_out_samples import lay_out, scale_between
from small_files import found, read

from chatspot.data.build.config import load_config
from chatspot.data.records import PLATE_LABEL, Record, Relation
from chatspot.data.sources.table import SOURCES

CONFIG = Path(__file__).parents[3] / "configs" / "data" / "photos-and-samples.yaml"


@pytest.fixture(scope="module")
def formats(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "formats"
    lay_out(photos, folder)
    return folder


# source, folder, split, records, regions, questions, faults
COUNTS = [
    ("coco_panoptic", "coco_panoptic", "val", 2, 32, 0, {}),
    ("yolo", "coco_yolo_boxes", "all", 2, 21, 0, {}),
    ("yolo", "coco_yolo_outlines", "all", 2, 21, 0, {}),
    ("vcoco", "vcoco", "test", 6, 22, 0, {"missing picture": 19}),
    ("torchcv", "torchcv", "coco17_val", 12, 97, 0, {"missing picture": 8}),
    ("torchcv", "torchcv", "voc12_trainval", 19, 42, 0, {"missing picture": 1}),
    ("flickr8k", "flickr8k", "train", 3, 0, 0, {"missing picture": 2}),
    ("animal_pose", "animal_pose", "train", 1, 10, 0, {"missing picture": 4}),
    ("camvid", "camvid", "train", 1, 41, 0, {}),
    ("camvid", "camvid", "val", 1, 117, 0, {}),
    ("icdar2015", "icdar2015", "test", 4, 41, 0, {"no answer": 18}),
    ("icdar2015_words", "icdar2015_words", "train", 12, 12, 0, {}),
    ("openalpr", "openalpr", "all", 3, 3, 0, {}),
    ("refcoco", "refcoco", "refcoco_val", 0, 0, 0, {"missing picture": 7}),
    ("refcoco", "refcoco", "refcoco+_val", 0, 0, 0, {"missing picture": 7}),
    ("refcoco", "refcoco", "refcocog_val", 0, 0, 0, {"missing picture": 22}),
    ("ferret_bench", "ferret_bench", "test", 3, 11, 7, {"missing picture": 49}),
    ("gar_bench", "gar_bench_original", "test", 3, 6, 3, {"missing picture": 19}),
    ("dlc_bench", "dlc_bench", "test", 2, 4, 0, {}),
    ("mdvp_bench", "mdvp_bench_original", "test", 3, 20, 2, {"missing picture": 117}),
    ("pope", "pope", "random", 3, 0, 18, {"missing picture": 7}),
    ("pope", "pope", "popular", 3, 0, 18, {"missing picture": 7}),
    ("pope", "pope", "adversarial", 3, 0, 18, {"missing picture": 7}),
    ("visual_genome", "visual_genome", "train", 0, 0, 0, {"missing picture": 15}),
    ("cvat", "cvat", "all", 4, 8, 0, {"missing picture": 96}),
    ("labelme", "labelme", "all", 4, 8, 0, {}),
    ("csv", "openimages", "all", 4, 8, 0, {}),
    ("voc", "pascalvoc", "all", 4, 8, 0, {}),
    ("voc", "imagenet", "all", 4, 8, 0, {}),
    ("yolo", "yolo", "all", 4, 8, 0, {}),
]


@pytest.mark.parametrize(
    ("source", "folder", "split", "records", "regions", "questions", "faults"),
    COUNTS,
    ids=[f"{name}-{folder}-{split}" for name, folder, split, *_ in COUNTS],
)
def test_what_a_sample_holds(
    formats: Path, source: str, folder: str, split: str, records: int, regions: int, questions: int,
    faults: dict[str, int],
) -> None:  # fmt: skip
    read_, reported = read(SOURCES[source], formats / folder, split)
    counts = len(read_), sum(len(record.regions) for record in read_), sum(len(record.questions) for record in read_)
    assert counts == (records, regions, questions)
    assert found(reported) == faults
    for fault in reported.kept:
        if fault.kind == "missing picture":
            assert str(formats / folder) in fault.what  # the file that is expected, by its whole path


def test_the_configuration_lists_every_sample(formats: Path) -> None:
    config = load_config(CONFIG)
    listed = {(source.name, source.folder) for source in (*config.sources, *config.evaluation)}
    assert {folder for _, folder in listed} >= {path.name for path in formats.iterdir()}
    assert listed >= {(name, folder) for name, folder, *_ in COUNTS}


def one(formats: Path, source: str, folder: str, split: str, stem: str) -> Record:
    """The record of that picture."""
    return next(record for record in read(SOURCES[source], formats / folder, split)[0] if record.image.stem == stem)


def test_boxes_fit_the_photos_that_were_enlarged(formats: Path) -> None:
    """Two lists of one photo, made by different people, in different pixels."""
    listed = one(formats, "torchcv", "torchcv", "voc12_trainval", "2007_000063")
    drawn = one(formats, "animal_pose", "animal_pose", "train", "2007_000063")
    assert listed.size == drawn.size == (500, 375)
    dog = next(region.box for region in listed.regions if region.label == "dog")
    assert dog is not None
    assert drawn.regions[0].box is not None
    assert dog.iou(drawn.regions[0].box) > 0.9


def test_segments_are_as_large_as_their_list_says(formats: Path) -> None:
    record = one(formats, "coco_panoptic", "coco_panoptic", "val", "000000000139")
    areas = {region.label: region.area_px for region in record.regions}
    assert (areas["dining table"], areas["rug"], areas["ceiling"]) == (2134, 12618, 20106)
    assert len(record.regions) == 30


def test_words_plates_and_points(formats: Path) -> None:
    sign = one(formats, "icdar2015", "icdar2015", "test", "img_108")
    assert {"Link", "B1,", "dining"} <= {region.text for region in sign.regions}
    plate = one(formats, "openalpr", "openalpr", "all", "test_089").regions[0]
    assert (plate.label, plate.text) == (PLATE_LABEL, "RK565AV")
    dog = one(formats, "animal_pose", "animal_pose", "train", "2007_000063")
    assert [region.label for region in dog.regions][:4] == ["dog", "left eye", "right eye", "nose"]
    word = one(formats, "icdar2015_words", "icdar2015_words", "train", "word_2")
    assert word.regions[0].text == "[06]"


def test_questions_and_relations_name_their_regions(formats: Path) -> None:
    standing = one(formats, "gar_bench", "gar_bench_original", "test", "caption_simple_1")
    assert standing.questions[0].answers == ("<region1> is standing on <region0>.",)
    catcher = one(formats, "ferret_bench", "ferret_bench", "test", "000000010764")
    assert all(question.regions for question in catcher.questions)
    caller = one(formats, "vcoco", "vcoco", "test", "COCO_val2014_000000000395")
    assert caller.relations == (Relation(0, "holding", 1), Relation(0, "talking on", 1))
    engine = one(formats, "mdvp_bench", "mdvp_bench_original", "test", "000000518574")
    assert all(region.descriptions for region in engine.regions)
    bird = one(formats, "dlc_bench", "dlc_bench", "test", "objects365_v2_01002306")
    assert [region.label for region in bird.regions] == ["boat", "wild bird", "wild bird"]


@pytest.mark.parametrize(
    ("given", "known", "scale"),
    [([], [], None), ([[0, 0, 10, 10]], [], None), ([[0, 0, 10, 10], [5, 5, 20, 30]], [[3, 3, 12, 18]], 0.6)],
)
def test_the_scale_between_boxes(given: list[list[float]], known: list[list[float]], scale: float | None) -> None:
    assert scale_between(given, known) == (scale if scale is None else pytest.approx(scale))
