"""Vision features computed once: the tower is frozen in both stages, so each picture passes it a single time.

A cache folder only grows: ``features.f16`` holds the rows [tokens, features] one after the other, ``keys.txt`` a key
for each complete row. Both stages share it, a run that is killed goes on after the last complete row, and several
processes may fill it: one at a time computes, under ``lock``, and the others then find what it wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from filelock import FileLock
from PIL import Image

from chatspot.errors import ImageError, TrainingError
from chatspot.images import encoder_view
from chatspot.regions import Region
from chatspot.train.stream.examples import Picture

Result = TypeVar("Result")

CHUNK = 4  # pictures that pass the tower together; larger batches are slower on CPUs (measured)
KEY_BYTES = 21  # 20 hexadecimal digits and a line end
FLUSH_EVERY = 32  # chunks between keys
FOCAL_VERSION = 3  # raise when the focal view's or the sheet's pixels change: older kept features must not be read


def side_by_side(jobs: Iterator[Callable[[], Result]], workers: int) -> Iterator[Result]:
    """The jobs' results in their order. With several ``workers`` each is a thread of its own that computes with one
    core: on CPUs that is faster than one job after the other on all cores, since none waits for another."""
    if workers == 1:
        yield from (job() for job in jobs)
        return
    with ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1)) as threads:
        running = deque(threads.submit(job) for job in islice(jobs, 2 * workers))
        while running:
            yield running.popleft().result()
            running.extend(threads.submit(job) for job in islice(jobs, 1))


@dataclass(frozen=True)
class View:
    """What the encoder is shown: a picture as a whole, or the focal view of one of its regions."""

    picture: Picture
    region: Region | None = None

    def key(self, identity: str) -> str:
        """20 hexadecimal digits for the picture, the region to the last digit, and what computes the features."""
        region = json.dumps(self.region.to_json()) if self.region else "whole"
        return hashlib.sha256(f"{identity}|{self.picture.name}|{region}".encode()).hexdigest()[:20]


def shown(
    views: Iterable[View], image_fit: str, bad: dict[View, str] | None = None
) -> Iterator[tuple[View, Image.Image]]:
    """The views in their order, each with what the image processor is given for it.

    Views of one picture that stand one after the other open it once. Those whose picture cannot be decoded are left
    out and go into ``bad`` with the reason; without ``bad`` that is an ``ImageError``.
    """
    for picture, same in groupby(views, key=lambda view: view.picture):
        try:
            image = picture.open()
        except ImageError as error:
            if bad is None:
                raise
            bad.update((view, str(error)) for view in same)
            continue
        yield from ((view, encoder_view(image, view.region, image_fit)) for view in same)


def unreadable(views: Iterable[View]) -> dict[View, str]:
    """The views whose picture cannot be decoded, each with the reason. Every picture is decoded once."""
    reasons: dict[Picture, str | None] = {}
    found = {}
    for view in views:
        if view.picture not in reasons:
            try:
                view.picture.open()
                reasons[view.picture] = None
            except ImageError as error:
                reasons[view.picture] = str(error)
        if (why := reasons[view.picture]) is not None:
            found[view] = why
    return found


class Appended:
    """Both files of a cache, open for more rows. Keys follow their rows, FLUSH_EVERY calls of ``add`` at a time."""

    def __init__(self, data_file: Path, key_file: Path):
        self.data, self.keys = data_file.open("ab"), key_file.open("a", encoding="ascii")
        self.pending: list[str] = []
        self.calls = self.count = 0

    def add(self, keys: list[str], features: np.ndarray) -> None:
        """Append rows."""
        self.data.write(features.tobytes())
        self.pending += keys
        self.count += len(keys)
        self.calls += 1
        if self.calls % FLUSH_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        try:
            self.data.flush()
        finally:  # of a full disk some rows may be there; catch_up cuts off keys without one
            self.keys.write("".join(f"{key}\n" for key in self.pending))
            self.pending.clear()
            self.keys.flush()

    def __enter__(self) -> Appended:
        return self

    def __exit__(self, *_: object) -> None:
        with self.keys, self.data:
            self.flush()


class FeatureCache:
    """Raw tower features by view, float16 [tokens, features] each.

    ``shape`` is (tokens, features) of a picture; ``identity`` names the tower. With ``image_fit`` and the version of
    the focal view it is part of every key, so that features of another kind are never mistaken for these.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], identity: str, image_fit: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.shape, self.identity, self.image_fit = shape, f"{identity}/{image_fit}/focal-{FOCAL_VERSION}", image_fit
        self.data_file, self.key_file = folder / "features.f16", folder / "keys.txt"
        self.row_bytes = 2 * shape[0] * shape[1]
        self.lock = FileLock(folder / "lock")
        self.rows: dict[str, int] = {}
        self.count = 0  # rows that are complete and known
        with self.lock:
            self.catch_up()

    def catch_up(self) -> None:
        """Learn the rows that were written since, cut off what a killed process left unfinished. Under the lock."""
        self.data_file.touch()
        self.key_file.touch()
        complete = min(self.key_file.stat().st_size // KEY_BYTES, self.data_file.stat().st_size // self.row_bytes)
        for file, size in ((self.key_file, KEY_BYTES), (self.data_file, self.row_bytes)):
            with file.open("r+b") as handle:
                handle.truncate(complete * size)
        with self.key_file.open("rb") as keys:
            keys.seek(self.count * KEY_BYTES)
            self.rows.update((key, row) for row, key in enumerate(keys.read().decode("ascii").split(), self.count))
        self.count = complete
        self.data = self.mapped()

    def mapped(self) -> np.ndarray:
        """The file as an array [rows, tokens, features]."""
        if not self.count:
            return np.empty((0, *self.shape), dtype=np.float16)
        return np.memmap(self.data_file, dtype=np.float16, mode="r", shape=(self.count, *self.shape))

    def fill(
        self,
        views: Iterable[View],
        encode: Callable[[torch.Tensor], torch.Tensor],
        pixels: Callable[[list[Image.Image]], torch.Tensor],
        progress: Callable[[int, int], None] | None = None,
        chunk: int = CHUNK,
        workers: int = 1,
    ) -> dict[View, str]:
        """Compute what is missing of ``views``; back come those whose picture cannot be decoded, with the reason.

        ``pixels`` turns pictures into [B, 3, S, S], ``encode`` these into features [B, tokens, features] for at most
        ``chunk`` of them, ``workers`` such calls side by side; ``progress(done, all)`` is told how far it is. Costs
        little where all is there. ``TrainingError`` when the disk is full: what was computed is kept.
        """
        wanted = {view.key(self.identity): view for view in views}
        if all(key in self.rows for key in wanted):
            return {}
        bad: dict[View, str] = {}
        with self.lock:
            self.catch_up()
            missing = [view for key, view in wanted.items() if key not in self.rows]
            missing.sort(key=lambda view: view.picture.name)  # views of one file stand together: it is opened once
            images = shown(missing, self.image_fit, bad)

            def drawn() -> Iterator[Callable[[], tuple[list[View], np.ndarray]]]:
                while some := list(islice(images, chunk)):
                    yield partial(computed, some)

            def computed(some: list[tuple[View, Image.Image]]) -> tuple[list[View], np.ndarray]:
                with torch.inference_mode():
                    batch = pixels([image for _, image in some]).contiguous(memory_format=torch.channels_last)
                    return [view for view, _ in some], encode(batch).to(torch.float16).cpu().numpy()

            try:
                with Appended(self.data_file, self.key_file) as rows:
                    for done, features in side_by_side(drawn(), workers):
                        rows.add([view.key(self.identity) for view in done], features)
                        if progress:
                            progress(rows.count + len(bad), len(missing))
            except OSError as error:
                left = len(missing) * self.row_bytes / 1e9
                raise TrainingError(
                    f"{self.data_file} cannot grow ({error}); up to {left:.1f} GB more of vision features are needed; "
                    "free some space and start again, what was computed is kept"
                ) from error
            finally:
                self.catch_up()
        return bad

    def read(self, views: Sequence[View]) -> np.ndarray:
        """The features of the views, float16 [views, tokens, features]; all must have been filled."""
        return self.data[[self.rows[view.key(self.identity)] for view in views]]
