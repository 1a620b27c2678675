"""Span by span, a token sees what the rule of packed rows lets it see, and attention is what torch's own gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from chatspot.train import spans as spans_module
from chatspot.train.spans import LIKE_LENGTH, Span, fused, lay_out, span_attention, spans_of, written_out
from chatspot.train.stream.rows import Row

LENGTHS = st.sampled_from([1, 2, 3, 7, LIKE_LENGTH])
GROUPS = st.lists(st.tuples(st.integers(0, 3), st.lists(LENGTHS, max_size=3)), min_size=1, max_size=3)


def row(groups: list[tuple[int, list[int]]]) -> Row:
    """A row of groups: the tokens of the shared prefix, and those of each branch."""
    numbers: list[int] = []
    owners: list[int] = []
    for number, (prefix, branches) in enumerate(groups):
        numbers += [number] * (prefix + sum(branches))
        owners += [0] * prefix + [owner for owner, length in enumerate(branches, 1) for _ in range(length)]
    zeros = (0,) * len(numbers)
    return Row(zeros, zeros, zeros, tuple(numbers), tuple(owners), (), 1)


def rule(row: Row, length: int) -> torch.Tensor:
    """[length, length], true where token i sees token j, word for word as ``stream.rows`` has it."""
    seen = torch.zeros(length, length, dtype=torch.bool)
    for i in range(len(row.groups)):
        for j in range(i + 1):
            seen[i, j] = row.groups[i] == row.groups[j] and row.branches[j] in (0, row.branches[i])
    return seen


def seen_by(rows: list[Row], length: int) -> torch.Tensor:
    """[R * length, R * length], true where the laid out spans let one see another."""
    laid, seen = lay_out(rows, length), torch.zeros(len(rows) * length, len(rows) * length, dtype=torch.bool)
    answers: list[set[int]] = []
    for batch in laid.batches:
        for number, query_row in enumerate(batch.queries):
            for at in range(len(query_row)):
                keys = batch.keys[number]
                seen_keys = keys[: at + 1] if batch.bias is None else keys[batch.bias[number, 0, at] == 0]
                answers.append(set(seen_keys.tolist()))
    for number, one in enumerate(rows):
        for at in range(len(one.groups)):
            seen[number * length + at, list(answers[laid.places[number * length + at]])] = True
    return seen


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([(0, [])], []),
        ([(0, [3])], [Span(0, 3)]),
        ([(2, [])], [Span(0, 2)]),
        ([(0, [2, 3])], [Span(0, 2), Span(2, 3)]),
        ([(1, [2, 1]), (1, [1])], [Span(0, 1), Span(1, 2, 0, 1), Span(3, 1, 0, 1), Span(4, 1), Span(5, 1, 4, 1)]),
        ([(2, [1]), (0, [4])], [Span(0, 2), Span(2, 1, 0, 2), Span(3, 4)]),
    ],
)
def test_spans_of_a_row(groups: list[tuple[int, list[int]]], expected: list[Span]) -> None:
    assert list(spans_of(row(groups))) == expected


@settings(deadline=None, max_examples=60)
@given(st.lists(GROUPS, min_size=1, max_size=2), st.integers(0, 9))
def test_a_token_sees_what_the_rule_says(groups: list[list[tuple[int, list[int]]]], padding: int) -> None:
    rows = [row(one) for one in groups]
    length = max(len(one.groups) for one in rows) + padding
    if length:
        seen = seen_by(rows, length)
        assert torch.equal(seen, torch.block_diag(*(rule(one, length) for one in rows)).bool())


def test_no_rows_are_laid_out_as_padding() -> None:
    laid = lay_out([], 3)
    assert laid.places.tolist() == laid.batches[0].queries[0].tolist() == [0, 1, 2]


def test_spans_of_like_length_stand_together() -> None:
    laid = lay_out([row([(4, [9, 10, LIKE_LENGTH, 5 * LIKE_LENGTH + 1])])], 5 * LIKE_LENGTH + 200)
    assert [tuple(batch.queries.shape) for batch in laid.batches] == [
        (3, 10),
        (1, LIKE_LENGTH),
        (1, 5 * LIKE_LENGTH + 1),
    ]


@pytest.mark.parametrize("most_written", [0, 10_000])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("groups", [[[(3, [70, 4, 5]), (0, [6])], [(0, [20])]], [[(0, [8])], [(0, [8])]], [[(0, [])]]])
def test_attention_and_its_gradients_are_those_of_the_mask(
    groups: list[list[tuple[int, list[int]]]], kv_heads: int, most_written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans_module, "WRITTEN_OUT_KEYS", most_written)
    torch.manual_seed(0)
    rows = [row(one) for one in groups]
    length = max(len(one.groups) for one in rows) + 2
    query = torch.randn(len(rows), 4, length, 8, requires_grad=True)
    key, value = (torch.randn(len(rows), kv_heads, length, 8, requires_grad=True) for _ in range(2))
    real = torch.tensor([[at < len(one.groups) for at in range(length)] for one in rows])
    mask = torch.stack([rule(one, length) for one in rows])[:, None] | torch.eye(length, dtype=torch.bool)
    expected = functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True).transpose(1, 2)
    found, _ = span_attention(torch.nn.Identity(), query, key, value, None, spans=lay_out(rows, length))
    assert found.shape == expected.shape
    assert torch.allclose(found[real], expected[real], atol=1e-5)
    weights = torch.randn_like(expected) * real[..., None, None]
    grads, expected_grads = (
        torch.autograd.grad((out * weights).sum(), (query, key, value)) for out in (found, expected)
    )
    for one, other in zip(grads, expected_grads, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_written_out_is_torchs_own(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 7, 16).to(dtype) for heads in (6, 2, 2))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    unseen = torch.ones(7, 7).triu(2).bool()
    for bias in (None, torch.zeros(2, 1, 7, 7, dtype=torch.bfloat16).masked_fill(unseen, -torch.inf)):
        found, expected = (form(query, key, value, bias, 0.3) for form in (written_out, fused))
        assert found.dtype == dtype
        assert torch.allclose(found, expected, atol=tolerance)
