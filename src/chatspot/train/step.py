"""One step's loss: kept vision features and token ids in, mean cross-entropy of the supervised tokens out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from chatspot.model.vision import visual_tokens
from chatspot.prompts.encode import IGNORED
from chatspot.train.dataset import TrainingSample
from chatspot.train.features import FeatureCache


@dataclass(frozen=True)
class Batch:
    """Padded on the right, which causal attention never looks back at, so no attention mask is needed.

    ``input_ids`` and ``labels``: [B, T]; ``features``: raw tower features [views, tokens, features], in reading order.
    """

    input_ids: Tensor
    labels: Tensor
    features: Tensor

    @property
    def tokens(self) -> int:
        """Tokens of the step, padding included."""
        return self.input_ids.numel()


def collate(samples: Sequence[TrainingSample], cache: FeatureCache, pad_id: int) -> Batch:
    """The samples as one batch."""
    longest = max(sample.length for sample in samples)
    ids = torch.full((len(samples), longest), pad_id)
    labels = torch.full((len(samples), longest), IGNORED)
    for row, sample in enumerate(samples):
        ids[row, : sample.length] = torch.tensor(sample.encoded.input_ids)
        labels[row, : sample.length] = torch.tensor(sample.encoded.labels)
    views = [view for sample in samples for view in sample.views]
    return Batch(ids, labels, torch.from_numpy(cache.read(views).astype(np.float32)))


def batch_loss(model: LlavaForConditionalGeneration, batch: Batch) -> Tensor:
    """The mean cross-entropy of the supervised tokens. Logits are made for the supervised positions alone."""
    embeddings = model.get_input_embeddings()(batch.input_ids)
    image = visual_tokens(model, batch.features).to(embeddings.dtype)
    places = (batch.input_ids == model.config.image_token_id).unsqueeze(-1)
    embeddings = embeddings.masked_scatter(places, image)
    hidden = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
    targets = batch.labels[:, 1:]
    supervised = targets != IGNORED
    logits = model.lm_head(hidden[:, :-1][supervised])
    return functional.cross_entropy(logits.float(), targets[supervised])
