"""An engine for tests of the page: it answers what the test says, and keeps what it was asked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace

from chatspot.engine import Batch, Growing, Prepared, Reply, Request
from chatspot.engine.calibration import Calibration
from chatspot.messages import RegionPart
from chatspot.prompts import PromptSettings

PIECE_S = 0.01  # between two words


@dataclass
class ToldEngine:
    """Answers with the next of ``answers``, word by word; without one it counts the regions of the question.

    ``asked`` are the requests that came. While ``flowing`` is cleared, answers stop after their first word. Answers are
    as probable as ``logprob`` says, and read by ``calibration``.
    """

    answers: deque[str] = field(default_factory=deque)
    asked: list[Request] = field(default_factory=list)
    flowing: Event = field(default_factory=Event)
    logprob: float = 0.0
    calibration: Calibration | None = None
    name: str = "told"
    device: str = "cpu"
    settings: PromptSettings = field(default_factory=PromptSettings)

    def __post_init__(self) -> None:
        self.flowing.set()

    def prepare(self, request: Request) -> Prepared:
        self.asked.append(request)
        return Prepared(request, SimpleNamespace(ids=[0] * 10), request.max_new_tokens)

    def text_for(self, request: Request) -> str:
        if self.answers:
            return self.answers.popleft()
        regions = [part for part in request.conversation.messages[-1].parts if isinstance(part, RegionPart)]
        return f"regions: {len(regions)}"

    def batch(self) -> Batch:
        return ToldBatch(self)

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        return [Reply(self.text_for(request), (0,), 0.0, "end") for request in requests]

    def stream(self, request: Request) -> Iterator[str]:
        yield self.text_for(request)


@dataclass(eq=False)
class ToldAnswer:
    """An answer that grows by a word at a step."""

    engine: ToldEngine
    words: list[str]
    said: int = 0
    read_until: int = 0

    @property
    def reply(self) -> Reply | None:
        done = self.said == len(self.words)
        ids, engine = tuple(range(len(self.words))), self.engine
        reply = Reply("".join(self.words), ids, engine.logprob, "end", calibration=engine.calibration)
        return reply if done else None

    def read(self) -> str:
        new = "".join(self.words[self.read_until : self.said])
        self.read_until = self.said
        return new


@dataclass
class ToldBatch:
    """Answers that grow together."""

    engine: ToldEngine
    growing: list[ToldAnswer] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.growing)

    def has_room(self, *prepared: Prepared) -> bool:
        return True

    def join(self, prepared: Sequence[Prepared]) -> Sequence[Growing]:
        texts = [self.engine.text_for(entry.request) for entry in prepared]
        words = [[word + " " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]] for text in texts]
        new = [ToldAnswer(self.engine, each) for each in words]
        self.growing += new
        return new

    def step(self) -> None:
        time.sleep(PIECE_S)
        for answer in self.growing:
            if answer.said == 0 or self.engine.flowing.is_set():
                answer.said += 1
        self.growing = [answer for answer in self.growing if answer.reply is None]

    def leave(self, gone: Collection[Growing]) -> None:
        self.growing = [answer for answer in self.growing if answer not in gone]
