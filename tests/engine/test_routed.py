"""Conversations without a picture are answered by another model: only they, and whoever asks beside them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from company import check_any_company, requests, same
from PIL import Image

from chatspot.engine import Request
from chatspot.engine.local_engine import LocalEngine
from chatspot.engine.opening import open_engine
from chatspot.engine.routed import OpenedLater
from chatspot.engine.torch_engine import TorchEngine
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.nano import nano_checkpoint

HELLO = Request(Conversation((ask("Hello?", images=0),)), (), 9)


@pytest.fixture
def before(lively_nano: Path) -> TorchEngine:
    """The same model with other weights in its language model."""
    checkpoint = load_checkpoint(lively_nano, dtype=torch.float32)
    for name, parameter in checkpoint.model.named_parameters():
        if name.endswith("down_proj.weight"):
            parameter.data = -parameter.data
    return TorchEngine(checkpoint, device="cpu", dtype="float32")


@pytest.fixture
def routed(engine: TorchEngine, before: TorchEngine) -> TorchEngine:
    engine.texts = OpenedLater(lambda: before)
    return engine


def test_each_is_answered_by_its_model(
    routed: TorchEngine, before: TorchEngine, lively_nano: Path, image: Image.Image, other_image: Image.Image
):
    wanted = requests(image, other_image)
    seeing = TorchEngine(load_checkpoint(lively_nano), device="cpu", dtype="float32")
    for one, found in zip(wanted, routed.answer(wanted), strict=True):
        (alone,) = (seeing if one.images else before).answer([one])
        (other,) = (before if one.images else seeing).answer([one])
        assert same(found, alone)
        assert found.token_ids != other.token_ids or len(found.token_ids) == 1  # the models differ
        assert "".join(routed.stream(one)) == found.text
    assert routed.answer([]) == []


def test_any_company(routed: TorchEngine, image: Image.Image, other_image: Image.Image):
    check_any_company(routed, requests(image, other_image), [0, 2**26], examples=8)


def test_the_other_model_is_opened_once_and_only_when_it_is_wanted(
    engine: TorchEngine, before: TorchEngine, image: Image.Image
):
    opened: list[LocalEngine] = []

    def opening() -> LocalEngine:
        opened.append(before)
        return before

    engine.texts = OpenedLater(opening)
    about = Request(Conversation((ask("What?"),)), (image,), 2)
    engine.answer([about])
    engine.prepare(about)
    batch = engine.batch()
    assert batch.has_room(engine.prepare(about))
    assert opened == []
    threads = [threading.Thread(target=engine.prepare, args=(HELLO,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.answer([HELLO])
    assert opened == [before]


def test_one_that_cannot_join_takes_the_others_with_it(routed: TorchEngine, image: Image.Image):
    batch = routed.batch()
    (kept,) = batch.join([routed.prepare(HELLO)])
    broken = routed.prepare(HELLO)
    broken.prompt.ids.append(10**9)  # no such token
    with pytest.raises(IndexError):
        batch.join([routed.prepare(Request(Conversation((ask("What?"),)), (image,), 5)), broken])
    assert len(batch) == 1
    while len(batch):
        batch.step()
    assert same(kept.reply, routed.answer([HELLO])[0])


def test_a_model_that_cannot_be_opened_fails_what_it_was_asked_alone(engine: TorchEngine, image: Image.Image):
    def opening() -> LocalEngine:
        raise OSError("no room")

    engine.texts = OpenedLater(opening)
    with pytest.raises(OSError, match="no room"):
        engine.answer([HELLO])
    about = Request(Conversation((ask("What?"),)), (image,), 3)
    assert engine.answer([about])[0].token_ids


def test_each_keeps_to_its_memory(routed: TorchEngine, image: Image.Image):
    about, hello = routed.prepare(Request(Conversation((ask("What?"),)), (image,), 5)), routed.prepare(HELLO)
    routed.running_tokens = 1
    batch = routed.batch()
    assert batch.has_room(about)  # an empty batch has room for one
    assert not batch.has_room(about, about)
    assert batch.has_room(about, hello)  # each in its own
    batch.join([about])
    assert not batch.has_room(about)
    assert batch.has_room(hello)


def test_nano_answers_texts_as_published():
    question = Request(Conversation((Message("user", (TextPart("What is the capital of France?"),)),)), (), 16)
    nano = open_engine()
    published = open_engine(nano_checkpoint(update=False), kind="onnx" if "Onnx" in type(nano).__name__ else "torch")
    (found,), (wanted,) = nano.answer([question]), published.answer([question])
    assert "Paris" in found.text
    assert found.token_ids == wanted.token_ids
    assert found.sure is None  # the calibration is of answers about pictures
