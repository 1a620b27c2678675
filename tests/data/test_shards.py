"""Shards in: damaged ones first, then order, shares, memory and object storage."""

from __future__ import annotations

import gc
import io
import json
import tarfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.data.shards import MANIFEST, read_entries, read_manifest, read_shard, read_shards
from chatspot.errors import DataError


def picture(colour: int) -> bytes:
    """The bytes of a small JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (colour % 256, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def facts(key: str, dialogues: int = 1) -> dict[str, Any]:
    """The JSON of an entry."""
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]},
        {"role": "assistant", "content": "a dog"},
    ]
    return {
        "schema": 1, "id": f"mine/{key}", "source": "mine", "stage": "align", "licence": "CC0",
        "image_ids": [f"x:{key}"],
        "images": [{"file": "jpg", "name": f"{key}.jpg", "size_wh": [8, 6], "sha256": "", "dhash": ""}],
        "dialogues": [{"id": f"mine/{key}#{n}", "task": "name", "messages": messages} for n in range(dialogues)],
    }  # fmt: skip


def tar_of(members: list[tuple[str, bytes]]) -> bytes:
    """A tar with these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def pair(key: str, dialogues: int = 1) -> list[tuple[str, bytes]]:
    """The two members of an entry."""
    return [(f"{key}.json", json.dumps(facts(key, dialogues)).encode()), (f"{key}.jpg", picture(int(key)))]


def build(folder: Path, shards: int = 4, pictures: int = 5, dialogues: int = 3) -> Path:
    """A build folder, half of its shards for each stage."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for shard in range(shards):
        keys = [f"{shard * pictures + n:09d}" for n in range(pictures)]
        data = tar_of([member for key in keys for member in pair(key, dialogues)])
        (folder / f"{shard}.tar").write_bytes(data)
        listed.append({"file": f"{shard}.tar", "stage": ("align", "instruct")[shard % 2], "pictures": pictures,
                       "samples": pictures * dialogues, "bytes": len(data), "sha256": ""})  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps({"schema": 1, "shards": listed}))
    return folder


def without(field: str) -> Callable[[dict[str, Any]], None]:
    """Takes a field out of an entry's JSON."""
    return lambda entry: entry.pop(field)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("1.json", b"")], "key 1: Expecting value"),
        ([("1.json", b"[]")], "key 1: "),
        ([("1.json", b"3")], "key 1: "),
        ([("1.json", b"[" * 100_000)], "key 1: "),
        ([("1.json", b"\xff")], "key 1: "),
        ([("1.jpg", b"")], "'json' is missing"),
        ([("1.json", json.dumps({**facts("1"), "schema": 9}).encode())], "schema 9, this version reads 1"),
        (pair("1")[:1], "'jpg' is missing"),
        ([*pair("1"), ("1.jpg", b"")], "occurs twice"),
        ([("1.json", json.dumps({**facts("1"), "dialogues": 3}).encode()), ("1.jpg", b"")], "dialogues is no list"),
    ],
)
def test_entries_that_cannot_be_read_are_named(tmp_path: Path, members: list[tuple[str, bytes]], says: str) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(members))
    with pytest.raises(DataError, match=says) as caught:
        list(read_shards(tmp_path / "x.tar"))
    assert "x.tar" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("licence"), "field 'licence' is missing"),
        (lambda e: e["dialogues"][0].pop("messages"), "field 'messages' is missing"),
        (lambda e: e["dialogues"].__setitem__(0, None), "dialogue 0: "),
        (lambda e: e["dialogues"][0].update(messages=[]), "at least one message"),
        (lambda e: e["dialogues"][0]["messages"].reverse(), "should be the user's"),
        (lambda e: e["dialogues"][0]["messages"][0].update(content="hello"), "shows 0 pictures, 1 are here"),
        (lambda e: e["images"][0].update(size_wh=[8]), "dialogue 0: "),
        (lambda e: e["images"][0].update(size_wh=["a", "b"]), "dialogue 0: "),
    ],
)
def test_dialogues_that_cannot_be_read_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    entry = facts("7")
    change(entry)
    (tmp_path / "x.tar").write_bytes(tar_of([("7.json", json.dumps(entry).encode()), ("7.jpg", picture(7))]))
    with pytest.raises(DataError, match=says) as caught:
        list(read_shards(tmp_path / "x.tar"))
    assert "x.tar, key 7, dialogue 0: " in str(caught.value)


