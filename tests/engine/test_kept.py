"""What rows have read is kept: the longest beginning is found, bytes are bounded, and answers are those without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.engine import Growing, Reply, Request
from chatspot.engine.kept import KeptBeginnings, Row, alike
from chatspot.engine.torch_engine import TorchEngine
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.regions import Box, Point

BOX, OTHER_BOX = Box.from_normalized(0.1, 0.2, 0.6, 0.9), Box.from_normalized(0.5, 0.1, 0.8, 0.4)


def states(row: Row) -> np.ndarray:
    """States of a row that say what it is: [1, 2, 1, tokens, 1], 8 bytes a token."""
    return np.array([hash(item) % 2**31 for item in row], np.int32)[None, None, None, :, None].repeat(2, axis=1)


def test_alike_counts_to_the_first_difference():
    assert [alike([], [1]), alike([1, 2], [1, 2, 3]), alike([1, 2], [1, 3]), alike([2], [1])] == [0, 2, 1, 0]


@pytest.mark.parametrize(
    ("put", "row", "length"),
    [
        ([], (1, 2), None),
        ([(1, 2)], (), None),
        ([(1, 2)], (2, 1), None),
        ([(1, 2)], (1, 2), 2),
        ([(1, 2)], (1, 2, 3), 2),
        ([(1, 2, 3)], (1, 2), 2),
        ([(1, 2), (1, 2, 3, 4), (1, 9)], (1, 2, 3, 5), 3),
        ([(1, ("a", BOX), ("a", BOX), 2)], (1, ("a", BOX), ("b", BOX), 2), 2),
        ([(1, ("a", None), 2)], (1, ("a", BOX), 2), 1),
        ([(1, ("a", BOX), 2)], (1, ("a", Box.from_normalized(0.1, 0.2, 0.6, 0.9)), 2), 3),
        ([(1, 2, 3), (1, 2)], (1, 2, 3), 3),  # a beginning of what is kept adds nothing
    ],
)
def test_the_longest_beginning_is_found(put: Sequence[Row], row: Row, length: int | None):
    kept = KeptBeginnings(10**6)
    for one in put:
        kept.put(one, states(one))
    found = kept.longest(row)
    assert (None if found is None else found.shape[-2]) == length
    if found is not None:
        np.testing.assert_array_equal(found, states(row[:length]))


def test_what_was_unused_for_longest_goes_first():
    kept = KeptBeginnings(3 * 8 * 3)
    for first in (1, 2, 3):
        kept.put((first, 0, 0), states((first, 0, 0)))
    assert kept.longest((1, 0, 5)) is not None  # now 2 is unused for longest
    kept.put((4, 0, 0), states((4, 0, 0)))
    assert [kept.longest((first,)) is not None for first in (1, 2, 3, 4)] == [True, False, True, True]
    kept.put((1, 0), states((1, 0)))  # is a beginning of one that is kept, which is used by that
    kept.put((5, 0, 0), states((5, 0, 0)))
    assert [kept.longest((first,)) is not None for first in (1, 3, 4, 5)] == [True, False, True, True]
    kept.put((6,) * 10, states((6,) * 10))
    assert (kept.bytes, len(kept.found)) == (0, 0), "more than all that may be kept"


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 2), min_size=1, max_size=6)), max_size=30),
    st.integers(0, 100),
)
def test_bytes_are_bounded_and_no_state_is_of_another_row(steps, most_bytes):
    kept = KeptBeginnings(most_bytes)
    for putting, items in steps:
        row = tuple(items)
        if putting:
            kept.put(row, states(row))
            if 8 * len(row) <= most_bytes:
                assert kept.longest(row).shape[-2] == len(row)
        else:
            longest = max((alike(one, row) for one in kept.found), default=0)
            found = kept.longest(row)
            assert (0 if found is None else found.shape[-2]) == longest
            if found is not None:
                np.testing.assert_array_equal(found, states(row[:longest]))
        assert kept.bytes == sum(one.nbytes for one in kept.found.values()) <= most_bytes
        assert not any(a != b and alike(a, b) == len(a) for a in kept.found for b in kept.found)


# ------------------------------------------------------------------------------------------------ in an engine


def asked(image: Image.Image, question: str = "What is this?", *regions, most: int = 6) -> Request:
    return Request(Conversation((ask(question, *regions, style="short"),)), (image,), most)


@contextmanager
def tokens_read(engine: TorchEngine) -> Iterator[list[int]]:
    """Positions of all rows that each pass of the language model computes meanwhile."""
    read: list[int] = []
    hook = engine.model.model.language_model.register_forward_pre_hook(
        lambda module, given, named: read.append(named["inputs_embeds"].shape[:2].numel()), with_kwargs=True
    )
    yield read
    hook.remove()


def without_reuse(engine: TorchEngine, requests: Sequence[Request]) -> list[Reply]:
    """The answers, each alone and read from its start."""
    kept, engine.beginnings = engine.beginnings, KeptBeginnings(0)
    replies = [engine.answer([request])[0] for request in requests]
    engine.beginnings = kept
    return replies


def same(found: Reply | None, expected: Reply) -> bool:
    assert found is not None
    assert (found.token_ids, found.text, found.finish) == (expected.token_ids, expected.text, expected.finish)
    assert found.logprob == pytest.approx(expected.logprob, rel=1e-5, abs=1e-5 * len(found.token_ids))
    return True


@pytest.mark.parametrize("kind", ["engine", "engine_7b"])
def test_another_region_reads_only_its_own_tokens(kind: str, image: Image.Image, request: pytest.FixtureRequest):
    engine: TorchEngine = request.getfixturevalue(kind)
    first, second = asked(image, "What is this?", BOX), asked(image, "What is this?", OTHER_BOX)
    rows = [engine.row(engine.prepare(one).prompt) for one in (first, second)]
    engine.answer([first])
    with tokens_read(engine) as read:
        (reply,) = engine.answer([second])
    common = alike(*rows)
    assert common > engine.tokens_per_image, "the picture at least"
    assert read == [len(rows[1]) - common] + [1] * (len(reply.token_ids) - 1)
    same(reply, without_reuse(engine, [second])[0])


@pytest.mark.parametrize("kind", ["engine", "engine_7b"])
def test_the_same_question_reads_its_last_token(kind: str, image: Image.Image, request: pytest.FixtureRequest):
    engine: TorchEngine = request.getfixturevalue(kind)
    wanted = asked(image, "What is this?", BOX)
    (before,) = engine.answer([wanted])
    with tokens_read(engine) as read:
        (again,) = engine.answer([wanted])
    assert read == [1] * len(again.token_ids)
    same(again, before)


@pytest.mark.parametrize("kind", ["engine", "engine_7b"])
def test_a_following_turn_reads_what_is_new(kind: str, image: Image.Image, request: pytest.FixtureRequest):
    engine: TorchEngine = request.getfixturevalue(kind)
    talk = Conversation((ask("What is this?", BOX),))
    for question in ("And this?", "And now?", "Why?"):
        prepared = engine.prepare(Request(talk, (image,), 5))
        (reply,) = engine.answer([prepared.request])
        talk = talk.with_messages(Message("assistant", (TextPart(reply.text or "-"),)), ask(question, images=0))
        following = Request(talk, (image,), 5)
        prompt = engine.prepare(following).prompt
        with tokens_read(engine) as read:
            (reply,) = engine.answer([following])
        assert read[0] <= len(prompt.ids) - len(prepared.prompt.ids), "what came before the first answer is not read"
        same(reply, without_reuse(engine, [following])[0])


def test_a_row_goes_on_from_no_other_picture(engine: TorchEngine, image: Image.Image, other_image: Image.Image):
    """Words and ids are equal, only the picture or the focal view differs."""
    seen, unseen = asked(image, "What is this?", BOX), asked(other_image, "What is this?", BOX)
    engine.answer([seen])
    rows = [engine.row(engine.prepare(one).prompt) for one in (seen, unseen)]
    with tokens_read(engine) as read:
        (reply,) = engine.answer([unseen])
    start = rows[1].index(next(item for item in rows[1] if not isinstance(item, int)))
    assert read[0] == len(rows[1]) - start, "all from the picture on"
    same(reply, without_reuse(engine, [unseen])[0])


def test_kept_states_hold_no_memory_but_their_own(engine: TorchEngine, image: Image.Image):
    engine.answer([asked(image, "long " * 50, most=2), asked(image, "?", most=9)])
    assert len(engine.beginnings.found) == 2
    for row, found in engine.beginnings.found.items():
        layers, heads = 2, 2
        assert found.shape[:4] == (layers, 2, heads, len(row))
        assert found.untyped_storage().nbytes() == found.nbytes == 4 * found.numel()
        assert not found.requires_grad


@pytest.mark.parametrize("most_bytes", [0, 10_000])
def test_little_memory_keeps_little_and_changes_no_answer(engine: TorchEngine, image: Image.Image, most_bytes: int):
    requests = [asked(image, "What is this?", box) for box in (BOX, OTHER_BOX, BOX)]
    expected = without_reuse(engine, requests)
    engine.beginnings = KeptBeginnings(most_bytes)
    for request, reply in zip(requests, expected, strict=True):
        same(engine.answer([request])[0], reply)
        assert engine.beginnings.bytes <= most_bytes


def test_answers_that_are_dropped_leave_what_they_read(engine: TorchEngine, image: Image.Image):
    wanted = asked(image, "What is this?", BOX, most=20)
    batch = engine.batch()
    (answer,) = batch.join([engine.prepare(wanted)])
    batch.step()
    batch.leave([answer])
    length = engine.prepare(wanted).prompt_tokens
    assert [len(row) for row in engine.beginnings.found] == [length + 1]
    stream = engine.stream(asked(image, "What is this?", OTHER_BOX, most=20))
    next(stream)
    stream.close()
    assert len(engine.beginnings.found) == 2
    with tokens_read(engine) as read:
        list(engine.stream(wanted))
    assert read[0] == 1


def test_one_that_cannot_join_keeps_nothing(engine: TorchEngine, image: Image.Image):
    engine.answer([asked(image)])
    kept = dict(engine.beginnings.found)
    broken = engine.prepare(asked(image, "Who?"))
    broken.prompt.ids.append(10**9)  # no such token
    with pytest.raises(IndexError):
        engine.batch().join([broken])
    assert list(engine.beginnings.found) == list(kept)


def talks(image: Image.Image, other: Image.Image) -> list[Request]:
    """Questions that begin alike in many ways: pictures, regions, turns, and none of them."""
    turn = (ask("What is this?", BOX, style="short"), Message("assistant", (TextPart("a red thing"),)))
    both = Conversation((ask("Which is brighter?", BOX, images=2, image=1),))
    return [
        asked(image),
        asked(image, "What is this?", BOX),
        asked(image, "What is this?", OTHER_BOX, most=9),
        asked(other, "What is this?", BOX, most=3),
        asked(other, "What is this?" * 12, Point.from_normalized(0.7, 0.3)),
        Request(Conversation((*turn, ask("And now?", OTHER_BOX, images=0))), (image,), 5),
        Request(Conversation((*turn, ask("And now?", images=0))), (other,), 4),
        Request(both, (image, other), 6),
        Request(Conversation((ask("Hello?", images=0),)), (), 7),
    ]


@pytest.mark.parametrize("kind", ["engine", "engine_7b"])
def test_answers_with_anything_kept_in_any_company(
    kind: str, image: Image.Image, other_image: Image.Image, request: pytest.FixtureRequest
):
    """Rows with and without kept beginnings join and leave together; some memories are too small for all."""
    engine: TorchEngine = request.getfixturevalue(kind)
    wanted = talks(image, other_image)
    expected = without_reuse(engine, wanted)
    prepared = [engine.prepare(one) for one in wanted]

    @given(data=st.data())
    @settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def in_company(data: st.DataObject) -> None:
        engine.beginnings = KeptBeginnings(data.draw(st.sampled_from([0, 100_000, 10**8])))
        engine.least_shared = data.draw(st.sampled_from([1, 10**6]))
        engine.pass_tokens = data.draw(st.sampled_from([0, 50, 10**6]))
        batch, growing = engine.batch(), list[tuple[int, Growing]]()
        waiting = data.draw(st.lists(st.sampled_from(range(len(wanted))), min_size=3, max_size=10))
        while waiting or len(batch):
            some = data.draw(st.integers(0 if len(batch) else 1, len(waiting))) if waiting else 0
            joining, waiting = waiting[:some], waiting[some:]
            growing += zip(joining, batch.join([prepared[number] for number in joining]), strict=True)
            running = [answer for _, answer in growing if answer.reply is None]
            if running and data.draw(st.integers(0, 4)) == 0:
                batch.leave(running[:1])
                growing = [(number, answer) for number, answer in growing if answer is not running[0]]
            for _ in range(data.draw(st.integers(0, 4)) if waiting else 99):
                batch.step()
        assert all(same(answer.reply, expected[number]) for number, answer in growing)

    in_company()
