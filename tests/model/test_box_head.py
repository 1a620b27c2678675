"""The box head: what it computes stays the same when it is folded, packed in 8 bits, saved and opened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from chatspot.errors import CheckpointError
from chatspot.images.whole import BOX_SIDE
from chatspot.model.box_head import CELLS, CHANNELS, QUERY, BoxHead, folded, load_box_head, packed, unpacked

MAPS, WIDTH = (6, 10, 14), 12


def maps(pictures: int = 2, spread: float = 1.0) -> list[Tensor]:
    sides = [BOX_SIDE // stride for stride in (8, 16, 32)]
    return [torch.randn(pictures, c, s, s) * spread + 0.3 for c, s in zip(MAPS, sides, strict=True)]


def answer(head: BoxHead, seen: list[Tensor], words: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        found: tuple[Tensor, Tensor] = head(head.seen(seen), head.asked(words, count))
    return found


@pytest.fixture
def learnt() -> BoxHead:
    """A head whose normalisation has seen something, and whose words and scores matter."""
    torch.manual_seed(3)
    head = BoxHead(MAPS, WIDTH, normed=True)
    torch.nn.init.normal_(head.attend.weight)
    torch.nn.init.normal_(head.out.weight, std=0.3)
    head.train()
    for _ in range(3):
        head.seen(maps(4, 2.0))
    return head.eval()


def test_shapes_and_frame(learnt: BoxHead):
    scores, boxes = answer(learnt, maps(3), torch.randn(3, 5, WIDTH), torch.tensor([5, 1, 3]))
    assert scores.shape == (3, CELLS * CELLS)
    assert boxes.shape == (3, CELLS * CELLS, 4)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    middles = torch.stack([torch.arange(CELLS * CELLS) % CELLS, torch.arange(CELLS * CELLS) // CELLS], 1)
    inside = (middles + 0.5) / CELLS  # of each cell, row by row
    assert (boxes[..., :2] < inside).all()
    assert (boxes[..., 2:] > inside).all()


def test_words_beyond_the_count_do_not_matter_and_their_order_neither(learnt: BoxHead):
    words = torch.randn(1, 4, WIDTH)
    more = torch.cat([words, torch.randn(1, 3, WIDTH)], dim=1)
    asked = learnt.asked(words, torch.tensor([4]))
    assert asked.shape == (1, QUERY)
    torch.testing.assert_close(learnt.asked(more, torch.tensor([4])), asked)
    torch.testing.assert_close(learnt.asked(words[:, [2, 0, 3, 1]], torch.tensor([4])), asked)
    torch.testing.assert_close(learnt.asked(words * 7, torch.tensor([4])), asked)  # directions alone count
    assert not torch.allclose(learnt.asked(more, torch.tensor([7])), asked)


def test_folded_it_computes_the_same(learnt: BoxHead):
    means = [torch.randn(n) for n in MAPS]
    scales = [torch.rand(n) + 0.5 for n in MAPS]
    raw, words, count = maps(2), torch.randn(2, 3, WIDTH), torch.tensor([3, 2])
    standardised = [
        (found - mean[:, None, None]) * scale[:, None, None]
        for found, mean, scale in zip(raw, means, scales, strict=True)
    ]
    plain = folded(learnt, means, scales)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())
    for one, other in zip(answer(learnt, standardised, words, count), answer(plain, raw, words, count), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_packed_it_computes_nearly_the_same(learnt: BoxHead, tmp_path: Path):
    plain = folded(learnt, [torch.zeros(n) for n in MAPS], [torch.ones(n) for n in MAPS])
    with torch.no_grad():
        plain.match.weight[0] = 0  # a row without a largest weight
    stored = packed(plain)
    assert {value.dtype for value in stored.values()} == {torch.int8, torch.float16, torch.float32}
    save_file(unpacked(stored), tmp_path / "head.safetensors")
    opened = load_box_head(tmp_path / "head.safetensors")
    assert sum(v.numel() * v.element_size() for v in stored.values()) < 0.4 * sum(
        v.numel() * 4 for v in plain.state_dict().values()
    )
    raw, words, count = maps(2), torch.randn(2, 3, WIDTH), torch.tensor([3, 2])
    wanted, found = answer(plain, raw, words, count), answer(opened, raw, words, count)
    assert (found[0] - wanted[0]).std() < 0.1 * wanted[0].std()
    assert (found[1] - wanted[1]).abs().mean() < 0.01
    assert set(packed(opened)) == set(stored)


@pytest.mark.parametrize("content", [None, b"", b"no tensors", "others", "another width"])
def test_a_file_that_is_none(content: bytes | str | None, learnt: BoxHead, tmp_path: Path):
    file = tmp_path / "box_head.safetensors"
    if content == "others":
        save_file({"weight": torch.zeros(3)}, file)
    elif content == "another width":
        state = BoxHead(MAPS, WIDTH).state_dict()
        save_file(state | {"film.weight": torch.zeros(CHANNELS, QUERY)}, file)
    elif isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="holds no box head"):
        load_box_head(file)
