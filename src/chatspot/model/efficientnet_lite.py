"""EfficientNet-Lite as a LLaVA vision tower: one picture in, 16 visual tokens out.

The network is EfficientNet-Lite2 (Tan and Le, arXiv 1905.11946; the Lite variants drop squeeze-and-excite and use
ReLU6). Batch normalisation is folded into the convolutions when the weights are converted, so a layer here is a
convolution with a bias. A 256 x 256 picture becomes 16 tokens, and token t carries two readings of it::

    coarse   what is there     the head's 8 x 8 map, averaged to a 4 x 4 grid; token t is cell (t // 4, t % 4)
    fine     what is written   the strides-8 and -16 maps, cut into 16 upright strips; token t is strip t, left to right

Sixteen strips give letters their reading order, which a 4 x 4 grid destroys (our choice, see PAPER.md: nano tower).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

TOKENS_PER_IMAGE = 16
GRID = 4  # coarse cells a side
FINE_ROWS = 8  # rows that a fine strip keeps of its height

# (kernel, stride, expansion, output channels, repeats) of EfficientNet-B0, before scaling.
# Source: arXiv 1905.11946, table 1.
B0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32  # the Lite variants scale neither stem nor head
HEAD_CHANNELS = 1280
FINE_STAGES = (2, 4)  # the last stages at strides 8 and 16


def scaled_channels(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded to a multiple of 8, never down by over 10 % (``round_filters``)."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class EfficientNetLiteConfig(PretrainedConfig):
    """Sizes of the tower; the defaults are EfficientNet-Lite2 (width 1.1, depth 1.2) read at 256 pixels."""

    model_type = "chatspot_efficientnet_lite"

    def __init__(self, width: float = 1.1, depth: float = 1.2, image_size: int = 256, **kwargs: Any):
        if image_size % 256:
            raise ValueError(f"image_size must be a multiple of 256 (16 strips of the stride-16 map), got {image_size}")
        self.width, self.depth, self.image_size = width, depth, image_size
        self.patch_size = image_size // GRID  # LlavaProcessor counts (image_size / patch_size)^2 = 16 tokens
        kwargs.pop("patch_size", None)
        self.hidden_size = kwargs.pop("hidden_size", None) or self.token_features()
        super().__init__(**kwargs)

    def stage_channels(self) -> list[int]:
        """Output channels of the seven stages."""
        return [scaled_channels(stage[3], self.width) for stage in B0_STAGES]

    def stage_repeats(self) -> list[int]:
        """Blocks in the seven stages; the Lite variants do not deepen the first and the last."""
        last = len(B0_STAGES) - 1
        return [r if i in (0, last) else math.ceil(self.depth * r) for i, (*_, r) in enumerate(B0_STAGES)]

    def token_features(self) -> int:
        """Features in a token: the head's channels and FINE_ROWS cells of each fine map's strip."""
        channels = self.stage_channels()
        columns = {2: self.image_size // 8 // TOKENS_PER_IMAGE, 4: self.image_size // 16 // TOKENS_PER_IMAGE}
        return HEAD_CHANNELS + sum(channels[stage] * columns[stage] * FINE_ROWS for stage in FINE_STAGES)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, in which an odd pixel of padding goes to the right and bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=True)

    def forward(self, x: Tensor) -> Tensor:  # x: [B, C, H, W]
        pads: list[int] = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        if any(pads):
            x = functional.pad(x, pads)
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Block(nn.Module):
    """Inverted residual: widen (1x1), look around (depthwise), narrow (1x1), and add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inputs * expansion
        self.expand = SameConv(inputs, middle, 1) if expansion != 1 else None
        self.depthwise = SameConv(middle, middle, kernel, stride, groups=middle)
        self.project = SameConv(middle, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EfficientNetLiteModel(PreTrainedModel):
    """The tower. Its ``last_hidden_state`` is [B, 16, hidden_size], standardised by the two ``feature_*`` buffers."""

    config_class = EfficientNetLiteConfig
    base_model_prefix = "efficientnet_lite"
    main_input_name = "pixel_values"
    _no_split_modules = ["Block"]  # noqa: RUF012 (as transformers declares it)

    def __init__(self, config: EfficientNetLiteConfig):
        super().__init__(config)
        self.stem = SameConv(3, STEM_CHANNELS, 3, stride=2)
        stages, inputs = [], STEM_CHANNELS
        for (kernel, stride, expansion, *_), outputs, repeats in zip(
            B0_STAGES, config.stage_channels(), config.stage_repeats(), strict=True
        ):
            blocks = []
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.head = SameConv(inputs, HEAD_CHANNELS, 1)
        # Fixed standardisation of the token features, measured once on training pictures: it conditions the linear
        # projector, which could absorb it exactly.
        self.feature_mean = nn.Parameter(torch.zeros(config.hidden_size), requires_grad=False)
        self.feature_scale = nn.Parameter(torch.ones(config.hidden_size), requires_grad=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, EfficientNetLiteModel):
            nn.init.zeros_(module.feature_mean)
            nn.init.ones_(module.feature_scale)

    def raw_features(self, pixel_values: Tensor) -> Tensor:
        """Token features before standardisation, [B, 16, hidden_size], for ``pixel_values`` [B, 3, S, S]."""
        x = functional.relu6(self.stem(pixel_values))
        strips = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in FINE_STAGES:
                strips.append(upright_strips(x))
        coarse = functional.adaptive_avg_pool2d(functional.relu6(self.head(x)), GRID)
        return torch.cat([coarse.flatten(2).transpose(1, 2), *strips], dim=2)

    def forward(self, pixel_values: Tensor, output_hidden_states: bool = True, **_: object) -> Any:
        """One picture or a batch [B, 3, S, S] to a ``BaseModelOutputWithPooling`` with [B, 16, hidden_size]."""
        weight = self.stem.weight
        tokens = self.raw_features(pixel_values.to(weight.dtype))
        tokens = (tokens - self.feature_mean) * self.feature_scale
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens, pooler_output=tokens.mean(dim=1), hidden_states=(tokens,)
        )


def upright_strips(feature_map: Tensor) -> Tensor:
    """A map [B, C, H, W] cut into 16 strips over its width, FINE_ROWS averaged rows each: [B, 16, C * rows * W/16]."""
    rows = functional.adaptive_avg_pool2d(feature_map, (FINE_ROWS, feature_map.shape[3]))
    batch, channels, _, width = rows.shape
    strips = rows.reshape(batch, channels, FINE_ROWS, TOKENS_PER_IMAGE, width // TOKENS_PER_IMAGE)
    return strips.permute(0, 3, 1, 2, 4).reshape(batch, TOKENS_PER_IMAGE, -1)


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
