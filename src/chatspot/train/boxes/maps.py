"""The tower's maps of every view, computed once and kept in a folder: the head learns from them many times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chatspot.images.whole import BOX_SIDE, standardised
from chatspot.model.checkpoint import Checkpoint
from chatspot.model.vision import tower_identity
from chatspot.train.boxes.examples import Shown
from chatspot.train.part_stage import filled
from chatspot.train.stream.features import FeatureCache

FIT = "stretch"  # a cut is drawn as the head sees it (``examples.Cut``), so there is nothing left to fit


class KeptMaps:
    """Maps of views at three strides (``EfficientNetLite.coarser``), one after the other in a row of a
    ``FeatureCache``."""

    def __init__(self, checkpoint: Checkpoint, folder: Path):
        self.picture = checkpoint.model.model.vision_tower.picture.float().eval().to(memory_format=torch.channels_last)
        images = checkpoint.processor.image_processor
        self.mean_std = images.image_mean, images.image_std
        with torch.inference_mode():
            found = self.picture.coarser(torch.zeros(1, 3, BOX_SIDE, BOX_SIDE))
        self.shapes = [tuple(each.shape[1:]) for each in found]
        self.channels = (*(shape[0] for shape in self.shapes[:2]), self.picture.head.out_channels)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.cache = FeatureCache(folder, (1, sum(self.sizes)), f"coarser/{tower_identity(checkpoint.model)}", FIT)

    def prepare(self, views: Sequence[Shown]) -> list[Shown]:
        """Compute and keep what is missing; the views whose picture can be decoded come back. ``TrainingError`` when
        the disk is full."""

        def encode(pixels: Tensor) -> Tensor:
            return torch.cat([each.flatten(1) for each in self.picture.coarser(pixels)], dim=1)[:, None]

        def pixels(shown: list[Image.Image]) -> Tensor:
            return torch.from_numpy(standardised(shown, *self.mean_std))

        bad = filled(self.cache, [one.view for one in views], encode, pixels)
        return [one for one in views if one.view not in bad]

    def read(self, views: Sequence[Shown]) -> list[Tensor]:
        """What the box head sees of these views (``box_head.maps_of``), float32, channels last."""
        rows = torch.from_numpy(self.cache.read([one.view for one in views]).astype(np.float32))[:, 0]
        fine, middle, coarse = (
            part.reshape(len(views), *shape).contiguous(memory_format=torch.channels_last)
            for part, shape in zip(rows.split(self.sizes, dim=1), self.shapes, strict=True)
        )
        with torch.no_grad():
            return [fine, middle, self.picture.head_of(coarse)]
