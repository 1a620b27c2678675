"""The projector's start: each visual token is sent near the embedding of the words that it supports.

A random projector says noise to the language model, which then has to be waited out. Here the answers already say what
each view shows: a focal view of "dog" should read like the word "dog", and a piece of a word's line like the letters on
it. Two convex problems over kept features find such a projector, before the language model runs at all:

1. Ridge regression of each visual token onto the embedding it supports: the right scale and place.
2. Classification: the mean of a focal view's tokens has to be nearer (by dot product) to its own name than to any other
   name of the data, and a piece of a line nearer to its letter than to any other character. Least squares alone pulls
   rare names to the mean of all names; classification keeps them apart.

*Deviation*: the paper starts at random. Nano's start is our choice, see PAPER.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from chatspot.errors import TrainingError
from chatspot.messages import Conversation, Message, RegionPart
from chatspot.model.projector import write_linear
from chatspot.model.sheet_tower import LINE_FEATURES, LINE_STEPS, SheetTower
from chatspot.model.text_line import FEATURES, read_classifier
from chatspot.model.weights import line_weights
from chatspot.prompts.encode import IGNORED
from chatspot.train.stream.encoding import Branch
from chatspot.train.stream.features import FeatureCache, View

RIDGE = 0.05  # of the features' variance
LONGEST_NAME = 4  # tokens; longer answers are no names
# Classification (our choices; measured on training pictures that it had not seen, see benchmarks/LOG.md).
PASSES, BATCH, RATE, DECAY, DROPOUT = 3, 128, 3e-4, 0.1, 0.2
LEAST_STEPS = 300  # of classification, for small data sets
MARGIN = 16.0  # the logit that an embedding has with itself


@dataclass
class Supports:
    """What the views of a data set support. ``words`` are the texts of the classes; number 0 is nothing, "".

    ``names``: (view, class). ``lines``: (view, class for each token, IGNORED where two letters meet).
    ``wholes``: (view of a whole picture, classes of the names in it).
    """

    words: dict[str, int] = field(default_factory=lambda: {"": 0})
    names: list[tuple[View, int]] = field(default_factory=list)
    lines: list[tuple[View, list[int]]] = field(default_factory=list)
    wholes: list[tuple[View, list[int]]] = field(default_factory=list)

    def number(self, word: str) -> int:
        """The class of ``word``, a new one where it is seen for the first time."""
        return self.words.setdefault(word, len(self.words))


def start_projector(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    dialogues: Sequence[Branch],
    cache: FeatureCache,
) -> None:
    """Set the tower's feature standardisation (where it has one) and the projector from ``dialogues``, in place.

    The features of all their views must have been filled. ``TrainingError`` where no dialogue shows a picture.
    """
    views = list({view: None for dialogue in dialogues for view in dialogue.views})
    if not views:
        raise TrainingError(f"none of {len(dialogues)} dialogues shows a picture: the projector cannot start from "
                            "their answers; set projector_start: random")  # fmt: skip
    tower = model.model.vision_tower
    if isinstance(tower, SheetTower):
        measure_features(tower, cache, views)
    found = find_supports(dialogues, cache, LineReader() if isinstance(tower, SheetTower) else None)
    embedded = word_embeddings(found.words, model, processor)

    def features(views: Sequence[View]) -> Tensor:
        x = torch.from_numpy(cache.read(views).astype(np.float32))
        if isinstance(tower, SheetTower):
            x = (x - tower.feature_mean.detach().float()) * tower.feature_scale.detach().float()
        return x

    weight, bias = least_squares(found, embedded, features, cache.shape[1])
    weight, bias = classified(found, embedded, features, weight, bias)
    write_linear(model.model.multi_modal_projector, weight, bias)


def measure_features(tower: SheetTower, cache: FeatureCache, views: Sequence[View]) -> None:
    """Set the tower's fixed standardisation from at most 2,000 of the views, evenly taken."""
    chosen = views[:: max(1, len(views) // 2000)]
    total = square = torch.zeros(cache.shape[1], dtype=torch.float64)
    count = 0
    for start in range(0, len(chosen), 64):
        x = torch.from_numpy(cache.read(chosen[start : start + 64]).astype(np.float64)).flatten(0, 1)
        total, square, count = total + x.sum(0), square + (x * x).sum(0), count + len(x)
    mean = total / count
    deviation = (square / count - mean**2).clamp(min=1e-6).sqrt()
    tower.feature_mean.data.copy_(mean)
    tower.feature_scale.data.copy_(1 / deviation)


class LineReader:
    """PP-OCRv6's published classifier over kept line features: which letter stands where, for alignment only."""

    def __init__(self) -> None:
        self.weight, self.bias, self.characters = read_classifier(line_weights())

    def pieces(self, features: Tensor) -> list[list[str]]:
        """The characters on each token of one view, for raw features [tokens, hidden]; none on most."""
        steps = features[:, -LINE_FEATURES:].reshape(-1, FEATURES).float()
        best = (steps @ self.weight.T + self.bias).argmax(dim=1).tolist()
        said = [c if i == 0 or best[i - 1] != c else 0 for i, c in enumerate(best)]  # CTC: a run is one character
        return [
            [self.characters[c] for c in said[start : start + LINE_STEPS] if c]
            for start in range(0, len(said), LINE_STEPS)
        ]


def find_supports(dialogues: Sequence[Branch], cache: FeatureCache, reader: LineReader | None) -> Supports:
    """What each view of the dialogues supports, by the answers that are given about it."""
    found = Supports()
    for dialogue in dialogues:
        views = {view.region: view for view in dialogue.views if view.region is not None}
        seen = []
        for question, answer in turns(dialogue.dialogue.conversation):
            text = answer.text
            place = next((part.region for part in question.parts if isinstance(part, RegionPart)), None)
            view = views.get(place) if place is not None else None
            if text.startswith('"'):
                if view is not None and reader is not None:
                    pieces = aligned(reader.pieces(torch.from_numpy(cache.read([view])[0])), text.strip('"'))
                    if pieces:
                        classes = [found.number(p[0]) if p else 0 for p in pieces]
                        found.lines.append(
                            (view, [IGNORED if len(p) > 1 else c for p, c in zip(pieces, classes, strict=True)])
                        )
            elif is_name(question, answer):
                seen.append(found.number(text))
                if view is not None:
                    found.names.append((view, seen[-1]))
        if seen and dialogue.views:
            found.wholes.append((dialogue.views[0], seen))
    return found


def is_name(question: Message, answer: Message) -> bool:
    """Whether an answer is what its view is called: short, no sentence, and neither a place, a number, a choice, a
    colour nor yes or no, which say little or something else about the view."""
    text = answer.text.strip()
    asks_colour = any(word in question.text.lower() for word in ("colour", "color"))
    return (
        0 < len(text.split()) <= LONGEST_NAME
        and not text.endswith(".")
        and len(text) > 1
        and text not in ("yes", "no")
        and not text.isdecimal()
        and not asks_colour
        and not any(isinstance(part, RegionPart) for part in answer.parts)
    )


def turns(conversation: Conversation) -> Iterator[tuple[Message, Message]]:
    """Questions with their answers; a last question without one is left out."""
    messages = conversation.messages[conversation.has_system :]
    return zip(messages[::2], messages[1::2], strict=False)


def aligned(pieces: list[list[str]], text: str) -> list[list[str]] | None:
    """``pieces`` with the letters of ``text`` in their places, or None where the reader read something else.

    Letters and digits are compared, case folded; other characters that the reader saw are dropped.
    """
    letters = [character for character in text if character.isalnum()]
    kept = [[c for c in piece if c.isalnum()] for piece in pieces]
    if "".join(letters).casefold() != "".join(c for piece in kept for c in piece).casefold():
        return None
    rest = iter(letters)
    return [[next(rest) for _ in piece] for piece in kept]


def word_embeddings(words: dict[str, int], model: LlavaForConditionalGeneration, processor: LlavaProcessor) -> Tensor:
    """[words, hidden]: the mean of each word's token embeddings; zeros for nothing."""
    rows: Any = model.get_input_embeddings().weight
    embedded = torch.zeros(len(words), rows.shape[1])
    for word, number in words.items():
        ids = processor.tokenizer(word, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if ids:
            embedded[number] = rows[ids].detach().float().mean(dim=0)
    return embedded


def least_squares(found: Supports, embedded: Tensor, features: Any, width: int) -> tuple[Tensor, Tensor]:
    """Weight [hidden, width] and bias [hidden] of the ridge regression."""
    gram, moment = torch.zeros(width + 1, width + 1), torch.zeros(width + 1, embedded.shape[1])

    def add(views: list[View], targets: Tensor) -> None:  # targets [views, tokens, hidden]; NaN: unknown
        nonlocal gram, moment
        known = ~targets.isnan().any(dim=2)
        x = features(views)[known]
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        gram += x.T @ x
        moment += x.T @ targets[known]

    unknown = torch.full((1, embedded.shape[1]), torch.nan)
    for some in parts(found.names, 64):
        add([view for view, _ in some], embedded[[number for _, number in some]][:, None].expand(-1, 16, -1))
    for some in parts(found.lines, 64):
        rows = torch.cat([embedded, unknown])  # class IGNORED is -100: the appended row stands for it
        picked = torch.tensor([[len(embedded) if c == IGNORED else c for c in classes] for _, classes in some])
        add([view for view, _ in some], rows[picked])
    for some in parts(found.wholes, 64):
        means = torch.stack([embedded[classes].mean(dim=0) for _, classes in some])
        add([view for view, _ in some], means[:, None].expand(-1, 16, -1))
    gram[range(width), range(width)] += RIDGE * gram[-1, -1]
    solution = torch.linalg.solve(gram.double(), moment.double()).float()
    return solution[:-1].T.contiguous(), solution[-1].contiguous()


def classified(found: Supports, embedded: Tensor, features: Any, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias, moved so that names and letters are told apart."""
    names = sorted({number for _, number in found.names})
    letters = sorted({number for _, classes in found.lines for number in classes if number != IGNORED})
    if len(names) < 2 and len(letters) < 2:
        return weight, bias
    weight, bias = (value.detach().clone().requires_grad_() for value in (weight, bias))
    optimizer = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(0)
    name_rows, letter_rows = class_rows(embedded, names), class_rows(embedded, letters)
    name_place = {number: place for place, number in enumerate(names)}
    letter_place = {number: place for place, number in enumerate(letters)} | {IGNORED: IGNORED}
    items = [*found.names, *found.lines]
    steps = max(PASSES * (-(-len(items) // BATCH)), LEAST_STEPS)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        some = [items[i] for i in torch.randint(len(items), (BATCH,), generator=generator).tolist()]
        x = features([view for view, _ in some])
        kept = torch.rand(x.shape[0], 1, x.shape[2], generator=generator) >= DROPOUT
        z = x * kept / (1 - DROPOUT) @ weight.T + bias
        loss = torch.zeros(())
        named = [i for i, (_, target) in enumerate(some) if isinstance(target, int)]
        if named and len(names) > 1:
            targets = torch.tensor([name_place[some[i][1]] for i in named])
            loss = loss + functional.cross_entropy(z[named].mean(dim=1) @ name_rows.T, targets)
        lined = [i for i, (_, target) in enumerate(some) if not isinstance(target, int)]
        if lined and len(letters) > 1:
            targets = torch.tensor([[letter_place[c] for c in some[i][1]] for i in lined])
            loss = loss + functional.cross_entropy((z[lined] @ letter_rows.T).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach(), bias.detach()


def class_rows(embedded: Tensor, numbers: list[int]) -> Tensor:
    """Rows whose dot product with a visual token is its logit for a class: centred embeddings, scaled so that an
    embedding's logit for itself is MARGIN above the mean one."""
    rows = embedded[numbers] - embedded[numbers].mean(dim=0)
    return rows * (MARGIN / rows.square().sum(dim=1).mean())


def parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))
