"""The walk-through of docs/groceries.md as one program: nano is fine-tuned on somebody's own shelf, and measured.

    python benchmarks/groceries.py --photos PHOTOS --work WORK       # writes benchmarks/results/groceries/*.json

It types the commands that the page shows: train on PHOTOS/train/groceries_boxes, then ask the nano that ships and the
trained one about PHOTOS/heldout/groceries_boxes (was it learnt?) and PHOTOS/heldout/coco (what was forgotten?). What
the shipped nano says to COCO is a committed result already. ``abilities.json`` is the run's own record of what both can
do without pictures; ``run.json`` says how long it took. What is there in WORK is not done again.
``CHATSPOT_UPDATE_README=1 pytest tests/docs`` then writes the numbers into the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from chatspot import __version__
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.train.loop import METRICS, read_metrics

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "groceries"
OWN = "groceries_boxes"
ASKED = (("names", OWN), ("coco", "coco"))


def chatspot(*words: object) -> None:
    """Type a command."""
    command = [str(Path(sys.executable).with_name("chatspot")), *map(str, words)]
    print("$", " ".join(["chatspot", *command[1:]]), flush=True)
    subprocess.run(command, check=True)


def walk(photos: Path, work: Path) -> None:
    """All commands of the page."""
    run = work / "runs" / "mine"
    chatspot("train", "instruct", "--data", photos / "train" / OWN, "--out", run)
    for name, model in (("before", []), ("after", ["--model", run / "checkpoint"])):
        for task, folder in ASKED:
            if (name, task) == ("before", "coco"):  # the row of the README's table: asked once is enough
                shutil.copy(RESULTS.parent / "nano-coco-box.json", RESULTS / f"{name}-{folder}.json")
                continue
            predictions = work / f"{name}-{folder}.jsonl"
            chatspot(
                "eval", "predict", "--task", task, "--data", photos / "heldout" / folder, "--out", predictions, *model
            )
            chatspot("eval", "score", predictions, "--out", RESULTS / f"{name}-{folder}.json")
    shutil.copy(run / "abilities.json", RESULTS / "abilities.json")
    lines = read_metrics(run / METRICS)
    facts: dict[str, Any] = {
        "kind": "run", "date": today(), "chatspot": __version__, "commit": source_commit(), "machine": machine(),
        "recipe": json.loads((run / "recipe.json").read_text("utf-8")), "steps": len(lines),
        "dialogues": sum(line["dialogues"] for line in lines), "tokens": sum(line["tokens"] for line in lines),
        "seconds": round(sum(line["seconds"] for line in lines), 1),
        "peak_mb": max(line["peak_mb"] for line in lines),
    }  # fmt: skip
    facts["recipe"]["sources"][0]["folder"] = f"PHOTOS/train/{OWN}"
    (RESULTS / "run.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="the folder with train and heldout")
    parser.add_argument("--work", type=Path, required=True, help="a folder for the run and its predictions")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    walk(arguments.photos, arguments.work)


if __name__ == "__main__":
    main()
