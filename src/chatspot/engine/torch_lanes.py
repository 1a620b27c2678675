"""Rows of a left-padded batch that the language model takes a token further at each step, side by side.

Rows do not see each other, so rows may come from different prompts, join (``join``) and leave (``keep``) between steps:
their cached keys and values are padded on the left to one length, and columns that only pad are cut off.

Rows that begin alike (the same picture, the same question about other regions of it) read their beginning once:
``shared_beginnings``. Rows that go on from kept states (``engine.kept``) do not read their beginning at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, LlavaForConditionalGeneration

from chatspot.engine.kept import Row, ViewKey, alike


@dataclass(frozen=True)
class Shared:
    """Beginnings that rows have in common.

    Beginning n is that of row ``first[n]``, and row r has beginning ``of[r]``. The last ``own`` tokens of every row are
    not part of it.
    """

    own: int
    first: list[int]
    of: list[int]


class TorchLanes:
    """Rows over a model of transformers and its cache (``running.Lanes``).

    ``lengths`` are the positions of each row that count, so ``max(lengths)`` is the padded length; ``chosen`` [rows]
    are ``tokens`` on the model's device.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        embeddings: Tensor,
        lengths: Sequence[int],
        shared: Shared | None = None,
        kept: Sequence[Tensor | None] = (),
    ):
        """Read prompts given as embeddings [rows, tokens, hidden], padded on the left to ``lengths``.

        The embeddings may be those of the last tokens alone, where ``kept`` has states (``states``) of at least all
        tokens before them for each row.
        """
        config: Any = model.config
        self.model = model
        self.cache = DynamicCache(config=config.text_config)
        if kept:
            self.begin(kept, [length - embeddings.shape[1] for length in lengths])
        elif shared is not None:
            self.lengths = [lengths[row] - shared.own for row in shared.first]
            self.hidden(embeddings[shared.first, : -shared.own])
            self.select(shared.of)
            embeddings = embeddings[:, -shared.own :]
        self.lengths = list(lengths)
        self.choose(self.hidden(embeddings))

    def begin(self, kept: Sequence[Tensor | None], lengths: Sequence[int]) -> None:
        """Fill the cache with the first ``lengths`` tokens of the kept states; below 1 a row has none."""
        some, columns = next(states for states in kept if states is not None), max(lengths)
        layers, two, heads, _, size = some.shape
        past = some.new_zeros((layers, two, len(kept), heads, columns, size))
        for row, (states, length) in enumerate(zip(kept, lengths, strict=True)):
            if states is not None and length > 0:
                past[:, :, row, :, columns - length :] = states[..., :length, :]
        for number, (keys, values) in enumerate(past):
            self.cache.update(keys, values, number)

    @property
    def padding(self) -> Tensor:
        """How many columns of each row do not count: [rows]."""
        longest = max(self.lengths)
        return torch.tensor([longest - length for length in self.lengths], device=self.model.device)

    @torch.inference_mode()
    def step(self) -> None:
        """Take each row a token further."""
        self.lengths = [length + 1 for length in self.lengths]
        self.choose(self.hidden(self.model.get_input_embeddings()(self.chosen)[:, None]))

    def hidden(self, embeddings: Tensor) -> Tensor:
        """The states [rows, new, hidden] behind ``embeddings``, which are the last of ``lengths``; the cache grows."""
        padding, mask = self.padding, None
        columns = torch.arange(max(self.lengths), device=padding.device)
        if padding.any():
            mask = (columns >= padding[:, None]).long()
        states: Tensor = self.model.model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=(columns[-embeddings.shape[1] :] - padding[:, None]).clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return states

    def choose(self, states: Tensor) -> None:
        """Choose the next tokens after ``states`` [rows, new, hidden]."""
        # A row at a time [rows, hidden]: as [rows, 1, hidden] torch would copy the vocabulary's weights for every row.
        logits = self.model.lm_head(states[:, -1])
        logprobs, self.chosen = logits.float().log_softmax(dim=-1).max(dim=-1)
        self.tokens: list[int] = self.chosen.tolist()
        self.logprobs: list[float] = logprobs.tolist()

    @torch.inference_mode()
    def join(self, others: TorchLanes) -> None:
        """Take the rows of ``others`` in, behind these; they are not to be used any more."""
        longest = max(*self.lengths, *others.lengths)
        joined = [  # of all layers before any is replaced: where memory runs out, these rows can still go on
            (joined_states(mine.keys, theirs.keys, longest), joined_states(mine.values, theirs.values, longest))
            for mine, theirs in zip(self.cached_layers(), others.cached_layers(), strict=True)
        ]
        for layer, (keys, values) in zip(self.cached_layers(), joined, strict=True):
            layer.keys, layer.values = keys, values
        self.chosen = torch.cat([self.chosen, others.chosen])
        self.tokens, self.logprobs = self.tokens + others.tokens, self.logprobs + others.logprobs
        self.lengths = self.lengths + others.lengths

    @torch.inference_mode()
    def tell(self, row: int, token: int) -> None:
        """Let a row go on with another token."""
        self.tokens[row] = token
        self.chosen[row] = token

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows (at least one), in this order."""
        self.lengths = [self.lengths[row] for row in rows]
        self.chosen = self.chosen[self.select(rows)]
        self.tokens, self.logprobs = [self.tokens[row] for row in rows], [self.logprobs[row] for row in rows]

    @torch.inference_mode()
    def states(self, row: int) -> Tensor:
        """What a row has read, of its own memory: [layers, 2 (keys, values), heads, lengths[row], size]."""
        length = self.lengths[row]
        layers = [states[row, :, -length:] for layer in self.cached_layers() for states in (layer.keys, layer.values)]
        return torch.stack(layers).unflatten(0, (-1, 2))

    def select(self, rows: Sequence[int]) -> Tensor:
        """Give the cache these rows, whose longest are ``lengths`` or longer; their numbers as a tensor."""
        chosen = torch.tensor(rows, device=self.model.device)
        longest = max(self.lengths)
        for layer in self.cached_layers():
            layer.keys = layer.keys[:, :, -longest:].index_select(0, chosen)
            layer.values = layer.values[:, :, -longest:].index_select(0, chosen)
        return chosen

    def cached_layers(self) -> list[Any]:
        """The cache's layers, each with ``keys`` and ``values`` [rows, heads, columns, size]."""
        layers: list[Any] = list(self.cache.layers)
        return layers


