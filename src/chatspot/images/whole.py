"""The whole picture as nano's box head sees it (``model.box_head``): larger than on a sheet, stretched to a square."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BOX_SIDE = 384  # pixels


def box_view(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """The upright RGB picture as [1, 3, BOX_SIDE, BOX_SIDE], standardised by ``mean`` and ``std`` of its channels."""
    return standardised([image.resize((BOX_SIDE, BOX_SIDE), Image.Resampling.BICUBIC)], mean, std)


def standardised(views: Sequence[Image.Image], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """RGB pictures of one size as [pictures, 3, height, width], standardised by ``mean`` and ``std`` of channels."""
    pixels = np.stack([np.asarray(view, np.float32) for view in views]) / 255
    found = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2), np.float32)
