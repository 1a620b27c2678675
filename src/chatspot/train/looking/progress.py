"""What a run says while it runs: a bar with throughput and time left, or plain lines where there is no terminal."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

Metrics = dict[str, Any]

PACE_STEPS = 50  # steps that the pace is taken from: enough to even out rows of unlike length (our choice)
WAITED = 0.1  # share of a step's time that has to go by in waiting for data before it is told (our choice)
LINE_EVERY = 25  # steps between plain lines (our choice)


class Pace:
    """How fast a run goes: over the last PACE_STEPS steps, the wait for data included.

    ``clock`` gives seconds from any start.
    """

    def __init__(self, done: float, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.marks: deque[tuple[float, float, int, int]] = deque([(clock(), done, 0, 0)], maxlen=PACE_STEPS + 1)

    def note(self, line: Metrics) -> None:
        """Take note of a step that has just ended."""
        _, _, tokens, dialogues = self.marks[-1]
        self.marks.append(
            (self.clock(), line["done"], tokens + line["tokens"], dialogues + line["dialogues"])
        )  # the counts grow, so the ends of the window alone say what lies between

    def rates(self) -> tuple[float, float]:
        """Tokens and dialogues a second; 0 before the first step."""
        seconds = self.marks[-1][0] - self.marks[0][0]
        if seconds <= 0:
            return 0.0, 0.0
        return (self.marks[-1][2] - self.marks[0][2]) / seconds, (self.marks[-1][3] - self.marks[0][3]) / seconds

    def seconds_left(self, epochs: float) -> float | None:
        """Seconds until ``epochs`` are done at this pace; None before there is a pace."""
        advanced, seconds = self.marks[-1][1] - self.marks[0][1], self.marks[-1][0] - self.marks[0][0]
        if advanced <= 0 or seconds <= 0:
            return None
        return max(epochs - self.marks[-1][1], 0.0) * seconds / advanced


class StepProgress:
    """A context manager whose value takes a step's metrics line (see ``loop``) and shows it.

    On a terminal a bar that fills with ``done`` of ``epochs``; elsewhere the first step, every LINE_EVERY-th and the
    last as a line. ``done`` is where the run starts from.
    """

    def __init__(self, console: Console, epochs: float, done: float = 0.0, clock: Callable[[], float] = time.monotonic):
        self.console, self.epochs, self.shown = console, epochs, 0
        self.pace = Pace(done, clock)
        self.bar = Progress(
            TextColumn("training"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"),
            console=console, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=epochs)
        self.bar.update(self.task, completed=done)

    def __enter__(self) -> Callable[[Metrics], None]:
        if self.console.is_terminal:
            self.bar.start()
        return self.report

    def report(self, line: Metrics) -> None:
        """Show a step."""
        self.pace.note(line)
        told = self.told(line)
        self.bar.update(self.task, completed=line["done"], description=told)
        last = line["done"] >= self.epochs
        if not self.console.is_terminal and (self.shown == 0 or last or line["step"] % LINE_EVERY == 0):
            self.console.print(f"step {line['step']:,}  {told}", highlight=False, soft_wrap=True)
        self.shown += 1

    def told(self, line: Metrics) -> str:
        """A step in words: where the run is, how well it learns, how fast it goes, what is left."""
        tokens, dialogues = self.pace.rates()
        words = [
            f"epoch {line['done']:.2f} of {self.epochs:g}",
            f"loss {line['loss']:.3f}",
            f"{tokens:,.0f} tokens/s",
            f"{dialogues:,.1f} dialogues/s",
        ]
        left = self.pace.seconds_left(self.epochs)
        if left is not None:
            words.append(f"{duration(left)} left")
        if line.get("waited", 0.0) >= WAITED * line.get("seconds", math.inf):
            words.append(f"{line['waited'] / line['seconds']:.0%} of it waiting for data")
        if line.get("skipped"):
            words.append(f"{line['skipped']:,} skipped")
        return "  ".join(words)

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()


def duration(seconds: float) -> str:
    """Seconds in words of two units at most: "41 s", "12 min", "3 h 05 min", "2 d 04 h"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24:,} d {hours % 24:02} h"
