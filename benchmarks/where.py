"""Where things are, looked at closely: what the vote of the box head's cells gains, and how large things have to be.

    python benchmarks/where.py --kept DATA/KEPT/coco

cell, vote: the bench's task "ground" on photos kept back from training, by the likeliest cell's box and by the box that
            the cells agree on (``engine.finding``), which ships.
by size:    the committed answers about held-out photos, by the thing's share of its picture; nothing is asked.

Writes ``benchmarks/results/ingredients/where.json``: shares of boxes with an IoU of at least 0.5.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ingredients_seen import interval

from chatspot import ChatSpot
from chatspot.data.records import read_records
from chatspot.data.saving import write_whole
from chatspot.engine.finding import drawn, likeliest
from chatspot.engine.local_engine import LocalEngine
from chatspot.eval.predictions import read_predictions
from chatspot.eval.provenance import machine, nano_facts, source_commit, today
from chatspot.eval.tasks.ground import RIGHT_IOU, ask_where, judge_where
from chatspot.eval.tasks.task import Draw
from chatspot.images import open_image
from chatspot.regions import Box

ROOT = Path(__file__).parents[1]
ANSWERS = ROOT / "benchmarks" / "predictions" / "nano-ground-picture.jsonl"
RESULT = ROOT / "benchmarks" / "results" / "ingredients" / "where.json"
SIZES = (0.0, 0.02, 0.06, 0.2, 1.0)  # shares of the picture that a thing's box covers


def main() -> None:
    """Measure both, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", type=Path, required=True, help="region JSON lines that nothing was trained on")
    given = parser.parse_args()
    found: dict[str, Any] = {"kind": "ingredient", "what": "where", "kept": on_kept(given.kept), "by size": by_size()}
    found |= {"model": nano_facts("chatspot-nano"), "date": today(), "commit": source_commit(), "machine": machine()}
    print(json.dumps({what: found[what] for what in ("kept", "by size")}, indent=1))
    write_whole(RESULT, json.dumps(found, indent=1) + "\n")


def on_kept(folder: Path) -> dict[str, Any]:
    """Both ways to take a box from the cells, and their difference, on kept photos."""
    engine = ChatSpot.from_pretrained().engine
    assert isinstance(engine, LocalEngine)
    pictures, cell, vote = [], [], []
    for record in read_records(folder):
        image = open_image(record.image)
        for question in ask_where(record, "picture", Draw()):
            truth = Box.from_normalized(*question.extra["box"])
            scores, boxes = engine.find(image, engine.tokens.ids(question.text, control=False))
            ways = drawn(np.clip(boxes[scores.argmax()], 0, 1)), likeliest(scores, boxes, [])[0]
            pictures.append(record.id)
            for hits, box in zip((cell, vote), ways, strict=True):
                hits.append(float(box.iou(truth) >= RIGHT_IOU))
    gain = [new - old for new, old in zip(vote, cell, strict=True)]
    return {
        "cell": interval(cell, pictures),
        "vote": interval(vote, pictures),
        "vote against cell": interval(gain, pictures),
    }


def by_size() -> dict[str, Any]:
    """The shares of held-out boxes that are right, by the thing's share of the picture."""
    judged = [(one, judge_where(one)) for one in read_predictions(ANSWERS).predictions.values()]
    found = {}
    for low, high in pairwise(SIZES):
        some = [each for one, each in judged if low <= Box.from_normalized(*one.extra["box"]).area < high]
        found[f"{low:g} to {high:g}"] = interval([one.points["iou50"] for one in some], [one.picture for one in some])
    return found


if __name__ == "__main__":
    main()
