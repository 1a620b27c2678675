"""Rows of a left-padded batch that the language model takes a token further at each step, side by side.

Rows do not see each other, so rows may come from different prompts, join (``join``) and leave (``keep``) between steps:
their cached keys and values are padded on the left to one length, and columns that only pad are cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, LlavaForConditionalGeneration


class Lanes:
    """``tokens`` and ``logprobs``, both [rows]: the likeliest next token of each row and its log-probability.

    ``lengths`` are the positions of each row that count, prompt and answer, so ``max(lengths)`` is the padded length.
    """

    @torch.inference_mode()
    def __init__(self, model: LlavaForConditionalGeneration, embeddings: Tensor, lengths: Sequence[int]):
        """Read prompts given as embeddings [rows, longest, hidden], padded on the left to ``lengths``."""
        config: Any = model.config
        self.model = model
        self.lengths = list(lengths)
        self.cache = DynamicCache(config=config.text_config)
        positions = torch.arange(embeddings.shape[1], device=embeddings.device) - self.padding[:, None]
        self.read(embeddings, positions.clamp(min=0))

    @property
    def padding(self) -> Tensor:
        """How many columns of each row do not count: [rows]."""
        longest = max(self.lengths)
        return torch.tensor([longest - length for length in self.lengths], device=self.model.device)

    @torch.inference_mode()
    def step(self) -> None:
        """Take each row a token further."""
        self.lengths = [length + 1 for length in self.lengths]
        positions = torch.tensor([[length - 1] for length in self.lengths], device=self.tokens.device)
        self.read(self.model.get_input_embeddings()(self.tokens)[:, None], positions)

    def read(self, embeddings: Tensor, positions: Tensor) -> None:
        """Choose the next tokens after ``embeddings`` [rows, new, hidden] at ``positions``; the cache grows."""
        padding, mask = self.padding, None
        if padding.any():
            mask = (torch.arange(max(self.lengths), device=padding.device) >= padding[:, None]).long()
        hidden = self.model.model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        # A row at a time [rows, hidden]: as [rows, 1, hidden] torch would copy the vocabulary's weights for every row.
        logits = self.model.lm_head(hidden[:, -1])
        self.logprobs, self.tokens = logits.float().log_softmax(dim=-1).max(dim=-1)

    @torch.inference_mode()
    def join(self, others: Lanes) -> None:
        """Take the rows of ``others`` in, behind these; they are not to be used any more."""
        longest = max(*self.lengths, *others.lengths)
        joined = [  # of all layers before any is replaced: where memory runs out, these rows can still go on
            (joined_states(mine.keys, theirs.keys, longest), joined_states(mine.values, theirs.values, longest))
            for mine, theirs in zip(self.cached_layers(), others.cached_layers(), strict=True)
        ]
        for layer, (keys, values) in zip(self.cached_layers(), joined, strict=True):
            layer.keys, layer.values = keys, values
        self.tokens = torch.cat([self.tokens, others.tokens])
        self.logprobs = torch.cat([self.logprobs, others.logprobs])
        self.lengths += others.lengths

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows (at least one), in this order."""
        chosen = torch.tensor(rows, device=self.tokens.device)
        self.lengths = [self.lengths[row] for row in rows]
        longest = max(self.lengths)
        for layer in self.cached_layers():
            layer.keys = layer.keys[:, :, -longest:].index_select(0, chosen)
            layer.values = layer.values[:, :, -longest:].index_select(0, chosen)
        self.tokens, self.logprobs = self.tokens[chosen], self.logprobs[chosen]

    def cached_layers(self) -> list[Any]:
        """The cache's layers, each with ``keys`` and ``values`` [rows, heads, columns, size]."""
        layers: list[Any] = list(self.cache.layers)
        return layers


def joined_states(first: Tensor, second: Tensor, columns: int) -> Tensor:
    """Keys or values [rows, heads, columns, size] below each other, with empty columns on the left of the shorter."""
    pad = torch.nn.functional.pad
    return torch.cat([pad(states, (0, 0, columns - states.shape[2], 0)) for states in (first, second)])
