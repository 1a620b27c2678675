"""Pictures of words, numbers and plates, drawn in freely licensed fonts, and cut-outs pasted on photos.

The output is a folder of region JSON lines like any other. Word pictures look like what a camera gives of signs: odd
fonts, colours, tilt, blur, few pixels. A scene holds several words, so that one whole picture serves several questions.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from chatspot.data.records import ANNOTATIONS, PLATE_LABEL
from chatspot.errors import DataError

Drawn: TypeAlias = tuple[Image.Image, list[dict[str, Any]]]
"""A picture and its annotated regions."""
"""A picture and its regions as they are written to the annotations."""

SCENE_SIDE = 320  # pixels of a drawn scene
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
PROBE = "ABQWbdgmrwx012345678"  # a font that draws any two of these alike is no text font
# Shapes of plates: A a letter, 0 a digit. US states, EU countries and Brazil (public number plate layouts).
PLATE_SHAPES = (
    "AAA0000", "0AAA000", "AAA000", "000AAA", "AAA0000", "AAA0000", "AA00AAA", "AA000AA", "AAA000", "0AA0000",
    "AA00000", "0000AA", "AAA00AA", "A000AAA", "00AAA0", "AA0000", "AAA0A00", "0A00000",
)  # fmt: skip
PLATE_COLOURS = (
    ((245, 245, 240), (20, 20, 30)), ((240, 240, 235), (30, 40, 120)), ((250, 200, 40), (20, 20, 20)),
    ((200, 205, 205), (25, 25, 25)), ((235, 240, 250), (150, 20, 30)), ((245, 245, 245), (15, 80, 40)),
)  # fmt: skip


@dataclass(frozen=True)
class RenderSettings:
    """How many pictures of each kind; ``seed`` makes them repeatable. ``faults``: whether they have a camera's."""

    word_scenes: int
    words_per_scene: int
    word_crops: int
    plate_scenes: int
    seed: int = 0
    faults: bool = True


@dataclass(frozen=True)
class Stock:
    """What pictures are drawn from: words, font files, and photos as backgrounds (none: plain colours)."""

    words: Sequence[str]
    fonts: Sequence[Path]
    backgrounds: Sequence[Path]


def render_folder(folder: Path, stock: Stock, settings: RenderSettings) -> int:
    """Draw the pictures into ``folder`` and write its annotations; returns how many pictures there are.

    Raises ``DataError`` when no usable font or word is given.
    """
    if not stock.fonts or not stock.words:
        found = f"{len(stock.fonts)} fonts and {len(stock.words)} words"
        raise DataError(f"drawing words needs fonts and words, got {found}")
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    kinds: list[tuple[str, int, Callable[[random.Random, Stock, RenderSettings], Drawn]]] = [
        ("words", settings.word_scenes, word_scene),
        ("crop", settings.word_crops, word_crop),
        ("plates", settings.plate_scenes, plate_scene),
    ]
    lines = []
    for kind, count, draw in kinds:
        for number in range(count):
            rng = random.Random(f"{settings.seed}/{kind}/{number}")
            image, regions = draw(rng, stock, settings)
            name = f"images/{kind}-{number:05d}.jpg"
            image.save(folder / name, quality=rng.randint(60, 92))
            size = {"width": image.width, "height": image.height}
            lines.append(json.dumps({"image": name, **size, "source": "drawn", "regions": regions}))
    write_annotations(folder, lines)
    return len(lines)


def write_annotations(folder: Path, lines: Sequence[str]) -> None:
    """Write the folder's annotations aside, then rename them into place."""
    target = folder / ANNOTATIONS
    temporary = target.with_suffix(".part")
    temporary.write_text("".join(line + "\n" for line in lines), "utf-8")
    temporary.replace(target)


def word_scene(rng: random.Random, stock: Stock, settings: RenderSettings) -> Drawn:
    """Several words on a piece of photo, none over another."""
    scene = background(rng, stock.backgrounds, (SCENE_SIDE, SCENE_SIDE))
    regions: list[dict[str, Any]] = []
    for _ in range(settings.words_per_scene):
        text = random_text(rng, stock.words)
        patch = word_patch(rng, text, rng.choice(stock.fonts), rng.randint(16, 56))
        place_patch(rng, scene, patch, regions, {"label": "text", "text": text})
    return (finished(rng, scene) if settings.faults else scene), regions


