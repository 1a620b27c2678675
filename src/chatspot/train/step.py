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
from chatspot.train import spans
from chatspot.train.spans import Spans, lay_out
from chatspot.train.stream.features import View
from chatspot.train.stream.rows import Row

PADDING = -1  # the group of padding
CHUNK_LOGITS = 2**24  # logits that are held at once: 64 MB in float32 (our choice)
FLEX_BLOCK = 128  # tokens; flex attention skips whole blocks of this size (torch's default), so rows fill them
FLEX = "flex"


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right. ``input_ids``, ``targets``, ``positions``, ``groups``, ``branches``: [R, T].

    ``views`` fill the runs of image tokens in reading order: raw tower features [views, tokens, features] or pixel
    values [views, 3, H, W]; [0] where there is no picture. ``spans`` say who sees whom, as do groups and branches.
    """

    input_ids: Tensor
    targets: Tensor
    positions: Tensor
    groups: Tensor
    branches: Tensor
    views: Tensor
    spans: Spans

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``."""
        spans = self.spans.to(device)
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "spans"}
        return Batch(spans=spans, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})


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

    views = [view for row in rows for view in row.views]
    return Batch(
        input_ids=padded("input_ids", pad_id),
        targets=padded("targets", IGNORED),
        positions=padded("positions", 0),
        groups=padded("groups", PADDING),
        branches=padded("branches", 0),
        views=read(views) if views else torch.zeros(0),
        spans=lay_out(rows, longest),
    )


class RegionLoss(nn.Module):
    """The model with its loss: what a training step calls, and what is sharded over several processes.

    ``attention``: "sdpa" (span by span) or "flex" (torch's flex attention over whole rows, which skips what nothing
    sees; it has no backward pass on CPUs).
    """

    def __init__(self, model: LlavaForConditionalGeneration, attention: str = "sdpa"):
        super().__init__()
        self.model, self.attention = model, attention
        language_model: Any = model.model.language_model
        language_model.set_attn_implementation("flex_attention" if attention == FLEX else spans.NAME)

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
            position_ids=batch.positions,
            use_cache=False,
            **({"attention_mask": block_mask(batch)} if self.attention == FLEX else {"spans": batch.spans}),
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


def block_mask(batch: Batch) -> Any:
    """Who sees whom, for flex attention. Padding sees padding, so that no token sees nothing."""
    from torch.nn.attention.flex_attention import create_block_mask

    groups, branches = batch.groups, batch.branches

    def sees(row: Tensor, _: Tensor, i: Tensor, j: Tensor) -> Tensor:
        own = (branches[row, j] == 0) | (branches[row, i] == branches[row, j])
        return (i >= j) & (groups[row, i] == groups[row, j]) & own

    rows, length = groups.shape
    return create_block_mask(sees, rows, None, length, length, device=groups.device.type)


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
