"""What goes into shards: leaks, duplicates, order, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from build_pictures import scene
from hypothesis import given
from hypothesis import strategies as st

from chatspot.data.build.fingerprint import fingerprint
from chatspot.data.build.plan import Chosen, Guard, choose, refuse_leaks, shards_of
from chatspot.data.build.work import Made, Photo
from chatspot.errors import DataError


def made(name: str, seed: int, **changes: Any) -> Made:
    """An entry about the picture of ``seed``."""
    photo = Photo(changes.pop("path", f"/{name}.jpg"), "jpg", changes.pop("bytes", 100), "", fingerprint(scene(seed)))
    values: dict[str, Any] = {
        "id": name, "source": "mine", "stage": "align", "order": name, "photo": photo, "image_ids": (), "licence": "",
        "tasks": (("name", 1),), "bodies": "", "start": 0, "length": 10,
    }  # fmt: skip
    return Made(**{**values, **changes})


def guard(*entries: Made) -> Guard:
    """A guard that knows these."""
    guard = Guard()
    for entry in entries:
        guard.add(entry)
    return guard


@pytest.mark.parametrize(
    ("entry", "how"),
    [
        (made("a", 2, image_ids=("coco:1",)), "both are coco:1"),
        (made("a", 2, image_ids=("vg:5", "coco:1")), "both are coco:1"),
        (made("a", 1), "the photos look the same"),
        (made("a", 1, image_ids=("coco:2",)), "the photos look the same"),
    ],
)
def test_a_leak_is_named_and_left_out(entry: Made, how: str) -> None:
    known = guard(made("measured", 1, image_ids=("coco:1", "vg:9")))
    chosen = choose([(0, [entry, made("b", 3)])], known, "source")
    assert [str(leak) for leak in chosen.leaks] == [f"a is measured ({how})"]
    assert [m.id for m in chosen.of_stage("align")] == ["b"]
    assert chosen.rejected[0] == {"leak": 1}
    with pytest.raises(DataError, match="a is measured"):
        refuse_leaks(chosen.leaks)


def test_many_leaks_are_counted_and_five_named() -> None:
    chosen = choose([(0, [made(f"p{n}", 1) for n in range(8)])], guard(made("measured", 1)), "keep")
    with pytest.raises(DataError, match=r"8 training picture.*p4 is measured.*and 3 more") as caught:
        refuse_leaks(chosen.leaks)
    assert "p5" not in str(caught.value)
    refuse_leaks([])


def test_a_leak_that_is_used_in_two_stages_is_one() -> None:
    both = [made("a", 1, stage="align"), made("a", 1, stage="instruct")]
    assert len(choose([(0, both)], guard(made("measured", 1)), "source").leaks) == 1


@pytest.mark.parametrize(
    ("scope", "left"),
    [("source", ["a", "c", "d"]), ("stage", ["a", "c"]), ("keep", ["a", "b", "c", "d"])],
)
def test_duplicates(scope: Any, left: Sequence[str]) -> None:
    sources = [(0, [made("a", 1), made("b", 1), made("c", 2)]), (1, [made("d", 1)])]
    chosen = choose(sources, Guard(), scope)
    assert [m.id for m in chosen.of_stage("align")] == left
    assert sum(counts["duplicate"] for counts in chosen.rejected.values()) == 4 - len(left)


def test_entries_about_one_file_are_no_duplicates() -> None:
    entries = [made(name, 1, path="/one.jpg", stage=stage) for name in "ab" for stage in ("align", "instruct")]
    chosen = choose([(0, entries)], Guard(), "source")
    assert chosen.pictures.total() == 4
    assert [m.id for stage in chosen.stages for m in chosen.of_stage(stage)] == ["a", "b", "a", "b"]


@given(st.lists(st.integers(1, 3_000_000), max_size=30), st.integers(1, 8), st.integers(1, 6), st.randoms())
def test_shards_hold_everything_once_in_order(sizes: list[int], pictures: int, megabytes: int, rng: Any) -> None:
    entries = [made(f"{n:03d}", 1, bytes=size) for n, size in enumerate(sizes)]
    rng.shuffle(entries)
    chosen = Chosen()
    for entry in entries:
        chosen.add(0, entry)
    plans = list(shards_of(chosen, pictures, megabytes))
    assert [m.id for plan in plans for _, m in plan.entries] == [f"{n:03d}" for n in range(len(sizes))]
    assert [key for plan in plans for key, _ in plan.entries] == [f"{n:09d}" for n in range(len(sizes))]
    assert [plan.file for plan in plans] == [f"align-{n:05d}.tar" for n in range(len(plans))]
    for plan in plans:
        assert 0 < len(plan.entries) <= pictures
        size = sum(m.photo.bytes + m.length for _, m in plan.entries)
        assert size <= megabytes * 1_000_000 or len(plan.entries) == 1
