"""The server's state: the model from loading to ready or failed, who is inside, and whether it is closing."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Literal, TypeAlias

from chatspot.engine import Engine, Prepared, Request
from chatspot.serve.admission import Admission, Visit
from chatspot.serve.limits import RETRY_LOADING_S, Limits
from chatspot.serve.metrics import Metrics
from chatspot.serve.reading import Asked, asked, prepared, read_request
from chatspot.serve.refusals import Refusal
from chatspot.serve.scheduler import Scheduler

State: TypeAlias = Literal["loading", "ready", "failed", "closing"]

ALIAS = "chatspot"  # a name for whatever model there is
PREPARING = 2  # threads that draw views; one large picture with many regions may take seconds, and not hold up others

log = logging.getLogger("chatspot.serve")


@dataclass(frozen=True)
class Settings:
    """How a server is set up. ``hosts`` are the names under which it may be asked, None for any."""

    limits: Limits = field(default_factory=Limits)
    api_key: str | None = None
    region_text: bool = True
    hosts: frozenset[str] | None = None


class Service:
    """``open_engine`` opens the model; it is called in a thread of its own once the server runs."""

    def __init__(self, open_engine: Callable[[], Engine], settings: Settings):
        self.open_engine, self.settings = open_engine, settings
        self.admission, self.metrics = Admission(settings.limits), Metrics()
        self.engine: Engine | None = None
        self.scheduler: Scheduler | None = None
        self.failed = False
        self.created = 0
        self.closing_since: float | None = None
        self.stopped = False
        # One thread: pictures are decoded within bounds of memory, and warnings are switched for the whole process.
        self.reading = ThreadPoolExecutor(1, "reading")
        self.preparing = ThreadPoolExecutor(PREPARING, "preparing")

    @property
    def state(self) -> State:
        """Where the server stands."""
        if self.closing_since is not None:
            return "closing"
        return "failed" if self.failed else "ready" if self.engine else "loading"

    def start(self) -> None:
        """Begin to open the model. Called in the event loop."""
        Thread(target=self.load, args=(asyncio.get_running_loop(),), name="loading", daemon=True).start()

    def load(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the model, in a thread of its own."""
        try:
            engine: Engine | None = self.open_engine()
        except Exception as error:
            log.error("the model cannot be opened: %s", error)
            engine = None
        try:
            loop.call_soon_threadsafe(self.opened, engine, loop)
        except RuntimeError:  # the server was stopped meanwhile
            log.info("the model was opened after the server had stopped")

    def opened(self, engine: Engine | None, loop: asyncio.AbstractEventLoop) -> None:
        """The model is there, or will never be."""
        if engine is None:
            self.failed = True
        elif not self.stopped:
            self.engine, self.created = engine, int(time.time())
            self.scheduler = Scheduler(engine, self.settings.limits.batch, loop)

    def check_ready(self) -> tuple[Engine, Scheduler]:
        """What answers; a refusal with 503 while nothing does."""
        state = self.state
        if state == "closing":
            raise Refusal(503, "shutting_down", "the server is being stopped", retry_after_s=RETRY_LOADING_S)
        if state == "failed":
            raise Refusal(503, "model_failed", "the model could not be opened; the server's log says why")
        if self.engine is None or self.scheduler is None:
            raise Refusal(503, "model_loading", "the model is being opened", retry_after_s=RETRY_LOADING_S)
        return self.engine, self.scheduler

    def check_key(self, authorization: str) -> None:
        """A refusal with 401 when a key is needed and this is not it."""
        key = self.settings.api_key
        if key is not None and not hmac.compare_digest(authorization.encode(), f"Bearer {key}".encode()):
            raise Refusal(401, "invalid_api_key", "the API key is missing or wrong; send Authorization: Bearer KEY")

    async def read(self, engine: Engine, body: bytes, visit: Visit) -> Asked:
        """The request in a body, ready to be computed; see ``reading``."""
        loop = asyncio.get_running_loop()
        understood = await loop.run_in_executor(
            self.reading, read_request, body, self.names, self.settings.limits, self.settings.region_text, visit.hold
        )
        return await loop.run_in_executor(self.preparing, asked, engine, understood)

    async def prepare(self, engine: Engine, requests: Sequence[Request]) -> list[Prepared]:
        """Further requests about pictures that were read, ready to be computed; a closing server still takes them."""
        return await asyncio.get_running_loop().run_in_executor(self.preparing, prepared, engine, requests)

    @property
    def names(self) -> tuple[str, ...]:
        """Under which names the model is asked."""
        return (self.engine.name, ALIAS) if self.engine else ()

    def model_card(self) -> dict[str, Any]:
        """The model, as ``/v1/models`` lists it."""
        engine, _ = self.check_ready()
        return {"id": engine.name, "object": "model", "created": self.created, "owned_by": "chatspot"}

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Values of this moment, for ``/metrics``."""
        running, waiting = (len(self.scheduler.running), len(self.scheduler.waiting)) if self.scheduler else (0, 0)
        return {
            "ready": ("Whether requests are answered.", self.state == "ready"),
            "requests_inside": ("Requests being read, waiting, computed or written.", self.admission.inside),
            "answers_running": ("Answers that grow.", running),
            "answers_waiting": ("Requests that wait for room.", waiting),
            "held_bytes": ("Bytes held for bodies and pictures.", self.admission.held),
        }

    def close(self) -> None:
        """Let nobody in any more; those inside are answered. Safe in a signal handler."""
        if self.closing_since is None:
            self.closing_since = time.monotonic()

    def hurry(self) -> None:
        """Wait for those inside no longer. Safe in a signal handler."""
        self.closing_since = -math.inf

    @property
    def may_leave(self) -> bool:
        """Whether a closing server has answered everybody, or has waited long enough."""
        if self.closing_since is None:
            return False
        return not self.admission.inside or time.monotonic() > self.closing_since + self.settings.limits.grace_s

    def stop(self) -> None:
        """End what still runs."""
        self.stopped = True
        for threads in (self.reading, self.preparing):
            threads.shutdown(wait=False, cancel_futures=True)
        if self.scheduler is not None:
            self.scheduler.stop()
