"""Pictures out of ``data:`` URLs. Nothing else is opened: no file, no address."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings

from PIL import Image

from chatspot.errors import ImageError
from chatspot.images import open_image
from chatspot.images.load import FORMATS
from chatspot.serve.refusals import Refusal

HEAD = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64", re.IGNORECASE)
LONGEST_HEAD = 64


def picture_bytes(url: str, param: str) -> bytes:
    """The bytes of an image file that a ``data:`` URL holds."""
    head, comma, content = url[:LONGEST_HEAD].partition(",")
    if not comma or not HEAD.fullmatch(head):
        raise Refusal(400, "image_url_not_allowed", "a picture comes inside the request, as data:image/...;base64,...; "
                      f"files and addresses are never opened; got {head[:40]!r}", param=param)  # fmt: skip
    try:
        raw = base64.b64decode(url[len(head) + 1 :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, "invalid_image", f"the picture is no base64: {error}", param=param) from error
    if not content or not raw:
        raise Refusal(400, "invalid_image", "the picture is empty", param=param)
    return raw


def pixel_count(raw: bytes, most: int, param: str) -> int:
    """How many pixels the file says it has, before any is decoded; refused above ``most``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        width = height = 2**20  # PIL's own bound; the size is no longer known
    except Exception as error:  # a decoder that meets damage raises whatever it stumbles over
        raise Refusal(400, "invalid_image", "the picture is damaged, or none of JPEG, PNG, WebP, GIF, BMP and TIFF",
                      param=param) from error  # fmt: skip
    if width * height > most:
        raise Refusal(400, "image_too_large", f"the picture has {width} x {height} pixels, at most {most:,} are "
                      "opened here; shrink it first (regions are fractions and stay as they are)",
                      param=param)  # fmt: skip
    return width * height


def decoded(raw: bytes, param: str) -> Image.Image:
    """The picture, upright, in RGB."""
    try:
        return open_image(raw)
    except ImageError as error:
        raise Refusal(400, "invalid_image", str(error), param=param) from error
