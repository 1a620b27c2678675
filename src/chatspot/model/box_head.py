"""Where is it? The part of nano that finds what words name in the whole picture.

Sixteen visual tokens of a whole picture do not say where a thing lies, so nano's language model could only guess the
digits of a box. This head looks at the vision tower's maps of the whole picture at BOX_SIDE pixels and at the words
that were said, and gives each of CELLS x CELLS cells a score and a box::

    maps of the tower at strides 8, 16 and 32 -> CHANNELS channels at stride 16 -> convolutions that look around
    words -> their embeddings in the language model's table, weighed by attention -> a scale and a shift of the channels
    both  -> the score of each cell, and how far the box's edges are from the cell's middle

The language model decides when it answers with a box (it writes ``<box>``); the engine then writes the head's digits
(``engine.finding``). A box decoder behind a trigger of the language model is NExT-Chat's idea (arXiv 2311.04498); cells
that vote for boxes are FCOS's (arXiv 1904.01355). *Deviation*: the paper's model answers with text alone. Our choice,
see PAPER.md: box head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from chatspot.errors import CheckpointError
from chatspot.images.whole import BOX_SIDE
from chatspot.model.efficientnet_lite import EfficientNetLite

STRIDE = 16  # pixels of a cell's side
CELLS = BOX_SIDE // STRIDE
CHANNELS = 96
QUERY = 96  # numbers that the words are squeezed to
SHARPNESS = 8.0  # of the attention to words, whose embeddings have length 1 here (our choice)
FURTHEST = 0.5  # of the picture's side: what a side of 1 (softplus) stands for (our choice)
HALF_BYTE = 127  # the largest weight of a channel in 8 bits


class Look(nn.Module):
    """A residual block: look around (depthwise), widen, narrow. ``normed`` while it learns; then that is folded in."""

    def __init__(self, channels: int, kernel: int, normed: bool):
        super().__init__()
        self.around = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.BatchNorm2d(channels) if normed else nn.Identity()
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(functional.relu(self.widen(self.norm(self.around(x)))))


class BoxHead(nn.Module):
    """The box head for maps of these ``channels`` (``maps_of``) and words of ``width`` numbers."""

    def __init__(self, channels: Sequence[int], width: int, normed: bool = False):
        super().__init__()
        fine, middle, coarse = channels
        self.fine = nn.Conv2d(fine, CHANNELS, 2, stride=2)
        self.middle = nn.Conv2d(middle, CHANNELS, 1)
        self.coarse = nn.Conv2d(coarse, CHANNELS, 1)
        self.row = nn.Parameter(torch.randn(CHANNELS, CELLS, 1) * 0.02)
        self.column = nn.Parameter(torch.randn(CHANNELS, 1, CELLS) * 0.02)
        self.far = Look(CHANNELS, 5, normed)
        self.near = nn.ModuleList([Look(CHANNELS, 7, normed) for _ in range(2)])
        self.attend = nn.Linear(width, 1)
        self.squeeze = nn.Linear(width, QUERY)
        self.film = nn.Linear(QUERY, 3 * CHANNELS)
        self.match = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.enter = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.around = nn.Conv2d(CHANNELS, CHANNELS, 5, padding=2, groups=CHANNELS)
        self.leave = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.out = nn.Conv2d(CHANNELS, 5, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.attend.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([0.0, -1.5, -1.5, -1.5, -1.5]))  # boxes of a fifth of the side at first

    def seen(self, maps: Sequence[Tensor]) -> Tensor:
        """The picture in the head's own channels [B, CHANNELS, CELLS, CELLS], of ``maps_of`` it."""
        fine, middle, coarse = maps
        far = functional.interpolate(self.far(self.coarse(coarse)), scale_factor=2.0, mode="nearest")
        x = self.fine(fine) + self.middle(middle) + far + self.row + self.column
        for look in self.near:
            x = look(x)
        return x

    def asked(self, words: Tensor, count: Tensor) -> Tensor:
        """What is looked for, [N, QUERY], of embeddings [N, words, width] of which the first ``count`` [N] are said."""
        words = functional.normalize(words, dim=2)
        past = torch.arange(words.shape[1], device=words.device) >= count[:, None]
        weights = (self.attend(words)[:, :, 0] * SHARPNESS).masked_fill(past, -torch.inf).softmax(dim=1)
        found: Tensor = self.squeeze((weights[:, :, None] * words).sum(dim=1))
        return found

    def forward(self, seen: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [N, CELLS²] and boxes xyxy [N, CELLS², 4] in fractions of the picture, some beyond its edges, for
        ``seen`` [N, ...] and ``asked`` [N, QUERY]."""
        scale, shift, key = (part[:, :, None, None] for part in self.film(functional.relu(asked)).chunk(3, dim=1))
        alike = (self.match(seen) * key).mean(dim=1, keepdim=True)
        x = functional.relu(self.enter(seen) * (1 + scale) + shift)
        x = functional.relu(self.leave(self.around(x)))
        out = self.out(x)
        score = (out[:, :1] + alike).flatten(1)
        sides = functional.softplus(out[:, 1:]).flatten(2).transpose(1, 2) * FURTHEST
        middles = cell_middles().to(sides)
        return score, torch.cat([middles - sides[..., :2], middles + sides[..., 2:]], dim=-1)


def maps_of(picture: EfficientNetLite, pixels: Tensor) -> list[Tensor]:
    """What the box head sees of pictures [B, 3, BOX_SIDE, BOX_SIDE]: the tower's maps at strides 8 and 16, and its
    head's at stride 32."""
    fine, middle, coarse = picture.coarser(pixels)
    return [fine, middle, picture.head_of(coarse)]


def cell_middles() -> Tensor:
    """The middle (x, y) of each cell, row by row, in fractions of the picture: [CELLS², 2]."""
    along = (torch.arange(CELLS) + 0.5) / CELLS
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


@torch.no_grad()
def folded(learnt: BoxHead, means: Sequence[Tensor], scales: Sequence[Tensor]) -> BoxHead:
    """The head that computes from raw maps what ``learnt``, in evaluation mode, does from maps standardised by
    ``means`` and ``scales``: without normalisation of its own."""
    first = (learnt.fine, learnt.middle, learnt.coarse)
    plain = BoxHead([layer.in_channels for layer in first], learnt.squeeze.in_features)
    state = {name: value for name, value in learnt.state_dict().items() if ".norm." not in name}
    for name, mean, scale in zip(("fine", "middle", "coarse"), means, scales, strict=True):
        weight = state[f"{name}.weight"] * scale[None, :, None, None]
        state[f"{name}.weight"] = weight
        state[f"{name}.bias"] = state[f"{name}.bias"] - (weight * mean[None, :, None, None]).sum(dim=(1, 2, 3))
    for name, block in learnt.named_modules():
        if isinstance(block, Look) and isinstance(block.norm, nn.BatchNorm2d):
            norm = block.norm
            assert norm.running_var is not None
            assert norm.running_mean is not None
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            state[f"{name}.around.weight"] = block.around.weight * gain[:, None, None, None]
            assert block.around.bias is not None
            state[f"{name}.around.bias"] = (block.around.bias - norm.running_mean) * gain + norm.bias
    plain.load_state_dict(state)
    return plain.eval()


def packed(head: BoxHead) -> dict[str, Tensor]:
    """The head's tensors for shipping: matrices in 8 bits with a scale for each of their rows, all others float16."""
    tensors = {}
    for name, value in head.state_dict().items():
        if value.dim() > 1 and name.endswith(".weight"):
            rows = value.flatten(1)
            scale = (rows.abs().amax(dim=1) / HALF_BYTE).clamp(min=1e-8)
            tensors[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(value.shape)
            tensors[f"{name}_scale"] = scale.float()
        else:
            tensors[name] = value.half()
    return tensors


def unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What ``packed`` gave, in float32."""
    state = {}
    for name, value in tensors.items():
        if not name.endswith("_scale"):
            scale = tensors.get(f"{name}_scale")
            wide = value.float()
            state[name] = wide if scale is None else wide * scale.reshape(-1, *[1] * (value.dim() - 1))
    return state


def load_box_head(file: Path) -> BoxHead:
    """The head in a checkpoint's file (float32). Raises ``CheckpointError`` when it holds none."""
    try:
        state = load_file(file)
        channels = [state[f"{name}.weight"].shape[1] for name in ("fine", "middle", "coarse")]
        head = BoxHead(channels, state["squeeze.weight"].shape[1])
        head.load_state_dict(state)
    except Exception as error:  # safetensors raises its own untyped errors
        raise CheckpointError(f"{file} holds no box head ({error}); fetch or save the checkpoint again") from error
    return head.requires_grad_(False).eval()
