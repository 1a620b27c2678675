"""Annotations that dialogues are written about: a dog, a cat and a sign. No picture is ever opened."""

from __future__ import annotations

import json
from pathlib import Path

DOG = {"box": [40, 40, 60, 60], "label": "dog", "attributes": ["brown", "wet"]}
CAT = {"box": [0, 0, 20, 20], "label": "cat"}
SIGN = {"box": [70, 5, 95, 15], "label": "sign", "text": "EXIT"}


def write_folder(folder: Path, pictures: int = 5) -> Path:
    """A folder of region JSON lines; no picture is ever opened."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "image": f"images/{number}.jpg",
            "width": 100,
            "height": 100,
            "captions": [f"picture {number} of a dog"],
            "regions": [DOG, CAT, SIGN],
        }
        for number in range(pictures)
    ]
    (folder / "annotations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
