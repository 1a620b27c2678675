"""Measure nano on the held-out photos: every task, form, way and noise that they allow, and what it can do without a
picture. Stopped and started again it goes on; what is finished is not asked twice.

    python benchmarks/nano_report.py --photos PHOTOS/heldout [--only coco] [--model CHECKPOINT --name NAME] [--list]

Predictions go to ``benchmarks/predictions/NAME-*.jsonl``, results to ``benchmarks/results/NAME-*.json``; afterwards
``chatspot eval tables`` writes them where people read them, and ``chatspot eval report`` draws the page. About 11,000
questions: 15 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from chatspot.eval.tasks import TASKS

HERE = Path(__file__).parent
DRAWN = 600  # questions of a setting that is measured on a part, the same part in each


@dataclass(frozen=True)
class Run:
    """One predictions file: a task, how regions are pointed at and shown, the noise, and how many are drawn."""

    task: str
    form: str
    way: str | None = None
    noise: float = 0.0
    limit: int | None = None
    folder: str | None = None  # of the photos; None for the task's own

    @property
    def name(self) -> str:
        """The stem of its files."""
        noise = f"s{self.noise:g}" if self.noise else None
        return "-".join([self.task, self.form, *(each for each in (self.way, noise, self.folder) if each)])

    @property
    def options(self) -> list[str]:
        """What the command line is told."""
        given = {"--form": self.form, "--way": self.way, "--noise": self.noise or None, "--limit": self.limit}
        words = [(name, str(value)) for name, value in given.items() if value is not None]
        return ["--task", self.task, *(word for pair in words for word in pair)]


RUNS = (
    Run("coco", "box"),
    *(Run("coco", "box", noise=noise, limit=DRAWN) for noise in (0.1, 0.2, 0.3, 0.5)),
    Run("coco", "point", limit=DRAWN),
    *(Run("coco", form) for form in ("polygon", "mask", "scribble")),  # the 634 regions that have an outline
    *(Run("coco", "box", way, limit=DRAWN) for way in ("text", "painted", "crop", "mask")),
    Run("coco", "point", "text", limit=DRAWN),
    Run("presence", "box", limit=DRAWN),
    Run("count", "box"),
    Run("ground", "picture"),
    Run("names", "box"),
    Run("names", "box", folder="clothing"),
    Run("words", "box"),
    Run("plates", "box"),
    *(Run("words", "box", way) for way in ("text", "crop")),
    Run("cocotext", "box"),
    Run("cocotext", "point"),
    Run("colour", "box"),
    Run("colour", "box", folder="gar_bench"),
    Run("similarity", "box"),
    Run("similarity", "mask"),
    Run("choices", "box"),
    Run("choices", "mask"),
    Run("regioncaption", "box"),
    Run("imagecaption", "picture", limit=DRAWN),
    Run("imagecaption", "picture", limit=DRAWN, folder="coco"),
)


def chatspot(*words: str | Path) -> None:
    """Run a command of the package; stop where it fails."""
    subprocess.run([sys.executable, "-m", "chatspot", *map(str, words)], check=True)


def main() -> None:
    """Ask and score what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="the folder heldout of the photos")
    parser.add_argument("--only", action="append", help="runs whose name begins so; may be given again")
    parser.add_argument("--model", help="checkpoint folder or hub id; default: nano")
    parser.add_argument("--name", default="nano", help="how the files begin")
    parser.add_argument("--batch", default="32", help="questions answered side by side")
    parser.add_argument("--list", action="store_true", help="show the runs and leave")
    given = parser.parse_args()
    for run in RUNS:
        if not is_wanted(run.name, given.only):
            continue
        print(run.name, flush=True)
        if given.list:
            continue
        answers = HERE / "predictions" / f"{given.name}-{run.name}.jsonl"
        model = ["--model", given.model] if given.model else []
        data = given.photos / (run.folder or TASKS[run.task].folder)
        start = time.perf_counter()
        chatspot("eval", "predict", *run.options, "--data", data, "--out", answers, "--batch", given.batch, *model)
        chatspot("eval", "score", answers, "--out", HERE / "results" / f"{given.name}-{run.name}.json")
        print(f"{run.name}: {time.perf_counter() - start:.0f} s", flush=True)
    if is_wanted("retention", given.only):
        print("retention", flush=True)
        if not given.list:
            answers = HERE / "predictions" / f"{given.name}-retention.jsonl"
            model = ["--model", given.model, "--name", given.name] if given.model else []
            chatspot("eval", "retention", "--out", answers, *model)
            chatspot("eval", "score", answers, "--out", HERE / "results" / f"{given.name}-retention.json")


def is_wanted(name: str, only: list[str] | None) -> bool:
    """Whether a run of this name is asked for."""
    return not only or any(name.startswith(start) for start in only)


if __name__ == "__main__":
    main()
