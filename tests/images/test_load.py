"""Opening pictures: upright, RGB, or a clear refusal."""

from __future__ import annotations

import io
import os
import random
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chatspot.errors import ImageError
from chatspot.images import MAX_PIXELS, open_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112  # the EXIF tag
# How to store an upright picture so that a viewer that obeys the tag shows it upright.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def corners_marked() -> Image.Image:
    """48 x 32 pixels with a different colour in each corner."""
    image = Image.new("RGB", (48, 32), "grey")
    for color, place in ((RED, (0, 0)), (GREEN, (32, 0)), (BLUE, (0, 16)), (WHITE, (32, 16))):
        image.paste(color, (*place, place[0] + 16, place[1] + 16))
    return image


def file_bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


# --- upright


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_gives_the_same_upright_picture(orientation: int, kind: str) -> None:
    upright, turn = corners_marked(), STORED[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    stored = upright.transpose(turn) if turn is not None else upright
    opened = open_image(file_bytes(stored, kind, exif=exif, **options))
    assert opened.size == (48, 32)
    assert np.abs(pixels(opened) - pixels(upright)).max() <= (3 if kind == "JPEG" else 0)
    assert opened.getexif().get(ORIENTATION, 1) == 1  # else the next reader would turn it again
    assert (pixels(open_image(opened)) == pixels(opened)).all()


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert (pixels(open_image(file_bytes(corners_marked(), exif=exif))) == pixels(corners_marked())).all()


@pytest.mark.parametrize("make", [str, Path, lambda p: p.read_bytes(), lambda p: bytearray(p.read_bytes()), Image.open])
def test_a_path_bytes_or_an_image_open_alike(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "größe 1.png"
    corners_marked().save(path)
    source = make(path)
    assert (pixels(open_image(source)) == pixels(corners_marked())).all()
    if isinstance(source, Image.Image):
        source.close()


def test_the_given_image_is_left_as_it_is() -> None:
    given = corners_marked()
    opened = open_image(given)
    opened.paste((0, 0, 0), (0, 0, 48, 32))
    assert (pixels(given) == pixels(corners_marked())).all()


# --- RGB


def grey_ramp() -> np.ndarray:
    return np.tile(np.arange(0, 256, 5, dtype=np.uint8), (4, 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda grey: Image.fromarray(grey),
        lambda grey: Image.fromarray(grey).convert("P"),
        lambda grey: Image.fromarray(grey).convert("P").convert("PA"),
        lambda grey: Image.fromarray(grey).convert("LA"),
        lambda grey: Image.fromarray(grey).convert("RGBA").convert("RGBa"),
        lambda grey: Image.fromarray(grey).convert("LA").convert("La"),
        lambda grey: Image.fromarray(grey).convert("RGBX"),
        lambda grey: Image.fromarray(grey).convert("CMYK"),
        lambda grey: Image.fromarray(grey).convert("YCbCr"),
        lambda grey: Image.fromarray(grey).convert("RGB").convert("HSV"),
        lambda grey: Image.fromarray(grey.astype(np.uint16) * 257),  # 16 bits
        lambda grey: Image.fromarray((grey.astype(np.uint16) * 257).astype(">u2")),
        lambda grey: Image.fromarray(grey.astype(np.int32) * 257),  # 16 bits kept in 32
        lambda grey: Image.fromarray(grey.astype(np.int32)),
        lambda grey: Image.fromarray(grey.astype(np.float32)),
        lambda grey: Image.fromarray(grey.astype(np.float32) / 255),
        lambda grey: file_bytes(Image.fromarray(grey.astype(np.uint16) * 257)),
        lambda grey: file_bytes(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        lambda grey: file_bytes(Image.fromarray(grey).convert("P"), "GIF"),
    ],
)
def test_grey_is_the_same_grey_in_every_mode(make: Any) -> None:
    opened = pixels(open_image(make(grey_ramp())))
    assert np.abs(opened - grey_ramp()[..., None].astype(int)).max() <= 1


def test_black_and_white_of_one_bit() -> None:
    checks = np.indices((4, 4)).sum(0) % 2 == 0
    assert (pixels(open_image(file_bytes(Image.fromarray(checks)))) == checks[..., None] * 255).all()


def test_no_numbers_become_black() -> None:
    assert pixels(open_image(Image.new("F", (2, 2), float("nan")))).max() == 0


@pytest.mark.parametrize(
    "transparent",
    [
        Image.new("RGBA", (4, 4), (200, 0, 0, 0)),
        Image.new("LA", (4, 4), (0, 0)),
        file_bytes(Image.new("RGB", (4, 4), RED).quantize(4), transparency=0),
        file_bytes(Image.new("RGB", (4, 4), (9, 9, 9)), transparency=(9, 9, 9)),
        file_bytes(Image.new("RGB", (4, 4), RED).quantize(4), "GIF", transparency=0),
    ],
)
def test_what_is_transparent_is_white(transparent: Any) -> None:
    assert (pixels(open_image(transparent)) == 255).all()


def test_half_transparent_red_on_white_is_pink() -> None:
    (value,) = {tuple(p) for p in pixels(open_image(Image.new("RGBA", (2, 2), (255, 0, 0, 128)))).reshape(-1, 3)}
    assert value == pytest.approx((255, 127, 127), abs=1)


def test_of_a_moving_picture_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, GREEN)]
    moving = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels(open_image(moving)) == RED).all()


