"""GAR-Bench and DLC-Bench: questions and names at masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.records import Relation
from chatspot.data.sources.mask_benches import DLC_BENCH, GAR_BENCH, GAR_FILES, photo_ids
from chatspot.errors import DataError

LEFT = {"size": [10, 20], "counts": [0, 50, 150]}
RIGHT = {"size": [10, 20], "counts": [150, 50]}
PACKED = {"size": [50, 100], "counts": "i?d0n00[Y4"}  # COCO's compressed text
MAKERS = "/mnt/x/DLC-Bench/images/objects365_v2_00912042.jpg"


def vqa(**changes: Any) -> dict[str, Any]:
    """A question with choices about two masks."""
    return {"image_path": MAKERS, "image": "images/vqa_0.png", "mask_rles": [LEFT, RIGHT], "type": "relation",
            "question": "Which is right of <Prompt0>?", "choices": ["A. <Prompt1>", "B. None of the above"],
            "answer": "A", **changes}  # fmt: skip


def simple(**changes: Any) -> dict[str, Any]:
    """A question without choices."""
    return {"image_path": "/mnt/x/coco/val2017/000000227491.jpg", "image": "images/vqa_0.png",
            "mask_rles": [LEFT, RIGHT], "question": "How do <Prompt1> and <Prompt0> relate?",
            "answer": "<Prompt1> is beside <Prompt0>.", **changes}  # fmt: skip


def detailed(**changes: Any) -> dict[str, Any]:
    """Two masks with names and a predicate."""
    return {"image": "images/vqa_0.png", "subject_name": "person", "object_name": "skateboard",
            "predicate_name": "beside", "mask_rles": [LEFT, RIGHT], **changes}  # fmt: skip


def gar(folder: Path, asked: Any = (), told: Any = (), named: Any = ()) -> Path:
    """GAR-Bench's three files and one picture, which is a JPEG although they say PNG."""
    picture(folder / "images" / "vqa_0.jpg", (20, 10))
    for name, entries in zip(GAR_FILES, (asked, told, named), strict=True):
        annotations(folder / name, list(entries) if isinstance(entries, tuple) else entries)
    return folder


def instances(**changes: Any) -> dict[str, Any]:
    """DLC-Bench's annotations: two objects of one picture."""
    one = {"id": 2391781, "iscrowd": 0, "area": 50.5, "bbox": [0, 0, 5, 10], "image_id": 1002306, "category_id": 57,
           "segmentation": LEFT}  # fmt: skip
    return {
        "images": [{"id": 1002306, "width": 20, "height": 10, "file_name": "objects365_v2_01002306.jpg"}],
        "annotations": [one, {**one, "id": 2391761, "bbox": [15, 0, 5, 10], "segmentation": RIGHT}],
        "categories": [{"id": 57, "name": "Wild Bird"}],
        **changes,
    }


def dlc(folder: Path, told: Any = None, names: Any = None) -> Path:
    """DLC-Bench's files and one picture."""
    picture(folder / "images" / "objects365_v2_01002306.jpg", (20, 10))
    annotations(folder / "annotations.json", instances() if told is None else told)
    annotations(folder / "class_names.json", {"2391781": "small gull", "7": "gone"} if names is None else names)
    return folder


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks GAR-Bench-VQA\.json, .*, images/; get the set from"):
        read(GAR_BENCH, tmp_path, "test")
    with pytest.raises(DataError, match=r"lacks annotations\.json, class_names\.json, images/; get the set from"):
        read(DLC_BENCH, tmp_path, "test")


def test_they_are_never_trained_on() -> None:
    assert (GAR_BENCH.role, DLC_BENCH.role) == ("evaluation", "evaluation")


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (3, "unusable entry"),
        (vqa(image="images/gone.png"), "missing picture"),
        (vqa(image="../images/vqa_0.png"), "unusable entry"),
        (vqa(mask_rles=7), "unusable entry"),
        (vqa(answer="C"), "unusable entry"),
        (vqa(answer=""), "unusable entry"),
        (vqa(choices=["A. yes", "no"]), "unusable entry"),
        (vqa(choices=["A. yes", "A. no"]), "unusable entry"),
        (vqa(question=""), "unusable entry"),
        (vqa(question="Is <Prompt2> there?"), "unusable entry"),
        (vqa(question="Is <region0> there?"), "unusable entry"),
    ],
)
def test_entries_that_cannot_be_used(tmp_path: Path, entry: Any, kind: str) -> None:
    records, faults = read(GAR_BENCH, gar(tmp_path, (entry,)), "test")
    assert (records, found(faults)) == ([], {kind: 1})


@pytest.mark.parametrize(
    ("runs", "kind"),
    [
        (3, "unusable entry"),
        ({"size": [20, 10], "counts": [0, 50, 150]}, "wrong size"),
        ({"size": [10, 20], "counts": [200]}, "degenerate region"),
        ({"size": [10, 20], "counts": "\x00"}, "degenerate region"),
        ({"size": [10, 20]}, "unusable entry"),
        ({"size": 10, "counts": [200]}, "unusable entry"),
    ],
)
def test_a_mask_that_cannot_be_used_takes_its_question_along(tmp_path: Path, runs: Any, kind: str) -> None:
    kept = vqa(mask_rles=[runs, RIGHT], question="What is <Prompt1>?")
    lost = vqa(mask_rles=[runs, RIGHT])
    (record,), faults = read(GAR_BENCH, gar(tmp_path, (kept, lost)), "test")
    assert record.questions[0].question.startswith("What is <region0>?")  # counted anew
    assert found(faults)[kind] >= 2


