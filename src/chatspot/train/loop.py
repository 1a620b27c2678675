"""The training loop: steps, metrics, states, and a run that goes on where it was killed.

A run folder holds::

    recipe.json      the recipe as it was resolved, and what it started from
    metrics.jsonl    a line a step (``Metrics``)
    state/           masters and moments after a step, and after the one saved before it (``chatspot.train.state``)
    parts.txt        what trained and what was frozen
    checkpoint/      the result, a stock checkpoint folder
"""

from __future__ import annotations

import json
import math
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from chatspot.data.saving import write_whole
from chatspot.errors import ChatSpotError, TrainingError
from chatspot.train.optimizer import MasterAdamW, rate_share
from chatspot.train.parallel import Trainee, World, own_passes
from chatspot.train.recipe import Recipe
from chatspot.train.state import STATES, Reached, save_state
from chatspot.train.step import FLEX, FLEX_BLOCK, Batch, collate
from chatspot.train.stream.features import View
from chatspot.train.stream.packing import Step

METRICS = "metrics.jsonl"
AHEAD = 3  # steps that are read ahead
NEARLY = 1e-9  # epochs; what sums of floats may be off


@dataclass(frozen=True)
class Finished:
    """How a loop ended: after ``step`` steps and ``done`` epochs; ``complete``, or stopped by a signal and saved."""

    step: int
    done: float
    complete: bool


@dataclass(frozen=True)
class Load:
    """A step, and this process's passes of it."""

    step: Step
    batches: list[Batch]


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


def loads(
    steps: Iterator[Step], world: World, recipe: Recipe, pad_id: int, read: Callable[[Sequence[View]], Tensor]
) -> Iterator[Load]:
    """Each step with this process's batches. A thread makes the next few while the model computes."""
    multiple_of = FLEX_BLOCK if recipe.attention == FLEX else 1

    def make() -> Load | None:
        step = next(steps, None)
        if step is None:
            return None
        passes = own_passes(step.rows, world, recipe.micro_rows)
        return Load(step, [collate(rows, pad_id, read, multiple_of) for rows in passes])

    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = deque(reader.submit(make) for _ in range(AHEAD))
        try:
            while (load := ahead.popleft().result()) is not None:
                ahead.append(reader.submit(make))
                yield load
        finally:
            for future in ahead:
                future.cancel()


def run_steps(
    run: Path,
    recipe: Recipe,
    world: World,
    trainee: Trainee,
    optimizer: MasterAdamW,
    todo: Iterator[Load],
    reached: Reached,
    report: Callable[[dict[str, Any]], None],
    skipped: Callable[[], int] = lambda: 0,
) -> Finished:
    """Train until the recipe's epochs are done. ``todo`` begins at the step after ``reached``.

    The first process writes a line of metrics a step and tells it to ``report``; ``skipped`` counts the samples passed
    over so far. SIGTERM and SIGINT save and end the loop on every process. A step whose loss or gradient is not finite
    changes nothing: ``TrainingError``, with everything before it saved. Errors of one process are raised on all.
    """
    saved = reached.step
    with StopSignal() as stop:
        metrics = Metrics(run / METRICS, reached.step, world)
        while reached.done < recipe.epochs - NEARLY:
            began = time.perf_counter()
            load = received(todo, world)
            waited = time.perf_counter() - began
            progress = (reached.done + load.step.done) / 2 / recipe.epochs  # the middle of the step
            share = rate_share(progress, recipe.warmup_share)
            value, stopping = forward_and_backward(load, trainee, optimizer, world, stop)
            norm = optimizer.step(share, recipe.clip_norm) if math.isfinite(value) else math.nan
            if not math.isfinite(norm):
                optimizer.forget()
                if saved != reached.step or not reached.step:
                    save_state(run, reached, optimizer, world)
                raise TrainingError(f"step {reached.step + 1}: loss {value} and gradient norm {norm} should be finite; "
                                    "lower the learning rate in the recipe and train into another --out (what was "
                                    f"reached before this step is in {run / STATES})")  # fmt: skip
            reached = Reached(reached.step + 1, load.step.done, load.step.position)
            seconds = time.perf_counter() - began
            tokens = sum(len(row.input_ids) for row in load.step.rows)
            line = {
                "step": reached.step,
                "loss": round(value, 6),
                "norm": round(norm, 4),
                "rate_share": round(share, 5),
                "done": round(reached.done, 6),
                "dialogues": load.step.dialogues,
                "tokens": tokens,
                "supervised": load.step.supervised,
                "tokens_per_second": round(tokens / seconds, 1),
                "seconds": round(seconds, 4),
                "waited": round(waited, 4),
                "skipped": skipped(),
                "peak_mb": peak_mb(world.device),
            }
            metrics.write(line)
            if world.first:
                report({**line, "epochs": recipe.epochs})
            complete = reached.done >= recipe.epochs - NEARLY
            if complete or stopping or reached.step % recipe.checkpoint_every == 0:
                save_state(run, reached, optimizer, world)
                saved = reached.step
            if stopping:
                return Finished(reached.step, reached.done, complete)
    return Finished(reached.step, reached.done, complete=True)


