"""Boxes in answers: the head's box is written where the model opens one, by both engines alike."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from chatspot.engine import Request
from chatspot.engine.finding import Finding, drawn, likeliest, overlaps
from chatspot.engine.local_engine import LocalEngine
from chatspot.engine.onnx.onnx_engine import OnnxEngine
from chatspot.engine.running import GrowingAnswer, RunningBatch
from chatspot.engine.torch_engine import TorchEngine
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.model.box_head import BoxHead, maps_of
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from chatspot.model.folder import BOX_HEAD
from chatspot.prompts import read_regions
from chatspot.prompts.tokens import END_BOX_TOKEN
from chatspot.regions import Box

ASKED = Conversation((ask("Where is the red thing?"),))


def boxes(*edges: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(edges, np.float32)


TWO = boxes((0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.9, 0.9), (0.61, 0.6, 0.9, 0.88))


@pytest.mark.parametrize(
    ("scores", "found", "taken", "wanted", "probability"),
    [
        ([0.0, 0.0, -99.0], TWO, [], (0.1, 0.1, 0.3, 0.3), 0.5),  # a tie: the first
        ([0.0, -99.0, -99.0], TWO, [(0.6, 0.6, 0.9, 0.9)], (0.1, 0.1, 0.3, 0.3), 1.0),
        ([1e4, 0.0, 0.0], TWO, [(0.1, 0.1, 0.3, 0.3)], (0.605, 0.6, 0.9, 0.89), 0.0),  # as unlikely as it is
        ([0.9, 0.5, 0.5], TWO, [], (0.605, 0.6, 0.9, 0.89), 2 / (2 + math.exp(0.4))),  # cells that agree count together
        ([2.0, 0.0, 0.0], TWO, [], (0.1, 0.1, 0.3, 0.3), 1 / (1 + 2 * math.exp(-2))),
        ([0.0, math.log(3), 0.0], TWO, [], (0.603, 0.6, 0.9, 0.895), 0.8),  # their mean, by how likely each is
        ([0.0, 0.0, 0.0], TWO, [(0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.9, 0.9)], None, None),  # all taken: some box
        ([0.0], boxes((-0.5, -0.5, 1.5, 2.0)), [], (0.0, 0.0, 1.0, 1.0), 1.0),  # cut at the picture's edges
        ([0.0], boxes((0.5, 0.5, 0.5001, 0.5001)), [], (0.5, 0.5, 0.501, 0.501), 1.0),  # never empty
        ([0.0], boxes((1.2, 1.2, 1.4, 1.4)), [], (0.999, 0.999, 1.0, 1.0), 1.0),  # all outside
    ],
)
def test_the_likeliest(scores, found, taken, wanted, probability):
    given_boxes = [Box.from_normalized(*edges) for edges in taken]
    box, logprob = likeliest(np.array(scores, np.float32), found, given_boxes)
    assert logprob <= 0
    if wanted is not None:
        assert box.bounds_xyxy == pytest.approx(wanted, abs=1e-6)
        assert math.exp(logprob) == pytest.approx(probability, abs=1e-6)


EDGE = st.floats(-1, 2, width=32)


@given(st.lists(st.tuples(EDGE, EDGE, EDGE, EDGE), min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_any_scores_give_a_box_that_can_be_written(edges, data):
    numbers = np.array(data.draw(st.lists(st.floats(-50, 50, width=32), min_size=len(edges), max_size=len(edges))))
    found = np.array([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in edges], np.float32)
    box, logprob = likeliest(numbers.astype(np.float32), found, [])
    x1, y1, x2, y2 = box.bounds_xyxy
    assert 0 <= x1 < x2 <= 1
    assert 0 <= y1 < y2 <= 1
    assert logprob <= 0
    said = f"<box>{x1:.3f}, {y1:.3f}, {x2:.3f}, {y2:.3f}</box>"
    (read,) = read_regions(said)
    assert read.bounds_xyxy == pytest.approx(box.bounds_xyxy, abs=1e-9)


def test_overlaps_and_edges():
    assert overlaps(TWO, TWO[0]) == pytest.approx([1, 0, 0])
    assert overlaps(boxes((0.2, 0.2, 0.2, 0.2)), boxes((0.2, 0.2, 0.2, 0.2))[0]) == pytest.approx([0])
    assert drawn(boxes((0.12345, 0.2, 0.9, 1.0))[0]).bounds_xyxy == pytest.approx((0.123, 0.2, 0.9, 1.0))


@pytest.fixture(scope="session")
def finding_nano(lively_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of nano's kind with a random box head whose words and cells matter."""
    torch.manual_seed(5)
    opened = load_checkpoint(lively_nano, dtype=torch.float32)
    channels = [found.shape[1] for found in maps_of(opened.model.model.vision_tower.picture, torch.zeros(1, 3, 64, 64))]
    head = BoxHead(channels, opened.model.config.text_config.hidden_size)
    for layer, spread in ((head.attend, 0.1), (head.out, 0.6), (head.film, 0.6)):
        torch.nn.init.normal_(layer.weight, std=spread)
    folder = tmp_path_factory.mktemp("finding") / "nano"
    return save_checkpoint(folder, opened.model, opened.processor, opened.settings, head.state_dict())


