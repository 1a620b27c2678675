"""Attention of packed rows, span by span.

A row holds groups of dialogues that see nothing of each other (``stream.rows``). A span is a run of tokens of one
group: its shared prefix, which sees itself, or a branch, which sees the prefix and itself. Under a mask over the whole
row, all pairs of a row's tokens are computed, to be thrown away for the most part: a third of a step on a CPU. Here the
spans of all rows stand below each other, as batches of short sequences whose keys are prefix and span. Everything but
attention still sees packed rows.

On CPUs attention is written out for short spans: the backward pass of torch's fused attention takes six times as long
there (PyTorch 2.13, bfloat16, 60 queries, 92 keys).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from chatspot.train.stream.rows import Row

NAME = "chatspot_spans"  # under which transformers finds this attention
WRITTEN_OUT_KEYS = 512  # most keys of attention that is written out: it keeps a weight for each query and key
LIKE_LENGTH = 64  # spans whose lengths differ by less stand in one batch (our choice)


@dataclass(frozen=True)
class Span:
    """``length`` tokens from ``start`` on, which see ``prefix`` tokens from ``prefix_start`` on, and themselves."""

    start: int
    length: int
    prefix_start: int = 0
    prefix: int = 0


@dataclass(frozen=True)
class SpanBatch:
    """Spans of like length. ``queries`` [N, S] and ``keys`` [N, K] are places in the flattened rows, padded with 0;
    ``bias`` [N, 1, S, K] is 0 where a query sees a key, else minus infinity. It is None where the queries are the keys
    and see all up to themselves."""

    queries: Tensor
    keys: Tensor
    bias: Tensor | None

    def to(self, device: torch.device) -> SpanBatch:
        """The same on ``device``."""
        bias = None if self.bias is None else self.bias.to(device, non_blocking=True)
        return SpanBatch(self.queries.to(device, non_blocking=True), self.keys.to(device, non_blocking=True), bias)


@dataclass(frozen=True)
class SpanSizes:
    """How much is computed for the spans of a pass, padding included: ``queries``, ``keys``, and ``pairs`` of them."""

    queries: int
    keys: int
    pairs: int


@dataclass(frozen=True)
class Spans:
    """The spans of a pass. ``places`` [R * T] says where each token stands among the queries of all batches, one after
    the other; padding stands anywhere."""

    batches: tuple[SpanBatch, ...]
    places: Tensor

    def to(self, device: torch.device) -> Spans:
        """The same on ``device``."""
        return Spans(tuple(batch.to(device) for batch in self.batches), self.places.to(device, non_blocking=True))

    @property
    def sizes(self) -> SpanSizes:
        """Added up over the batches."""
        queries, keys = ([getattr(batch, name) for batch in self.batches] for name in ("queries", "keys"))
        pairs = sum(one.numel() * other.shape[1] for one, other in zip(queries, keys, strict=True))
        return SpanSizes(sum(one.numel() for one in queries), sum(one.numel() for one in keys), pairs)


def spans_of(row: Row) -> Iterator[Span]:
    """The row's spans, from left to right."""
    start, prefix, prefix_group = 0, Span(0, 0), None
    for (group, branch), tokens in groupby(zip(row.groups, row.branches, strict=True)):
        length = sum(1 for _ in tokens)
        if branch == 0:
            prefix, prefix_group = Span(start, length), group
            yield prefix
        elif group == prefix_group:
            yield Span(start, length, prefix.start, prefix.length)
        else:
            yield Span(start, length)
        start += length