# --- refusals


def png_header(width: int, height: int) -> bytes:
    """A small PNG file that claims to be large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*named) for named in chunks)


WHOLE = file_bytes(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no picture that can be read"),
        (b"\0", "no picture that can be read"),
        (b"hello, world\n" * 100, "no picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "no picture that can be read"),
        (WHOLE[:2], "no picture that can be read"),
        (WHOLE[: len(WHOLE) // 2], "damaged"),
        (file_bytes(corners_marked())[:-30], "damaged"),
        (png_header(0, 10), "damaged|no picture|no pixels"),
        (png_header(MAX_PIXELS // 8000 + 1, 8000), "too large"),
        (png_header(9_500, 9_500), "too large"),  # where PIL warns
        (png_header(100_000, 100_000), "too large"),  # where PIL refuses
        (png_header(2**31 - 1, 2**31 - 1), "too large"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_file_that_is_no_picture_is_refused_with_its_name(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=expected) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ImageError, match=expected) as caught:
        open_image(content)
    assert f"the given {len(content)} bytes" in str(caught.value)


def test_a_picture_of_just_the_largest_size_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatspot.images.load.MAX_PIXELS", 48 * 32)
    assert open_image(file_bytes(corners_marked())).size == (48, 32)
    monkeypatch.setattr("chatspot.images.load.MAX_PIXELS", 48 * 32 - 1)
    for source in (file_bytes(corners_marked()), corners_marked()):
        with pytest.raises(ImageError, match="48 x 32 = 1,536 pixels, at most 1,535"):
            open_image(source)


def test_paths_that_hold_no_picture(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path, expected in (
        (tmp_path / "missing.jpg", "does not exist"),
        (tmp_path / "missing" / "photo.jpg", "does not exist"),
        (tmp_path, "is a folder"),
        (pipe, "no ordinary file"),  # reading it would wait for ever
        (tmp_path / ("x" * 5000), "cannot be read"),
        (tmp_path / "nul\0.jpg", "does not exist"),
    ):
        with pytest.raises(ImageError, match=expected) as caught:
            open_image(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("source", [None, 5, 1.5, [], object, np.zeros((4, 4, 3))], ids=repr)
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(ImageError, match=f"got {type(source).__name__}"):
        open_image(source)


def test_a_given_image_may_be_damaged_or_empty() -> None:
    with pytest.raises(ImageError, match="the given image is damaged"):
        open_image(Image.open(io.BytesIO(WHOLE[: len(WHOLE) // 2])))
    with pytest.raises(ImageError, match="the given image has no pixels"):
        open_image(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_damage_anywhere_gives_a_picture_or_an_image_error(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
    whole = file_bytes(Image.effect_noise((40, 30), 60).convert("RGB"), kind, **options)
    rng = random.Random(0)
    refused = 0
    for trial in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(min(len(whole), 300) if trial % 2 else len(whole))] = rng.randrange(256)
        if trial % 3 == 0:
            damaged = damaged[: rng.randrange(len(damaged))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # PIL's words about damaged EXIF
                assert open_image(bytes(damaged)).mode == "RGB"
        except ImageError:
            refused += 1
    assert refused > 10
    capfd.readouterr()  # libtiff writes to the screen by itself
