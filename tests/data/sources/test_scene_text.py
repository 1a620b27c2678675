"""COCO-Text, HierText and ArT: outlined and transcribed text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.scene_text import ART, COCO_TEXT, COCO_TEXT_VAL, HIER_TEXT
from chatspot.data.sources.source import Source
from chatspot.errors import DataError

COCO_NAME = "COCO_train2014_000000217925.jpg"
COCO_OUTLINE = [10.0, 5.0, 10.0, 15.0, 40.0, 16.0, 40.0, 6.0]


def coco_ann(**changes: Any) -> dict[str, Any]:
    """An annotation of COCO-Text version 2."""
    return {
        "mask": COCO_OUTLINE,
        "class": "machine printed",
        "bbox": [10.0, 5.0, 30.0, 11.0],
        "image_id": 217925,
        "id": 45346,
        "language": "english",
        "area": 206.06,
        "utf8_string": "New",
        "legibility": "legible",
        **changes,
    }


def coco_img(**changes: Any) -> dict[str, Any]:
    """A picture of COCO-Text."""
    return {"id": 217925, "set": "train", "width": 100, "height": 50, "file_name": COCO_NAME, **changes}


def coco_content(*anns: Any, img: Any = None) -> dict[str, Any]:
    """A file of COCO-Text with one picture."""
    return {
        "cats": {},
        "anns": {str(45346 + number): ann for number, ann in enumerate(anns)},
        "imgs": {"217925": img or coco_img()},
        "imgToAnns": {"217925": [45346 + number for number in range(len(anns))]},
        "info": {},
    }


def coco_text(folder: Path, *anns: Any, img: Any = None, at: str = "train2014") -> Path:
    """A folder of COCO-Text with one picture."""
    (folder / "train2014").mkdir(parents=True, exist_ok=True)
    picture(folder / at / COCO_NAME)
    annotations(folder / "cocotext.v2.json", coco_content(*anns, img=img))
    return folder


def word(text: Any = "EXIT", left: float = 10, **changes: Any) -> dict[str, Any]:
    """A word of HierText, 10 x 10 px."""
    vertices = [[left, 10], [left + 10, 10], [left + 10, 20], [left, 20]]
    return {"vertices": vertices, "text": text, "legible": True, "handwritten": False, "vertical": False, **changes}


def line(*words: Any, **changes: Any) -> dict[str, Any]:
    """A line of HierText around its words."""
    text = " ".join(str(one["text"]) for one in words if isinstance(one, dict))
    return {**word(text), "vertices": [[8, 8], [60, 8], [60, 22], [8, 22]], "words": list(words), **changes}


def hier_entry(*lines: Any, **changes: Any) -> dict[str, Any]:
    """A picture of HierText with one paragraph."""
    paragraph = {"vertices": [[5, 5], [90, 5], [90, 45], [5, 45]], "legible": True, "lines": list(lines)}
    return {"image_id": "a1b2", "image_width": 100, "image_height": 50, "paragraphs": [paragraph], **changes}


def hier_text(folder: Path, *entries: Any, name: str = "train") -> Path:
    """A folder of HierText with one picture."""
    picture(folder / name / "a1b2.jpg")
    annotations(folder / "gt" / f"{name}.jsonl", {"info": {"date": "", "version": ""}, "annotations": list(entries)})
    return folder


def art_text(**changes: Any) -> dict[str, Any]:
    """A text of ArT: a polygon of eight points."""
    points = [[14, 19], [23, 20], [31, 31], [35, 28], [35, 30], [30, 36], [23, 33], [14, 32]]
    return {"transcription": "燎申集团", "points": points, "language": "Chinese", "illegibility": False, **changes}


def art(folder: Path, *texts: Any) -> Path:
    """A folder of ArT with one picture."""
    picture(folder / "train_images" / "gt_1726.jpg")
    annotations(folder / "train_labels.json", {"gt_1726": list(texts)})
    return folder


def texts(record: Any) -> list[tuple[str | None, bool]]:
    """What is written in each region, and whether it may be asked."""
    return [(region.text, region.askable) for region in record.regions]


@pytest.mark.parametrize(
    ("source", "split", "missing"),
    [
        (COCO_TEXT, "train", "cocotext.v2.json, train2014/"),
        (COCO_TEXT_VAL, "val", "cocotext.v2.json, train2014/"),
        (HIER_TEXT, "train", "gt/train.jsonl, train/"),
        (HIER_TEXT, "val", "gt/validation.jsonl, validation/"),
        (ART, "train", "train_labels.json, train_images/"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_is_missing_is_named(tmp_path: Path, source: Source, split: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"{source.name}, split {split}: .* lacks {missing}; get the set from https"):
        read(source, tmp_path, split)


@pytest.mark.parametrize(
    ("source", "content"),
    [
        (COCO_TEXT, []),
        (COCO_TEXT, {}),
        (COCO_TEXT, {"anns": {}}),
        (COCO_TEXT, {"anns": [], "imgs": {}}),
        (COCO_TEXT, {"anns": {}, "imgs": []}),
        (HIER_TEXT, []),
        (HIER_TEXT, {}),
        (HIER_TEXT, {"annotations": {}}),
        (ART, []),
        (ART, "gt_1726"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, source: Source, content: Any) -> None:
    for make in (coco_text, hier_text, art):
        make(tmp_path)
    file = tmp_path / source.files["train"][0]
    annotations(file, content)
    with pytest.raises(DataError, match=f"{file.name}: .*expected (one|an) object"):
        read(source, tmp_path)


# COCO-Text


def test_coco_text_a_word_is_read(tmp_path: Path) -> None:
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, coco_ann()))
    (region,) = record.regions
    assert texts(record) == [("New", True)]
    assert region.label == "text"
    assert region.polygon is not None
    assert region.polygon.to_pixels((100, 50)) == ((10, 5), (10, 15), (40, 16), (40, 6))
    assert region.area_px == pytest.approx(330)
    assert (record.source, record.image_ids, record.size) == ("coco_text", ("coco:217925",), (100, 50))
    assert found(faults) == {}


def test_trap_coco_text_bbox_is_left_top_width_height(tmp_path: Path) -> None:
    (record,), _ = read(COCO_TEXT, coco_text(tmp_path, coco_ann(bbox=[20, 30, 40, 10])))
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == (20, 30, 60, 40)


@pytest.mark.parametrize("image_id", [217925, "217925"])
def test_trap_coco_text_keys_are_text_and_image_ids_numbers(tmp_path: Path, image_id: Any) -> None:
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, coco_ann(image_id=image_id)))
    assert texts(record) == [("New", True)]
    assert found(faults) == {}


@pytest.mark.parametrize("key", ["mask", "polygon"])
def test_trap_coco_text_the_outline_is_mask_in_version_2_and_polygon_in_version_1(tmp_path: Path, key: str) -> None:
    ann = coco_ann()
    outline = ann.pop("mask")
    (record,), _ = read(COCO_TEXT, coco_text(tmp_path, {**ann, key: outline}))
    assert record.regions[0].polygon is not None
    assert len(record.regions[0].polygon.points) == 4


@pytest.mark.parametrize(
    ("outline", "kinds"),
    [
        (None, {}),
        ([], {}),
        ([10, 5, 40], {"unusable entry": 1}),
        ([[10, 5], [40, 5]], {"unusable entry": 1}),
        ("outline", {"unusable entry": 1}),
        ([10, 5, 40, 5], {"degenerate region": 1}),
        ([10, 5, 40, 5, 20, 5], {"degenerate region": 1}),
    ],
)
def test_coco_text_without_an_outline_the_box_stands(tmp_path: Path, outline: Any, kinds: dict[str, int]) -> None:
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, coco_ann(mask=outline)))
    assert record.regions[0].polygon is None
    assert texts(record) == [("New", True)]
    assert found(faults) == kinds


def test_coco_text_without_a_box_the_outline_stands(tmp_path: Path) -> None:
    ann = coco_ann()
    del ann["bbox"]
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, ann, coco_ann(bbox=[3, 3, 0, 0])))
    boxes = [region.box.to_pixels((100, 50)) for region in record.regions if region.box]
    assert boxes == [(10, 5, 40, 16)] * 2
    assert found(faults) == {"degenerate region": 1}


def test_trap_coco_text_train_and_val_are_in_one_file(tmp_path: Path) -> None:
    content = coco_content(coco_ann(), coco_ann(image_id=7, utf8_string="Old"))
    content["imgs"]["7"] = coco_img(id=7, set="val", file_name="COCO_train2014_000000000007.jpg")
    coco_text(tmp_path)
    picture(tmp_path / "train2014" / "COCO_train2014_000000000007.jpg")
    annotations(tmp_path / "cocotext.v2.json", content)
    assert [texts(record) for record in read(COCO_TEXT, tmp_path)[0]] == [[("New", True)]]
    (val,), _ = read(COCO_TEXT_VAL, tmp_path, "val")
    assert texts(val) == [("Old", True)]
    assert (val.source, val.image_ids) == ("coco_text_val", ("coco:7",))
    assert COCO_TEXT_VAL.role == "evaluation"


@pytest.mark.parametrize(("source", "split"), [(COCO_TEXT, "val"), (COCO_TEXT_VAL, "train")])
def test_coco_text_val_cannot_be_read_as_training_data(tmp_path: Path, source: Source, split: str) -> None:
    with pytest.raises(DataError, match=f"{source.name} has no split '{split}'"):
        read(source, coco_text(tmp_path, coco_ann()), split)


@pytest.mark.parametrize("text", [None, "", "  ", "absent"])
def test_trap_coco_text_utf8_string_may_be_absent_or_empty(tmp_path: Path, text: str | None) -> None:
    ann = coco_ann(utf8_string=text)
    if text == "absent":
        del ann["utf8_string"]
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, ann))
    assert texts(record) == [(None, False)]
    assert found(faults) == {"no answer": 1}
    assert faults.kept[0].where == "cocotext.v2.json ann 45346"


@pytest.mark.parametrize("language", ["english", "not english", "non-english", "na", "", None])
def test_trap_coco_text_languages_are_spelled_in_many_ways(tmp_path: Path, language: str | None) -> None:
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, coco_ann(language=language)))
    assert texts(record) == [("New", True)]
    assert found(faults) == {}


@pytest.mark.parametrize("at", ["train2014", "val2014"])
def test_trap_coco_text_pictures_are_found_by_file_name(tmp_path: Path, at: str) -> None:
    img = coco_img(set="val")
    (record,), _ = read(COCO_TEXT_VAL, coco_text(tmp_path, coco_ann(), img=img, at=at), "val")
    assert record.image == tmp_path / at / COCO_NAME


def test_trap_coco_text_only_legible_text_that_is_not_empty_is_askable_and_the_rest_is_counted(tmp_path: Path) -> None:
    anns = [coco_ann(), coco_ann(legibility="illegible"), coco_ann(utf8_string=""), coco_ann(legibility=None)]
    (record,), faults = read(COCO_TEXT_VAL, coco_text(tmp_path, *anns, img=coco_img(set="val")), "val")
    assert texts(record) == [("New", True), (None, False), (None, False), (None, False)]
    assert found(faults) == {"no answer": 3}


def test_coco_text_a_picture_without_text_is_no_record(tmp_path: Path) -> None:
    records, faults = read(COCO_TEXT, coco_text(tmp_path))
    assert (records, found(faults)) == ([], {})


def test_coco_text_a_wrong_annotation_costs_itself_only(tmp_path: Path) -> None:
    wrong = [3, {}, coco_ann(image_id="x"), coco_ann(utf8_string=5), coco_ann(utf8_string="\ud800")]
    (record,), faults = read(COCO_TEXT, coco_text(tmp_path, coco_ann(), *wrong))
    assert texts(record) == [("New", True)]
    assert found(faults) == {"unusable entry": 5}


def test_coco_text_in_a_turned_picture_is_turned(tmp_path: Path) -> None:
    coco_text(tmp_path, coco_ann())
    picture(tmp_path / "train2014" / COCO_NAME, (100, 50), orientation=6)
    (record,), faults = read(COCO_TEXT, tmp_path)
    assert record.size == (50, 100)
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((50, 100)) == (34, 10, 45, 40)
    assert found(faults) == {"turned picture": 1}


# HierText


def test_trap_hier_text_is_one_json_object_and_no_json_lines(tmp_path: Path) -> None:
    hier_text(tmp_path, hier_entry(line(word())), hier_entry(line(word("IN"))))
    file = tmp_path / "gt" / "train.jsonl"
    file.write_text(json.dumps(json.loads(file.read_text()), indent=1))  # over many lines
    assert [texts(record) for record in read(HIER_TEXT, tmp_path)[0]] == [[("EXIT", True)], [("IN", True)]]
    file.write_text("{}\n{}\n")
    with pytest.raises(DataError, match=r"train\.jsonl: no field 'annotations'; expected one object"):
        read(HIER_TEXT, tmp_path)


@pytest.mark.parametrize("split", ["val", "validation"])
def test_trap_hier_text_val_is_called_validation(tmp_path: Path, split: str) -> None:
    hier_text(tmp_path, hier_entry(line(word())), name="validation")
    assert len(read(HIER_TEXT, tmp_path, split)[0]) == 1


def test_trap_hier_text_vertices_are_absolute_pixels_of_four_or_more_corners(tmp_path: Path) -> None:
    curved = [[10, 10], [20, 8], [30, 10], [30, 20], [20, 18], [10, 20]]
    (record,), _ = read(HIER_TEXT, hier_text(tmp_path, hier_entry(line(word(vertices=curved)))))
    polygon = record.regions[0].polygon
    assert polygon is not None
    assert polygon.to_pixels((100, 50)) == tuple(map(tuple, curved))


def test_trap_hier_text_the_picture_is_the_image_id(tmp_path: Path) -> None:
    (record,), _ = read(HIER_TEXT, hier_text(tmp_path, hier_entry(line(word()))))
    assert record.image == tmp_path / "train" / "a1b2.jpg"
    assert record.image_ids == ("openimages:a1b2",)


@pytest.mark.parametrize("text", ["", None])
def test_trap_hier_text_an_illegible_word_has_an_empty_text(tmp_path: Path, text: str | None) -> None:
    words = [word("THE"), word(text, legible=False, left=25)]
    (record,), faults = read(HIER_TEXT, hier_text(tmp_path, hier_entry(line(*words, legible=False))))
    assert texts(record) == [("THE", True), (None, False)]
    assert found(faults) == {"no answer": 1}


def test_trap_hier_text_lines_are_not_in_reading_order_so_no_paragraph_is_read(tmp_path: Path) -> None:
    lines = [line(word("second")), line(word("first"))]
    (record,), _ = read(HIER_TEXT, hier_text(tmp_path, hier_entry(*lines)))
    assert texts(record) == [("second", True), ("first", True)]


def test_trap_hier_text_words_of_a_line_are_in_reading_order(tmp_path: Path) -> None:
    words = [word("WAY", left=40), word("OUT", left=10)]  # as annotated, not from left to right
    (record,), _ = read(HIER_TEXT, hier_text(tmp_path, hier_entry(line(*words))))
    assert [text for text, _ in texts(record)] == ["WAY OUT", "WAY", "OUT"]


def test_trap_hier_text_words_have_their_own_outline_and_text(tmp_path: Path) -> None:
    (record,), _ = read(HIER_TEXT, hier_text(tmp_path, hier_entry(line(word("WAY", 10), word("OUT", 25)))))
    whole, first, second = record.regions
    assert [region.box.to_pixels((100, 50)) for region in (whole, first, second) if region.box] == [
        (8, 8, 60, 22),
        (10, 10, 20, 20),
        (25, 10, 35, 20),
    ]
    assert (first.text, second.text) == ("WAY", "OUT")


def test_hier_text_a_line_of_one_word_is_not_said_twice(tmp_path: Path) -> None:
    (record,), _ = read(HIER_TEXT, hier_text(tmp_path, hier_entry(line(word()))))
    assert texts(record) == [("EXIT", True)]


def test_hier_text_a_wrong_part_costs_itself_only(tmp_path: Path) -> None:
    first = line(word(), 3, word(vertices=None), word(5), text="EXIT None")
    entry = hier_entry(first, 7, line(word("IN"), vertices=None))
    entry["paragraphs"] += ["paragraph", {"lines": None}]
    records, faults = read(HIER_TEXT, hier_text(tmp_path, entry, 3, hier_entry(paragraphs={}), {"image_id": 5}))
    assert [text for record in records for text, _ in texts(record)] == ["EXIT None", "EXIT", "IN"]
    assert set(faults.counts) == {"unusable entry"}


# ArT


@pytest.mark.parametrize("count", [3, 4, 8, 12])
def test_trap_art_polygons_have_four_to_twelve_points(tmp_path: Path, count: int) -> None:
    top = [[10 + 5 * number, 10 - number % 2] for number in range(count - count // 2)]
    bottom = [[10 + 5 * number, 20 + number % 2] for number in reversed(range(count // 2))]
    (record,), faults = read(ART, art(tmp_path, art_text(points=top + bottom)))
    assert record.regions[0].polygon is not None
    assert len(record.regions[0].polygon.points) == count
    assert found(faults) == {}


def test_trap_art_has_no_sizes_so_the_picture_is_read(tmp_path: Path) -> None:
    art(tmp_path, art_text())
    picture(tmp_path / "train_images" / "gt_1726.jpg", (200, 80))
    (record,), _ = read(ART, tmp_path)
    assert record.size == (200, 80)
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((200, 80)) == (14, 19, 35, 36)


@pytest.mark.parametrize(
    "changes",
    [
        {"transcription": "###"},
        {"illegibility": True},
        {"transcription": "###", "illegibility": True},
        {"transcription": " ### "},
        {"transcription": ""},
    ],
)
def test_trap_art_hashes_or_illegibility_mean_ignore(tmp_path: Path, changes: dict[str, Any]) -> None:
    (record,), faults = read(ART, art(tmp_path, art_text(**changes), art_text(transcription="#1")))
    assert texts(record) == [(None, False), ("#1", True)]
    assert found(faults) == {"no answer": 1}


def test_trap_art_points_may_be_negative(tmp_path: Path) -> None:
    over = [[-6, -4], [30, -4], [30, 20], [-6, 20]]
    (record,), faults = read(ART, art(tmp_path, art_text(points=over)))
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == (0, 0, 30, 20)
    assert found(faults) == {"outside region": 1}


def test_art_a_polygon_that_is_mostly_outside_is_left_out(tmp_path: Path) -> None:
    (record,), faults = read(ART, art(tmp_path, art_text(points=[[-60, 5], [30, 5], [30, 20], [-60, 20]])))
    assert record.regions == ()
    assert found(faults) == {"outside region": 1}


def test_art_the_picture_is_the_key(tmp_path: Path) -> None:
    (record,), _ = read(ART, art(tmp_path, art_text()))
    assert record.id == "art/gt_1726"
    assert texts(record) == [("燎申集团", True)]


def test_art_a_wrong_text_costs_itself_only(tmp_path: Path) -> None:
    wrong = [3, {}, art_text(points="here"), art_text(points=[[1, 2], [3]]), art_text(transcription=None)]
    (record,), faults = read(ART, art(tmp_path, *wrong, art_text()))
    assert texts(record) == [("燎申集团", True)]
    assert found(faults) == {"unusable entry": 5}
    annotations(tmp_path / "train_labels.json", {"gt_1726": 3, "../gt_1726": [], "gone": []})
    records, faults = read(ART, tmp_path)
    assert (records, found(faults)) == ([], {"unusable entry": 2, "missing picture": 1})


# all


@pytest.mark.parametrize(
    ("source", "make", "entries"),
    [
        (COCO_TEXT, coco_text, [coco_ann(), coco_ann(legibility="illegible")]),
        (HIER_TEXT, hier_text, [hier_entry(line(word(), word("IN", 30)))]),
        (ART, art, [art_text(), art_text(transcription="###")]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_entries_never_crash(
    tmp_path_factory: pytest.TempPathFactory, source: Source, make: Any, entries: list[Any], data: st.DataObject
) -> None:
    folder = make(tmp_path_factory.getbasetemp() / source.name, *entries)
    file = folder / source.files["train"][0]
    content = data.draw(damaged(json.loads(file.read_text())))
    annotations(file, content)
    try:
        records, _ = read(source, folder)
    except DataError:
        assert source is not ART or not isinstance(content, dict)
    else:
        for region in (region for record in records for region in record.regions):
            assert region.askable is bool(region.text)
            assert region.box is not None
            assert region.text is None or region.text.encode("utf-8")
