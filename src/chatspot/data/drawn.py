"""The drawn part of nano's training data: words, plates and cut-out scenes over training photos, and recoloured things
in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from chatspot.data.recolouring import outlined, recolour_folder
from chatspot.data.records import ANNOTATIONS
from chatspot.data.rendering import RenderSettings, Stock, paste_cutouts, render_folder, usable_fonts
from chatspot.errors import DataError

OUTLINED = ("coco", "gar_bench")  # photos in which things have outlines
WORD = re.compile(r"[A-Za-z]{2,11}")


def draw_training_pictures(
    photos: Path, out: Path, font_folders: Iterable[Path], tokens: Iterable[str], *, scale: float = 1.0, seed: int = 0
) -> dict[str, int]:
    """Draw the folders ``words``, ``plates``, ``cutouts`` and ``colours`` below ``out``; returns pictures by folder.

    ``photos`` is a folder of annotated photo folders (its training part); ``tokens`` is the language model's
    vocabulary, whose whole words are the words that are drawn; ``scale`` multiplies every count.
    """
    words = sorted({t[1:] for t in tokens if t[:1] == "Ġ" and WORD.fullmatch(t[1:])})
    fonts = usable_fonts([Path(f) for f in font_folders])
    backgrounds = sorted(p for name in ("coco", "voc2012") for p in (photos / name / "images").glob("*.jpg"))
    if not backgrounds:
        raise DataError(f"{photos} holds no coco/images or voc2012/images to draw on")
    count = lambda n: max(1, round(n * scale))  # noqa: E731
    made = {}
    mixes = {
        "words": RenderSettings(count(1200), 6, count(6000), 0, seed),
        "plates": RenderSettings(0, 0, 0, count(2400), seed + 1),
    }
    for name, settings in mixes.items():
        made[name] = render_folder(out / name, Stock(words, fonts, backgrounds), settings)
    cutouts = cutout_files(photos.parent / "cutouts_tuxpaint")
    if cutouts:
        made["cutouts"] = paste_cutouts(out / "cutouts", cutouts, backgrounds, count(400), seed + 2)
    folders = [photos / name for name in OUTLINED if (photos / name / ANNOTATIONS).is_file()]
    if any(next(outlined(folder), None) for folder in folders):
        made["colours"] = recolour_folder(out / "colours", folders, count(2400), seed)
    return made


def cutout_files(folder: Path) -> list[tuple[Path, str]]:
    """Training cut-outs as (file, name); empty where the folder does not exist."""
    file = folder / "cutouts.jsonl"
    if not file.is_file():
        return []
    entries = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    chosen = [e for e in entries if e.get("split") == "train"]
    return [(folder / e["image"], short_name(e["caption"])) for e in chosen]


def short_name(caption: str) -> str:
    """A caption without article and full stop: "A duck." gives "duck"."""
    return re.sub(r"^(an?|the|some) ", "", caption.strip().rstrip(".!").lower())