def word_crop(rng: random.Random, stock: Stock, settings: RenderSettings) -> Drawn:
    """One word that fills its picture, as in a word-recognition data set: ground, word and camera faults."""
    text = random_text(rng, stock.words)
    patch = word_patch(rng, text, rng.choice(stock.fonts), rng.randint(24, 48))
    margin = rng.randint(0, 4)
    size = (patch.width + 2 * margin, patch.height + 2 * margin)
    crop = background(rng, stock.backgrounds, size)
    crop.paste(patch, (margin, margin), patch)
    height = rng.randint(12, 48)
    crop = crop.resize((max(8, round(crop.width * height / crop.height)), height), Image.Resampling.BILINEAR)
    if settings.faults:
        crop = finished(rng, crop)
    return crop, [{"box": [0, 0, crop.width, crop.height], "label": "text", "text": text}]


def plate_scene(rng: random.Random, stock: Stock, settings: RenderSettings) -> Drawn:
    """One to three number plates on a piece of photo."""
    scene = background(rng, stock.backgrounds, (SCENE_SIDE, SCENE_SIDE * 4 // 5))
    regions: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 3)):
        text = random_plate(rng)
        patch = plate_patch(rng, text, rng.choice(stock.fonts))
        place_patch(rng, scene, patch, regions, {"label": PLATE_LABEL, "text": text})
    return (finished(rng, scene) if settings.faults else scene), regions


def random_text(rng: random.Random, words: Sequence[str]) -> str:
    """A word in some capitals, a number, a price, or letters and digits."""
    draw = rng.random()
    if draw < 0.80:
        word = rng.choice(words)
        return rng.choice([word.upper(), word.upper(), word.capitalize(), word.lower()])
    if draw < 0.90:
        number = "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 5)))
        return rng.choice([number, number, number, f"${number}", f"{number}%", f"{number[0]}.{number[1:] or 5}"])
    return "".join(rng.choice(LETTERS + DIGITS + LETTERS.lower()) for _ in range(rng.randint(1, 6)))


def random_plate(rng: random.Random) -> str:
    """The characters of a number plate, without blanks."""
    pick = {"A": LETTERS, "0": DIGITS}
    return "".join(rng.choice(pick[place]) for place in rng.choice(PLATE_SHAPES))


def word_patch(rng: random.Random, text: str, font_path: Path, height: int) -> Image.Image:
    """The word, tilted and slanted, on transparency or on a plain sign: RGBA."""
    ink, ground = contrasting(rng)
    patch = drawn_text(rng, text, font_path, height, ink, ground if rng.random() < 0.5 else None)
    return patch.rotate(rng.gauss(0, 4), expand=True, resample=Image.Resampling.BICUBIC)


def drawn_text(
    rng: random.Random,
    text: str,
    font_path: Path,
    height: int,
    ink: tuple[int, ...],
    ground: tuple[int, ...] | None,
    pad: tuple[float, float] = (0.15, 0.12),
) -> Image.Image:
    """Text in ``ink`` on ``ground`` (None: transparent), RGBA, padded by shares of the height."""
    font = ImageFont.truetype(str(font_path), height)
    left, top, right, bottom = font.getbbox(text)
    pad_x, pad_y = (max(1, int(height * share * rng.random())) for share in pad)
    size = (max(1, right - left) + 2 * pad_x, max(1, bottom - top) + 2 * pad_y)
    patch = Image.new("RGBA", (int(size[0]), int(size[1])), (*(ground or ink), 255 if ground else 0))
    ImageDraw.Draw(patch).text((pad_x - left, pad_y - top), text, font=font, fill=(*ink, 255))
    stretch = math.exp(rng.gauss(0, 0.15))
    return patch.resize((max(4, round(patch.width * stretch)), patch.height), Image.Resampling.BICUBIC)