def received(todo: Iterator[Load], world: World) -> Load:
    """The next load; an error of it is raised on every process, as is one that is not the same on all."""
    load: Load | None = None
    problem: ChatSpotError | None = None
    try:
        load = next(todo)
    except StopIteration:
        problem = TrainingError("the data ended before the recipe's epochs were done")
    except ChatSpotError as error:
        problem = error
    except OSError as error:
        problem = TrainingError(f"the data of the next step cannot be read ({error}); see to it and start the command "
                                "again")  # fmt: skip
    counts = world.gather((load.step.dialogues, load.step.supervised) if load else None)
    if problem is None and len(set(counts) - {None}) > 1:  # such as a store that failed for one of them alone
        problem = TrainingError("the processes read different data for this step; see that all of them reach the same "
                                "files, and start the command again")  # fmt: skip
    world.agree(problem)
    assert load is not None
    return load


def forward_and_backward(
    load: Load, trainee: Trainee, optimizer: MasterAdamW, world: World, stop: StopSignal
) -> tuple[float, bool]:
    """Gather the gradients of a step's mean loss over the supervised tokens of all processes.

    Returns that loss, and whether a process was told to stop.
    """
    summed = 0.0
    for batch in load.batches:
        loss: Tensor = trainee.loss(batch.to(world.device))
        (loss * (world.size / load.step.supervised)).backward()  # fully_shard takes the mean over processes
        optimizer.accumulate()
        summed += float(loss.detach())
    total, stopping = world.sum(summed, stop.received is not None)
    return total / load.step.supervised, stopping > 0


def peak_mb(device: torch.device) -> int:
    """The most memory that this process has held so far: on its GPU, else in RAM."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


class Metrics:
    """``metrics.jsonl``, written by the first process; lines after ``step`` are cut off, as they will be made again."""

    def __init__(self, file: Path, step: int, world: World):
        self.file, self.world = file, world
        self.attempt(lambda: cut_metrics(file, step))

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; ``TrainingError`` on every process when it cannot be written."""
        self.attempt(lambda: self.append(json.dumps(line) + "\n"))

    def append(self, text: str) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(text)

    def attempt(self, act: Callable[[], None]) -> None:
        problem = None
        if self.world.first:
            try:
                act()
            except OSError as error:
                problem = TrainingError(f"{self.file} cannot be written ({error}); free some disk space and start the "
                                        "command again: the last state is whole")  # fmt: skip
        self.world.agree(problem)


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The metrics' complete lines."""
    if not file.is_file():
        return []
    lines = file.read_text("utf-8").split("\n")[:-1]  # what follows the last line end was cut short
    return [json.loads(line) for line in lines]


def cut_metrics(file: Path, step: int) -> None:
    """Keep the metrics up to ``step``: what came later will be computed again."""
    kept = [line for line in read_metrics(file) if line["step"] <= step]
    write_whole(file, "".join(json.dumps(line) + "\n" for line in kept))
