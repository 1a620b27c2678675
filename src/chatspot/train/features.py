"""Vision features computed once: the tower is frozen in both stages, so each picture passes it a single time.

A cache folder only grows: ``features.f16`` holds the rows [tokens, features] one after the other, ``keys.txt`` a key
for each complete row. Both stages share it, and a run that is killed goes on after the last complete row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from chatspot.errors import TrainingError
from chatspot.images import encoder_view, open_image
from chatspot.regions import Region

CHUNK = 4  # pictures that pass the tower together; larger batches are slower on CPUs (measured)
KEY_BYTES = 21  # 20 hexadecimal digits and a line end
FLUSH_EVERY = 32  # chunks between keys
FOCAL_VERSION = 1  # raise when the focal view's or the sheet's pixels change: older kept features must not be read


@dataclass(frozen=True)
class View:
    """What the encoder is shown: a picture file as a whole, or the focal view of one of its regions."""

    path: Path
    region: Region | None = None

    def key(self, identity: str) -> str:
        """20 hexadecimal digits for the file, the region to the last digit, and what computes the features."""
        region = json.dumps(self.region.to_json()) if self.region else "whole"
        return hashlib.sha256(f"{identity}|{self.path.resolve()}|{region}".encode()).hexdigest()[:20]


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
        self.data_file.touch()
        self.key_file.touch()
        complete = min(self.key_file.stat().st_size // KEY_BYTES, self.data_file.stat().st_size // self.row_bytes)
        for file, size in ((self.key_file, KEY_BYTES), (self.data_file, self.row_bytes)):
            with file.open("r+b") as handle:  # a killed run may have left half a row
                handle.truncate(complete * size)
        self.rows = {key: row for row, key in enumerate(self.key_file.read_text("ascii").split())}
        self.data = self.mapped()

    def mapped(self) -> np.ndarray:
        """The file as an array [rows, tokens, features]."""
        if not self.rows:
            return np.empty((0, *self.shape), dtype=np.float16)
        return np.memmap(self.data_file, dtype=np.float16, mode="r", shape=(len(self.rows), *self.shape))

    def fill(
        self,
        views: Iterable[View],
        encode: Callable[[torch.Tensor], torch.Tensor],
        pixels: Callable[[list[Image.Image]], torch.Tensor],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Compute what is missing of ``views``. ``pixels`` turns pictures into [B, 3, S, S], ``encode`` these into
        features [B, tokens, features]; ``progress(done, all)`` is told how far it is."""
        wanted = {view.key(self.identity): view for view in views}
        missing = [(key, view) for key, view in wanted.items() if key not in self.rows]
        missing.sort(key=lambda pair: str(pair[1].path))  # views of one file stand together: it is opened once
        path, picture = None, None
        pending: list[str] = []
        with self.data_file.open("ab") as data, self.key_file.open("a", encoding="ascii") as keys:

            def flush() -> None:
                data.flush()  # rows first: a key without its row would be a lie
                keys.write("".join(f"{key}\n" for key in pending))
                keys.flush()
                pending.clear()

            for number, start in enumerate(range(0, len(missing), CHUNK)):
                chunk = missing[start : start + CHUNK]
                shown = []
                for _, view in chunk:
                    if view.path != path:
                        path, picture = view.path, open_image(view.path)
                    assert picture is not None
                    shown.append(encoder_view(picture, view.region, self.image_fit))
                with torch.inference_mode():
                    batch = pixels(shown).contiguous(memory_format=torch.channels_last)
                    features = encode(batch).numpy().astype(np.float16)
                try:
                    data.write(features.tobytes())
                except OSError as error:
                    left = (len(missing) - start) * self.row_bytes / 1e9
                    raise TrainingError(
                        f"{self.data_file} cannot grow ({error}); vision features need {left:.1f} GB more; free some "
                        "space and start again, nothing is lost"
                    ) from error
                for key, _ in chunk:
                    self.rows[key] = len(self.rows)
                    pending.append(key)
                if number % FLUSH_EVERY == 0:
                    flush()
                if progress:
                    progress(start + len(chunk), len(missing))
            flush()
        self.data = self.mapped()

    def read(self, views: Sequence[View]) -> np.ndarray:
        """The features of the views, float16 [views, tokens, features]; all must have been filled."""
        return self.data[[self.rows[view.key(self.identity)] for view in views]]
