"""Ask the question about every region that has no answer yet, many side by side (``engine.crowd``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from chatspot.annotate.journal import Given, Journal, key_of
from chatspot.data.faults import Faults
from chatspot.data.records import Record, RegionRecord
from chatspot.engine.crowd import Asked, Failures, answered, described
from chatspot.engine.interface import Engine, Request
from chatspot.errors import EngineError, ImageError
from chatspot.images import open_image
from chatspot.messages import Conversation, Style, ask

BATCH = 16
AHEAD = 4  # parts of a batch: so many pictures are open besides those of its own, and they may be large (our choice)


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
    """A region without an answer, of the picture at ``path``, which is named ``image``."""

    path: Path
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
    """Answer what the journal lacks, at most ``batch`` regions side by side. ``advance`` is told of regions that are
    done.

    A picture that cannot be opened is a fault, and its regions are skipped. A question that the engine cannot answer is
    kept with its error and asked again by the next run. Raises ``DataError`` after many failures in a row
    (``engine.crowd.MOST_FAILURES``), and ``EngineError`` when a remote model does not answer at all.
    """
    waiting = list(without_answer(records, folder, journal))
    there = sum(region.askable for record in records for region in record.regions) - len(waiting)
    advance(there)
    asked = skipped = 0
    failures, unopened = Failures(journal.file), set[str]()
    opened = lru_cache(1)(open_image)  # regions of one picture come one after another

    def request(one: Waiting) -> Request:
        message = ask(asking.question, one.region.region, style=asking.style)
        return Request(Conversation((message,)), (opened(one.path),), asking.max_new_tokens)

    with closing(answered(engine, waiting, request, most=batch, ahead=-(-batch // AHEAD))) as coming:
        for some in coming:
            for one in some:
                if isinstance(one.error, ImageError):
                    skipped += 1
                    if one.item.image not in unopened:
                        faults.add("corrupt picture", one.item.image, str(one.error))
                    unopened.add(one.item.image)
            answers = [given(one) for one in some if not isinstance(one.error, ImageError) and not is_away(one.error)]
            journal.add(answers)
            asked += len(answers)
            for one in some:
                if one.error is not None and is_away(one.error):
                    raise one.error
            for answer in answers:
                failures.note(f"a region of {answer.image}", answer.error)
            advance(len(some))
    return Outcome(asked, there, failures.count, skipped)


def without_answer(records: Sequence[Record], folder: Path, journal: Journal) -> Iterator[Waiting]:
    """The regions that may be asked about and were not; a region that is named twice is asked once."""
    seen = set(journal.given)
    for record in records:
        image = name_below(record.image, folder)
        for region in record.regions:
            key = key_of(image, region.region.to_json()) if region.askable else None
            if key is not None and key not in seen:
                seen.add(key)
                yield Waiting(record.image, image, region)


def is_away(error: Exception | None) -> bool:
    """Whether the error says that a remote model cannot be had, so that every further question would fail too."""
    return isinstance(error, EngineError) and error.fault != "refused"


def given(asked: Asked[Waiting]) -> Given:
    """What is kept of an answer."""
    image, region, reply = asked.item.image, asked.item.region.region.to_json(), asked.reply
    if asked.error is not None:
        return Given(image, region, error=described(asked.error))
    assert reply is not None
    confidence = None if reply.confidence is None else round(reply.confidence, 4)
    return Given(image, region, " ".join(reply.text.split()), confidence, reply.finish)
