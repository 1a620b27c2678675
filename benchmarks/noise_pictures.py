"""Pictures that nobody has seen before, boxes on them, and a stopwatch, for measuring speed. Needs no torch."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from chatspot import Box

SIZE = (640, 480)  # pixels; the usual size of COCO's photos


def photo(folder: Path, number: int, size_wh: tuple[int, int] = SIZE) -> Path:
    """A JPEG that was never seen before: blurred noise in colour."""
    random.seed(number)
    coarse = Image.frombytes("RGB", (40, 30), random.randbytes(3600))
    path = folder / f"{number}-{size_wh[0]}.jpg"
    coarse.resize(size_wh, Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def box(number: int) -> Box:
    """A box of its own for each number."""
    rng = random.Random(number)
    x, y = rng.uniform(0, 0.6), rng.uniform(0, 0.6)
    return Box.from_normalized(x, y, x + rng.uniform(0.1, 0.4), y + rng.uniform(0.1, 0.4))


def timed(runs: int, action: Callable[[int], object]) -> list[float]:
    """Seconds of each run, after run 0 as a warm-up."""
    seconds = []
    for run in range(runs + 1):
        started = time.perf_counter()
        action(run)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]
