"""EfficientNet-Lite: the picture half of nano's tower.

The network is EfficientNet-Lite2 (Tan and Le, arXiv 1905.11946; the Lite variants drop squeeze-and-excite and use
ReLU6). Batch normalisation is folded into the convolutions when the weights are converted, so a layer here is a
convolution with a bias.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

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
MIDDLE_STAGES = (2, 4)  # the last stages at strides 8 and 16
LATE = 4  # the first of the late stages, nine tenths of the weights and half of the work


def scaled_channels(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded to a multiple of 8, never down by over 10 % (``round_filters``)."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, in which an odd pixel of padding goes to the right and bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=True)

    def forward(self, x: Tensor) -> Tensor:  # x: [B, C, H, W]
        pads: list[int] = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        left, right, top, bottom = pads
        if (left, top) == (right, bottom):  # the convolution pads by itself: that saves a copy of the picture
            return functional.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        return functional.conv2d(functional.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


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
        y = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        y = self.project(functional.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """Pictures to the maps of one network at three strides; ``width`` and ``depth`` scale B0's."""

    def __init__(self, width: float, depth: float):
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, 3, stride=2)
        stages, inputs = [], STEM_CHANNELS
        last = len(B0_STAGES) - 1
        for index, (kernel, stride, expansion, channels, repeats) in enumerate(B0_STAGES):
            outputs = scaled_channels(channels, width)
            if index not in (0, last):  # the Lite variants do not deepen the first and the last stage
                repeats = math.ceil(depth * repeats)
            blocks = []
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.head = SameConv(inputs, HEAD_CHANNELS, 1)

    @property
    def map_channels(self) -> int:
        """Channels of the three maps together."""
        narrow = [list(self.stages)[stage][-1].project.out_channels for stage in MIDDLE_STAGES]  # type: ignore[index]
        return HEAD_CHANNELS + sum(narrow)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Maps [B, C, H, W] of ``pixels`` [B, 3, S, S]: the head's at stride 32, then those at strides 8 and 16."""
        middle, x = self.early(pixels)
        head, last = self.late(x)
        return head, middle, last

    def early(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The map at stride 8, and what the late stages are given."""
        x = functional.relu6(self.stem(pixels))
        for stage in list(self.stages)[: MIDDLE_STAGES[0] + 1]:
            x = stage(x)
        middle = x
        for stage in list(self.stages)[MIDDLE_STAGES[0] + 1 : LATE]:
            x = stage(x)
        return middle, x

    def late(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The head's map and that at stride 16, of what ``early`` hands over."""
        x = last = self.stages[LATE](x)
        for stage in list(self.stages)[LATE + 1 :]:
            x = stage(x)
        return functional.relu6(self.head(x)), last

    def coarser(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps at strides 8, 16 and 32, the last of which ``head_of`` takes further, for ``model.box_head``."""
        fine, x = self.early(pixels)
        middle = self.stages[LATE](x)
        return fine, middle, self.stages[LATE + 1](middle)

    def head_of(self, x: Tensor) -> Tensor:
        """The head's map of the map at stride 32 that ``coarser`` gives."""
        return functional.relu6(self.head(self.stages[-1](x)))

    def late_names(self) -> list[str]:
        """The names of the late layers' weights: those that nano's own training changes."""
        own = ("head.", *(f"stages.{number}." for number in range(LATE, len(self.stages))))
        return [name for name in self.state_dict() if name.startswith(own)]
