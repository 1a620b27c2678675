"""LLaVA's JSON: conversations about whole pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from small_files import annotations, damaged, found, picture, read

from chatspot.data.records import Question
from chatspot.data.sources.llava_json import LLAVA_JSON
from chatspot.errors import DataError


def entry(*texts: str, image: Any = "coco/train2017/000000000139.jpg", **changes: Any) -> dict[str, Any]:
    said = texts or ("<image>\nWhat colour is the bus?", "Red.", "Is it old?", "No.")
    turns = [{"from": "gpt" if at % 2 else "human", "value": text} for at, text in enumerate(said)]
    return {"id": "1", "image": image, "conversations": turns, **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "coco" / "train2017" / "000000000139.jpg")
    return tmp_path


def test_another_file_is_refused(folder: Path) -> None:
    annotations(folder / "chat.json", {})
    with pytest.raises(DataError, match="a list of conversations"):
        read(LLAVA_JSON, folder, "all")


def test_turns_are_questions_in_order(folder: Path) -> None:
    annotations(folder / "chat.json", [entry(), entry("What is it?\n<image>", "A bus.")])
    (first, second), faults = read(LLAVA_JSON, folder, "all")
    assert first.questions == (Question("What colour is the bus?", ("Red.",)), Question("Is it old?", ("No.",)))
    assert second.questions == (Question("What is it?", ("A bus.",)),)
    assert first.image_ids == ("coco:139",)
    assert not faults.counts


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("vg/VG_100K_2/17.jpg", ("vg:17",)),
        ("train2014/COCO_train2014_000000000139.jpg", ("coco:139",)),
        ("gqa/images/17.jpg", ()),
    ],
)
def test_folders_tell_the_photos_ids(tmp_path: Path, name: str, ids: tuple[str, ...]) -> None:
    picture(tmp_path / name)
    annotations(tmp_path / "chat.json", [entry(image=[name])])
    (record,), _ = read(LLAVA_JSON, tmp_path, "all")
    assert record.image_ids == ids


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (3, "unusable entry"),
        ({"id": "1", "conversations": []}, "unusable entry"),  # text only: 40,688 of LLaVA's mixture
        (entry(image=["a.jpg", "b.jpg"]), "unusable entry"),
        (entry(image=3), "unusable entry"),
        (entry("What?"), "unusable entry"),
        (entry(conversations=[{"from": "gpt", "value": "x"}] * 2), "unusable entry"),
        (entry("Where is it?", "[0.31, 0.20, 0.52, 0.60]"), "unusable entry"),
        (entry("What is at [12, 30]?", "A bus."), "unusable entry"),
        (entry("<image>", "A bus."), "unusable entry"),
        (entry("What?", " "), "no answer"),
        (entry("What is in <region0>?", "x"), "unusable entry"),
        (entry(image="lost.jpg"), "missing picture"),
        (entry(image="../../etc/passwd"), "missing picture"),
    ],
)
def test_entries_that_cannot_be_used_are_left_out(folder: Path, wrong: Any, kind: str) -> None:
    annotations(folder / "chat.json", [wrong])
    records, faults = read(LLAVA_JSON, folder, "all")
    assert (records, found(faults)) == ([], {kind: 1})


def test_turns_before_a_bad_one_are_kept(folder: Path) -> None:
    annotations(
        folder / "chat.json", [entry("What?", "A bus.", "Where?", "[0.1, 0.2, 0.3, 0.4]", "Its colour?", "red")]
    )
    (record,), faults = read(LLAVA_JSON, folder, "all")
    assert [question.question for question in record.questions] == ["What?"]
    assert found(faults) == {"unusable entry": 1}


@settings(max_examples=80, deadline=None)
@given(content=damaged([entry(), entry("a", "b")]))
def test_damaged_files_never_crash(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "llava"
    picture(folder / "coco" / "train2017" / "000000000139.jpg")
    annotations(folder / "chat.json", content)
    try:
        records, _ = read(LLAVA_JSON, folder, "all")
    except DataError:
        assert not isinstance(content, list)
    else:
        assert all(record.questions for record in records)