def plate_patch(rng: random.Random, text: str, font_path: Path) -> Image.Image:
    """A number plate with a rim; a blank or a dash may stand within, as on real ones."""
    ground, ink = rng.choice(PLATE_COLOURS)
    cut = rng.choice([2, 3, 3, 4]) if len(text) > 4 else 2
    shown = text if rng.random() < 0.4 else text[:cut] + rng.choice([" ", " ", "-", "·"]) + text[cut:]
    patch = drawn_text(rng, shown, font_path, rng.randint(18, 44), ink, ground, pad=(0.6, 0.5))
    pen = ImageDraw.Draw(patch)
    pen.rectangle((0, 0, patch.width - 1, patch.height - 1), outline=(*ink, 255), width=rng.randint(0, 2))
    if rng.random() < 0.25:  # the blue band of EU plates
        pen.rectangle((0, 0, patch.height // 4, patch.height), fill=(20, 50, 150, 255))
    return patch.rotate(rng.gauss(0, 3), expand=True, resample=Image.Resampling.BICUBIC)


def place_patch(
    rng: random.Random,
    scene: Image.Image,
    patch: Image.Image,
    regions: list[dict[str, Any]],
    facts: dict[str, Any],
) -> None:
    """Paste the patch where it covers no earlier one, and note its region; a patch without room is left out."""
    if patch.width > scene.width or patch.height > scene.height:
        scale = min(scene.width / patch.width, scene.height / patch.height)
        patch = patch.resize((max(1, int(patch.width * scale)), max(1, int(patch.height * scale))))
    for _ in range(12):
        x, y = rng.randint(0, scene.width - patch.width), rng.randint(0, scene.height - patch.height)
        box = [x, y, x + patch.width, y + patch.height]
        if all(box[2] <= b[0] or b[2] <= box[0] or box[3] <= b[1] or b[3] <= box[1] for b in
               (region["box"] for region in regions)):  # fmt: skip
            scene.paste(patch, (x, y), patch)
            regions.append({"box": box, **facts})
            return


def contrasting(rng: random.Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two colours whose brightness differs by at least 70 of 255."""
    while True:
        one, two = (tuple(rng.randint(0, 255) for _ in range(3)) for _ in range(2))
        if abs(sum(one) - sum(two)) / 3 >= 70:
            return one, two


def background(rng: random.Random, photos: Sequence[Path], size: tuple[int, int]) -> Image.Image:
    """A piece of a photo, or a plain colour where there are none (and for a fifth of the pictures)."""
    if not photos or rng.random() < 0.2:
        return Image.new("RGB", size, tuple(rng.randint(0, 255) for _ in range(3)))
    with Image.open(rng.choice(photos)) as file:
        file.draft("RGB", size)
        photo = file.convert("RGB")
    side = rng.uniform(0.3, 1.0)
    width, height = max(2, int(photo.width * side)), max(2, int(photo.height * side))
    x, y = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
    return photo.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))


def finished(rng: random.Random, image: Image.Image) -> Image.Image:
    """The faults of a camera: blur, noise, light."""
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.04 * min(image.size[1], 40))))
    pixels: np.ndarray = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 12), pixels.shape)
    pixels = (pixels - 128) * rng.uniform(0.5, 1.1) + 128 + rng.uniform(-30, 30) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def paste_cutouts(
    folder: Path, cutouts: Sequence[tuple[Path, str]], backgrounds: Sequence[Path], count: int, seed: int = 0
) -> int:
    """Draw ``count`` scenes of one to three cut-outs (file with alpha, name) on photos; returns how many were made."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        rng = random.Random(f"{seed}/cutouts/{number}")
        scene = background(rng, backgrounds, (SCENE_SIDE, SCENE_SIDE))
        regions: list[dict[str, Any]] = []
        for _ in range(rng.randint(1, 3)):
            path, name = rng.choice(cutouts)
            with Image.open(path) as cutout:
                patch = cutout.convert("RGBA")
            scale = rng.uniform(0.2, 0.55) * SCENE_SIDE / max(patch.size)
            patch = patch.resize((max(4, int(patch.width * scale)), max(4, int(patch.height * scale))))
            place_patch(rng, scene, patch, regions, {"label": name})
        name = f"images/cutouts-{number:05d}.jpg"
        scene.save(folder / name, quality=85)
        lines.append(json.dumps({"image": name, "width": scene.width, "height": scene.height, "regions": regions}))
    write_annotations(folder, lines)
    return len(lines)


def usable_fonts(folders: Sequence[Path]) -> list[Path]:
    """The font files below the folders that draw Latin letters and digits apart, sorted by path."""
    fonts = []
    for path in sorted({p for folder in folders for p in Path(folder).rglob("*") if p.suffix in (".ttf", ".otf")}):
        try:
            font = ImageFont.truetype(str(path), 24)
            shapes = {bytes(font.getmask(character)) for character in PROBE}
        except OSError:
            continue
        if len(shapes) == len(PROBE) and not any(
            odd in path.name for odd in ("D050000L", "Symbol", "awesome", "Dingbats")
        ):
            fonts.append(path)
    return fonts
