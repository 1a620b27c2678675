"""One request to ``/v1/chat/completions``, from its first byte to the last one of its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from chatspot.engine import Reply
from chatspot.serve.answers import DONE, Completion, event, token_counts
from chatspot.serve.body import Body, refuse
from chatspot.serve.reading import Asked
from chatspot.serve.refusals import ClientGone, Refusal, as_json
from chatspot.serve.scheduler import Event, Job, Scheduler
from chatspot.serve.service import Service
from chatspot.serve.stops import Stops

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # or nginx collects the pieces
]


class Exchange(Response):
    """A response that reads its request itself, so that limits hold from the first byte on and all that was taken is
    given back at one place."""

    def __init__(self, service: Service):
        self.service, self.limits = service, service.settings.limits
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(scope, receive, self.limits)
        try:
            await self.answer(body, scope, receive, send)
        except Refusal as refusal:
            await refuse(refusal, body, scope, self.patient(send))

    async def answer(self, body: Body, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, compute, write."""
        started = time.monotonic()
        engine, scheduler = self.service.check_ready()
        with self.service.admission.visit() as visit:
            asked = await self.service.read(engine, await body.read(visit), visit)
            stops = Stops(asked.chat.stop) if asked.chat.stop else None
            job = Job(asked.prepared, bool(asked.chat.stream), started + self.limits.answer_s, stops)
            async with submitted(job, scheduler, body) as jobs:
                first = await next_event(job)
                self.service.metrics.first_token.observe(time.monotonic() - started)
                completion = Completion(asked, engine.name)
                if isinstance(first, Reply) and not job.streaming:
                    others = await self.others(asked, jobs, scheduler)
                    self.count(first, asked, started)
                    whole = Response(as_json(completion.whole(first, others)), media_type="application/json")
                    await whole(scope, receive, self.patient(send))
                else:
                    await self.stream(first, jobs, scheduler, completion, started, self.patient(send))

    async def others(self, asked: Asked, jobs: list[Job], scheduler: Scheduler) -> list[Reply]:
        """The replies about moved regions, computed together once the answer is there: what all of them see is kept by
        then, and nobody waits longer for the answer's first token."""
        if not asked.beside:
            return []
        stop, deadline = asked.chat.stop, jobs[0].deadline
        ready = await self.service.prepare(scheduler.engine, asked.beside)
        beside = [Job(one, False, deadline, Stops(stop) if stop else None) for one in ready]
        jobs += beside
        for each in beside:
            scheduler.submit(each)
        found = [await next_event(each) for each in beside]
        return [reply for reply in found if isinstance(reply, Reply)]

    async def stream(
        self, first: str | Reply, jobs: list[Job], scheduler: Scheduler, completion: Completion, started: float,
        send: Send,
    ) -> None:  # fmt: skip
        """The answer as events. What goes wrong from here on is an event too, for the status is sent."""
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        await send({"type": "http.response.body", "body": completion.first_event(), "more_body": True})
        found = first
        try:
            while not isinstance(found, Reply):
                piece = completion.piece_event(found)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                found = await next_event(jobs[0])
            others = await self.others(completion.asked, jobs, scheduler)
            self.count(found, completion.asked, started)
            last = completion.last_events(found, others)
        except Refusal as refusal:
            last = event(refusal.to_json()) + DONE
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def count(self, reply: Reply, asked: Asked, started: float) -> None:
        """Count an answer that is complete."""
        metrics = self.service.metrics
        metrics.answer.observe(time.monotonic() - started)
        read, written = token_counts(asked, reply)
        metrics.prompt_tokens += read
        metrics.answer_tokens += written

    def patient(self, send: Send) -> Send:
        """``send`` for a client that takes what it is sent; one that does not, counts as gone."""

        async def within(message: Message) -> None:
            try:
                async with asyncio.timeout(self.limits.write_s):
                    await send(message)
            except TimeoutError as error:
                raise ClientGone from error

        return within


@asynccontextmanager
async def submitted(job: Job, scheduler: Scheduler, body: Body) -> AsyncIterator[list[Job]]:
    """The job with the scheduler, for as long as the client is there, in a list that takes further ones."""
    jobs = [job]

    async def watch() -> None:
        await body.until_gone()
        for each in jobs:
            each.events.put_nowait(ClientGone())

    watching = asyncio.create_task(watch())
    scheduler.submit(job)
    try:
        yield jobs
    finally:
        for each in jobs:
            scheduler.cancel(each)
        watching.cancel()


async def next_event(job: Job) -> str | Reply:
    """What comes next of a job; its refusal, or its client's leaving, is raised."""
    found: Event = await job.events.get()
    if not isinstance(found, (Refusal, ClientGone)):
        return found
    try:
        raise found
    finally:
        del found  # an error in its own frame would keep the request's pictures until Python looks for such circles
