"""A run's metrics for TensorBoard and Weights & Biases as well, where these packages are installed.

``metrics.jsonl`` is the record; these are views of it. A package that is absent costs nothing and is no error unless it
was asked for by name. Nothing leaves the machine by itself: W&B writes offline below the run, for ``wandb sync``,
unless its own WANDB_MODE says otherwise.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from chatspot.errors import RecipeError

Metrics = Mapping[str, Any]


class TensorBoard:
    """Writes event files below ``run/tensorboard``. ``start``: the step a run goes on after; what was written for later
    steps before it was stopped is hidden."""

    def __init__(self, run: Path, facts: Metrics, start: int):
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=start + 1 if start else None)
        if not start:
            self.writer.add_text("recipe", "```\n" + json.dumps(facts, indent=2, default=str) + "\n```")

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """A step's numbers."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class WeightsAndBiases:
    """Writes a W&B run below ``run/wandb``; a run that goes on keeps its id."""

    def __init__(self, run: Path, facts: Metrics, start: int):
        wandb: Any = import_module("wandb")  # whose types are not known where it is not installed
        (run / "wandb").mkdir(parents=True, exist_ok=True)  # wandb writes into the system's temporary folder otherwise
        file = run / "wandb" / "chatspot-id.txt"
        kept = file.read_text("ascii").strip() if start and file.is_file() else None
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "chatspot"), name=run.resolve().name, dir=str(run), id=kept,
            resume="allow", config=dict(facts), mode=os.environ.get("WANDB_MODE", "offline"),
        )  # fmt: skip
        file.write_text(self.run.id, "ascii")

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """A step's numbers."""
        self.run.log(numbers, step=step)

    def close(self) -> None:
        """Write what is left."""
        self.run.finish()


# A tracker is named as its package is.
WRITERS: dict[str, type[TensorBoard | WeightsAndBiases]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


class Trackers:
    """A context manager whose value takes a step's metrics line and hands it to every tracker.

    ``asked`` None opens the trackers whose packages are installed; names open just these, and none of them with an
    empty sequence. ``facts`` is what the run is, its recipe; ``start`` the step it goes on after. ``say`` is told of a
    tracker that was not asked for and could not be opened, or that fails later: training goes on without it.

    Raises ``RecipeError`` for a name that is none, and for a tracker asked for that cannot be opened.
    """

    def __init__(
        self, run: Path, facts: Metrics, say: Callable[[str], None], asked: Sequence[str] | None = None, start: int = 0
    ):
        self.say = say
        self.open: dict[str, TensorBoard | WeightsAndBiases] = {}
        for name in installed() if asked is None else dict.fromkeys(asked):
            check_name(name)
            try:
                self.open[name] = WRITERS[name](run, facts, start)
            except Exception as error:  # packages of others, with errors of their own
                if asked is not None:
                    raise RecipeError(f"{name} cannot be opened ({error}); train without it, or see its own "
                                      "manual") from error  # fmt: skip
                say(f"{name} is installed but cannot be opened ({error}); the run goes on without it")

    def __enter__(self) -> Callable[[Metrics], None]:
        return self.write

    def write(self, line: Metrics) -> None:
        """Hand a metrics line on: all its finite numbers but the step. A tracker that fails is closed and named."""
        numbers = {
            name: float(value)
            for name, value in line.items()
            if name != "step" and isinstance(value, int | float) and math.isfinite(value)
        }
        for name, tracker in list(self.open.items()):
            try:
                tracker.write(int(line["step"]), numbers)
            except Exception as error:  # a full disk must stop neither training nor the other tracker
                del self.open[name]
                self.say(f"{name} failed at step {line['step']} ({error}); the run goes on without it")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, tracker in self.open.items():
            try:
                tracker.close()
            except Exception as failure:
                self.say(f"{name} could not write its end ({failure})")


def installed() -> list[str]:
    """The trackers whose packages are there; nothing is imported."""
    return [name for name in WRITERS if find_spec(name) is not None]


def check_name(name: str) -> None:
    """Raise ``RecipeError`` for a tracker that there is none of, or whose package is absent."""
    if name not in WRITERS:
        raise RecipeError(f"there is no tracker {name!r}; known are {', '.join(WRITERS)}")
    if find_spec(name) is None:
        raise RecipeError(f"{name} needs a package that is not installed: pip install {name}")
