"""The ONNX engine in float32 against the torch engine: the same answers, whoever comes and goes beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from company import BOX, check_any_company, requests, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.engine import Request
from chatspot.engine.kept import KeptBeginnings
from chatspot.engine.onnx import build, decoder, language
from chatspot.engine.onnx.onnx_engine import OnnxEngine
from chatspot.engine.onnx.products import products
from chatspot.engine.onnx.session import Precision, open_session
from chatspot.engine.onnx.stored import StoredTensors
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import MessageError
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.model.checkpoint import load_checkpoint
from chatspot.regions import Box, Point

LONGEST = 70  # tokens of an answer that outgrows the columns set aside at once


@pytest.fixture(autouse=True)
def built(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are built into one folder of these tests."""
    monkeypatch.setenv("CHATSPOT_CACHE", str(tmp_path_factory.getbasetemp() / "onnx"))


@pytest.fixture
def torch_engine(lively_nano: Path) -> TorchEngine:
    return TorchEngine(load_checkpoint(lively_nano), device="cpu", dtype="float32")


@pytest.fixture
def onnx_engine(lively_nano: Path) -> OnnxEngine:
    return OnnxEngine(lively_nano, "float32")


def test_visual_tokens_are_those_of_torch(onnx_engine: OnnxEngine, torch_engine: TorchEngine, image: Image.Image):
    regions = [None, BOX, Point.from_normalized(0.9, 0.1)]
    found = onnx_engine.tower([onnx_engine.view_pixels(image, region) for region in regions])
    wanted = torch.stack(torch_engine.tower([torch_engine.view_pixels(image, region) for region in regions])).numpy()
    assert np.abs(wanted).max() > 0.1
    assert np.abs(np.stack(found) - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert all(view.base is None for view in found), "a view of its own memory, so that dropping it frees it"


def test_answers_are_those_of_torch(
    onnx_engine: OnnxEngine, torch_engine: TorchEngine, image: Image.Image, other_image: Image.Image
):
    wanted = requests(image, other_image, longest=LONGEST)
    expected = [torch_engine.answer([one])[0] for one in wanted]
    assert len({reply.text for reply in expected}) > 4
    assert all(map(same, onnx_engine.answer(wanted), expected))
    assert all(map(same, [onnx_engine.answer([one])[0] for one in wanted], expected))
    for one, reply in zip(wanted, expected, strict=True):
        assert "".join(onnx_engine.stream(one)) == reply.text


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_answers_in_any_company_are_those_alone(
    precision: Precision, lively_nano: Path, image: Image.Image, other_image: Image.Image
):
    wanted = requests(image, other_image, longest=LONGEST)
    check_any_company(OnnxEngine(lively_nano, precision), wanted, [0, 100_000, 2**26], examples=25)


def test_long_prompts_are_read_in_pieces(
    onnx_engine: OnnxEngine, torch_engine: TorchEngine, image: Image.Image, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decoder, "READ_TOGETHER", 37)
    long = Request(Conversation((ask("word " * 80, BOX),)), (image,), 6)
    assert same(onnx_engine.answer([long])[0], torch_engine.answer([long])[0])


def test_a_beginning_that_is_kept_is_not_read_again(onnx_engine: OnnxEngine, image: Image.Image):
    read: list[int] = []
    plain = decoder.Pass.run

    def counted(self: decoder.Pass, embeddings: np.ndarray, lengths: list[int]) -> None:
        read.append(embeddings.shape[0] * embeddings.shape[1])
        plain(self, embeddings, lengths)

    first = Conversation((ask("What can you see in this region?", BOX),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder.Pass, "run", counted)
        said = onnx_engine.answer([Request(first, (image,), 4)])[0]
        whole = read[0]
        elsewhere = Box.from_normalized(0.3, 0.2, 0.6, 0.9)
        read.clear()
        onnx_engine.answer([Request(Conversation((ask("What can you see in this region?", elsewhere),)), (image,), 1)])
        assert read[0] < whole * 2 / 3, "another region's own tokens"
        turn = first.with_messages(Message("assistant", (TextPart(said.text or "?"),)), ask("And?", images=0))
        read.clear()
        onnx_engine.answer([Request(turn, (image,), 1)])
        assert read[0] < whole / 2, "a turn's own tokens"
        read.clear()
        onnx_engine.answer([Request(turn, (image,), 1)])
        assert read == [1], "the last token gives the answer's first"


def test_one_that_cannot_join_leaves_the_others_alone(
    onnx_engine: OnnxEngine, image: Image.Image, other_image: Image.Image
):
    wanted = requests(image, other_image)[2]
    batch = onnx_engine.batch()
    (answer,) = batch.join([onnx_engine.prepare(wanted)])
    broken = onnx_engine.prepare(requests(image, other_image)[0])
    broken.prompt.ids.append(10**9)  # no such token
    with pytest.raises(IndexError):
        batch.join([broken])
    while len(batch):
        batch.step()
    assert same(answer.reply, onnx_engine.answer([wanted])[0])


def test_the_text_limit_can_be_used_to_its_end(onnx_engine: OnnxEngine, torch_engine: TorchEngine):
    def request(length: int) -> Request:
        return Request(Conversation((ask("." * length, images=0),)), (), 3)

    spare = onnx_engine.text_limit - len(onnx_engine.prompt(request(1), 0, {}).ids) - 2  # "." is one token
    assert same(onnx_engine.answer([request(spare)])[0], torch_engine.answer([request(spare)])[0])
    with pytest.raises(MessageError, match="too long"):
        onnx_engine.answer([request(spare + 1)])


def test_without_focal_view_regions_are_words_alone(lively_nano: Path, image: Image.Image):
    plain = OnnxEngine(lively_nano, "float32", focal_view=False)
    torch_plain = TorchEngine(load_checkpoint(lively_nano), device="cpu", dtype="float32", focal_view=False)
    asked = Request(Conversation((ask("What?", BOX),)), (image,), 7)
    assert same(plain.answer([asked])[0], torch_plain.answer([asked])[0])


def test_a_row_that_grows_finds_room(onnx_engine: OnnxEngine, image: Image.Image, other_image: Image.Image):
    """The room that was set aside is a guess: rows and columns are made where they lack."""
    engine, wanted = onnx_engine, requests(image, other_image, longest=LONGEST)[4]
    prompt = engine.prompt(wanted, 0, {})
    views = engine.encoded([wanted], [prompt])
    lanes = decoder.OnnxLanes(engine.decoder, 1, 1)
    for _ in range(3):
        lanes.read(engine.embedded(prompt, views))
    tokens: list[list[int]] = []
    for _ in range(70):
        tokens.append(lanes.tokens)
        lanes.step()
    assert [token for token, *_ in tokens] == list(engine.answer([wanted])[0].token_ids)
    assert all(len(set(row)) == 1 for row in tokens)


def test_a_turned_model_is_the_same_one(
    lively_nano: Path, onnx_engine: OnnxEngine, image: Image.Image, other_image: Image.Image, tmp_path: Path
):
    """Only rounding makes the difference: turned and not rounded, every answer is the same."""
    stored, text = StoredTensors(lively_nano), onnx_engine.checkpoint.config["text_config"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "products", lambda graph, x, weights, *_: products(graph, x, weights, "float32"))
        language.language_graph(stored, text, 2048, "int8").save(tmp_path / "turned.onnx")
    expected = [onnx_engine.answer([one])[0] for one in requests(image, other_image)]
    onnx_engine.decoder = decoder.Decoder(open_session(tmp_path / "turned.onnx"), stored)
    onnx_engine.beginnings = KeptBeginnings(0)
    assert all(map(same, onnx_engine.answer(requests(image, other_image)), expected))


@pytest.mark.parametrize("by_rows", [False, True])
def test_eight_bits_come_close(
    by_rows: bool, lively_nano: Path, onnx_engine: OnnxEngine, image: Image.Image, monkeypatch: pytest.MonkeyPatch
):
    """Whatever this machine's processor is good at."""
    monkeypatch.setattr(build, "multiplies_bytes", lambda: by_rows)
    rounded = OnnxEngine(lively_nano, "int8")
    kinds = {node.op_type for node in onnx.load(rounded.built / build.LANGUAGE, load_external_data=False).graph.node}
    assert ("MatMulIntegerToFloat" in kinds) is by_rows
    asked = Request(Conversation((ask("What is this?", BOX),)), (image,), 1)
    prompt = onnx_engine.prompt(asked, 0, {})
    views = onnx_engine.encoded([asked], [prompt])
    # keys alone: values stand in a turned frame
    exact, close = (engine.lanes([prompt], views).states(0)[:, 0] for engine in (onnx_engine, rounded))
    assert 0 < np.abs(exact - close).mean() < 0.05 * np.abs(exact).mean()


@pytest.fixture
def lanes_memory(onnx_engine: OnnxEngine) -> decoder.OnnxLanes:
    """Lanes whose rows hold their own numbers in place of states, so that it shows when one is moved wrongly."""
    lanes = decoder.OnnxLanes(onnx_engine.decoder, 8, 10)
    for number in range(8):
        lanes.places.append(number)
        lanes.lengths.append(number + 1)
        lanes.tokens.append(number)
        lanes.logprobs.append(-number)
        lanes.memory[:, :, number] = number
    return lanes


@given(data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_kept_in_any_order(lanes_memory: decoder.OnnxLanes, data: st.DataObject):
    fresh = decoder.OnnxLanes(lanes_memory.decoder, 0, 0)
    fresh.join(lanes_memory)
    kept = list(range(8))
    while len(kept) > 1:
        rows = data.draw(st.lists(st.sampled_from(range(len(kept))), min_size=1, max_size=len(kept) - 1, unique=True))
        fresh.keep(rows)
        kept = [kept[row] for row in rows]
        assert fresh.tokens == kept
        assert fresh.lengths == [number + 1 for number in kept]
        assert sorted(fresh.places) == list(range(len(kept)))
        for row, number in enumerate(kept):
            states = fresh.states(row)
            assert states.shape[3] == number + 1
            assert (states == number).all()
