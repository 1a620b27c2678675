"""Many questions, asked side by side: more than fit into one batch, and each at most once.

They are made ready ahead, in a thread of their own: pictures opened, prompts written, views drawn. The engine's batch
is filled up with them as answers end, and each answer is given back as soon as it has ended.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from chatspot.engine.interface import Engine, Growing, Prepared, Reply, Request
from chatspot.errors import DataError

T = TypeVar("T")
MOST_FAILURES = 16  # so many in a row mean that the engine is broken, not the questions (our choice)


@dataclass(eq=False)
class Asked(Generic[T]):
    """One ``item`` on its way to a ``reply``, or to the ``error`` in place of it. ``prepared`` is None where it could
    not be made ready; ``seconds`` is its share of the time of those answered beside it."""

    item: T
    prepared: Prepared | None = None
    reply: Reply | None = None
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def length(self) -> int:
        """Tokens of the prompt; 0 where they are not known."""
        return self.prepared.prompt_tokens if self.prepared else 0


def answered(
    engine: Engine, items: Iterable[T], request_of: Callable[[T], Request], *, most: int, ahead: int
) -> Generator[list[Asked[T]]]:
    """Ask about every item, ``most`` side by side, and give back what came of them as it comes, never an empty list.

    ``request_of`` runs in another thread. Up to ``ahead`` requests are made ready before they are wanted, and twice as
    many wait to be chosen from: prompts of like length are read together. A batch that computes here is filled up when
    half of it has ended, as prompts read together cost less; a server is always given the next question at once.

    No question ends the others: an error of any kind is kept as what came of its item. When the engine fails for all of
    them at once, each is asked alone to find the fault.
    """
    crowd: Crowd[T] = Crowd(engine)
    least_free = 1 if engine.device == "remote" else (most + 1) // 2
    waiting: list[Asked[T]] = []
    with closing(made_ready(engine, items, request_of, ahead)) as coming:
        while True:
            fresh: list[Asked[T]] = []
            if most - len(crowd.growing) >= least_free:
                fresh = list(islice(coming, max(2 * ahead - len(waiting), 0)))
                unfit = [one for one in fresh if one.error is not None]
                if unfit:
                    yield unfit
                waiting += (one for one in fresh if one.error is None)
                waiting.sort(key=lambda one: one.length)
                joining = crowd.fitting(waiting, most)
                waiting = waiting[len(joining) :]
                if joining:
                    yield from crowd.join(joining)
            if not (fresh or waiting or crowd.growing):
                return
            yield from crowd.step()


def made_ready(
    engine: Engine, items: Iterable[T], request_of: Callable[[T], Request], ahead: int
) -> Generator[Asked[T]]:
    """The items made ready in order, up to ``ahead`` of them before they are wanted."""
    rest = iter(items)

    def ready(item: T) -> Asked[T]:
        try:
            return Asked(item, engine.prepare(request_of(item)))
        except Exception as error:
            return Asked(item, error=error)

    with ThreadPoolExecutor(1, "ready") as thread:
        coming = deque(thread.submit(ready, item) for item in islice(rest, ahead))
        try:
            while coming:
                yield coming.popleft().result()
                coming.extend(thread.submit(ready, item) for item in islice(rest, 1))
        finally:
            thread.shutdown(cancel_futures=True)


class Crowd(Generic[T]):
    """Questions that are being answered: ``growing``. Each call gives what has ended, never an empty list."""

    def __init__(self, engine: Engine):
        self.engine, self.batch = engine, engine.batch()
        self.growing: list[tuple[Asked[T], Growing]] = []

    def fitting(self, waiting: Sequence[Asked[T]], most: int) -> list[Asked[T]]:
        """Those that wait, from the first on, as far as they may join now."""
        joining: list[Prepared] = []
        for one in waiting[: most - len(self.growing)]:
            assert one.prepared is not None
            if not self.batch.has_room(*joining, one.prepared):
                break
            joining.append(one.prepared)
        return list(waiting[: len(joining)])

    def join(self, joining: Sequence[Asked[T]]) -> Iterator[list[Asked[T]]]:
        """Ask these too."""
        start = time.perf_counter()
        try:
            new = self.batch.join([one.prepared for one in joining if one.prepared])
        except Exception:
            yield from self.one_by_one(joining)
            return
        self.growing += zip(joining, new, strict=True)
        yield from self.ended(joining, start)

    def step(self) -> Iterator[list[Asked[T]]]:
        """Go on with all."""
        start, everyone = time.perf_counter(), [one for one, _ in self.growing]
        try:
            self.batch.step()
        except Exception:
            self.batch, self.growing = self.engine.batch(), []
            yield from self.one_by_one(everyone)
            return
        yield from self.ended(everyone, start)

    def ended(self, computed: Sequence[Asked[T]], start: float) -> Iterator[list[Asked[T]]]:
        """Those that have ended; ``computed`` have shared the time since ``start``."""
        share = (time.perf_counter() - start) / max(len(computed), 1)
        for one in computed:
            one.seconds += share
        for one, growing in self.growing:
            try:
                one.reply = growing.reply
            except Exception as error:
                one.error = error
        done = [one for one, _ in self.growing if one.reply is not None or one.error is not None]
        self.growing = [(one, growing) for one, growing in self.growing if one.reply is None and one.error is None]
        if done:
            yield done

    def one_by_one(self, some: Sequence[Asked[T]]) -> Iterator[list[Asked[T]]]:
        """Each asked alone."""
        for one in some:
            assert one.prepared is not None
            start = time.perf_counter()
            try:
                (one.reply,) = self.engine.answer([one.prepared.request])
            except Exception as error:
                one.error = error
            one.seconds = time.perf_counter() - start
            yield [one]


class Failures:
    """Counts the questions of a run that failed; ``kept`` is where its answers are."""

    def __init__(self, kept: Path):
        self.kept, self.count, self.in_a_row = kept, 0, 0

    def note(self, which: str, error: str | None) -> None:
        """Take note of a question that has ended. Raises ``DataError`` after MOST_FAILURES failures in a row."""
        self.count += error is not None
        self.in_a_row = 0 if error is None else self.in_a_row + 1
        if self.in_a_row >= MOST_FAILURES:
            raise DataError(f"{self.in_a_row} questions in a row failed, the last ({which}) with {error}; {self.kept} "
                            "keeps what was answered")  # fmt: skip


def described(error: Exception) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
