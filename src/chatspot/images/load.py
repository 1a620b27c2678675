"""Open a picture once, upright, in RGB. Everything after this works in the frame of the upright image."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageOps, UnidentifiedImageError

from chatspot.errors import ImageError

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image"

MAX_PIXELS = 64_000_000  # larger pictures are refused before they are decoded (our choice: an 8,000 px square)


def open_image(source: ImageSource) -> Image.Image:
    """The picture as an upright RGB ``PIL.Image``; a transparent one is laid on white.

    ``source`` is a path, the bytes of an image file, or a PIL image. A camera's EXIF orientation is applied here and
    nowhere else. Raises ``ImageError`` when the file is missing, no picture, damaged, empty or above MAX_PIXELS.
    """
    if isinstance(source, Image.Image):
        return upright(source, "the given image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode(io.BytesIO(bytes(source)), f"the given {len(source)} bytes")
    path = Path(source)
    if not path.exists():
        raise ImageError(f"there is no picture at {path}: the file does not exist; check the path")
    if path.is_dir():
        raise ImageError(f"{path} is a folder, expected a picture file")
    try:
        return decode(io.BytesIO(path.read_bytes()), str(path))
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from error


def decode(file: io.BytesIO, name: str) -> Image.Image:
    """Decode an image file; ``name`` stands for it in messages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                check_size(image, name)
                image.load()
                return upright(image, name)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is no picture that can be read (JPEG, PNG, WebP, GIF, BMP and TIFF can)") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: at most {MAX_PIXELS:,} pixels are opened; shrink it first") from error
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise ImageError(f"{name} is damaged and cannot be decoded ({error}); export it again") from error


def check_size(image: Image.Image, name: str) -> None:
    """Refuse a picture above MAX_PIXELS or without pixels."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} is too large: {width} x {height} = {width * height:,} pixels, at most {MAX_PIXELS:,} "
                         "are opened; shrink it first")  # fmt: skip
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels: {width} x {height}")


def upright(image: Image.Image, name: str) -> Image.Image:
    """The picture turned by its EXIF orientation, in RGB."""
    check_size(image, name)
    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info:
        layer = turned.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    if turned.mode.startswith("I;16"):
        turned = turned.point(lambda v: v / 257).convert("L")
    return turned.convert("RGB")
