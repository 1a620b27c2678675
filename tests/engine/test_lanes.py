"""Rows that begin alike: found, read once, and answered as they are alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chatspot.engine import Request
from chatspot.engine.kept import KeptBeginnings
from chatspot.engine.torch_engine import TorchEngine
from chatspot.engine.torch_lanes import Shared, numbered, read_together, shared_beginnings
from chatspot.messages import Conversation, ask
from chatspot.regions import Box, Point


@pytest.mark.parametrize(
    ("rows", "least_saved", "expected"),
    [
        ([[1]], 1, None),
        ([[1], [1]], 1, None),  # no row may be all beginning
        ([[1, 2], [3, 2]], 1, None),
        ([[1, 2], [1, 3]], 1, Shared(1, [0], [0, 0])),
        ([[1, 2], [1, 3]], 2, None),
        ([[1, 2, 3], [1, 2, 3]], 1, Shared(1, [0], [0, 0])),
        ([[1, 2, 9], [4, 5, 9], [1, 2, 8], [4, 5, 8]], 1, Shared(1, [0, 1], [0, 1, 0, 1])),
        ([[1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 5]], 1, Shared(1, [0, 1], [0, 1, 0])),  # beginnings of two lengths
        ([[1, 2, 3], [9, 9, 9, 9], [1, 2, 4]], 1, Shared(1, [0, 1], [0, 1, 0])),
        ([[0, 0], [1, 0], [1, 1], [1, 0, 0, 0]], 0, Shared(1, [0, 1, 3], [0, 1, 1, 2])),  # a longer one between them
    ],
)
def test_the_beginnings_that_save_most_are_found(rows, least_saved, expected):
    assert shared_beginnings(rows, least_saved) == expected


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=8), st.integers(0, 4))
def test_a_beginning_and_what_is_left_are_the_whole_row(rows, least_saved):
    shared = shared_beginnings(rows, least_saved)
    saved = 0
    if shared is not None:
        beginnings = [rows[row][: -shared.own] for row in shared.first]
        assert all(beginnings)
        assert [beginnings[shared.of[at]] + row[-shared.own :] for at, row in enumerate(rows)] == rows
        saved = sum(map(len, rows)) - shared.own * len(rows) - sum(map(len, beginnings))
        assert saved >= max(least_saved, 1)
    for own in range(1, min(map(len, rows))):  # nothing saves more
        tried = {tuple(row[:-own]) for row in rows}
        other = sum(map(len, rows)) - own * len(rows) - sum(map(len, tried))
        assert other <= saved or other < max(least_saved, 1)


def test_rows_that_share_their_beginning_are_answered_as_alone(engine: TorchEngine, image, other_image):
    """Two pictures, questions of several lengths, in one batch: the picture's tokens are read once for each."""
    boxes = [Box.from_normalized(x, 0.1, x + 0.3, 0.9) for x in (0.0, 0.2, 0.4, 0.6)]
    asked = [(image, "What is this?", box) for box in boxes]
    asked += [(other_image, "What is this?", Point.from_normalized(0.3, y)) for y in (0.2, 0.7)]
    asked += [(image, "What?", boxes[0])]
    requests = [Request(Conversation((ask(text, region),)), (picture,), 8) for picture, text, region in asked]
    engine.beginnings = KeptBeginnings(0)
    alone = [engine.answer([request])[0] for request in requests]
    read: list[int] = []
    hook = engine.model.model.language_model.register_forward_pre_hook(
        lambda module, given, named: read.append(named["inputs_embeds"].shape[:2].numel()), with_kwargs=True
    )
    engine.pass_tokens = engine.least_shared = 10**6
    apart, tokens_apart = engine.answer(requests), read[0]
    read.clear()
    engine.least_shared = 1
    together, tokens_together = engine.answer(requests), sum(read[:2])
    hook.remove()
    assert tokens_together < 0.8 * tokens_apart
    for one, other, third in zip(alone, apart, together, strict=True):
        assert one.token_ids == other.token_ids == third.token_ids
        assert third.logprob == pytest.approx(one.logprob, rel=1e-4)


def test_a_row_is_not_given_the_beginning_of_another_picture(engine: TorchEngine, image: Image.Image, other_image):
    """Words and ids are equal, only the picture differs: nothing is shared."""
    box = Box.from_normalized(0.1, 0.1, 0.5, 0.5)
    requests = [Request(Conversation((ask("What is this?", box),)), (picture,), 4) for picture in (image, other_image)]
    prompts = [engine.prepare(request).prompt for request in requests]
    assert prompts[0].ids == prompts[1].ids
    first, second = numbered([engine.row(prompt) for prompt in prompts])
    start = first.index(-1)
    assert first[:start] == second[:start]
    assert second[start] != first[start]
    assert len(set(first) - set(prompts[0].ids)) == 2  # the picture and the focal view


@given(st.lists(st.integers(1, 300), max_size=7), st.integers(0, 300))
def test_prompts_are_read_in_the_groups_that_cost_least(lengths, pass_tokens):
    def cost(groups):
        return sum(pass_tokens + len(group) * max(lengths[number] for number in group) for group in groups)

    groups = read_together(lengths, pass_tokens)
    assert sorted(number for group in groups for number in group) == list(range(len(lengths)))
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    for cuts in range(2 ** max(len(order) - 1, 0)):  # every way to cut the ordered lengths
        tried = [order[:1]] if order else []
        for at, number in enumerate(order[1:]):
            if cuts >> at & 1:
                tried.append([])
            tried[-1] = [*tried[-1], number]
        assert cost(groups) <= cost(tried)
