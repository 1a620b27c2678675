"""A folder of drawn pictures, made here: no photos."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

COLOURS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 220)}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one source, ``shapes``: pictures of coloured boxes, labelled by their colour."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "shapes" / "images").mkdir(parents=True)
    rng = random.Random(0)
    lines = []
    for number in range(12):
        image = Image.new("RGB", (96, 64), "white")
        regions = []
        for column in range(3):
            name = rng.choice(list(COLOURS))
            box = [column * 32 + 4, 8, column * 32 + 28, 56]
            ImageDraw.Draw(image).rectangle(box, fill=COLOURS[name])
            regions.append(
                {"box": box, "label": name} if column else {"box": box, "label": "text", "text": name.upper()}
            )
        image.save(folder / "shapes" / "images" / f"{number}.png")
        record = {"image": f"images/{number}.png", "width": 96, "height": 64, "regions": regions}
        lines.append(json.dumps({**record, "captions": ["Three boxes ."]}))
    (folder / "shapes" / "annotations.jsonl").write_text("\n".join(lines) + "\n")
    return folder