def lay_out(rows: Sequence[Row], length: int) -> Spans:
    """The spans of rows that are padded to ``length`` tokens."""
    spans = [
        Span(number * length + span.start, span.length, number * length + span.prefix_start, span.prefix)
        for number, row in enumerate(rows)
        for span in spans_of(row)
    ] or [Span(0, max(1, len(rows)) * length)]  # padding alone: a span like any other
    places, batches, filled = torch.zeros(max(1, len(rows)) * length, dtype=torch.long), list[SpanBatch](), 0
    for same in alike(spans):
        most_queries = max(span.length for span in same)
        most_keys = max(span.prefix + span.length for span in same)
        queries = torch.zeros(len(same), most_queries, dtype=torch.long)
        keys = torch.zeros(len(same), most_keys, dtype=torch.long)
        for number, span in enumerate(same):
            own = torch.arange(span.start, span.start + span.length)
            queries[number, : span.length] = own
            keys[number, : span.prefix] = torch.arange(span.prefix_start, span.prefix_start + span.prefix)
            keys[number, span.prefix : span.prefix + span.length] = own
            places[own] = torch.arange(span.length) + filled + number * most_queries
        batches.append(SpanBatch(queries, keys, bias_of(same, most_queries, most_keys)))
        filled += queries.numel()
    return Spans(tuple(batches), places)


def bias_of(spans: Sequence[Span], most_queries: int, most_keys: int) -> Tensor | None:
    """The ``bias`` of a batch. 0 and minus infinity are the same in every precision; bfloat16 is the smallest."""
    if all(span.prefix == 0 and span.length == most_queries for span in spans):
        return None
    prefixes = torch.tensor([span.prefix for span in spans])
    last_seen = prefixes[:, None] + torch.arange(most_queries)
    unseen = torch.arange(most_keys) > last_seen[..., None]
    return torch.zeros(unseen.shape, dtype=torch.bfloat16).masked_fill(unseen, -torch.inf)[:, None]


def alike(spans: Sequence[Span]) -> list[list[Span]]:
    """The spans in lists of like length, the shortest first."""

    def about(span: Span) -> int:
        return span.length // LIKE_LENGTH

    return [list(same) for _, same in groupby(sorted(spans, key=about), key=about)]


def span_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    spans: Spans | None = None, scaling: float | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention of ``query`` [R, H, T, D], ``key`` and ``value`` [R, fewer H, T, D] as transformers calls it: [R, T, H,
    D], and no weights. Without ``spans`` it is transformers' own, as when the model generates."""
    if spans is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    rows, heads, length, width = query.shape
    queries, keys, values = (part.transpose(1, 2).reshape(rows * length, -1) for part in (query, key, value))
    scale = width**-0.5 if scaling is None else scaling

    def at(places: Tensor, part: Tensor) -> Tensor:
        # an embedding: its backward pass adds up rows in parallel, that of indexing one by one
        return functional.embedding(places, part).unflatten(-1, (-1, width)).transpose(1, 2)

    found = []
    for batch in spans.batches:
        short = query.device.type == "cpu" and batch.keys.shape[1] <= WRITTEN_OUT_KEYS
        attend = written_out if short else fused
        out = attend(at(batch.queries, queries), at(batch.keys, keys), at(batch.keys, values), batch.bias, scale)
        found.append(out.transpose(1, 2).reshape(-1, heads * width))
    return functional.embedding(spans.places, torch.cat(found)).view(rows, length, heads, width), None


def fused(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Torch's attention of [N, H, S, D] over [N, fewer H, K, D]; without ``bias`` each sees all up to itself."""
    return functional.scaled_dot_product_attention(
        query, key, value, None if bias is None else bias.to(query.dtype), is_causal=bias is None, scale=scale,
        enable_gqa=key.shape[1] != query.shape[1],
    )  # fmt: skip


def written_out(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """The same by matrix products; the heads that share a key stand below each other."""
    number, heads, length, width = query.shape
    if bias is None:
        bias = torch.full((length, length), -torch.inf, dtype=torch.bfloat16).triu(1)
    together = (number, key.shape[1], heads // key.shape[1] * length, width)
    scores = (query * scale).reshape(together) @ key.transpose(-1, -2)
    weights = functional.softmax(scores.view(number, heads, length, -1) + bias.to(scores.dtype), -1)
    return (weights.view(*scores.shape) @ value).view(number, heads, length, width)


AttentionInterface.register(NAME, span_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
