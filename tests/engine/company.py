"""Requests that are answered beside each other, and the check that company changes no answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.engine import Growing, Reply, Request
from chatspot.engine.local_engine import LocalEngine
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.regions import Box, Point, Polygon

BOX = Box.from_normalized(0.1, 0.2, 0.6, 0.9)


def requests(image: Image.Image, other: Image.Image, longest: int = 14) -> list[Request]:
    """Prompts and answers of many lengths, about no picture to two, some of which begin alike."""
    talk = Conversation(
        (ask("What?", BOX), Message("assistant", (TextPart("a red thing"),)), ask("And now?", BOX, images=0))
    )
    two = Conversation((ask("Which is brighter, {region} or the other?", BOX, images=2, image=1),))
    outline = Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.5, 0.8)])
    return [
        Request(Conversation((ask("Hello?", images=0),)), (), 9),
        Request(Conversation((ask("What is this?"),)), (image,), 1),
        Request(Conversation((ask("What is this?" * 9, BOX),)), (other,), 14),
        Request(talk, (image,), 5),
        Request(two, (image, other), longest),
        Request(Conversation((ask("?", Point.from_normalized(0.7, 0.3)),)), (image,), 2),
        Request(Conversation((ask("?", outline),)), (image,), 11),
    ]


def same(found: Reply | None, wanted: Reply) -> bool:
    """Whether two replies differ by rounding alone."""
    assert found is not None
    return (found.token_ids, found.text, found.finish) == (wanted.token_ids, wanted.text, wanted.finish) and (
        found.logprob == pytest.approx(wanted.logprob, abs=1e-3)
    )


def check_any_company(engine: LocalEngine, wanted: Sequence[Request], kept_bytes: Sequence[int], examples: int) -> None:
    """Let requests join and leave a batch at any step: every answer is the one that its request has alone, however much
    of ``kept_bytes`` is kept of what was read."""
    alone = [engine.answer([one])[0] for one in wanted]

    @given(data=st.data())
    @settings(deadline=None, max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def in_company(data: st.DataObject) -> None:
        engine.beginnings.most_bytes = data.draw(st.sampled_from(kept_bytes))
        batch, growing, left = engine.batch(), dict[int, Growing](), set[int]()
        waiting = data.draw(st.permutations(range(len(wanted))))
        while waiting or len(batch):
            some = data.draw(st.integers(0 if len(batch) else 1, len(waiting))) if waiting else 0
            joining, waiting = waiting[:some], waiting[some:]
            if joining:
                prepared = [engine.prepare(wanted[number]) for number in joining]
                growing.update(zip(joining, batch.join(prepared), strict=True))
            running = [number for number, answer in growing.items() if answer.reply is None and number not in left]
            if running and data.draw(st.integers(0, 5)) == 0:
                left.add(running[0])
                batch.leave([growing[running[0]]])
            for _ in range(data.draw(st.integers(0, 4)) if waiting else 99):
                batch.step()
        for number, answer in growing.items():
            assert answer.reply is None if number in left else same(answer.reply, alone[number])

    in_company()
