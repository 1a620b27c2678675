"""One thread that owns the engine's running batch: lets requests in as there is room, and hands out what comes.

The event loop submits jobs and cancels them; the thread answers through ``Job.events``, in the loop. A job's last event
is its ``Reply``, or the ``Refusal`` that ended it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import TypeAlias

from chatspot.engine import Engine, Growing, Prepared, Reply
from chatspot.errors import EngineError
from chatspot.serve.limits import PREFILL_TOKENS
from chatspot.serve.memory import GivingBack
from chatspot.serve.refusals import ClientGone, Refusal, remote_refusal
from chatspot.serve.stops import Stops

Event: TypeAlias = str | Reply | Refusal | ClientGone

log = logging.getLogger("chatspot.serve")


@dataclass(eq=False)
class Job:
    """A request to compute until ``deadline`` (of time.monotonic). ``streaming``: pieces of text are wanted too.
    ``stops`` are the texts that end the answer."""

    prepared: Prepared
    streaming: bool
    deadline: float
    stops: Stops | None = None
    tokens: int = 0  # about so many came
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    cancelled: bool = False


class Scheduler:
    """At most ``most_rows`` answers grow at a time; the others wait in the order in which they came."""

    def __init__(self, engine: Engine, most_rows: int, loop: asyncio.AbstractEventLoop):
        self.engine, self.most_rows, self.loop = engine, most_rows, loop
        self.batch = engine.batch()
        self.waiting: deque[Job] = deque()
        self.running: dict[Job, Growing] = {}
        self.changed = Condition()
        self.stopping = False
        self.out: list[tuple[Job, Event]] = []
        self.thread = Thread(target=self.work, name="engine", daemon=True)
        self.thread.start()

    def submit(self, job: Job) -> None:
        """Take a job. One that comes after ``stop`` is told so at once."""
        with self.changed:
            if not self.stopping:
                self.waiting.append(job)
                self.changed.notify()
                return
        job.events.put_nowait(Refusal(503, "shutting_down", "the server is being stopped"))

    def cancel(self, job: Job) -> None:
        """Nobody waits for this job any more."""
        job.cancelled = True

    def stop(self) -> None:
        """End all jobs now, and the thread."""
        with self.changed:
            self.stopping = True
            self.changed.notify()
        self.thread.join()

    def work(self) -> None:
        """The thread: one round a token."""
        give_back = GivingBack()
        while True:
            with self.changed:
                while not (self.waiting or self.running or self.stopping):
                    self.changed.wait()
            if self.stopping:
                self.end(Refusal(503, "shutting_down", "the server is being stopped"))
                return
            self.drop_the_gone_and_the_late()
            self.let_in()
            self.step()
            self.hand_out()
            give_back()

    def drop_the_gone_and_the_late(self) -> None:
        """Jobs that nobody waits for leave, and jobs whose time is over are told so."""
        now = time.monotonic()
        with self.changed:
            late = [job for job in (*self.waiting, *self.running) if job.deadline < now and not job.cancelled]
            gone = {job for job in (*self.waiting, *self.running) if job.cancelled or job.deadline < now}
            if not gone:
                return
            self.waiting = deque(job for job in self.waiting if job not in gone)
        self.batch.leave([self.running.pop(job) for job in gone if job in self.running])
        self.out += [(job, Refusal(504, "timeout", "the answer took too long")) for job in late]

    def let_in(self) -> None:
        """Waiting jobs join together while there is room, in their order, at most PREFILL_TOKENS tokens (or one job).
        Where the engine cannot compute them together, each joins by itself, so that one fails alone."""
        jobs: list[Job] = []
        tokens = 0
        while self.waiting and len(self.running) + len(jobs) < self.most_rows:
            job = self.waiting[0]
            tokens += job.prepared.prompt_tokens
            if (jobs and tokens > PREFILL_TOKENS) or not self.batch.has_room(*(one.prepared for one in (*jobs, job))):
                break
            with self.changed:
                jobs.append(self.waiting.popleft())
        if jobs and not self.joined(jobs, last_try=len(jobs) == 1):
            for job in jobs:
                self.joined([job], last_try=True)

    def joined(self, jobs: list[Job], *, last_try: bool) -> bool:
        """Let these jobs join; whether they could. At the ``last_try`` they are refused where they could not."""
        try:
            growing = self.batch.join([job.prepared for job in jobs])
        except Exception:
            if last_try:
                log.exception("a request could not be computed")
                refusal = Refusal(500, "internal_error", "the request could not be computed")
                self.out += [(job, refusal) for job in jobs]
            return False
        self.running.update(zip(jobs, growing, strict=True))
        for job, answer in zip(jobs, growing, strict=True):
            self.report(job, answer)
        return True

    def step(self) -> None:
        """The next token of all that run. Where that fails, they fail, and the next jobs find an empty batch."""
        before = dict(self.running)
        try:
            self.batch.step()
        except Exception:
            log.exception("a batch could not be computed")
            self.end(Refusal(500, "internal_error", "the answer could not be computed"), waiting=False)
            self.batch = self.engine.batch()
            return
        for job, growing in before.items():
            self.report(job, growing)

    def report(self, job: Job, growing: Growing) -> None:
        """Note what a job has come to."""
        try:
            reply = growing.reply
        except EngineError as error:
            log.warning("a request was not answered: %s", error)
            del self.running[job]
            self.out.append((job, remote_refusal(error)))
            return
        piece = growing.read() if job.streaming or job.stops else ""
        job.tokens += 1
        if job.stops:
            piece = job.stops.take(piece, ended=reply is not None)
            if job.stops.met:
                if reply is None:
                    self.batch.leave([growing])
                reply = Reply(job.stops.text, (), None, "end", (job.prepared.prompt_tokens, job.tokens))
        if piece and job.streaming:
            self.out.append((job, piece))
        if reply is not None:
            del self.running[job]
            self.out.append((job, reply))

    def end(self, refusal: Refusal, *, waiting: bool = True) -> None:
        """End the running jobs, and those that wait."""
        self.out += [(job, refusal) for job in self.running]
        self.running.clear()
        if waiting:
            with self.changed:
                self.out += [(job, refusal) for job in self.waiting]
                self.waiting.clear()
        self.hand_out()

    def hand_out(self) -> None:
        """Give what came to the event loop, at once."""
        if self.out:
            self.loop.call_soon_threadsafe(deliver, self.out)
            self.out = []


def deliver(out: list[tuple[Job, Event]]) -> None:
    """In the event loop: each event to its job."""
    for job, event in out:
        job.events.put_nowait(event)
