"""VizWiz-VQA-Grounding: questions of blind people, and where in the photo the answer is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import annotations, damaged, found, picture, read
from test_mask_pictures import mask_file

from chatspot.data.sources.vizwiz import VIZWIZ_GROUNDING
from chatspot.errors import DataError

NAME = "VizWiz_val_00000001.jpg"


def corners(*points: tuple[float, float]) -> list[dict[str, float]]:
    """Points as the file has them."""
    return [{"x": x, "y": y} for x, y in points]


def entry(**changes: Any) -> dict[str, Any]:
    """A grounded question on a photo of 100 x 50."""
    return {
        "question": "What is this?",
        "answers": ["soup can", "soup", "tomato soup", "soup"],
        "most_common_answer": "soup",
        "height": 50,
        "width": 100,
        "answer_grounding": corners((10, 5), (40, 10), (30, 45)),
        **changes,
    }


def without(*keys: str) -> dict[str, Any]:
    """An entry that lacks keys."""
    return {key: value for key, value in entry().items() if key not in keys}


def vizwiz(folder: Path, *entries: Any, split: str = "val", orientation: int = 1) -> Path:
    """A folder of VizWiz with one photo; further entries are of photos that are not there."""
    picture(folder / split / NAME, (100, 50), orientation)
    names = [NAME, *(f"VizWiz_val_{number:08}.jpg" for number in range(2, 9))]
    annotations(folder / f"{split}_grounding.json", dict(zip(names, entries, strict=False)))
    return folder


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_what_is_missing_is_named(tmp_path: Path, split: str) -> None:
    missing = f"lacks {split}_grounding.json, {split}/; get the set from https://vizwiz.org"
    with pytest.raises(DataError, match=missing):
        read(VIZWIZ_GROUNDING, tmp_path, split)


@pytest.mark.parametrize("content", [[], "text", 3, None])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: Any) -> None:
    annotations(vizwiz(tmp_path) / "val_grounding.json", content)
    with pytest.raises(DataError, match=r"val_grounding\.json: expected an object keyed by file name"):
        read(VIZWIZ_GROUNDING, tmp_path, "val")


def test_it_is_never_trained_on() -> None:
    assert VIZWIZ_GROUNDING.role == "evaluation"


def test_a_grounded_question_is_read(tmp_path: Path) -> None:
    (record,), faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, entry()), "val")
    (question,) = record.questions
    assert (question.question, question.regions) == ("What is this?", (0,))
    assert question.answers == ("soup", "soup", "soup can", "tomato soup")
    assert (record.id, record.size) == ("vizwiz_grounding/VizWiz_val_00000001", (100, 50))
    assert record.image_ids == ("vizwiz:VizWiz_val_00000001",)
    assert found(faults) == {}


def test_trap_the_box_is_the_bounding_box_and_the_polygon_is_kept(tmp_path: Path) -> None:
    (record,), _ = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, entry()), "val")
    (region,) = record.regions
    assert region.box is not None
    assert region.polygon is not None
    assert region.box.to_pixels((100, 50)) == (10, 5, 40, 45)
    assert region.polygon.to_pixels((100, 50)) == ((10, 5), (40, 10), (30, 45))


@pytest.mark.parametrize("grounding", [None, [], "absent"])
def test_trap_the_test_split_has_no_grounding(tmp_path: Path, grounding: Any) -> None:
    blind = without("answer_grounding") if grounding == "absent" else entry(answer_grounding=grounding)
    records, faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, blind, split="test"), "test")
    assert (records, found(faults)) == ([], {"no answer": 1})
    assert faults.kept[0].where == f"test_grounding.json {NAME}"


def with_mask(folder: Path, *, rows: slice = slice(10, 20), size: tuple[int, int] = (100, 50)) -> Path:
    """The photo's mask: these rows of it."""
    pixels = np.zeros((size[1], size[0]), dtype=np.uint8)
    pixels[rows] = 255
    mask_file(folder / "binary_masks_png" / "val" / NAME.replace(".jpg", ".png"), pixels)
    return folder


