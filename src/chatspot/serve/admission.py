"""Who may come in: so many requests at once, and so many bytes held for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from chatspot.serve.limits import RETRY_BUSY_S, Limits
from chatspot.serve.refusals import Refusal


class Visit:
    """A request that is inside. Safe under threads."""

    def __init__(self, admission: Admission):
        self.admission, self.held = admission, 0

    def hold(self, count: int) -> None:
        """Count ``count`` further bytes; a refusal with 429 when all requests together would hold too many."""
        self.admission.count(count)
        self.held += count

    def let_go(self) -> None:
        """Count no byte any more."""
        self.admission.count(-self.held)
        self.held = 0


class Admission:
    """``inside`` requests and the bytes ``held`` for them."""

    def __init__(self, limits: Limits):
        self.limits, self.inside, self.held = limits, 0, 0
        self.lock = Lock()

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """A request comes in and leaves; a refusal with 429 when there are too many."""
        most = self.limits.batch + self.limits.queue
        with self.lock:
            if self.inside >= most:
                raise Refusal(429, "queue_full", f"{most} requests are being answered or wait; try again later",
                              retry_after_s=RETRY_BUSY_S)  # fmt: skip
            self.inside += 1
        visit = Visit(self)
        try:
            yield visit
        finally:
            visit.let_go()
            with self.lock:
                self.inside -= 1

    def count(self, change: int) -> None:
        """Change the bytes held."""
        with self.lock:
            if change > 0 and self.held + change > self.limits.held_bytes:
                raise Refusal(429, "memory_full", "the pictures of other requests fill the memory set aside; try again "
                              "later, or send a smaller picture", retry_after_s=RETRY_BUSY_S)  # fmt: skip
            self.held += change
