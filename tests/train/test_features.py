"""Kept features: damaged pictures and full disks first, then keys that must not change and processes side by side."""

from __future__ import annotations

import io
import multiprocessing
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from chatspot.errors import ImageError, TrainingError
from chatspot.regions import Box, Point
from chatspot.train.stream.examples import Picture
from chatspot.train.stream.features import KEY_BYTES, FeatureCache, View, shown, unreadable

BOX = Box.from_normalized(0.25, 0.25, 0.75, 0.75)
SHAPE = (2, 3)


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def picture(number: int) -> Picture:
    return Picture(f"picture {number:03d}", png(number))


def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """The colour of each picture's middle, [B, 3, 1, 1]."""
    return torch.stack(
        [torch.tensor(i.getpixel((i.width // 2, i.height // 2)), dtype=torch.float32)[:, None, None] for i in images]
    )


def encode(batch: torch.Tensor) -> torch.Tensor:
    """[B, 2, 3]: the colour twice."""
    return batch[:, None, :, 0, 0].expand(-1, 2, -1)


def cache_in(folder: Path) -> FeatureCache:
    return FeatureCache(folder, SHAPE, "tower", "stretch")


def reds(cache: FeatureCache, views: Sequence[View]) -> list[int]:
    return [int(rows[0, 0]) for rows in cache.read(views)]


class Counted:
    """``encode`` that counts its pictures."""

    def __init__(self, fails_after: int = 10**9):
        self.pictures, self.fails_after = 0, fails_after

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.pictures += len(batch)
        if self.pictures > self.fails_after:
            raise KeyboardInterrupt
        return encode(batch)


@pytest.mark.parametrize("bad", [set(), {0}, {9}, {3, 4}, set(range(10))])
def test_a_picture_that_cannot_be_decoded_is_named_and_the_others_kept(bad: set[int], tmp_path: Path) -> None:
    pictures = [Picture(f"picture {n:03d}", b"none" if n in bad else png(n)) for n in range(10)]
    views = [View(p, region) for p in pictures for region in (None, BOX)]
    cache = cache_in(tmp_path)
    told: list[tuple[int, int]] = []
    found = cache.fill(views, encode, pixels, lambda *done: told.append(done))
    assert set(found) == {view for view in views if view.picture.source == b"none"}
    assert all("bytes" in why for why in found.values())
    good = [view for view in views if view not in found]
    assert reds(cache, good) == [int(view.picture.name[-3:]) for view in good]
    assert found == unreadable(views)
    again = Counted()
    assert cache.fill(views, again, pixels) == found
    assert again.pictures == 0
    assert not told or told[-1][1] == 20
    if bad:
        with pytest.raises(ImageError):
            list(shown(views, "stretch"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    view = View(Picture(str(tmp_path / "a.png"), tmp_path / "a.png"))
    assert "a.png" in cache_in(tmp_path / "cache").fill([view], encode, pixels)[view]


def test_nothing_to_fill(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    assert cache.fill([], encode, pixels) == {}
    assert cache.read([]).shape == (0, *SHAPE)


@pytest.mark.parametrize("cut", [(0, 0), (5, 0), (0, 3), (5, 30), (13, 21)])
def test_what_a_killed_run_left_unfinished_is_computed_again(cut: tuple[int, int], tmp_path: Path) -> None:
    views = [View(picture(n)) for n in range(10)]
    cache = cache_in(tmp_path)
    cache.fill(views, encode, pixels)
    for file, removed in zip((cache.data_file, cache.key_file), cut, strict=True):
        file.write_bytes(file.read_bytes()[: file.stat().st_size - removed])
    opened, again = cache_in(tmp_path), Counted()
    opened.fill(views, again, pixels)
    assert again.pictures == max(-(-cut[0] // opened.row_bytes), -(-cut[1] // KEY_BYTES))
    assert reds(opened, views) == list(range(10))


def test_an_interrupted_fill_keeps_what_was_computed(tmp_path: Path) -> None:
    views = [View(picture(n)) for n in range(30)]
    with pytest.raises(KeyboardInterrupt):
        cache_in(tmp_path).fill(views, Counted(fails_after=17), pixels)
    again = Counted()
    cache_in(tmp_path).fill(views, again, pixels)
    assert again.pictures == 30 - 16, "16 rows in chunks of 4 were there"


def test_a_full_disk_says_so_and_keeps_what_was_computed(tmp_path: Path) -> None:
    """No file may grow beyond so many bytes: what a full disk looks like to who writes."""
    views = [View(picture(n)) for n in range(200)]
    cache = cache_in(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (151 * cache.row_bytes, hard))
    try:
        with pytest.raises(TrainingError, match=r"cannot grow .*GB more.*free some space"):
            cache.fill(views, encode, pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = cache.count
    assert kept >= 151 * cache.row_bytes // KEY_BYTES - 1, "as many as keys could be written for"
    again = Counted()
    cache.fill(views, again, pixels)
    assert again.pictures == 200 - kept
    assert reds(cache, views) == list(range(200))


def test_keys_of_files_are_what_they_were() -> None:
    """Features that were kept by earlier versions are found again: these keys were computed by them."""
    whole = View(Picture("/data/a.jpg", Path("/data/a.jpg")))
    identity = "SheetTower/256/0123456789ab/sheet/focal-1"
    assert whole.key(identity) == "49669658a9639952fca0"
    assert View(whole.picture, BOX).key(identity) == "8a6b305d808614276ed1"
    assert View(whole.picture, Point.from_normalized(0.5, 0.25)).key(identity) == "d7ba30c98b8c85bfe08b"


def test_every_view_has_its_own_row(tmp_path: Path) -> None:
    views = [View(picture(n), region) for n in (1, 2) for region in (None, BOX, Point.from_normalized(0.5, 0.5))]
    cache = cache_in(tmp_path)
    once = Counted()
    cache.fill([*views, *views], once, pixels)
    assert once.pictures == len(cache.rows) == 6
    other = FeatureCache(tmp_path, SHAPE, "another tower", "stretch")
    assert not any(view.key(other.identity) in other.rows for view in views)


class Watched(Picture):
    """A picture that notes when it is opened."""

    def open(self) -> Image.Image:
        OPENED.append(self.name)
        return super().open()


OPENED: list[str] = []


def test_a_picture_is_opened_once_for_views_that_stand_together() -> None:
    OPENED.clear()
    views = [View(Watched(str(n), png(n)), region) for n in (1, 2) for region in (None, BOX)]
    assert [view for view, _ in shown(views, "stretch")] == views
    assert unreadable([*views, *views]) == {}
    assert Counter(OPENED) == {"1": 2, "2": 2}


def fill_in_process(folder: Path, first: int, barrier: Any) -> None:
    cache = cache_in(folder)
    views = [View(picture(n)) for n in range(first, first + 30)]
    barrier.wait()
    for start in range(0, 30, 10):
        cache.fill(views[start : start + 10], encode, pixels)
        assert reds(cache, views[start : start + 10]) == list(range(first + start, first + start + 10))


def test_processes_fill_one_cache_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=fill_in_process, args=(tmp_path, first, barrier)) for first in (0, 10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    cache = cache_in(tmp_path)
    assert len(cache.rows) == cache.count == 50, "no row was computed twice"
    assert reds(cache, [View(picture(n)) for n in range(50)]) == list(range(50))
