"""Training of a tiny model on handmade steps: in the test's own process, or as a program that torchrun starts.

As a program: ``tiny_training.py OPTIONS.json``, a list of ``Options``, one training after the other. Each process
writes ``said-RANK.json`` into the run folder: how the training ended, or the error it ended with.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from handmade import Made

from chatspot.errors import ChatSpotError
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.train.loop import Finished, loads, run_steps
from chatspot.train.optimizer import MasterAdamW
from chatspot.train.parallel import World, consolidated, open_world, spread
from chatspot.train.recipe import Recipe, parse_recipe
from chatspot.train.state import Reached, load_state
from chatspot.train.stream.packing import Position
from chatspot.train.trainable import choose_trainable, save_trained

RECIPE = {"stage": "instruct", "sources": [{"folder": "none"}], "batch_tokens": 512, "learning_rate": 3e-3,
          "projector_learning_rate": 1e-3, "epochs": 2.0, "checkpoint_every": 2, "micro_rows": 2}  # fmt: skip


@dataclass
class Options:
    """``signal_at``: (rank, step, signal) that a process sends itself after a step, in its first life alone;
    ``die_at``: (audit event, end of a path) at which it kills itself; ``unreadable_at``: (rank, step) whose features
    cannot be read; ``poisoned``: features are no numbers."""

    start: str
    run: str
    recipe: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    signal_at: tuple[int, int, int] | None = None
    die_at: tuple[str, str] | None = None
    unreadable_at: tuple[int, int] | None = None
    other_data_on: int | None = None
    poisoned: bool = False

    @property
    def folder(self) -> Path:
        return Path(self.run)

    def resolved(self) -> Recipe:
        return parse_recipe({**RECIPE, **self.recipe}, "test")


def train_tiny(options: Options, world: World, warnings: list[str] | None = None) -> Finished:
    """One training, from start or state to checkpoint, on one thread: the model is too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return trained(options, world, [] if warnings is None else warnings)
    finally:
        torch.set_num_threads(threads)


def trained(options: Options, world: World, warnings: list[str]) -> Finished:
    recipe, run = options.resolved(), options.folder
    run.mkdir(parents=True, exist_ok=True)

    def prepare() -> tuple[Checkpoint, dict[str, float]]:
        torch.manual_seed(0)
        checkpoint = load_checkpoint(options.start, dtype=getattr(torch, options.dtype))
        return checkpoint, choose_trainable(checkpoint, recipe)

    trainee = spread(world, prepare, recipe.attention, recipe.recompute)
    optimizer = MasterAdamW(trainee.parameters, trainee.rates)
    reached = load_state(run, optimizer, world, warnings.append)
    if reached is None:
        reached = Reached(0, 0.0, Position())
    made = Made(trainee.checkpoint.model)
    reads = 0

    def read(views: Any) -> torch.Tensor:
        nonlocal reads
        reads += 1
        if options.unreadable_at and options.unreadable_at[0] == world.rank and reads > options.unreadable_at[1]:
            raise OSError("the disk is gone")
        return made.read(views) * (math.nan if options.poisoned else 1.0)

    steps = made.steps(reached.position)
    if options.other_data_on == world.rank:
        steps = (replace(step, supervised=step.supervised + 1) for step in steps)
    todo = loads(steps, world, recipe, 0, read)
    first_life = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if options.signal_at and options.signal_at[0] == world.rank and first_life:
        todo = signalling(todo, options.signal_at[1] - reached.step, options.signal_at[2])
    finished = run_steps(run, recipe, world, trainee, optimizer, todo, reached, lambda line: None)
    if finished.complete:
        whole = consolidated(world, trainee)
        if whole is not None:
            save_trained(whole, recipe, run)
    return finished


def signalling(todo: Any, after: int, number: int) -> Any:
    """``todo``; before the load that follows ``after`` others, the process sends itself a signal."""
    for count, load in enumerate(todo):
        if count == after:
            os.kill(os.getpid(), number)
        yield load


def in_processes(count: int, options: Sequence[Options], restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the trainings on ``count`` processes under torchrun; 0: as a single program without torchrun."""
    file = options[0].folder.with_suffix(".options.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(one) for one in options]))
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={count}",
        f"--max-restarts={restarts}",
        f"--log-dir={file.parent}",  # it would leave a folder among the machine's temporary files
    ]
    command = [sys.executable, *(torchrun if count else []), __file__, str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


def main() -> None:
    with open_world() as world:
        for values in json.loads(Path(sys.argv[1]).read_text()):
            options = Options(**values)
            if options.die_at:
                event, end = options.die_at

                def watch(name: str, arguments: tuple[Any, ...], event: str = event, end: str = end) -> None:
                    if name == event and str(arguments[0]).endswith(end):
                        os.kill(os.getpid(), signal.SIGKILL)

                sys.addaudithook(watch)
            try:
                said: dict[str, Any] = asdict(train_tiny(options, world))
            except ChatSpotError as error:
                said = {"error": type(error).__name__, "message": str(error)}
            (options.folder / f"said-{world.rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
