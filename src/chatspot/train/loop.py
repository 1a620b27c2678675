"""The training loop: steps, metrics, checkpoints, and a run that goes on where it was killed.

A run folder holds::

    recipe.json      the recipe as it was resolved, and what it started from
    metrics.jsonl    a line a step: loss, gradient norm, learning-rate share, tokens a second
    state.pt         masters and optimiser after a step (state.previous.pt: the one before)
    curve.png        loss against step
    parts.txt        what trained and what was frozen
    checkpoint/      the result, a stock checkpoint folder
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from chatspot.errors import TrainingError
from chatspot.train.optimizer import MasterAdamW, rate_share
from chatspot.train.recipe import Recipe
from chatspot.train.step import Batch

METRICS, STATE, PREVIOUS = "metrics.jsonl", "state.pt", "state.previous.pt"


@dataclass(frozen=True)
class Finished:
    """How a loop ended: all ``steps`` done, or stopped by a signal after ``step`` of them, with everything saved."""

    step: int
    steps: int

    @property
    def complete(self) -> bool:
        """Whether no step is left."""
        return self.step == self.steps


class StopSignal:
    """Notes SIGTERM and SIGINT, so that the loop can save and leave between two steps."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> StopSignal:
        self.old = {number: signal.signal(number, self.note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.received = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)


def run_steps(
    folder: Path,
    recipe: Recipe,
    steps: int,
    batches: Iterator[Batch],
    loss_of: Callable[[Batch], Tensor],
    optimizer: MasterAdamW,
    report: Callable[[dict[str, Any]], None],
    start: int = 0,
) -> Finished:
    """Train from step ``start`` to ``steps``. ``batches`` begins at step ``start``.

    A step whose loss or gradient is not finite changes nothing: ``TrainingError``, with everything before it saved.
    The tokens a second of a step count its whole time, the wait for its batch included.
    """
    with StopSignal() as stop, (folder / METRICS).open("a", encoding="utf-8") as metrics:
        began = time.perf_counter()
        for step, batch in enumerate(islice(batches, steps - start), start):
            loss = loss_of(batch)
            value, norm = loss.item(), math.nan
            share = rate_share(step, steps, recipe.warmup_share)
            if math.isfinite(value):
                loss.backward()
                norm = optimizer.step(share, recipe.clip_norm)
            if not math.isfinite(norm):
                save_state(folder, step, optimizer)
                raise TrainingError(f"step {step + 1}: loss {value} and gradient norm {norm} should be finite; lower "
                                    "the learning rate in the recipe and train into another --out (what was reached "
                                    f"before this step is in {folder / STATE})")  # fmt: skip
            seconds, began = time.perf_counter() - began, time.perf_counter()
            line = {
                "step": step + 1,
                "loss": round(value, 6),
                "norm": round(norm, 4),
                "rate_share": round(share, 5),
                "tokens": batch.tokens,
                "tokens_per_second": round(batch.tokens / seconds, 1),
            }
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
            report({**line, "steps": steps})
            last = step + 1 == steps
            if last or stop.received or (step + 1) % recipe.checkpoint_every == 0:
                save_state(folder, step + 1, optimizer)
            if stop.received:
                return Finished(step + 1, steps)
    return Finished(steps, steps)


def save_state(folder: Path, step: int, optimizer: MasterAdamW) -> None:
    """Write the state aside, then rename it over the old one, which is kept as the previous."""
    temporary = folder / f"{STATE}.part"
    try:
        torch.save({"step": step, "optimizer": optimizer.state_dict()}, temporary)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"the state after step {step} could not be saved in {folder} ({error}); free some disk "
                            "space and start the command again: the last state is whole") from error  # fmt: skip
    if (folder / STATE).exists():
        (folder / STATE).replace(folder / PREVIOUS)
    temporary.replace(folder / STATE)


def load_state(folder: Path, optimizer: MasterAdamW) -> int:
    """Put back the newest whole state and return its step; 0 where there is none. Metrics after it are cut off."""
    for name in (STATE, PREVIOUS):
        if not (folder / name).is_file():
            continue
        try:
            state = torch.load(folder / name, weights_only=True)
        except Exception:  # whatever torch raises for a file cut short: the previous one is tried
            continue
        optimizer.load_state_dict(state["optimizer"])
        cut_metrics(folder / METRICS, state["step"])
        return int(state["step"])
    cut_metrics(folder / METRICS, 0)
    return 0


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The metrics' complete lines."""
    if not file.is_file():
        return []
    lines = file.read_text("utf-8").split("\n")[:-1]  # what follows the last line end was cut short
    return [json.loads(line) for line in lines]


def cut_metrics(file: Path, step: int) -> None:
    """Keep the metrics up to ``step``: what came later will be computed again."""
    kept = [line for line in read_metrics(file) if line["step"] <= step]
    temporary = file.with_suffix(".part")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
    temporary.replace(file)
