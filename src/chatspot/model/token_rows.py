"""Rows of tokens that a language model did not have before."""

from __future__ import annotations

import torch
from torch import Tensor

OWN_SHARE = 0.5  # of the mean length of the table's rows (our choice)


def writable_row(table: Tensor, pieces: list[int], seed: int) -> Tensor:
    """A row [width] in float32 of an output embedding ``table`` for a token that ``pieces`` spelled so far: the mean of
    their rows, and beside it a direction of its own, drawn by ``seed``.

    With the mean alone a model whose embeddings are frozen could never write the token: its logit would be the mean of
    the pieces' logits, and the greatest of these is never less. Along its own direction a hidden state can name it.
    """
    own = torch.randn(table.shape[1], generator=torch.Generator().manual_seed(seed))
    length = table.float().norm(dim=1).mean().cpu()
    return (table[pieces].float().mean(dim=0).cpu() + OWN_SHARE * length * own / own.norm()).to(table.device)
