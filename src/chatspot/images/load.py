"""Open a picture once, upright, in RGB. Everything after this works in the frame of the upright image."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO, TypeAlias

from PIL import Image, ImageOps, UnidentifiedImageError

from chatspot.errors import ImageError

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image"

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # not all that PIL can: EPS would start another program
MAX_PIXELS = 64_000_000  # larger pictures are refused before they are decoded (our choice: an 8,000 px square)


def open_image(source: ImageSource) -> Image.Image:
    """The picture as an upright RGB ``PIL.Image``; a transparent one is laid on white, of a moving one the first frame.

    ``source`` is a path, the bytes of an image file, or a PIL image. A camera's EXIF orientation is applied here and
    nowhere else. Raises ``ImageError`` when the file is missing, no picture, damaged, empty or above MAX_PIXELS.
    """
    if isinstance(source, Image.Image):
        return decode(source, "the given image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode(io.BytesIO(source), f"the given {len(source)} bytes")
    try:
        path = Path(source)
        if path.is_dir():
            raise ImageError(f"{path} is a folder, expected a picture file")
        if not path.exists():
            raise ImageError(f"there is no picture at {path}: the file does not exist; check the path")
        if not path.is_file():  # a device or a pipe may never end
            raise ImageError(f"{path} is no ordinary file, expected a picture file")
        with path.open("rb") as file:
            return decode(file, str(path))
    except TypeError as error:
        found = type(source).__name__
        raise ImageError(f"a picture is a path, the bytes of a file or a PIL image, got {found}") from error
    except OSError as error:  # no permission, a name too long, a disk that fails
        raise ImageError(f"{source!s} cannot be read: {error.strerror or error}") from error


def decode(source: BinaryIO | Image.Image, name: str) -> Image.Image:
    """Decode an image file, or take the image that PIL opened from one; ``name`` stands for it in messages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(source, Image.Image):
                return upright(source, name)
            with Image.open(source, formats=FORMATS) as image:
                return upright(image, name)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is no picture that can be read (JPEG, PNG, WebP, GIF, BMP and TIFF can)") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: at most {MAX_PIXELS:,} pixels are opened; shrink it first") from error
    except Exception as error:  # a decoder that meets damage raises whatever it stumbles over (struct.error, KeyError)
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
    if turned.mode.startswith(("I", "F")):
        turned = eight_bits(turned)
    if turned.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in turned.info:
        if turned.mode == "La":
            turned = turned.convert("LA")
        layer = turned.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return turned.convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits or of fractions as 8 bits: 0..65535 is scaled down, 0..255 taken as it is, and
    fractions up to 1 are scaled up."""
    import numpy as np

    values = np.asarray(image, dtype=np.float32)
    brightest = float(np.nanmax(values, initial=0.0))
    if image.mode == "F":
        scale = 255.0 if brightest <= 1 else 1.0
    else:
        scale = 1 / 257 if image.mode.startswith("I;16") or brightest > 255 else 1.0
    return Image.fromarray(np.nan_to_num(values * scale).clip(0, 255).astype(np.uint8))
