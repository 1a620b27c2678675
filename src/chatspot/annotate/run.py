"""Ask the question about every region that has no answer yet, a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from chatspot.annotate.journal import Given, Journal, key_of
from chatspot.data.faults import Faults
from chatspot.data.records import Record, RegionRecord
from chatspot.engine.interface import Engine, Reply, Request
from chatspot.errors import DataError, EngineError, ImageError
from chatspot.images import open_image
from chatspot.messages import Conversation, Style, ask

BATCH = 16
MOST_FAILURES = 16  # so many in a row mean that the engine is broken, not the questions


@dataclass(frozen=True)
class Asking:
    """What is asked about each region; ``{region}`` is its place in the question."""

    question: str
    style: Style = "short"
    max_new_tokens: int = 64


@dataclass(frozen=True)
class Outcome:
    """How a run ended: regions ``asked`` now, those that were ``there``, those that ``failed``, and those of pictures
    that could not be opened, ``skipped``."""

    asked: int
    there: int
    failed: int
    skipped: int


@dataclass(frozen=True)
class Waiting:
    """A region without an answer."""

    image: str
    region: RegionRecord


def name_below(path: Path, folder: Path) -> str:
    """The picture's path below the folder, with forward slashes; its whole path where it lies elsewhere."""
    found, home = path.resolve(), folder.resolve()
    return found.relative_to(home).as_posix() if found.is_relative_to(home) else found.as_posix()


def annotate(
    engine: Engine,
    records: Sequence[Record],
    folder: Path,
    asking: Asking,
    journal: Journal,
    faults: Faults,
    *,
    batch: int = BATCH,
    advance: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Answer what the journal lacks, batch by batch. ``advance`` is told of regions that are done.

    A picture that cannot be opened is a fault, and its regions are skipped. A question that the engine cannot answer is
    kept with its error and asked again by the next run. Raises ``DataError`` after MOST_FAILURES failures in a row, and
    ``EngineError`` when a remote model does not answer at all.
    """
    asked = there = failed = skipped = in_a_row = 0
    waiting: list[tuple[Waiting, Image.Image]] = []

    def flush() -> None:
        nonlocal asked, failed, in_a_row
        if not waiting:
            return
        replies = answered(engine, [request(asking, one, image) for one, image in waiting])
        answers = [given(one, reply) for (one, _), reply in zip(waiting, replies, strict=True)]
        waiting.clear()
        journal.add(answers)
        asked += len(answers)
        for one in answers:
            failed, in_a_row = failed + (one.error is not None), in_a_row + 1 if one.error else 0
            if in_a_row >= MOST_FAILURES:
                raise DataError(f"{in_a_row} questions in a row failed, the last (a region of {one.image}) with "
                                f"{one.error}; {journal.file} keeps what was answered")  # fmt: skip
        advance(len(answers))

    for record in records:
        new = list(without_answer(record, name_below(record.image, folder), journal))
        old = sum(region.askable for region in record.regions) - len(new)
        there += old
        advance(old)
        if not new:
            continue
        try:
            image = open_image(record.image)
        except ImageError as error:
            faults.add("corrupt picture", name_below(record.image, folder), str(error))
            skipped += len(new)
            advance(len(new))
            continue
        for region in new:
            waiting.append((region, image))
            if len(waiting) == batch:
                flush()
    flush()
    return Outcome(asked, there, failed, skipped)


def without_answer(record: Record, image: str, journal: Journal) -> Iterator[Waiting]:
    """The regions of a picture that may be asked about and were not; a region that is named twice is asked once."""
    seen = set(journal.given)
    for region in record.regions:
        key = key_of(image, region.region.to_json())
        if region.askable and key not in seen:
            seen.add(key)
            yield Waiting(image, region)


def request(asking: Asking, waiting: Waiting, image: Image.Image) -> Request:
    """What the engine is given."""
    message = ask(asking.question, waiting.region.region, style=asking.style)
    return Request(Conversation((message,)), (image,), asking.max_new_tokens)


def answered(engine: Engine, requests: Sequence[Request]) -> list[Reply | str]:
    """A reply, or an error in words, for each. When the batch fails as a whole, each is asked alone to find the fault.
    A remote model that cannot be had fails them all, so its ``EngineError`` is raised."""
    try:
        return list(engine.answer(requests))
    except Exception:
        return [alone(engine, one) for one in requests]


def alone(engine: Engine, request: Request) -> Reply | str:
    """The reply to one request, or an error in words."""
    try:
        return engine.answer([request])[0]
    except Exception as error:
        if isinstance(error, EngineError) and error.fault != "refused":
            raise
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def given(waiting: Waiting, reply: Reply | str) -> Given:
    """What is kept of a reply. Confidence as in ``spot.Answer``: the geometric mean of the tokens' probabilities."""
    region = waiting.region.region.to_json()
    if isinstance(reply, str):
        return Given(waiting.image, region, error=reply)
    confidence = None
    if reply.logprob is not None and reply.token_ids:
        confidence = round(math.exp(reply.logprob / len(reply.token_ids)), 4)
    return Given(waiting.image, region, " ".join(reply.text.split()), confidence, reply.finish)
