"""A checkpoint opened without torch and transformers, which take seconds to import: all but its weights.

It makes the same prompts, ids and pixels as ``checkpoint`` does with the stock classes; tests compare them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chatspot.errors import CheckpointError
from chatspot.model.folder import CONFIG, PROCESSOR, TEMPLATE, read_folder, read_json, read_text
from chatspot.prompts import PromptSettings, Tokens
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN

GENERATION = "generation_config.json"  # a folder may lack it


@dataclass(frozen=True)
class LightCheckpoint:
    """A checkpoint folder without its weights. ``config`` and ``processor`` are the objects in its files."""

    path: Path
    settings: PromptSettings
    template: str
    tokens: Tokens
    end_ids: frozenset[int]
    config: dict[str, Any]
    processor: dict[str, Any]

    @property
    def tokens_per_image(self) -> int:
        """How many image tokens stand for one picture."""
        return int(self.config["image_seq_length"])

    @property
    def text_positions(self) -> int:
        """How many tokens the language model can tell apart."""
        return int(self.config["text_config"]["max_position_embeddings"])

    @cached_property
    def scaling(self) -> NDArray[np.float32]:
        """What becomes of a channel's 256 values: [3, 256]. The stock processor computes the same for each pixel."""
        images = self.processor["image_processor"]
        mean, std = (np.array(images[name], np.float32)[:, None] for name in ("image_mean", "image_std"))
        values = (np.arange(256, dtype=np.float64) * images["rescale_factor"]).astype(np.float32)
        return np.asarray((values - mean) / std)

    def pixels(self, view: Image.Image) -> NDArray[np.float32]:
        """A view (``images.encoder_view``) as the tower reads it: [1, 3, height, width]."""
        images = self.processor["image_processor"]
        if self.settings.image_fit == "pad":
            view = padded(view, tuple(int(255 * value) for value in images["image_mean"]))
        size_wh = (images["size"]["width"], images["size"]["height"])
        if view.size != size_wh:
            view = view.resize(size_wh, Image.Resampling(images["resample"]))
        values = np.asarray(view)
        return np.stack([self.scaling[channel][values[:, :, channel]] for channel in range(3)])[None]


def padded(view: Image.Image, color: tuple[int, ...]) -> Image.Image:
    """The view in the middle of a square (``LlavaImageProcessor.pad_to_square``)."""
    if view.width == view.height:
        return view
    side = max(view.size)
    square = Image.new("RGB", (side, side), color)
    square.paste(view, ((side - view.width) // 2, (side - view.height) // 2))
    return square


def open_light(folder: Path) -> LightCheckpoint:
    """Open a complete checkpoint folder; ``CheckpointError`` for any other.

    Whether configuration, processor and weights go together is left to ``load_checkpoint``.
    """
    config, settings = read_folder(folder)
    processor = read_json(folder / PROCESSOR)
    try:
        tokens = Tokens.read(folder)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the tokenizer in {folder} cannot be opened ({error}); fetch it again") from error
    for token in (IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN):
        tokens.id_of(token)
    template, ends = read_text(folder / TEMPLATE), end_ids(folder, tokens)
    light = LightCheckpoint(folder, settings, template, tokens, ends, config, processor)
    try:
        assert light.tokens_per_image > 0
        assert light.text_positions > 0
        light.pixels(Image.new("RGB", (2, 1)))
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise CheckpointError(f"{folder}: {CONFIG} or {PROCESSOR} lacks a value, or has one that cannot be "
                              f"({type(error).__name__}: {error}); fetch or save the checkpoint again"
                              ) from error  # fmt: skip
    return light


def end_ids(folder: Path, tokens: Tokens) -> frozenset[int]:
    """The tokens that end an answer: the tokenizer's end token and those of the checkpoint's generation settings."""
    stored = read_json(folder / GENERATION).get("eos_token_id") if (folder / GENERATION).is_file() else None
    ends = stored if isinstance(stored, list) else [stored]
    if not all(end is None or isinstance(end, int) for end in ends):
        raise CheckpointError(f"{folder / GENERATION}: eos_token_id should be a number or several, got {stored!r}")
    if "eos_token" in tokens.special_tokens:
        ends = [*ends, tokens.id_of(tokens.special_tokens["eos_token"])]
    return frozenset(end for end in ends if end is not None)