def test_trap_masks_lie_in_another_folder(tmp_path: Path) -> None:
    (record,), faults = read(VIZWIZ_GROUNDING, with_mask(vizwiz(tmp_path, entry())), "val")
    (region,) = record.regions
    assert region.mask is not None
    assert region.mask.to_bitmap().sum() == 1000
    assert region.polygon is not None
    assert region.box is not None
    assert region.box.to_pixels((100, 50)) == (10, 5, 40, 45)  # the polygon's: the paper asks with it
    assert found(faults) == {}


@pytest.mark.parametrize("grounding", [None, []])
def test_a_mask_serves_a_photo_without_an_outline(tmp_path: Path, grounding: Any) -> None:
    photo = with_mask(vizwiz(tmp_path, entry(answer_grounding=grounding)))
    (record,), faults = read(VIZWIZ_GROUNDING, photo, "val")
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((100, 50)) == (0, 10, 100, 20)
    assert found(faults) == {}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"rows": slice(0, 0)}, "degenerate region"), ({"size": (50, 100)}, "wrong size")],
)
def test_a_mask_that_cannot_be_used_leaves_the_outline(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    (record,), faults = read(VIZWIZ_GROUNDING, with_mask(vizwiz(tmp_path, entry()), **changes), "val")
    assert (record.regions[0].mask, found(faults)) == (None, {kind: 1})
    assert record.regions[0].polygon is not None


def test_trap_masks_turn_with_phone_photos(tmp_path: Path) -> None:
    (record,), _ = read(VIZWIZ_GROUNDING, with_mask(vizwiz(tmp_path, entry(), orientation=6)), "val")
    mask = record.regions[0].mask
    assert mask is not None
    assert mask.size_wh == (50, 100)
    assert mask.bounding_box().to_pixels((50, 100)) == (30, 0, 40, 100)


@pytest.mark.parametrize("keys", [("width",), ("height",), ("width", "height")])
def test_trap_width_and_height_may_be_missing(tmp_path: Path, keys: tuple[str, ...]) -> None:
    (record,), faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, without(*keys)), "val")
    assert record.size == (100, 50)
    assert found(faults) == {}


@pytest.mark.parametrize("answers", [None, [], "absent"])
def test_trap_answers_may_be_missing(tmp_path: Path, answers: Any) -> None:
    one = without("answers") if answers == "absent" else entry(answers=answers)
    (record,), _ = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, one), "val")
    assert record.questions[0].answers == ("soup",)


@pytest.mark.parametrize(
    ("orientation", "box"),
    [(6, (5, 10, 45, 40)), (8, (5, 60, 45, 90))],
)
def test_trap_phone_photos_are_turned_by_exif(tmp_path: Path, orientation: int, box: tuple[float, ...]) -> None:
    (record,), faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, entry(), orientation=orientation), "val")
    assert record.size == (50, 100)
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((50, 100)) == box
    assert found(faults) == {"turned picture": 1}


def test_trap_photos_that_were_annotated_upright_are_not_turned_again(tmp_path: Path) -> None:
    upright = entry(width=50, height=100, answer_grounding=corners((5, 10), (45, 10), (45, 40)))
    (record,), faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, upright, orientation=6), "val")
    assert record.regions[0].box is not None
    assert record.regions[0].box.to_pixels((50, 100)) == (5, 10, 45, 40)
    assert found(faults) == {}