@pytest.mark.parametrize("kept", [0, 100, 1536, 3000, 5120])
def test_a_shard_that_was_cut_short_is_not_read_in_silence(tmp_path: Path, kept: int) -> None:
    build(tmp_path, shards=1)
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:kept])
    with pytest.raises(DataError, match=r"0\.tar"):
        list(read_shards(tmp_path))


def test_damaged_bytes_give_our_own_error_or_samples(tmp_path: Path) -> None:
    whole = tar_of([member for key in ("1", "2") for member in pair(key)])
    file = tmp_path / "x.tar"

    @given(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(whole))
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def damage(changes: list[tuple[int, int]], length: int) -> None:
        data = bytearray(whole)
        for at, value in changes:
            data[at] = value
        file.write_bytes(bytes(data[:length]))
        try:
            for sample in read_shards(file, shuffle=0, decode=True):
                assert sample.conversation.image_count == 1
        except DataError:
            pass

    damage()


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (None, "does not exist"),
        ("", "is no manifest"),
        ("[]", "is no manifest"),
        ('{"shards": []}', "is no manifest"),
        ('{"schema": 2, "shards": []}', "has schema 2, this version reads 1"),
        ('{"schema": 1, "shards": [{"file": "x"}]}', "is no manifest"),
    ],
)
def test_manifests_that_cannot_be_read(tmp_path: Path, manifest: str | None, says: str) -> None:
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(DataError, match=says):
        read_manifest(tmp_path)


def test_a_shard_that_is_not_there_and_a_protocol_that_is_unknown(tmp_path: Path) -> None:
    build(tmp_path, shards=2)
    (tmp_path / "1.tar").unlink()
    with pytest.raises(DataError, match="the manifest names a shard that is not there"):
        list(read_shards(tmp_path))
    with pytest.raises(DataError, match="cannot be opened"):
        list(read_shards("nowhere://bucket/x.tar"))
    with pytest.raises(DataError, match="share is"):
        read_shards(tmp_path, share=(2, 2))


def test_the_order_of_the_build_and_its_fields(tmp_path: Path) -> None:
    samples = list(read_shards(build(tmp_path, shards=2, pictures=2, dialogues=2)))
    assert [s.id for s in samples] == [f"mine/{key:09d}#{n}" for key in range(4) for n in range(2)]
    first = samples[0]
    assert (first.source, first.stage, first.task, first.licence) == ("mine", "align", "name", "CC0")
    assert (first.image_ids, first.sizes_wh) == (("x:000000000",), ((8, 6),))
    assert first.images == (picture(0),)
    assert first.open_pictures()[0].size == (8, 6)
    assert first.conversation.messages[1].text == "a dog"


def test_a_stage_alone(tmp_path: Path) -> None:
    build(tmp_path)
    assert len(list(read_shards(tmp_path, stage="align"))) == len(list(read_shards(tmp_path))) / 2
    assert len(list(read_entries(tmp_path, stage="instruct"))) == 10


