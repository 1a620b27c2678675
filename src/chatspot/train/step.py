"""One pass through the model: packed rows in, the sum of their supervised tokens' cross-entropies out.

Dialogues that stand in one row see nothing of each other, but for the prefix that those of one group share::

    token i sees token j   when j <= i, both are of one group, and j is of the prefix or of i's own branch
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import LlavaForConditionalGeneration

from chatspot.model.vision import raw_features, visual_tokens
from chatspot.prompts.encode import IGNORED
from chatspot.train.stream.features import View
from chatspot.train.stream.packing import Row

PADDING = -1  # the group of padding
CHUNK_LOGITS = 2**24  # logits that are held at once: 64 MB in float32 (our choice)
FLEX_BLOCK = 128  # tokens; flex attention skips whole blocks of this size (torch's default), so rows fill them
FLEX = "flex"


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right. ``input_ids``, ``targets``, ``positions``, ``groups``, ``branches``: [R, T].

    ``views`` fill the runs of image tokens in reading order: raw tower features [views, tokens, features] or pixel
    values [views, 3, H, W]; [0] where there is no picture. ``plain``: each row is one dialogue, so that causal
    attention is all it takes.
    """

    input_ids: Tensor
    targets: Tensor
    positions: Tensor
    groups: Tensor
    branches: Tensor
    views: Tensor
    plain: bool

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``."""
        moved: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            moved[name] = value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        return Batch(**moved)


def collate(rows: Sequence[Row], pad_id: int, read: Callable[[Sequence[View]], Tensor], multiple_of: int = 1) -> Batch:
    """The rows as one batch, as long as the longest, rounded up to ``multiple_of``; of no rows, a batch of padding.

    ``read`` gives the features or the pixel values of views; it is not asked when there are none.
    """
    longest = max((len(row.input_ids) for row in rows), default=1)
    longest = -(-longest // multiple_of) * multiple_of

    def padded(name: str, padding: int) -> Tensor:
        table = torch.full((max(1, len(rows)), longest), padding)
        for line, row in zip(table, rows, strict=False):
            values = getattr(row, name)
            line[: len(values)] = torch.tensor(values)
        return table

    groups, branches = padded("groups", PADDING), padded("branches", 0)
    views = [view for row in rows for view in row.views]
    return Batch(
        input_ids=padded("input_ids", pad_id),
        targets=padded("targets", IGNORED),
        positions=padded("positions", 0),
        groups=groups,
        branches=branches,
        views=read(views) if views else torch.zeros(0),
        plain=int(groups.max()) <= 0 and int(branches.max()) <= 1,
    )


class RegionLoss(nn.Module):
    """The model with its loss: what a training step calls, and what is sharded over several processes.

    ``attention``: "sdpa" (a boolean mask) or "flex" (torch's flex attention, which skips what nothing sees; it has no
    backward pass on CPUs).
    """

    def __init__(self, model: LlavaForConditionalGeneration, attention: str = "sdpa"):
        super().__init__()
        self.model, self.attention = model, attention
        language_model: Any = model.model.language_model
        language_model.set_attn_implementation("flex_attention" if attention == FLEX else attention)

    def forward(self, batch: Batch) -> Tensor:
        """The sum of the supervised tokens' cross-entropies, float32, no dimensions.

        Logits are made for the supervised positions alone. Every part that trains takes part even where a batch holds
        no picture or no supervised token, as processes that train together have to reduce the same gradients.
        """
        model: Any = self.model
        embeddings = model.get_input_embeddings()(batch.input_ids)
        image = visual_tokens(model, self.features(batch).flatten(0, 1)).to(embeddings.dtype)
        places = (batch.input_ids == model.config.image_token_id).unsqueeze(-1)
        hidden = model.model.language_model(
            inputs_embeds=embeddings.masked_scatter(places, image),
            attention_mask=attention_mask(batch, self.attention),
            position_ids=None if batch.plain else batch.positions,
            use_cache=False,
        ).last_hidden_state
        supervised = batch.targets != IGNORED
        return summed_cross_entropy(hidden[supervised], batch.targets[supervised], model.lm_head)

    def features(self, batch: Batch) -> Tensor:
        """Raw features [views, tokens, features]; those of one blank view where there is none."""
        config: Any = self.model.config
        if not len(batch.views):
            return torch.zeros(1, config.image_seq_length, config.vision_config.hidden_size, device=batch.views.device)
        if batch.views.dim() == 4:
            with torch.no_grad():  # the tower is frozen in both stages
                return raw_features(self.model, batch.views)
        return batch.views


def attention_mask(batch: Batch, attention: str) -> Any:
    """Who sees whom: a boolean mask [R, 1, T, T], True where a token is seen; flex attention's block mask; or None
    where causal attention is all it takes. Padding sees padding, so that no token sees nothing."""
    if batch.plain:
        return None
    groups, branches = batch.groups, batch.branches
    if attention == FLEX:
        from torch.nn.attention.flex_attention import create_block_mask

        def sees(row: Tensor, _: Tensor, i: Tensor, j: Tensor) -> Tensor:
            own = (branches[row, j] == 0) | (branches[row, i] == branches[row, j])
            return (i >= j) & (groups[row, i] == groups[row, j]) & own

        rows, length = groups.shape
        return create_block_mask(sees, rows, None, length, length, device=groups.device.type)
    seen, own = branches[:, None, :], branches[:, :, None]
    mask = (groups[:, None, :] == groups[:, :, None]) & ((seen == 0) | (seen == own))
    return mask.tril()[:, None]


def summed_cross_entropy(hidden: Tensor, targets: Tensor, head: nn.Module) -> Tensor:
    """The sum over positions of the cross-entropy of ``targets`` [N] after ``head`` of ``hidden`` [N, width], float32.

    Where there are many positions, they go through the head in chunks, whose logits the backward pass makes again.
    """

    def part(some: Tensor, wanted: Tensor) -> Tensor:
        return functional.cross_entropy(head(some).float(), wanted, reduction="sum")

    size = max(1, CHUNK_LOGITS // int(getattr(head, "out_features")))  # noqa: B009 (a module's attributes have no type)
    if len(targets) <= size:
        return part(hidden, targets)
    parts = zip(hidden.split(size), targets.split(size), strict=True)
    return torch.stack([checkpoint(part, some, wanted, use_reentrant=False) for some, wanted in parts]).sum()
