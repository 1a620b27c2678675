"""Boxes in answers: the language model says that a box comes (it writes ``<box>``), the box head says which.

::

    the last question and what the answer has said   -> the head (``model.box_head``): a score and a box for each cell
    the likeliest box that the answer has not given  -> the tokens of its digits and ``</box>``, written as they are

A checkpoint without a box head writes the digits itself, as the paper's model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chatspot.engine.interface import Request
from chatspot.messages import Message, RegionPart
from chatspot.prompts import render
from chatspot.prompts.reader import read_regions
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN
from chatspot.prompts.written import STEP
from chatspot.regions import Box

if TYPE_CHECKING:
    from chatspot.engine.local_engine import LocalEngine

Scores = NDArray[np.float32]  # [cells]
Boxes = NDArray[np.float32]  # [cells, 4]: x1, y1, x2, y2 in fractions of the picture, some beyond its edges
VOTERS = 128  # cells at most, the likeliest ones (our choice)
ALIKE = 0.5  # IoU from which two boxes are of one thing (our choice; COCO's AP50)
MOST_WORDS = 96  # tokens of question and answer that the head reads, the last ones


class Finding:
    """What is looked for in one answer, on one picture."""

    def __init__(self, engine: LocalEngine, request: Request):
        self.engine, self.conversation = engine, request.conversation
        pointed = [part.image for part in self.conversation.messages[-1].parts if isinstance(part, RegionPart)]
        self.image = pointed[0] if pointed else 0
        self.picture = request.images[self.image]

    def written(self, ids: Sequence[int]) -> list[tuple[int, float]]:
        """The tokens that follow an answer's ``ids``, the last of which opens a box, with their log-probabilities: the
        first has the whole box's, that of all cells that find about this box."""
        tokens, end = self.engine.tokens, self.engine.tokens.id_of(END_BOX_TOKEN)
        said = list(ids[:-1])
        given = [region for region in read_regions(self.engine.text(said)) if isinstance(region, Box)]
        since = said[len(said) - said[::-1].index(end) :] if end in said else said
        question = self.conversation.messages[-1].text
        words = tokens.ids(f"{question} {self.engine.text(since)}", control=False)[-MOST_WORDS:]
        box, logprob = likeliest(*self.engine.find(self.picture, words), given)
        digits = tokens.ids(self.digits(box), control=False)
        return [(digits[0], logprob), *((token, 0.0) for token in [*digits[1:], end])]

    def digits(self, box: Box) -> str:
        """The box as the checkpoint's chat template writes it in an answer, without its tags."""
        answered = self.conversation.with_messages(Message("assistant", (RegionPart(box, self.image),)))
        engine = self.engine
        segments = render(
            answered, engine.settings, template=engine.template, special_tokens=engine.tokens.special_tokens
        )
        said = "".join(segment.text for segment in segments if segment.supervised)
        return said.rpartition(BOX_TOKEN)[2].partition(END_BOX_TOKEN)[0]


def likeliest(scores: Scores, boxes: Boxes, given: Sequence[Box]) -> tuple[Box, float]:
    """The box that the cells agree on, of those that are not about one of ``given``, where there are any, and the
    log-probability of that: of the cells whose boxes are about it.

    Cells vote: a box counts with the probability of all cells whose boxes overlap it, and what is written is their mean
    weighed by it (box voting: Gidaris and Komodakis, arXiv 1505.01749; our choice, see benchmarks/LOG.md).
    """
    belief = np.asarray(scores, np.float64)
    belief = belief - np.logaddexp.reduce(belief)
    inside = np.clip(boxes, 0.0, 1.0)
    free = np.ones(len(scores), bool)
    for box in given:
        free &= overlaps(inside, np.array(box.bounds_xyxy)) < ALIKE
    if not free.any():
        free[:] = True
    voters = np.flatnonzero(free)
    voters = voters[np.argsort(-belief[voters], kind="stable")[:VOTERS]]
    belief, inside = belief[voters], inside[voters]
    votes = [float(np.logaddexp.reduce(belief[about(inside, box)])) for box in inside]
    winners = about(inside, inside[int(np.argmax(votes))])
    shares = np.exp(belief[winners] - belief[winners].max())
    return drawn((inside[winners] * (shares / shares.sum())[:, None]).sum(axis=0)), min(max(votes), 0.0)


def about(boxes: Boxes, box: Boxes) -> NDArray[np.bool_]:
    """Which of ``boxes`` [N, 4] are about the same thing as ``box``, itself included where it has no extent."""
    return np.asarray((overlaps(boxes, box) >= ALIKE) | (boxes == box).all(axis=1))


def overlaps(boxes: Boxes, box: Boxes) -> NDArray[np.float64]:
    """IoU of each of ``boxes`` [N, 4] with ``box`` [4]."""
    inner = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None).prod(axis=1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    whole = areas + np.clip(box[2:] - box[:2], 0, None).prod() - inner
    return np.asarray(inner / np.maximum(whole, 1e-12), np.float64)


def drawn(edges: Boxes) -> Box:
    """A box with the edges rounded as they are written, at least a step wide and high, inside the picture."""
    low = np.minimum(np.round(edges[:2].astype(float) / STEP), round(1 / STEP) - 1)
    high = np.maximum(np.round(edges[2:].astype(float) / STEP), low + 1)
    return Box.from_normalized(*(low * STEP), *(high * STEP))
