"""Pictures as a remote model is to see them, inside the request.

Where a dialect's numbers count in a padded or a resized picture, the picture is padded or resized here. So its frame is
known whatever the server does: a square stays whole under a centre crop, and a picture whose sides Qwen2.5-VL's
processor would choose itself is not resized again.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections import OrderedDict
from threading import Lock

from PIL import Image

from chatspot.dialects import Frame, smart_resize
from chatspot.dialects.frames import QWEN_MAX_PIXELS, FrameKind

PADDING = (122, 116, 104)  # CLIP's mean colour, as LLaVA's expand2square pads
MOST_PIXELS = 4_194_304  # our choice; Qwen2.5-VL's frame has QWEN_MAX_PIXELS, its processor's own bound
MOST_PNG_BYTES = 1_500_000  # a larger file is sent as JPEG (our choice)
JPEG_QUALITY = 95
KEPT_PICTURES = 16


class SentPictures:
    """Pictures as ``data:`` URLs, each with its frame; the last KEPT_PICTURES are kept by content. Safe under
    threads."""

    def __init__(self, kind: FrameKind, most_pixels: int = MOST_PIXELS):
        self.kind, self.most_pixels = kind, most_pixels
        self.kept: OrderedDict[tuple[tuple[int, int], bytes], str] = OrderedDict()
        self.lock = Lock()

    def url(self, image: Image.Image) -> str:
        """The picture as it is sent."""
        key = (image.size, hashlib.sha256(image.tobytes()).digest())
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        url = data_url(shown(image, self.kind, self.most_pixels))
        with self.lock:
            self.kept[key] = url
            while len(self.kept) > KEPT_PICTURES:
                self.kept.popitem(last=False)
        return url

    def frame(self, size: tuple[int, int]) -> Frame:
        """The frame in which the sent copy of a picture of ``size`` is counted."""
        if self.kind == "resized":
            return Frame.resized(size, resized_size(size, self.most_pixels))
        return Frame.of_kind(self.kind, size)


def resized_size(size: tuple[int, int], most_pixels: int) -> tuple[int, int]:
    """The size that Qwen2.5-VL's processor chooses, within its own bound and ours."""
    return smart_resize(size, max_pixels=min(most_pixels, QWEN_MAX_PIXELS))


def shown(image: Image.Image, kind: FrameKind, most_pixels: int) -> Image.Image:
    """The upright picture in its frame, with at most ``most_pixels`` (a fraction of the frame stays the same)."""
    if kind == "resized":
        return image.resize(resized_size(image.size, most_pixels), Image.Resampling.BICUBIC)
    if kind == "padded":
        frame = Frame.padded_square(image.size)
        square = Image.new("RGB", frame.size_wh, PADDING)
        square.paste(image, frame.offset_xy)
        image = square
    if image.width * image.height <= most_pixels:
        return image
    shrink = math.sqrt(most_pixels / (image.width * image.height))
    width, height = (max(int(side * shrink), 1) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def data_url(image: Image.Image) -> str:
    """The picture as a ``data:`` URL: PNG, which changes no pixel, or JPEG where that is large."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    kind = "png"
    if file.tell() > MOST_PNG_BYTES:
        file, kind = io.BytesIO(), "jpeg"
        image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
