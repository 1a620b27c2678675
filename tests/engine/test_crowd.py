"""Every item comes back once, whatever breaks: pictures, prompts, single answers or the whole batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.engine.crowd import MOST_FAILURES, Asked, Failures, answered
from chatspot.engine.interface import Prepared, Reply, Request
from chatspot.errors import DataError, EngineError
from chatspot.messages import Conversation, ask

ROOM = 5  # answers that fit into a batch


@dataclass(frozen=True)
class Fate:
    """What happens to an item: its answer takes ``steps``, or it fails at a stage."""

    steps: int = 0
    fails: str = ""


@dataclass
class Growing:
    """An answer that ends after some steps, maybe without a reply."""

    fate: Fate
    left: int

    @property
    def reply(self) -> Reply | None:
        if self.fate.fails == "reply":
            raise EngineError("refused", "no")
        return None if self.left > 0 else Reply(str(self.fate.steps), (1,), -0.5, "end")

    def read(self) -> str:
        return ""


class Batch:
    """At most ROOM answers; an item may break it when it joins, or at every step while it is there."""

    def __init__(self) -> None:
        self.growing: list[Growing] = []

    def __len__(self) -> int:
        return len(self.growing)

    def has_room(self, *prepared: Prepared) -> bool:
        return len(self) + len(prepared) <= ROOM

    def join(self, prepared: Sequence[Prepared]) -> list[Growing]:
        joined = [Growing(one.prompt.fate, one.prompt.fate.steps) for one in prepared]
        if any(one.fate.fails == "join" for one in joined):
            raise RuntimeError("cannot join")
        self.growing += [one for one in joined if one.left]
        return joined

    def step(self) -> None:
        if any(one.fate.fails == "step" for one in self.growing):
            raise RuntimeError("cannot go on")
        for one in self.growing:
            one.left -= 1
        self.growing = [one for one in self.growing if one.left]

    def leave(self, gone: Collection[Growing]) -> None:
        raise AssertionError("nobody is sent away")


@dataclass(frozen=True)
class Prompt:
    """A prompt whose length differs with the item."""

    fate: Fate

    @property
    def ids(self) -> tuple[int, ...]:
        return (1,) * self.fate.steps


class Engine:
    """Does with each request what its fate says."""

    name, settings = "fateful", None

    def __init__(self, device: str, fates: Sequence[Fate]):
        self.device, self.fates = device, fates

    def request(self, number: int) -> Request:
        if self.fates[number].fails == "request":
            raise OSError("no picture")
        return Request(Conversation((ask(str(number), images=0),)), ())

    def prepare(self, request: Request) -> Prepared:
        fate = self.fates[int(request.conversation.messages[-1].text)]
        if fate.fails == "prepare":
            raise ValueError("too long")
        return Prepared(request, Prompt(fate), 8)

    def batch(self) -> Batch:
        return Batch()

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        prompts = [self.prepare(request).prompt for request in requests]
        if any(prompt.fate.fails for prompt in prompts):
            raise RuntimeError("cannot\nanswer")
        return [Reply(str(prompt.fate.steps), (1,), -0.5, "end") for prompt in prompts]


FATES = st.builds(Fate, st.integers(0, 4), st.sampled_from(["", "", "", "request", "prepare", "join", "reply"]))
BREAKING = st.builds(Fate, st.integers(1, 4), st.just("step"))


@settings(deadline=None, max_examples=150)
@given(
    fates=st.lists(st.one_of(FATES, BREAKING), max_size=30),
    most=st.integers(1, 9),
    ahead=st.integers(1, 9),
    device=st.sampled_from(["cpu", "remote"]),
)
def test_every_item_comes_back_once(fates: list[Fate], most: int, ahead: int, device: str):
    engine = Engine(device, fates)
    found: list[Asked[int]] = []
    with closing(answered(engine, range(len(fates)), engine.request, most=most, ahead=ahead)) as coming:
        for some in coming:
            assert some
            found += some
    assert sorted(one.item for one in found) == list(range(len(fates)))
    for one in found:
        fate = fates[one.item]
        assert (one.reply is None) is (one.error is not None) is bool(fate.fails), fate
        assert one.reply is None or one.reply.text == str(fate.steps)


def test_who_stops_early_leaves_the_rest_unasked():
    drawn = []

    def items():
        for number in range(1000):
            drawn.append(number)
            yield number

    engine = Engine("cpu", [Fate(1)] * 1000)
    with closing(answered(engine, items(), engine.request, most=4, ahead=2)) as coming:
        next(coming)
    assert len(drawn) < 20


def test_failures_in_a_row_end_a_run(tmp_path):
    failures = Failures(tmp_path / "kept")
    for error in (*["x"] * (MOST_FAILURES - 1), None, *["x"] * (MOST_FAILURES - 1)):
        failures.note("a", error)
    assert failures.count == 2 * MOST_FAILURES - 2
    with pytest.raises(DataError, match=rf"{MOST_FAILURES} questions in a row failed, the last \(b\) with y; .*kept"):
        failures.note("b", "y")
