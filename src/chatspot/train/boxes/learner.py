"""What the box head is told: which cells lie in the middle of what was asked for, and how far its edges are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatspot.model.box_head import CELLS, BoxHead, cell_middles
from chatspot.train.boxes.examples import Edges

MIDDLE = 0.22  # of a box's sides: the spread of the cells that should find it (our choice)
LEAST_SPREAD = 0.5 / CELLS  # so that a small thing has a cell
LEAST_SHARE = 0.1  # of the best cell's; below it a cell is none of the thing's (our choice)
BOX_WEIGHT = 2.0  # of the boxes' losses against that of the scores (our choice)
EDGE_WEIGHT = 2.0  # of the distances of edges against GIoU (our choice)


class Learner(nn.Module):
    """The head while it learns: on standardised maps, with dropout and normalisation."""

    def __init__(self, channels: Sequence[int], width: int, dropout: float):
        super().__init__()
        self.head = BoxHead(channels, width, normed=True)
        self.means = nn.ParameterList([nn.Parameter(torch.zeros(n), requires_grad=False) for n in channels])
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(n), requires_grad=False) for n in channels])
        self.dropout = dropout

    @torch.no_grad()
    def measure(self, maps: Sequence[Tensor]) -> None:
        """Set the standardisation."""
        for mean, scale, found in zip(self.means, self.scales, maps, strict=True):
            mean.copy_(found.mean(dim=(0, 2, 3)))
            scale.copy_(1 / (found.std(dim=(0, 2, 3)) + 1e-3))

    def forward(self, maps: Sequence[Tensor], of: Tensor, words: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and boxes (``BoxHead``) of questions about the views ``of``."""
        standardised = [
            functional.dropout2d((found - mean[:, None, None]) * scale[:, None, None], self.dropout, self.training)
            for found, mean, scale in zip(maps, self.means, self.scales, strict=True)
        ]
        scores, boxes = self.head(self.head.seen(standardised)[of], self.head.asked(words, count))
        return scores.float(), boxes.float()


def targets(boxes: Sequence[Edges]) -> tuple[Tensor, Tensor]:
    """For a question whose answer is any of ``boxes``: each cell's share of the belief [CELLS²], summing to 1, and the
    box that it should give [CELLS², 4], the smallest of those that it lies in the middle of."""
    middles = cell_middles()
    share, wanted = torch.zeros(len(middles)), torch.zeros(len(middles), 4)
    smallest = torch.full((len(middles),), torch.inf)
    for x1, y1, x2, y2 in boxes:
        center = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2])
        spread = torch.tensor([max(MIDDLE * (x2 - x1), LEAST_SPREAD), max(MIDDLE * (y2 - y1), LEAST_SPREAD)])
        near = torch.exp(-(((middles - center) / spread) ** 2).sum(dim=1) / 2)
        near = torch.where(near >= LEAST_SHARE * near.max(), near, 0.0)
        area = (x2 - x1) * (y2 - y1)
        own = (near > 0) & (area < smallest)
        wanted[own] = torch.tensor([x1, y1, x2, y2])
        smallest[own] = area
        share += near / near.sum()
    return share / share.sum(), wanted


def loss_of(scores: Tensor, boxes: Tensor, share: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the scores [N, CELLS²] with ``share``, and the weighted loss of the boxes [N, CELLS², 4] of
    cells with a share: GIoU (arXiv 1902.09630) and the distances of edges."""
    finding = -(share * scores.log_softmax(dim=1)).sum(dim=1).mean()
    own = share > 0
    found, true, weight = boxes[own], wanted[own], share[own] / len(share)
    _, generalised = overlaps(found, true)
    placing = ((1 - generalised) * weight).sum() + EDGE_WEIGHT * ((found - true).abs().sum(dim=1) * weight).sum()
    return finding, BOX_WEIGHT * placing


def overlaps(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and GIoU of boxes xyxy [..., 4], pair by pair."""
    inner = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    hull = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(dim=-1) for box in (one, other)]
    shared = inner.prod(dim=-1)
    union = (areas[0] + areas[1] - shared).clamp(min=1e-9)
    whole = hull.prod(dim=-1).clamp(min=1e-9)
    return shared / union, shared / union - (whole - union) / whole
