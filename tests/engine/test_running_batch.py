"""A running batch: whoever joins or leaves, every answer is the one that its request has alone."""

from __future__ import annotations

import pytest
import torch
from company import check_any_company, requests, same
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.engine import Request
from chatspot.engine.running import DECODED_TOKENS, GrowingAnswer
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import MessageError
from chatspot.messages import Conversation, ask


@pytest.mark.parametrize("kind", ["engine", "engine_7b"])
def test_answers_in_any_company_are_those_alone(
    kind: str, image: Image.Image, other_image: Image.Image, request: pytest.FixtureRequest
):
    engine: TorchEngine = request.getfixturevalue(kind)
    check_any_company(engine, requests(image, other_image), [0, 2**26], examples=12)


def test_pieces_join_to_the_answer_in_company(engine: TorchEngine, image: Image.Image, other_image: Image.Image):
    batch = engine.batch()
    growing = list(batch.join([engine.prepare(one) for one in requests(image, other_image)]))
    said = ["" for _ in growing]
    while True:
        said = [text + answer.read() for text, answer in zip(said, growing, strict=True)]
        if not len(batch):
            break
        batch.step()
    assert said == [answer.reply.text for answer in growing if answer.reply]
    assert [answer.read() for answer in growing] == [""] * len(growing)


LETTERS = st.text(st.sampled_from("aé☃日👩\u200d\n \ufffd"), max_size=4)


@pytest.mark.parametrize("kind", ["engine", "engine_7b"])
def test_pieces_of_a_long_answer_join_to_its_text(kind: str, request: pytest.FixtureRequest):
    """Whatever tokens come: single bytes, halves of characters, blanks, control tokens."""
    engine: TorchEngine = request.getfixturevalue(kind)
    engine.end_ids = frozenset()
    token = st.integers(0, len(engine.tokens) - 1).map(lambda number: [number])
    word = LETTERS.map(lambda text: engine.tokens.ids(text, control=True))

    @given(runs=st.lists(st.one_of(token, word), min_size=20, max_size=80))
    @settings(deadline=None, max_examples=150)
    def any_tokens(runs: list[list[int]]) -> None:
        ids = [token for run in runs for token in run] or [0]
        answer, said = GrowingAnswer(engine, len(ids)), ""
        for token in ids:
            answer.grow(token, 0.0)
            said += answer.read()
        assert answer.reply is not None
        assert said == answer.reply.text == engine.text(ids)

    any_tokens()


def test_one_that_cannot_join_leaves_the_others_alone(
    engine: TorchEngine, image: Image.Image, other_image: Image.Image
):
    wanted = requests(image, other_image)[2]
    batch = engine.batch()
    (answer,) = batch.join([engine.prepare(wanted)])
    broken = engine.prepare(requests(image, other_image)[0])
    broken.prompt.ids.append(10**9)  # no such token
    with pytest.raises(IndexError):
        batch.join([broken])
    assert len(batch) == 1
    while len(batch):
        batch.step()
    assert same(answer.reply, engine.answer([wanted])[0])


def test_room_is_bounded_and_an_empty_batch_always_has_some(engine: TorchEngine, image: Image.Image):
    one = engine.prepare(Request(Conversation((ask("What?"),)), (image,), 100))
    most = one.prompt_tokens + 100
    batch = engine.batch()
    for rows in range(1, 4):
        batch.most_tokens = most * rows
        assert batch.has_room(one)
        batch.join([one])
        assert not batch.has_room(one)
        assert len(batch) == rows
    for _ in range(98):
        batch.step()
    assert batch.has_room(engine.prepare(Request(Conversation((ask("?", images=0),)), (), 1))) is False
    batch.most_tokens = (most - 1 + 1) * 4
    assert batch.has_room(engine.prepare(Request(Conversation((ask("?", images=0),)), (), 1)))
    tiny = engine.batch()
    tiny.most_tokens = 1
    assert tiny.has_room(one)


def test_a_batch_keeps_no_columns_of_rows_that_left(engine: TorchEngine, image: Image.Image):
    """A long prompt must not cost the others its length after it is answered."""
    short = engine.prepare(Request(Conversation((ask("?", images=0),)), (), 30))
    long = engine.prepare(Request(Conversation((ask("long " * 200, images=0),)), (), 2))
    batch = engine.batch()
    batch.join([short, long])
    assert batch.lanes is not None
    assert max(batch.lanes.lengths) == long.prompt_tokens
    batch.step()
    assert batch.lanes.lengths == [short.prompt_tokens + 1]
    assert {layer.keys.shape[2] for layer in batch.lanes.cached_layers()} == {short.prompt_tokens + 1}
    assert not torch.is_inference_mode_enabled()


def test_a_prepared_answer_is_as_long_as_there_is_room(engine: TorchEngine):
    def request(length: int, most: int) -> Request:
        return Request(Conversation((ask("." * length, images=0),)), (), most)

    short = engine.prepare(request(5, 7))
    assert short.max_new_tokens == 7
    spare = engine.text_limit - short.prompt_tokens + 5  # "." is one token
    assert engine.prepare(request(spare - 3, 100)).max_new_tokens == 3
    assert engine.prepare(request(spare - 1, 100)).max_new_tokens == 1
    with pytest.raises(MessageError, match="too long"):
        engine.prepare(request(spare, 1))


def test_stepping_an_empty_batch_does_nothing(engine: TorchEngine):
    batch = engine.batch()
    batch.step()
    batch.leave([])
    assert len(batch) == 0


def test_what_came_is_decoded_without_all_that_came_before(engine: TorchEngine):
    words = engine.tokens.ids("What can you see in this region? " * 20, control=True)
    answer = GrowingAnswer(engine, len(words) + 1)
    for token in words:
        answer.grow(token, 0.0)
        answer.read()
        assert len(answer.ids) - answer.start <= DECODED_TOKENS + 1
