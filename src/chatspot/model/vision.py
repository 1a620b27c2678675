"""Vision features apart from the rest of the model, so that they can be computed once and kept."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from chatspot.model.sheet_tower import SheetTower


def raw_features(model: LlavaForConditionalGeneration, pixel_values: Tensor) -> Tensor:
    """Tower features before any standardisation, [B, tokens, features], chosen as the checkpoint's config says."""
    tower, config = model.model.vision_tower, model.config
    if isinstance(tower, SheetTower):
        return tower.raw_features(pixel_values.to(tower.dtype))
    hidden = tower(pixel_values.to(tower.dtype), output_hidden_states=True).hidden_states[config.vision_feature_layer]
    return hidden[:, 1:] if config.vision_feature_select_strategy == "default" else hidden


def view_features(model: LlavaForConditionalGeneration, pixel_values: Tensor, pictures: list[int]) -> Tensor:
    """``raw_features`` of views, [views, tokens, features]: the mean over the ``pictures`` of each. In ``pixel_values``
    one view's pictures follow the other's."""
    tower = model.model.vision_tower
    if isinstance(tower, SheetTower):
        return tower.view_features(pixel_values.to(tower.dtype), pictures)
    return torch.stack([each.mean(dim=0) for each in raw_features(model, pixel_values).split(pictures)])


def standardised(model: LlavaForConditionalGeneration, raw: Tensor) -> Tensor:
    """What the projector is given for ``raw`` features; the same shape."""
    tower = model.model.vision_tower
    if isinstance(tower, SheetTower):
        return (raw - tower.feature_mean) * tower.feature_scale
    return raw


def visual_tokens(model: LlavaForConditionalGeneration, raw: Tensor) -> Tensor:
    """Raw features [B, tokens, features] as visual tokens in the language model's space, [B, tokens, hidden]."""
    projector = model.model.multi_modal_projector
    return projector(standardised(model, raw).to(next(projector.parameters()).dtype))


def tower_identity(model: LlavaForConditionalGeneration) -> str:
    """A name for the tower's weights and reading, for keys of kept features: its class, the picture's side, the
    features of a token, and a hash of its weights, but not of the standardisation, which raw features come before."""
    tower = model.model.vision_tower
    digest = hashlib.sha256()
    for name, value in tower.state_dict().items():
        if not name.startswith("feature_"):
            digest.update(value.detach().to(torch.float32).cpu().contiguous().numpy().tobytes())
    sizes = model.config.vision_config
    return f"{type(tower).__name__}/{sizes.image_size}/{sizes.hidden_size}/{digest.hexdigest()[:12]}"
