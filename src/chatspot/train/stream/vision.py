"""What the model sees in training: vision features, computed once and kept, or pixels for the tower in each step.

Both ways have the same two functions: ``prepare(views)`` looks at the pictures of a window beforehand and gives back
those that cannot be decoded, ``read(views)`` gives what fills the image tokens of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chatspot.model.checkpoint import Checkpoint
from chatspot.model.vision import raw_features, tower_identity
from chatspot.train.stream.features import CHUNK, FeatureCache, View, shown, unreadable

GPU_CHUNK = 64  # pictures that pass the tower together on a GPU (our choice)
TELL_EVERY = 10  # seconds between words about pictures whose features are being computed (our choice)


class KeptFeatures:
    """Features in a folder: computed the first time they are asked for, in float32. ``say`` is told how far that is."""

    def __init__(self, checkpoint: Checkpoint, folder: Path, say: Callable[[str], None]):
        self.model, self.processor, self.say = checkpoint.model, checkpoint.processor, say
        config = self.model.config
        tower = self.model.model.vision_tower.float()
        tower.to(memory_format=torch.channels_last)  # the faster layout on CPUs
        shape = (config.image_seq_length, config.vision_config.hidden_size)
        self.cache = FeatureCache(folder, shape, tower_identity(self.model), checkpoint.settings.image_fit)

    def prepare(self, views: Sequence[View]) -> Mapping[View, str]:
        """Compute and keep what is missing; the views whose picture cannot be decoded, with the reason."""
        device = next(self.model.model.vision_tower.parameters()).device
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                self.say(f"vision features: {done:,} of {total:,}")

        return self.cache.fill(
            views,
            encode=lambda pixels: raw_features(self.model, pixels.to(device)),
            pixels=lambda pictures: pixels_of(self.processor, pictures),
            progress=progress,
            chunk=CHUNK if device.type == "cpu" else GPU_CHUNK,
            workers=torch.get_num_threads() if device.type == "cpu" else 1,
        )

    def read(self, views: Sequence[View]) -> Tensor:
        """Raw features [views, tokens, features], float32."""
        return torch.from_numpy(self.cache.read(views).astype(np.float32))


class Pixels:
    """Pixel values for the tower; nothing is kept."""

    def __init__(self, checkpoint: Checkpoint):
        self.processor, self.image_fit = checkpoint.processor, checkpoint.settings.image_fit

    def prepare(self, views: Sequence[View]) -> Mapping[View, str]:
        """The views whose picture cannot be decoded, with the reason."""
        return unreadable(views)

    def read(self, views: Sequence[View]) -> Tensor:
        """Pixel values [views, 3, H, W], float32."""
        return pixels_of(self.processor, [image for _, image in shown(views, self.image_fit)])


def pixels_of(processor: Any, pictures: list[Image.Image]) -> Tensor:
    """Pixel values [B, 3, H, W] of what the encoder is shown."""
    values: Tensor = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    return values
