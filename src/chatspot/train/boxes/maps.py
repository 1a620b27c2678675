"""The tower's maps of every view, computed once and kept in a folder: the head learns from them many times."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chatspot.data.saving import write_whole
from chatspot.errors import ImageError, TrainingError
from chatspot.images.whole import BOX_SIDE, standardised
from chatspot.model.checkpoint import Checkpoint
from chatspot.model.vision import tower_identity
from chatspot.progress import progress_bar
from chatspot.train.boxes.examples import Shown

TOGETHER = 4  # views that pass the tower at once (``train.stream.features.CHUNK``: larger batches are slower on CPUs)
KEEP_EVERY = 64  # views between notes of how far it is


class KeptMaps:
    """Maps of the ``views`` at three strides (``EfficientNetLite.coarser``), in float16 files of a folder that is named
    after tower and views. A killed run goes on where it was. ``bad``: numbers of views whose picture cannot be
    decoded, with the reason."""

    def __init__(self, checkpoint: Checkpoint, views: Sequence[Shown], folder: Path):
        tower = checkpoint.model.model.vision_tower
        self.picture = tower.picture.float().eval().to(memory_format=torch.channels_last)
        images = checkpoint.processor.image_processor
        self.mean_std = images.image_mean, images.image_std
        with torch.inference_mode():
            shapes = [tuple(found.shape[1:]) for found in self.picture.coarser(torch.zeros(1, 3, BOX_SIDE, BOX_SIDE))]
        self.channels = (*(shape[0] for shape in shapes[:2]), self.picture.head.out_channels)
        made_from = [tower_identity(checkpoint.model), [[str(v.image.resolve()), v.cut, v.mirrored] for v in views]]
        self.folder = folder / f"maps-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.note = self.folder / "done.json"
        stored: Any = json.loads(self.note.read_text("utf-8")) if self.note.is_file() else {"done": 0, "bad": {}}
        self.bad: dict[int, str] = {int(number): why for number, why in stored["bad"].items()}
        self.files: list[NDArray[np.float16]] = [
            mapped_file(self.folder / f"stride-{stride}.npy", (len(views), *shape), new=not stored["done"])
            for stride, shape in zip((8, 16, 32), shapes, strict=True)
        ]
        self.fill(views, int(stored["done"]))

    def fill(self, views: Sequence[Shown], done: int) -> None:
        """Compute what is missing from view ``done`` on."""
        with progress_bar("views", len(views), done=done) as advance, ThreadPoolExecutor(1, "pictures") as thread:
            if done < len(views):
                coming = thread.submit(self.pixels, views, done)
            for start in range(done, len(views), TOGETHER):
                pixels, bad = coming.result()
                if start + TOGETHER < len(views):
                    coming = thread.submit(self.pixels, views, start + TOGETHER)
                self.bad |= bad
                with torch.inference_mode():
                    maps = self.picture.coarser(pixels.contiguous(memory_format=torch.channels_last))
                for kept, found in zip(self.files, maps, strict=True):
                    kept[start : start + len(pixels)] = found.half().numpy()
                now = start + len(pixels)
                if now % KEEP_EVERY == 0 or now == len(views):
                    for kept in self.files:
                        kept.flush()  # type: ignore[attr-defined]
                    write_whole(self.note, json.dumps({"done": now, "bad": self.bad}))
                advance(len(pixels))

    def pixels(self, views: Sequence[Shown], start: int) -> tuple[Tensor, dict[int, str]]:
        """The next views as the tower reads them, and those that cannot be read, which are grey."""
        some, bad = [], {}
        for number, view in enumerate(views[start : start + TOGETHER], start):
            try:
                some.append(view.pixels())
            except ImageError as error:
                bad[number] = str(error)
                some.append(Image.new("RGB", (BOX_SIDE, BOX_SIDE)))
        return torch.from_numpy(standardised(some, *self.mean_std)), bad

    def read(self, numbers: Sequence[int]) -> list[Tensor]:
        """What the box head sees of these views (``maps_of``), float32, channels last."""
        fine, middle, coarse = (
            torch.from_numpy(np.stack([kept[number] for number in numbers]).astype(np.float32)).contiguous(
                memory_format=torch.channels_last
            )
            for kept in self.files
        )
        with torch.no_grad():
            return [fine, middle, self.picture.head_of(coarse)]


def mapped_file(file: Path, shape: tuple[int, ...], *, new: bool) -> NDArray[np.float16]:
    """The numbers in a file, mapped into memory; a new one takes all of its room at once, as a disk that is full while
    mapped numbers are written ends the process. Raises ``TrainingError`` where there is no room."""
    size = 2 * math.prod(shape)
    try:
        free = shutil.disk_usage(file.parent).free
        if new and free < size:
            raise OSError(f"{size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
        found: NDArray[np.float16] = np.lib.format.open_memmap(file, "w+" if new else "r+", np.float16, shape)
        if new and hasattr(os, "posix_fallocate"):
            with file.open("r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be written ({error}); make room there, or choose another --features "
                            "folder") from error  # fmt: skip
    return found
