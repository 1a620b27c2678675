"""The sizes of a model, read off its configuration alone: no weights are opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from chatspot.images.sheet import LINE_HEIGHT
from chatspot.model.projector import IDENTITY
from chatspot.model.sheet_tower import SheetTowerConfig
from chatspot.train.lora import TARGETS


@dataclass(frozen=True)
class Shape:
    """The sizes of a model: numbers of parameters by part, and what activations depend on.

    ``layer``: the parameters of one decoder layer, ``linear`` those of its linear layers, ``rank_width`` their inputs
    and outputs together; ``rest``: embedding, head (once where they are tied) and last norm; ``largest``: the largest
    single weight; ``keys``: the width of a token's keys; ``pixels``: numbers in a picture. ``precision``: as saved.
    """

    vision: int
    projector: int
    fixed_projector: int
    layer: int
    linear: int
    rank_width: int
    rest: int
    largest: int
    layers: int
    hidden: int
    inner: int
    keys: int
    heads: int
    vocabulary: int
    image_tokens: int
    pixels: int
    vision_layers: int
    features: int
    precision: torch.dtype

    @property
    def language(self) -> int:
        """Parameters of the language model."""
        return self.layers * self.layer + self.rest


def shape_of(config: LlavaConfig) -> Shape:
    """The sizes of a LLaVA model, by building it on the meta device, where tensors have no memory."""
    with torch.device("meta"):
        model: Any = LlavaForConditionalGeneration(config)
    text: Any = config.text_config
    decoder = model.model.language_model
    layer = decoder.layers[0]
    targets = [module for name, module in layer.named_modules() if name.rpartition(".")[2] in TARGETS]
    own = {id(p): p.numel() for p in (*decoder.parameters(), *model.lm_head.parameters())}
    of_layer = sum(p.numel() for p in layer.parameters())
    width, side = config.vision_config.hidden_size, config.vision_config.image_size
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    split = config.projector_hidden_act != IDENTITY
    return Shape(
        vision=sum(p.numel() for p in model.model.vision_tower.parameters()),
        projector=(width + 1) * text.hidden_size,
        fixed_projector=0 if split else (text.hidden_size + 1) * text.hidden_size,
        layer=of_layer,
        linear=sum(module.weight.numel() for module in targets),
        rest=sum(own.values()) - len(decoder.layers) * of_layer,
        largest=max(own.values()),
        layers=len(decoder.layers),
        hidden=text.hidden_size,
        inner=text.intermediate_size,
        keys=text.num_key_value_heads * head_width,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
        image_tokens=config.image_seq_length,
        pixels=3 * side * (side + (LINE_HEIGHT if isinstance(config.vision_config, SheetTowerConfig) else 0)),
        vision_layers=getattr(config.vision_config, "num_hidden_layers", 0),
        features=width,
        precision=as_dtype(config.dtype),
        rank_width=sum(sum(module.weight.shape) for module in targets),
    )


def as_dtype(value: torch.dtype | str | None) -> torch.dtype:
    """The number format that a configuration names; float32, as torch makes it, where it names none."""
    return getattr(torch, str(value).removeprefix("torch."), torch.float32)