@pytest.fixture
def finders(
    finding_nano: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> list[LocalEngine]:
    """Both engines over it."""
    monkeypatch.setenv("CHATSPOT_CACHE", str(tmp_path_factory.getbasetemp() / "onnx"))
    checkpoint = load_checkpoint(finding_nano)
    return [TorchEngine(checkpoint, device="cpu", dtype="float32"), OnnxEngine(finding_nano, "float32")]


def test_both_engines_find_the_same(finders: list[LocalEngine], image: Image.Image, other_image: Image.Image):
    said = []
    for picture in (image, other_image):
        for ids in ([3], [3, 40, 5, 7], list(range(50, 90))):
            (scores, found), (scores_onnx, found_onnx) = (engine.find(picture, ids) for engine in finders)
            assert scores_onnx == pytest.approx(scores, abs=2e-3 * float(np.abs(scores).max()))
            assert found_onnx == pytest.approx(found, abs=1e-3)
            said.append(scores)
    assert all(np.abs(one - other).max() > 1e-3 for one, other in pairwise(said))


def opened_box(engine: LocalEngine, request: Request) -> GrowingAnswer:
    """The answer to a request, once the model has opened a box as its second token."""
    batch = engine.batch()
    assert isinstance(batch, RunningBatch)
    (answer,) = batch.join([engine.prepare(request)])
    assert batch.lanes is not None
    batch.lanes.tell(0, engine.box_id)
    answer.grow(engine.box_id, -0.5)
    while len(batch):
        batch.step()
    return answer


def test_an_opened_box_gets_the_head_s_digits(finders: list[LocalEngine], image: Image.Image):
    request = Request(ASKED, (image,), 60)
    texts = []
    for engine in finders:
        engine.end_ids = frozenset()
        reply = opened_box(engine, request).reply
        assert reply is not None
        assert reply.logprob is not None
        end = engine.tokens.id_of(END_BOX_TOKEN)
        assert end in reply.token_ids
        words = engine.tokens.ids("Where is the red thing? " + engine.text(reply.token_ids[:1]), control=False)
        wanted, logprob = likeliest(*engine.find(image, words), [])
        box = read_regions(reply.text)[0]
        assert box.bounds_xyxy == pytest.approx(wanted.bounds_xyxy, abs=1e-9)
        head, *_ = Finding(engine, request).written([*reply.token_ids[:1], engine.box_id])
        assert head[1] == pytest.approx(logprob)
        assert reply.logprob < logprob - 0.5
        texts.append(reply.text)
    assert texts[0] == texts[1]  # also what the model says after the box


def test_a_second_box_is_another(finders: list[LocalEngine], image: Image.Image):
    engine = finders[0]
    finding, end = Finding(engine, Request(ASKED, (image,), 60)), engine.tokens.id_of(END_BOX_TOKEN)
    ids, given_boxes = [engine.box_id], list[Box]()
    for _ in range(3):
        ids += [token for token, _ in finding.written(ids)]
        assert ids[-1] == end
        given_boxes = [region for region in read_regions(engine.text(ids)) if isinstance(region, Box)]
        ids += [*engine.tokens.ids(", ", control=False), engine.box_id]
    assert len(given_boxes) == 3
    assert all(a.iou(b) < 0.55 for n, a in enumerate(given_boxes) for b in given_boxes[:n])


def test_a_box_that_the_limit_cuts_off_ends_the_answer(finders: list[LocalEngine], image: Image.Image):
    reply = opened_box(finders[0], Request(ASKED, (image,), 5)).reply
    assert reply is not None
    assert (len(reply.token_ids), reply.finish) == (5, "length")


@pytest.mark.parametrize("last", [True, False])
def test_the_picture_is_that_of_the_region_asked_about(
    finders: list[LocalEngine], image: Image.Image, other_image: Image.Image, last: bool
):
    message = ask("Where is it?", Box.from_normalized(0, 0, 0.5, 0.5), images=2, image=1 if last else 0)
    finding = Finding(finders[0], Request(Conversation((message,)), (image, other_image), 9))
    assert finding.picture is (other_image if last else image)


def test_without_a_head_or_a_picture_the_model_writes_itself(engine: TorchEngine, finders: list[LocalEngine]):
    assert not engine.finds_boxes
    assert RunningBatch(engine, 10**4).finding(Request(ASKED, (Image.new("RGB", (9, 9)),), 9)) is None
    texts = Request(Conversation((Message("user", (TextPart("Where?"),)),)), (), 9)
    assert all(engine.finds_boxes and RunningBatch(engine, 10**4).finding(texts) is None for engine in finders)


def test_a_head_of_other_maps_is_refused(finding_nano: Path, tmp_path: Path):
    opened = load_checkpoint(finding_nano)
    folder = save_checkpoint(tmp_path / "nano", opened.model, opened.processor, opened.settings)
    assert not (folder / BOX_HEAD).exists()
    save_file({"weight": torch.zeros(2)}, folder / BOX_HEAD)
    with pytest.raises(Exception, match="holds no box head"):
        TorchEngine(load_checkpoint(folder), device="cpu", dtype="float32")
