"""Conversations without a picture go to the language model as it was before it learnt to look.

Tuning on regions makes a language model forget (the paper, section 5.3). Nano's tuning is a low-rank update, so what it
was before is at hand: an engine over it answers what shows no picture, beside the one that does. Phi-4-Multimodal
(arXiv 2503.01743) keeps its language model the same way. Our choice, see PAPER.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from chatspot.engine.interface import Growing, Prepared
from chatspot.engine.running import GrowingAnswer, RunningBatch

if TYPE_CHECKING:
    from chatspot.engine.local_engine import LocalEngine


class OpenedLater:
    """An engine that is opened when it is first wanted, once. Safe under threads; what opening raises, calling does."""

    def __init__(self, opening: Callable[[], LocalEngine]):
        self.opening = opening
        self.engine: LocalEngine | None = None
        self.lock = threading.Lock()

    def __call__(self) -> LocalEngine:
        """The engine."""
        with self.lock:
            if self.engine is None:
                self.engine = self.opening()
            return self.engine


class RoutedBatch:
    """Two batches as one (``interface.Batch``): answers about pictures grow in one, all others in that of ``texts``,
    whose engine is opened by the first of them. Each keeps within the memory of a batch."""

    def __init__(self, pictures: RunningBatch, texts: OpenedLater):
        self.pictures, self.open_texts = pictures, texts
        self.texts: RunningBatch | None = None

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    @property
    def batches(self) -> list[RunningBatch]:
        """Those that there are."""
        return [self.pictures] if self.texts is None else [self.pictures, self.texts]

    def has_room(self, *prepared: Prepared) -> bool:
        """Whether these requests fit into the memory set aside, each in its batch."""
        seeing, reading = apart(prepared)
        batch = RunningBatch(self.pictures.engine, self.pictures.most_tokens) if self.texts is None else self.texts
        return (not seeing or self.pictures.has_room(*seeing)) and (not reading or batch.has_room(*reading))

    def join(self, prepared: Sequence[Prepared]) -> list[GrowingAnswer]:
        """Each prompt joins its batch; when one cannot, none has."""
        seeing, reading = apart(prepared)
        if reading and self.texts is None:
            engine = self.open_texts()
            self.texts = RunningBatch(engine, engine.running_tokens)
        joined = self.pictures.join(seeing)
        try:
            texts = self.texts.join(reading) if self.texts is not None else []
        except BaseException:
            self.pictures.leave(joined)
            raise
        seen, read = iter(joined), iter(texts)
        return [next(seen if one.request.images else read) for one in prepared]

    def step(self) -> None:
        """A token further with every answer."""
        for batch in self.batches:
            batch.step()

    def leave(self, gone: Collection[Growing]) -> None:
        """Drop these answers' rows."""
        for batch in self.batches:
            batch.leave(gone)


def apart(prepared: Sequence[Prepared]) -> tuple[list[Prepared], list[Prepared]]:
    """Those with a picture, and those without."""
    return [one for one in prepared if one.request.images], [one for one in prepared if not one.request.images]
