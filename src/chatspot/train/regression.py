"""The projector's start: a ridge regression of each visual token onto the embedding of the answer it supports.

A random projector says noise to the language model, which then has to be waited out. Here the answers already say what
each view shows: a focal view of "dog" should read like the word "dog", and the strip of a word's picture over its third
letter like that letter. One linear least-squares problem finds the projector that comes closest.

*Deviation*: the paper starts at random. Nano's start is our choice, see PAPER.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from chatspot.images.focal import region_window
from chatspot.messages import Conversation, Message, RegionPart
from chatspot.model.efficientnet_lite import EfficientNetLiteModel
from chatspot.model.projector import write_linear
from chatspot.regions import Box
from chatspot.train.dataset import TrainingSample
from chatspot.train.features import FeatureCache, View

RIDGE = 0.05  # of the features' variance
LONGEST_NAME = 4  # tokens; longer answers are no names


def start_projector(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    samples: Sequence[TrainingSample],
    cache: FeatureCache,
) -> None:
    """Set the tower's feature standardisation (where it has one) and the projector from ``samples``, in place."""
    views = list({view: None for sample in samples for view in sample.views})
    if isinstance(model.model.vision_tower, EfficientNetLiteModel):
        measure_features(model.model.vision_tower, cache, views)
    tower = model.model.vision_tower
    weight: Any = model.get_input_embeddings().weight
    embedding = weight.detach().float()
    tokens, features = cache.shape
    gram = torch.zeros(features + 1, features + 1)
    moment = torch.zeros(features + 1, embedding.shape[1])
    pairs = (
        (view, target) for sample in samples for view, target in view_targets(sample, processor, embedding, tokens)
    )
    for chunk in chunks(pairs, 64):
        x = torch.from_numpy(cache.read([view for view, _ in chunk]).astype(np.float32))
        if isinstance(tower, EfficientNetLiteModel):
            x = (x - tower.feature_mean.float()) * tower.feature_scale.float()
        y = torch.stack([target for _, target in chunk])
        known = ~y.isnan().any(dim=2)
        x = torch.cat([x[known], torch.ones(int(known.sum()), 1)], dim=1)
        gram += x.T @ x
        moment += x.T @ y[known]
    gram[range(features), range(features)] += RIDGE * gram[-1, -1]
    solution = torch.linalg.solve(gram.double(), moment.double()).float()
    write_linear(model.model.multi_modal_projector, solution[:-1].T.contiguous(), solution[-1].contiguous())


def measure_features(tower: EfficientNetLiteModel, cache: FeatureCache, views: Sequence[View]) -> None:
    """Set the tower's fixed standardisation from at most 2,000 of the views, evenly taken."""
    chosen = views[:: max(1, len(views) // 2000)]
    total = square = torch.zeros(cache.shape[1], dtype=torch.float64)
    count = 0
    for chunk in chunks(iter(chosen), 64):
        x = torch.from_numpy(cache.read(chunk).astype(np.float64)).flatten(0, 1)
        total, square, count = total + x.sum(0), square + (x * x).sum(0), count + len(x)
    mean = total / count
    deviation = (square / count - mean**2).clamp(min=1e-6).sqrt()
    tower.feature_mean.data.copy_(mean)
    tower.feature_scale.data.copy_(1 / deviation)


def view_targets(
    sample: TrainingSample, processor: LlavaProcessor, embedding: Tensor, tokens: int
) -> Iterator[tuple[View, Tensor]]:
    """Views of a sample with the embedding each of their visual tokens supports, [tokens, hidden]; NaN: none known."""
    names = []
    views = {view.region: view for view in sample.views if view.region is not None}
    for question, answer in turns(sample.sample.conversation):
        text = answer.text
        place = next((part.region for part in question.parts if isinstance(part, RegionPart)), None)
        view = views.get(place) if place is not None else None
        if text.startswith('"'):
            if view is not None and isinstance(place, Box):
                yield view, letter_targets(view, place, text.strip('"'), processor, embedding, tokens)
            continue
        ids = processor.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if len(ids) > LONGEST_NAME or text in ("yes", "no"):
            continue
        name = embedding[ids].mean(dim=0)
        names.append(name)
        if view is not None:
            yield view, name.expand(tokens, -1)
    if names:
        yield sample.views[0], torch.stack(names).mean(dim=0).expand(tokens, -1)


def turns(conversation: Conversation) -> Iterator[tuple[Message, Message]]:
    """Questions with their answers."""
    messages = conversation.messages[conversation.has_system :]
    return zip(messages[::2], messages[1::2], strict=True)


def letter_targets(
    view: View, box: Box, text: str, processor: LlavaProcessor, embedding: Tensor, tokens: int
) -> Tensor:
    """For each upright strip of the focal view the embedding of the letter under its middle, letters taken as equally
    wide; NaN outside the box."""
    with Image.open(view.path) as image:
        size = image.size
    left, _, right, _ = region_window(box, size)
    targets = torch.full((tokens, embedding.shape[1]), float("nan"))
    x1, x2 = box.x1 * size[0], box.x2 * size[0]
    for strip in range(tokens):
        place = (left + (strip + 0.5) / tokens * (right - left) - x1) / (x2 - x1)
        if 0 <= place < 1:
            letter = processor.tokenizer(text[int(place * len(text))], add_special_tokens=False)["input_ids"]
            targets[strip] = embedding[letter].mean(dim=0)
    return targets


def chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of ``size``."""
    held = []
    for item in items:
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
