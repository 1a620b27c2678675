"""A bar on standard error for work that is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a bar on by ``count``; ``title`` becomes what stands before it."""

    def __call__(self, count: int = 1, *, title: str | None = None) -> None: ...


@contextmanager
def progress_bar(title: str, total: int, *, done: int = 0, shown: bool | None = None) -> Iterator[Advance]:
    """A bar of ``total`` with the time left, ``done`` of it at the start; gives the function that moves it on.

    ``shown`` None: when standard error is a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, disable=not (terminal.is_terminal if shown is None else shown)) as bar:
        task = bar.add_task(title, total=total, completed=done)

        def advance(count: int = 1, *, title: str | None = None) -> None:
            bar.update(task, advance=count, description=title)

        yield advance
