"""Small annotated folders for the tests of building and reading shards."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

LABELS = ("dog", "cat", "cup", "bicycle")


def scene(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture of coloured blocks, another one for every seed."""
    rng = random.Random(seed)
    picture = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        edges = (x, y, x + rng.randrange(8, 50), y + rng.randrange(8, 40))
        draw.rectangle(edges, fill=tuple(rng.randrange(256) for _ in range(3)))
    return picture


def folder_of(folder: Path, seeds: Sequence[int], **more: object) -> Path:
    """A folder of region JSON lines with one picture for each seed; ``more`` goes into every line."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in seeds:
        scene(seed).save(folder / "images" / f"{seed}.jpg", quality=90)
        box = {"box": [10, 10, 60, 50], "label": LABELS[seed % len(LABELS)]}
        record = {
            "image": f"images/{seed}.jpg",
            "width": 96,
            "height": 64,
            "regions": [box],
            "captions": [f"Scene {seed}."],
        }
        lines.append(json.dumps({**record, **more}))
    (folder / "annotations.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
