"""Nano's vision tower: a sheet in, 16 visual tokens out.

A sheet (``chatspot.images.sheet``) shows a view as a square and, beneath it, as a line of text. Token t carries two
readings of it::

    what is there     EfficientNet-Lite2's maps at three strides, averaged to a 4 x 4 grid; token t is the cell in
                      row t // 4 and column t % 4, and beside it the mean of the four cells in the middle
    what is written   PP-OCRv6's features of the line, left to right; token t is its t-th sixteenth

Sixteen pieces of a line keep the letters in their reading order, which a 4 x 4 grid destroys. A region lies in the
middle of its focal view: with the middle in every token a linear layer can say what it is in each of them (measured,
see benchmarks/LOG.md). Both are our choice, see PAPER.md: nano tower.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from chatspot.images.sheet import SIDE
from chatspot.model import text_line
from chatspot.model.efficientnet_lite import EfficientNetLite
from chatspot.model.text_line import TextLineEncoder

TOKENS_PER_IMAGE = 16
GRID = 4  # cells a side of what is there
LINE_STEPS = SIDE // text_line.STEP_PIXELS // TOKENS_PER_IMAGE  # feature vectors of the line in a token
LINE_FEATURES = LINE_STEPS * text_line.FEATURES  # the last features of a token


class SheetTowerConfig(PretrainedConfig):
    """Sizes of the tower; the defaults are EfficientNet-Lite2's."""

    model_type = "chatspot_sheet_tower"

    def __init__(self, width: float = 1.1, depth: float = 1.2, **kwargs: Any):
        self.width, self.depth = width, depth
        self.image_size = SIDE
        self.patch_size = (
            SIDE // GRID
        )  # LlavaProcessor counts whole patches of a sheet: 4 x 4, the line is less than one
        self.hidden_size = 2 * picture_channels(width, depth) + LINE_FEATURES
        for fixed in ("image_size", "patch_size", "hidden_size"):
            kwargs.pop(fixed, None)
        super().__init__(**kwargs)


def picture_channels(width: float, depth: float) -> int:
    """Channels of a picture's maps together."""
    with torch.device("meta"):
        return EfficientNetLite(width, depth).map_channels


class SheetTower(PreTrainedModel):
    """The tower. Its ``last_hidden_state`` is [B, 16, hidden_size], standardised by the two ``feature_*`` tensors."""

    config_class = SheetTowerConfig
    base_model_prefix = "sheet_tower"
    main_input_name = "pixel_values"
    _no_split_modules = ["Block", "MixBlock"]  # noqa: RUF012 (as transformers declares it)

    def __init__(self, config: SheetTowerConfig):
        super().__init__(config)
        self.picture = EfficientNetLite(config.width, config.depth)
        self.line = TextLineEncoder()
        # Fixed standardisation of the token features, measured once on training pictures: it conditions the linear
        # projector, which could absorb it exactly.
        self.feature_mean = nn.Parameter(torch.zeros(config.hidden_size), requires_grad=False)
        self.feature_scale = nn.Parameter(torch.ones(config.hidden_size), requires_grad=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, SheetTower):
            nn.init.zeros_(module.feature_mean)
            nn.init.ones_(module.feature_scale)

    def raw_features(self, pixel_values: Tensor) -> Tensor:
        """Token features before standardisation, [B, 16, hidden_size], of sheets [B, 3, SIDE + 48, SIDE]."""
        return torch.cat([self.there(pixel_values), self.written(pixel_values)], dim=2)

    def view_features(self, pixel_values: Tensor, sheets: list[int]) -> Tensor:
        """``raw_features`` of views, [views, 16, hidden_size], of so many ``sheets`` each, one view's after the other:
        the mean of what is there, and what is written on the first, as all sheets of a view have the same line."""
        there = torch.stack([each.mean(dim=0) for each in self.there(pixel_values).split(sheets)])
        firsts = torch.tensor(sheets).cumsum(0) - torch.tensor(sheets)
        return torch.cat([there, self.written(pixel_values[firsts])], dim=2)

    def there(self, pixel_values: Tensor) -> Tensor:
        """What is there, [B, 16, features]."""
        maps = [functional.adaptive_avg_pool2d(found, GRID) for found in self.picture(pixel_values[:, :, :SIDE])]
        cells = torch.cat(maps, dim=1)  # [B, C, 4, 4]
        seen = cells.flatten(2).transpose(1, 2)
        middle = cells[:, :, 1:-1, 1:-1].mean(dim=(2, 3))[:, None].expand_as(seen)
        return torch.cat([seen, middle], dim=2)

    def written(self, pixel_values: Tensor) -> Tensor:
        """What is written, [B, 16, LINE_FEATURES]."""
        steps = self.line(pixel_values[:, :, SIDE:])  # [B, 32, 120]
        return steps.reshape(len(steps), TOKENS_PER_IMAGE, LINE_FEATURES)

    def forward(self, pixel_values: Tensor, output_hidden_states: bool = True, **_: object) -> Any:
        """Sheets [B, 3, SIDE + 48, SIDE] to a ``BaseModelOutputWithPooling`` with [B, 16, hidden_size]."""
        tokens = self.raw_features(pixel_values.to(self.picture.stem.weight.dtype))
        tokens = (tokens - self.feature_mean) * self.feature_scale
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(dim=1), hidden_states=(tokens,)
        )


AutoConfig.register(SheetTowerConfig.model_type, SheetTowerConfig, exist_ok=True)
AutoModel.register(SheetTowerConfig, SheetTower, exist_ok=True)