def test_trap_prompts_are_regions_and_choices_are_lines(tmp_path: Path) -> None:
    (record,), faults = read(GAR_BENCH, gar(tmp_path, (vqa(),)), "test")
    (question,) = record.questions
    assert question.question == "Which is right of <region0>?\nA. <region1>\nB. None of the above"
    assert (question.answers, question.regions, question.kind) == (("<region1>", "A"), (0, 1), "relation")
    assert [region.box.to_pixels((20, 10)) for region in record.regions if region.box] == [
        (0, 0, 5, 10), (15, 0, 20, 10),
    ]  # fmt: skip
    assert not faults.counts


def test_trap_run_lengths_give_height_first_and_may_be_text(tmp_path: Path) -> None:
    gar(tmp_path, (vqa(mask_rles=[PACKED], question="What is <Prompt0>?", choices=["A. a", "B. b"]),))
    picture(tmp_path / "images" / "vqa_0.jpg", (100, 50))
    (record,), faults = read(GAR_BENCH, tmp_path, "test")
    assert record.regions[0].mask is not None
    assert not faults.counts


def test_trap_pictures_are_said_to_be_png(tmp_path: Path) -> None:
    (record,), _ = read(GAR_BENCH, gar(tmp_path, (vqa(),)), "test")
    assert record.image.name == "vqa_0.jpg"


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        (MAKERS, ("objects365:912042",)),
        ("/mnt/x/coco/val2017/000000227491.jpg", ("coco:227491",)),
        ("/mnt/RGBD-Mirror/test/image/1582.jpg", ()),
        ("x/" + "\u0660" * 12 + ".jpg", ()),
        ("", ()),
        (None, ()),
        (7, ()),
    ],
)
def test_trap_the_makers_path_tells_the_photo(path: Any, ids: tuple[str, ...]) -> None:
    assert photo_ids(path) == ids


def test_simple_captions_are_questions(tmp_path: Path) -> None:
    (record,), _ = read(GAR_BENCH, gar(tmp_path, told=(simple(),)), "test")
    (question,) = record.questions
    assert (question.answers, question.regions) == (("<region1> is beside <region0>.",), (1, 0))
    assert record.image_ids == ("coco:227491",)


def test_trap_detailed_captions_are_names_and_a_relation(tmp_path: Path) -> None:
    (record,), _ = read(GAR_BENCH, gar(tmp_path, named=(detailed(),)), "test")
    assert [region.label for region in record.regions] == ["person", "skateboard"]
    assert (record.relations, record.questions) == ((Relation(0, "beside", 1),), ())
    lost = detailed(mask_rles=[LEFT]), detailed(predicate_name="")
    records, faults = read(GAR_BENCH, gar(tmp_path, named=lost), "test")
    assert (records, found(faults)) == ([], {"unusable entry": 2})


@pytest.mark.parametrize("names", [[], 3])
def test_names_of_another_kind_are_refused(tmp_path: Path, names: Any) -> None:
    with pytest.raises(DataError, match=r"class_names\.json: expected an object of names"):
        read(DLC_BENCH, dlc(tmp_path, names=names), "test")


@pytest.mark.parametrize("names", [{"x": "gull"}, {"2391781": 7}, {"-1": "gull"}])
def test_names_that_cannot_be_used(tmp_path: Path, names: Any) -> None:
    (record,), faults = read(DLC_BENCH, dlc(tmp_path, names=names), "test")
    assert [region.label for region in record.regions] == ["wild bird", "wild bird"]
    assert found(faults) == {"unusable entry": 1}


def test_trap_names_are_given_by_annotation_and_the_others_are_the_categories(tmp_path: Path) -> None:
    (record,), faults = read(DLC_BENCH, dlc(tmp_path), "test")
    assert [region.label for region in record.regions] == ["small gull", "wild bird"]
    assert all(region.mask for region in record.regions)
    assert (record.image_ids, found(faults)) == (("objects365:1002306",), {})


def test_trap_the_judges_questions_are_not_asked(tmp_path: Path) -> None:
    judged = {"2391781": [{"question": "Which is applicable?", "choices": [["The wing is mentioned.", 1]]}]}
    annotations(dlc(tmp_path) / "qa.json", judged)
    (record,), _ = read(DLC_BENCH, tmp_path, "test")
    assert record.questions == ()


@settings(max_examples=80, deadline=None)
@given(asked=damaged([vqa(), simple(), detailed()]), told=damaged(instances()), names=damaged({"2391781": "gull"}))
def test_damaged_entries_never_crash(
    tmp_path_factory: pytest.TempPathFactory, asked: Any, told: Any, names: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "masks"
    for source, made in ((GAR_BENCH, gar(folder / "gar", asked)), (DLC_BENCH, dlc(folder / "dlc", told, names))):
        try:
            records, _ = read(source, made, "test")
        except DataError:
            continue
        for record in records:
            named = [number for question in record.questions for number in question.regions]
            assert all(0 <= number < len(record.regions) for number in named)
