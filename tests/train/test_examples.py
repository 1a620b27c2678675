"""Sources in: hostile lines and damaged shards first, then order, weights, limits and passing over."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.data.shards import MANIFEST
from chatspot.errors import DataError, ImageError, RecipeError
from chatspot.train.recipe import Source, parse_recipe
from chatspot.train.stream.examples import Example, Held, Mixture, Picture, Streamed, open_examples
from chatspot.train.stream.reading import Skip, read_lines

TALK = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]},
    {"role": "assistant", "content": "a dog"},
]
TEXT = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]
RECORD = {"image": "1.png", "width": 96, "height": 64, "regions": [{"box": [4, 8, 60, 56], "label": "red"}]}


def recipe(*sources: dict[str, Any], **values: Any) -> Any:
    return parse_recipe(
        {"stage": "instruct", "learning_rate": 1e-3, "batch_tokens": 512, "sources": list(sources), **values}, "test"
    )


def written(file: Path, lines: list[Any]) -> Path:
    """A file with these lines: bytes as they stand, anything else as JSON."""
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return file


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "Expecting property name"),
        (b"\xff", "can't decode"),
        (b"null", "a picture's region record"),
        (b"3", "a picture's region record"),
        (b"[" * 100_000, "recursion"),
        ({}, "field 'width' is missing"),
        ({"conversation": []}, "at least one message"),
        ({"conversation": 3}, "list of messages"),
        ({"conversation": TALK}, "shows 1 pictures, its images are 0"),
        ({"conversation": TEXT, "images": ["a.png"]}, "shows 0 pictures, its images are 1"),
        ({"conversation": TALK, "images": "a.png"}, "images is a list"),
        ({"messages": [{"role": "user", "content": [{"type": "region", "box": [9, 9, 9, 9]}]}]}, "message 0, part 0"),
    ],
)
def test_a_line_that_cannot_be_read_costs_that_line(line: Any, says: str, tmp_path: Path) -> None:
    file = written(tmp_path / "mine.jsonl", [{"conversation": TEXT}, line, b"  ", RECORD])
    samples, skips = read_lines(file, Source(lines="x").questions)
    assert [len(sample.image_paths) for sample in samples] == [1, 0]
    assert [skip.where for skip in skips] == [f"{file}:2"]
    assert says in skips[0].why


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"folder": "nowhere"}, "'nowhere' with annotations.jsonl in it is in none of the data folders"),
        ({"lines": "nowhere.jsonl"}, "'nowhere.jsonl' is in none of the data folders"),
        ({"texts": "/nowhere.jsonl"}, "'/nowhere.jsonl' is in none"),
        ({"shards": "nowhere"}, "'nowhere' with manifest.json in it is in none"),
        ({"lines": "empty.jsonl"}, "holds no dialogue"),
        ({"lines": "broken.jsonl"}, "holds no dialogue.*broken.jsonl:1: "),
        ({"shards": "none"}, "hold no picture for stage 'instruct'"),
    ],
)
def test_a_source_that_gives_nothing_is_named(source: dict[str, Any], says: str, tmp_path: Path) -> None:
    written(tmp_path / "empty.jsonl", [])
    written(tmp_path / "broken.jsonl", [b"{"])
    shards(tmp_path / "none", 1, stage="align")
    with pytest.raises(RecipeError, match=says):
        open_examples(recipe(source), (tmp_path,))


def test_a_folder_as_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        open_examples(recipe({"lines": str(tmp_path)}), ())


def test_dialogues_about_one_picture_stand_together(drawn: Path) -> None:
    source = {"folder": "shapes", "questions": {"repeats": 3, "turns": 1}}
    examples = list(open_examples(recipe(source), (Path("nowhere"), drawn)).epoch(0))
    assert len(examples) == 12
    names = [example.pictures[0].name for example in examples]
    assert sorted(names) == sorted(str((drawn / "shapes" / "images" / f"{n}.png").resolve()) for n in range(12))
    assert all(len(example.dialogues) == 9 for example in examples)
    assert len({d.id for example in examples for d in example.dialogues}) == 12 * 9
    some = list(open_examples(recipe({**source, "limit": 20}), (drawn,)).epoch(0))
    assert sum(len(example.dialogues) for example in some) == 20


def test_ready_dialogues_and_records_mix_in_one_file(tmp_path: Path) -> None:
    Image.new("RGB", (96, 64)).save(tmp_path / "1.png")
    ready = {"id": "one", "source": "ours", "task": "name", "images": ["1.png"], "conversation": TALK}
    written(tmp_path / "mine.jsonl", [RECORD, ready, {"messages": TEXT}, {"messages": TEXT}, b"{"])
    slots = list(open_examples(recipe({"lines": "mine.jsonl"}), (tmp_path,)).epoch(0))
    examples = [slot for slot in slots if isinstance(slot, Example)]
    assert len(slots) == 4, "a picture, two texts and the broken line"
    shown = next(example for example in examples if example.pictures)
    assert {(d.id, d.task) for d in shown.dialogues} == {(f"{tmp_path.name}/1#0.0", ""), ("one", "name")}
    assert shown.pictures[0].open().size == (96, 64)
    assert sum(not example.pictures for example in examples) == 2


def test_the_packaged_texts_are_text_alone() -> None:
    examples = list(open_examples(recipe({"texts": "builtin"}), ()).epoch(0))
    assert len(examples) >= 150
    assert all(isinstance(e, Example) and not e.pictures and len(e.dialogues) == 1 for e in examples)


def test_a_picture_that_is_none_says_so_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        Picture("x", b"no picture").open()
    with pytest.raises(ImageError):
        Picture("x", tmp_path / "missing.png").open()


def numbered(count: int, prefix: str = "") -> list[Example | Skip]:
    return [Example(f"{prefix}{n}", "s", (), ()) for n in range(count)]


@pytest.mark.parametrize(("weight", "count"), [(1.0, 10), (2.0, 20), (0.5, 5), (1.3, 13), (0.001, 1)])
def test_a_weight_says_how_often_a_source_is_seen(weight: float, count: int) -> None:
    held = Held(numbered(10), "seed", weight)
    assert held.count == count
    seen = [[slot.id for slot in held.epoch(number) if isinstance(slot, Example)] for number in range(30)]
    assert all(len(ids) == count for ids in seen)
    assert all(set(Counter(ids).values()) <= {count // 10, -(-count // 10)} for ids in seen)
    assert len({tuple(ids) for ids in seen}) > 1, "each epoch has its own order"
    if weight >= 0.5:
        assert {name for ids in seen for name in ids} == {str(n) for n in range(10)}, "in the end all of it is seen"


def test_sources_are_spread_evenly_over_an_epoch() -> None:
    mixture = Mixture([Held(numbered(900, "a"), "a"), Held(numbered(100, "b"), "b"), Held(numbered(1, "c"), "c")])
    ids = [slot.id for slot in mixture.epoch(0) if isinstance(slot, Example)]
    assert sorted(ids) == sorted(slot.id for held in mixture.sources for slot in held.slots)  # type: ignore[attr-defined]
    assert all(8 <= sum(name[0] == "b" for name in ids[at : at + 100]) <= 12 for at in range(0, 1000, 100))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.5, 1.0, 2.5])), min_size=1, max_size=4),
    st.integers(0, 2),
    st.data(),
)
def test_an_epoch_may_be_begun_anywhere(sources: list[tuple[int, float]], epoch: int, data: st.DataObject) -> None:
    mixture = Mixture([Held(numbered(n, f"{at}/"), str(at), weight) for at, (n, weight) in enumerate(sources)])
    whole = list(mixture.epoch(epoch))
    assert len(whole) == mixture.count
    start = data.draw(st.integers(0, mixture.count))
    assert list(mixture.epoch(epoch, start)) == whole[start:]


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (number % 256, 0, 0)).save(file, "PNG")
    return file.getvalue()


def entry(key: str, dialogues: int = 2, **changes: Any) -> list[tuple[str, bytes]]:
    """The members of an entry of a shard."""
    facts = {
        "schema": 1, "id": key, "source": "mine", "stage": "instruct", "licence": "", "image_ids": [],
        "images": [{"file": "png", "name": "x.png", "size_wh": [8, 6], "sha256": "", "dhash": ""}],
        "dialogues": [{"id": f"{key}#{n}", "task": "name", "messages": TALK} for n in range(dialogues)], **changes,
    }  # fmt: skip
    return [(f"{key}.json", json.dumps(facts).encode()), (f"{key}.png", picture(int(key)))]


def shards(
    folder: Path, count: int, stage: str = "instruct", change: Callable[[int, bytes], bytes] = lambda _, data: data,
    bad: frozenset[int] = frozenset(), pictures: int = 5,
) -> Path:  # fmt: skip
    """A build of ``count`` shards. Entries ``bad`` are no entries; ``change`` damages what is written."""
    folder.mkdir()
    listed = []
    for shard in range(count):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for n in range(shard * pictures, (shard + 1) * pictures):
                for name, data in entry(f"{n:06d}", **({"schema": 9} if n in bad else {})):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        (folder / f"{shard}.tar").write_bytes(change(shard, file.getvalue()))
        listed.append({"file": f"{shard}.tar", "stage": stage, "pictures": pictures, "samples": 2 * pictures,
                       "bytes": 0, "sha256": ""})  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps({"schema": 1, "shards": listed}))
    return folder


def ids(slots: Iterator[Example | Skip]) -> list[str]:
    return [slot.id if isinstance(slot, Example) else "-" for slot in slots]


def test_shards_give_their_pictures_and_dialogues(tmp_path: Path) -> None:
    folder = shards(tmp_path / "built", 3)
    found = list(open_examples(recipe({"shards": "built"}), (tmp_path,)).epoch(0))
    assert [len(slot.dialogues) for slot in found if isinstance(slot, Example)] == [2] * 15
    first = next(slot for slot in found if isinstance(slot, Example) and slot.id == "000000")
    assert first.pictures[0].name.startswith("sha256:")
    assert first.pictures[0].open().getpixel((0, 0)) == (0, 0, 0)
    assert [d.id for d in first.dialogues] == ["000000#0", "000000#1"]
    streamed = Streamed(folder, "instruct", "s")
    orders = {tuple(ids(streamed.epoch(number))) for number in range(6)}
    assert len(orders) > 1
    assert all(sorted(order) == [f"{n:06d}" for n in range(15)] for order in orders)


def test_an_address_is_read_without_a_data_folder(tmp_path: Path) -> None:
    folder = shards(tmp_path / "built", 1)
    assert open_examples(recipe({"shards": f"file://{folder}"}), ()).count == 5


@pytest.mark.parametrize(
    ("limit", "weight", "count"),
    [(None, 1.0, 20), (None, 2.0, 40), (None, 0.25, 5), (10, 1.0, 5), (16, 1.0, 8), (1, 1.0, 1), (1000, 0.5, 10)],
)
def test_limits_and_weights_of_shards(limit: int | None, weight: float, count: int, tmp_path: Path) -> None:
    streamed = Streamed(shards(tmp_path / "built", 4), "instruct", "s", weight, limit)
    assert streamed.count == count
    for number in range(3):
        whole = ids(streamed.epoch(number))
        assert len(whole) == count
        assert all(ids(streamed.epoch(number, start)) == whole[start:] for start in range(count + 1))
    if limit:
        assert {name for number in range(9) for name in ids(streamed.epoch(number))} <= set(
            ids(Streamed(tmp_path / "built", "instruct", "s", 1.0, limit).epoch(0))
        ), "the same pictures each epoch"


@pytest.mark.parametrize(
    ("change", "bad", "lost"),
    [
        (lambda shard, data: data[:1500] if shard == 1 else data, frozenset(), 5),  # within the first picture
        (lambda shard, data: data[:5000] if shard == 1 else data, frozenset(), 4),
        (lambda shard, data: b"" if shard == 1 else data, frozenset(), 5),
        (lambda shard, data: data[:2600] + b"x" * 20 + data[2620:] if shard == 1 else data, frozenset(), 5),  # a header
        (lambda shard, data: data, frozenset({7}), 1),
        (lambda shard, data: data, frozenset({5, 7, 9, 14}), 4),
        (lambda shard, data: data, frozenset({9}), 1),
        (lambda shard, data: data, frozenset({6, 7}), 2),
    ],
)
def test_damage_costs_what_is_damaged(change: Any, bad: frozenset[int], lost: int, tmp_path: Path) -> None:
    streamed = Streamed(shards(tmp_path / "built", 3, change=change, bad=bad), "instruct", "s")
    whole = list(streamed.epoch(0))
    assert len(whole) == 15
    skips = [slot for slot in whole if isinstance(slot, Skip)]
    assert len(skips) == lost
    assert all(".tar" in skip.where and skip.why for skip in skips)
    for start in range(16):
        assert ids(streamed.epoch(0, start)) == ids(iter(whole))[start:]


def test_a_shard_that_is_gone_costs_that_shard(tmp_path: Path) -> None:
    folder = shards(tmp_path / "built", 3)
    (folder / "1.tar").unlink()
    assert Counter(ids(Streamed(folder, "instruct", "s").epoch(0)))["-"] == 5


def test_passing_over_opens_no_shard(tmp_path: Path) -> None:
    streamed = Streamed(shards(tmp_path / "built", 4), "instruct", "s")
    whole = ids(streamed.epoch(0))
    rest = set(whole[15:])
    for shard in range(4):
        if f"{shard * 5:06d}" not in rest:
            (tmp_path / "built" / f"{shard}.tar").unlink()
    assert ids(streamed.epoch(0, 15)) == whole[15:]


def test_pictures_are_not_held(tmp_path: Path) -> None:
    """3 MB of pictures pass; what stays in memory is less than a shard of them."""
    folder = tmp_path / "built"
    noise = Image.effect_noise((100, 100), 90)
    file = io.BytesIO()
    noise.save(file, "PNG")
    folder.mkdir()
    listed = []
    for shard in range(10):
        with tarfile.open(folder / f"{shard}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for n in range(40):
                (name, facts), (image, _) = entry(f"{shard * 40 + n:06d}")
                for member_name, data in ((name, facts), (image, file.getvalue())):
                    member = tarfile.TarInfo(member_name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        listed.append({"file": f"{shard}.tar", "stage": "instruct", "pictures": 40, "samples": 80, "bytes": 0,
                       "sha256": ""})  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps({"schema": 1, "shards": listed}))
    mixture = Mixture([Streamed(folder, "instruct", "s")])
    assert len(file.getvalue()) * 400 > 3_000_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in mixture.epoch(0)) == 400
        assert tracemalloc.get_traced_memory()[1] < 600_000
    finally:
        tracemalloc.stop()


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(0, 3))
def test_the_order_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    one, other = (Mixture([Held(numbered(20), f"{seed}/0")]) for _ in range(2))
    list(one.epoch(epoch + 1))
    assert list(one.epoch(epoch)) == list(other.epoch(epoch))
