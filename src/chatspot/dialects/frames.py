"""Which rectangle a coordinate counts in: the picture, the square it was padded to, or its resized copy.

``chatspot.regions`` knows one frame, fractions of the whole upright picture. A ``Frame`` is the way from there to what
a peer's model was shown, and back. It carries the picture's size, so that a frame made for another picture is noticed.

A picture that is squashed to the encoder's square keeps its fractions, so it needs no frame of its own: "whole".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatspot.errors import RegionError
from chatspot.regions.coordinates import XY, Size, checked_size

FrameKind: TypeAlias = Literal["whole", "padded", "resized"]

# Qwen2.5-VL's image processor: sides are multiples of a patch (14) times a merge (2); so many pixels at least and at
# most (transformers, models/qwen2_vl/image_processing_qwen2_vl.py:smart_resize).
QWEN_FACTOR = 28
QWEN_MIN_PIXELS, QWEN_MAX_PIXELS = 56 * 56, 14 * 14 * 4 * 1280
QWEN_MAX_ASPECT = 200


@dataclass(frozen=True)
class Frame:
    """A rectangle of ``size_wh`` pixels in which the picture of ``image_wh`` pixels lies at ``offset_xy``.

    >>> Frame.padded_square((640, 480)).inward((0.5, 0.0))
    (0.5, 0.125)
    """

    kind: FrameKind
    image_wh: Size
    size_wh: Size
    offset_xy: tuple[int, int] = (0, 0)

    @classmethod
    def whole(cls, size: Size) -> Frame:
        """The upright picture itself, also when the model sees it squashed."""
        size = checked_size(size, "Frame")
        return cls("whole", size, size)

    @classmethod
    def padded_square(cls, size: Size) -> Frame:
        """The square that the picture lies in the middle of, a half pixel rounded towards the top left, as LLaVA's and
        Shikra's ``expand2square`` do."""
        width, height = checked_size(size, "Frame")
        side = max(width, height)
        return cls("padded", (width, height), (side, side), ((side - width) // 2, (side - height) // 2))

    @classmethod
    def resized(cls, size: Size, to: Size | None = None) -> Frame:
        """The picture resized to ``to`` = (width, height), or as Qwen2.5-VL's processor does by default."""
        size = checked_size(size, "Frame")
        return cls("resized", size, smart_resize(size) if to is None else checked_size(to, "Frame's resized picture"))

    @classmethod
    def of_kind(cls, kind: FrameKind, size: Size) -> Frame:
        """The frame of this kind with its defaults."""
        makers = {"whole": cls.whole, "padded": cls.padded_square, "resized": cls.resized}
        if kind not in makers:
            raise RegionError(f"there is no frame {kind!r}; there are {', '.join(makers)}")
        return makers[kind](size)

    @property
    def scale_xy(self) -> XY:
        """What share of the frame's sides the picture takes; 1 where only its pixels' size changed."""
        if self.kind == "resized":
            return 1.0, 1.0
        return self.image_wh[0] / self.size_wh[0], self.image_wh[1] / self.size_wh[1]

    def inward(self, point: XY) -> XY:
        """From fractions of the picture to fractions of the frame."""
        (scale_x, scale_y), (left, top), (width, height) = self.scale_xy, self.offset_xy, self.size_wh
        return point[0] * scale_x + left / width, point[1] * scale_y + top / height

    def outward(self, point: XY) -> XY:
        """From fractions of the frame to fractions of the picture; outside [0, 1] where the frame is padding."""
        (scale_x, scale_y), (left, top), (width, height) = self.scale_xy, self.offset_xy, self.size_wh
        return (point[0] - left / width) / scale_x, (point[1] - top / height) / scale_y


def smart_resize(
    size: Size, *, factor: int = QWEN_FACTOR, min_pixels: int = QWEN_MIN_PIXELS, max_pixels: int = QWEN_MAX_PIXELS
) -> Size:
    """The (width, height) that Qwen2-VL's and Qwen2.5-VL's image processor resizes a picture to: multiples of
    ``factor``, between ``min_pixels`` and ``max_pixels`` together, about the picture's aspect.

    Served models often have another ``max_pixels``: then the numbers mean other places. Raises ``RegionError`` for a
    picture longer than 200 : 1, which the processor refuses too.
    """
    width, height = checked_size(size, "smart_resize")
    if max(width, height) / min(width, height) > QWEN_MAX_ASPECT:
        raise RegionError(f"smart_resize refuses a picture of {width} x {height}: its sides differ by more than "
                          f"{QWEN_MAX_ASPECT} : 1; crop it first")  # fmt: skip
    wide, high = round(width / factor) * factor, round(height / factor) * factor
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(factor, math.floor(side / shrink / factor) * factor) for side in (width, height))
    elif wide * high < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        wide, high = (math.ceil(side * grow / factor) * factor for side in (width, height))
    return wide, high