def test_trap_grounding_may_cover_the_whole_photo(tmp_path: Path) -> None:
    whole = entry(answer_grounding=corners((0, 0), (100, 0), (100, 50), (0, 50)))
    (record,), faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, whole), "val")
    assert record.regions[0].box is not None
    assert record.regions[0].box.bounds_xyxy == (0, 0, 1, 1)
    assert found(faults) == {}


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({"answers": [{"answer": "soup", "answer_confidence": "yes"}, {"answer": "can"}]}, ("soup", "can")),
        ({"most_common_answer": "campbells"}, ("campbells", "soup", "soup", "soup can", "tomato soup")),
        ({"most_common_answer": "tomato soup"}, ("tomato soup", "soup", "soup", "soup can")),
        ({"most_common_answer": None}, ("soup", "soup", "soup can", "tomato soup")),
        ({"most_common_answer": "", "answers": ["", "soup"]}, ("soup",)),
    ],
)
def test_the_most_common_answer_stands_first(tmp_path: Path, changes: dict[str, Any], answers: tuple[str, ...]) -> None:
    (record,), _ = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, entry(**changes)), "val")
    assert record.questions[0].answers == answers


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (3, "unusable entry"),
        ([], "unusable entry"),
        (without("question"), "unusable entry"),
        (entry(question=""), "unusable entry"),
        (entry(question=5), "unusable entry"),
        (entry(answers="soup"), "unusable entry"),
        (entry(answers=[{}]), "unusable entry"),
        (entry(answer_grounding="here"), "unusable entry"),
        (entry(answer_grounding=[[1, 2], [3, 4], [5, 6]]), "unusable entry"),
        (entry(answer_grounding=[{"x": 1}]), "unusable entry"),
        (entry(answer_grounding=[{"x": "1", "y": "2"}] * 3), "unusable entry"),
        (entry(answer_grounding=corners((1, 1), (2, 2))), "degenerate region"),
        (entry(answer_grounding=corners((1, 1), (2, 2), (3, 3))), "degenerate region"),
        (entry(answer_grounding=corners((1, 1), (float("nan"), 2), (3, 3))), "degenerate region"),
        (entry(answer_grounding=corners((200, 1), (300, 2), (300, 30))), "outside region"),
        (entry(answers=[], most_common_answer=""), "no answer"),
    ],
)
def test_a_wrong_entry_is_reported_with_its_photo(tmp_path: Path, wrong: Any, kind: str) -> None:
    records, faults = read(VIZWIZ_GROUNDING, vizwiz(tmp_path, wrong), "val")
    assert (records, found(faults)) == ([], {kind: 1})
    assert faults.kept[0].where == f"val_grounding.json {NAME}"


def test_photos_that_are_missing_or_corrupt_are_left_out(tmp_path: Path) -> None:
    vizwiz(tmp_path, entry(), entry(), entry())
    (tmp_path / "val" / "VizWiz_val_00000002.jpg").write_bytes(b"")
    records, faults = read(VIZWIZ_GROUNDING, tmp_path, "val")
    assert len(records) == 1
    assert found(faults) == {"corrupt picture": 1, "missing picture": 1}


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    vizwiz(tmp_path)
    annotations(tmp_path / "val_grounding.json", {f"../val/{NAME}": entry(), f"/{NAME}": entry()})
    records, faults = read(VIZWIZ_GROUNDING, tmp_path, "val")
    assert (records, found(faults)) == ([], {"unusable entry": 2})


@settings(max_examples=100, deadline=None)
@given(content=damaged({NAME: entry(), "gone.jpg": entry()}))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = vizwiz(tmp_path_factory.getbasetemp() / "vizwiz")
    annotations(folder / "val_grounding.json", content)
    try:
        records, _ = read(VIZWIZ_GROUNDING, folder, "val")
    except DataError:
        assert not isinstance(content, dict)
    else:
        for record in records:
            assert record.questions[0].answers
            assert record.regions[0].box is not None


@settings(max_examples=60, deadline=None)
@given(points=st.lists(st.tuples(st.floats(), st.floats()), max_size=6))
def test_any_outline_gives_a_region_inside_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[float, float]]
) -> None:
    folder = vizwiz(tmp_path_factory.getbasetemp() / "outlines", entry(answer_grounding=corners(*points)))
    records, faults = read(VIZWIZ_GROUNDING, folder, "val")
    assert records or faults.counts.total() == 1
    for record in records:
        assert all(0 <= edge <= 1 for edge in record.regions[0].region.bounds_xyxy)