@pytest.mark.parametrize("buffer", [1, 7, 1000])
def test_shuffled_reading_gives_everything_once_in_an_order_of_its_seed(tmp_path: Path, buffer: int) -> None:
    build(tmp_path)
    plain = [s.id for s in read_shards(tmp_path)]
    orders = [[s.id for s in read_shards(tmp_path, shuffle=seed, buffer=buffer)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert Counter(orders[0]) == Counter(orders[2]) == Counter(plain)
    assert orders[0] != plain


@pytest.mark.parametrize("workers", [2, 5])
def test_the_order_does_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    build(tmp_path)
    alone = list(read_shards(tmp_path, shuffle=3))
    assert list(read_shards(tmp_path, shuffle=3, workers=workers)) == alone
    decoded = read_shards(tmp_path, shuffle=3, workers=workers, decode=True)
    assert [(s.id, s.pictures[0].size) for s in decoded] == [(s.id, (8, 6)) for s in alone]


def test_an_error_in_a_worker_comes_out_and_leaving_early_is_clean(tmp_path: Path) -> None:
    build(tmp_path, shards=1)
    bad = facts("9")
    bad["dialogues"][0]["messages"] = []
    (tmp_path / "bad.tar").write_bytes(tar_of([*pair("1"), ("9.json", json.dumps(bad).encode()), ("9.jpg", b"")]))
    with pytest.raises(DataError, match="key 9"):
        list(read_shards(tmp_path / "bad.tar", workers=3))
    reading = read_shards(tmp_path, workers=3)
    next(reading)
    reading.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_shares_are_disjoint_and_complete(tmp_path: Path, of: int) -> None:
    build(tmp_path)
    shares = [[s.id for s in read_shards(tmp_path, shuffle=5, share=(n, of))] for n in range(of)]
    assert Counter(i for share in shares for i in share) == Counter(s.id for s in read_shards(tmp_path))


@pytest.mark.parametrize("skip", [0, 1, 4, 5])
def test_entries_are_passed_over_unread(tmp_path: Path, skip: int) -> None:
    members = [member for key in range(5) for member in pair(f"{key:03}", dialogues=2)]
    whole = tar_of(members)
    shard = tmp_path / "a.tar"
    spoilt = bytearray(whole)
    for key in range(skip):  # what is passed over may be anything
        at = whole.index(picture(key))
        spoilt[at : at + 10] = b"\0" * 10
    shard.write_bytes(bytes(spoilt))
    assert [entry.key for entry in read_shard(str(shard), 5, skip)] == [f"{key:03}" for key in range(skip, 5)]
    with pytest.raises(DataError, match="its manifest says 6"):
        list(read_shard(str(shard), 6, skip))


def test_passing_over_sees_a_cut_shard(tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    shard.write_bytes(tar_of([member for key in range(5) for member in pair(f"{key:03}")])[:3000])
    with pytest.raises(DataError, match="damaged after"):
        list(read_shard(str(shard), 5, 4))


def test_object_storage_reads_as_a_disk_does(tmp_path: Path) -> None:
    build(tmp_path)
    storage = fsspec.filesystem("memory")
    for file in tmp_path.iterdir():
        storage.pipe_file(f"/bucket/data/{file.name}", file.read_bytes())
    try:
        assert list(read_shards("memory://bucket/data", shuffle=1)) == list(read_shards(tmp_path, shuffle=1))
        assert len(list(read_shards("memory://bucket/data/0.tar"))) == 15
    finally:
        storage.rm("/bucket", recursive=True)


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    def peak(folder: Path) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in read_shards(folder, shuffle=0, buffer=20):
            pass
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = (build(tmp_path / str(n), shards=2, pictures=n, dialogues=1) for n in (1000, 3000))
    peak(small)  # what is imported and cached on the way
    assert peak(large) < 1.2 * peak(small)  # both above what Python's collector lets pile up


def test_webdataset_groups_are_what_its_layout_says(tmp_path: Path) -> None:
    """The layout's rule read with tarfile alone: neighbours that share the name before the first dot."""
    build(tmp_path, shards=1, pictures=2)
    with tarfile.open(tmp_path / "0.tar") as tar:
        names = tar.getnames()
    assert names == ["000000000.json", "000000000.jpg", "000000001.json", "000000001.jpg"]