def joined_states(first: Tensor, second: Tensor, columns: int) -> Tensor:
    """Keys or values [rows, heads, columns, size] below each other, with empty columns on the left of the shorter."""
    pad = torch.nn.functional.pad
    return torch.cat([pad(states, (0, 0, columns - states.shape[2], 0)) for states in (first, second)])


def shared_beginnings(rows: Sequence[Sequence[int]], least_saved: int) -> Shared | None:
    """Beginnings that prompts of like length have in common, so chosen that the fewest tokens are read; None where that
    saves less than ``least_saved`` tokens. Equal numbers stand for equal embeddings behind an equal beginning.

    All rows keep the same number of tokens to themselves, so that both passes are padded on the left alone.
    """
    total, shortest = sum(map(len, rows)), min(map(len, rows))
    # Beginnings that are alike are of rows of one length. Among these, sorted, neighbours have most in common.
    ordered = sorted(map(tuple, rows), key=lambda row: (len(row), row))
    candidates = {max(len(a) - alike(a, b), 1) for a, b in pairwise(ordered) if len(a) == len(b)}
    best, most = None, max(least_saved, 1)
    for own in sorted(candidate for candidate in candidates if candidate < shortest):
        beginnings: dict[tuple[int, ...], int] = {}
        of = [beginnings.setdefault(tuple(row[:-own]), len(beginnings)) for row in rows]
        saved = total - own * len(rows) - sum(map(len, beginnings))
        if saved >= most:
            best, most = Shared(own, [of.index(number) for number in range(len(beginnings))], of), saved + 1
    return best


def numbered(rows: Sequence[Row]) -> list[list[int]]:
    """The rows in numbers alone, as ``shared_beginnings`` takes them: below zero for a view."""
    numbers: dict[ViewKey, int] = {}
    return [
        [item if isinstance(item, int) else -1 - numbers.setdefault(item, len(numbers)) for item in row] for row in rows
    ]


def read_together(lengths: Sequence[int], pass_tokens: int) -> list[list[int]]:
    """The numbers of the lengths in groups, so that the fewest tokens are read when each group is padded to its longest
    and a pass counts as ``pass_tokens``. Questions with a history are several times as long as first ones.
    """
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    best = [(0, 0)]  # for the first n of the order: what they cost, and where their last group starts
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        best.append(min((best[start][0] + pass_tokens + (end - start) * longest, start) for start in range(end)))
    groups, end = [], len(order)
    while end:
        start = best[end][1]
        groups.append(order[start:end])
        end = start
    return groups[::-1]
