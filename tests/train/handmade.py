"""Rows and steps made by hand for a tiny model, without pictures: features are drawn from a view's name."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration

from chatspot.prompts.encode import IGNORED
from chatspot.train.stream.examples import Picture
from chatspot.train.stream.features import View
from chatspot.train.stream.packing import Position, Row, Step

WORDS = range(10, 250)  # ids of the tiny model's ordinary tokens
ANSWERS = ((250, 251), (252, 253))  # few enough to be learnt
STEPS_AN_EPOCH = 4


@dataclass(frozen=True)
class Talk:
    """A group: what its dialogues share, and each one's own tokens, of which the last two are the answer."""

    prefix: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    views: tuple[View, ...] = ()


class Made:
    """Groups and rows for ``model``, drawn from ``seed``."""

    def __init__(self, model: LlavaForConditionalGeneration, seed: int = 0):
        self.image, self.tokens = model.config.image_token_id, model.config.image_seq_length
        self.width = model.config.vision_config.hidden_size
        self.rng = random.Random(seed)

    def words(self, count: int) -> tuple[int, ...]:
        return tuple(self.rng.choice(WORDS) for _ in range(count))

    def talk(self, branches: int, pictures: int = 1) -> Talk:
        views = tuple(View(Picture(f"picture {self.rng.random()}", Path("none"))) for _ in range(pictures))
        prefix = self.words(2) + (self.image,) * (self.tokens * pictures) + self.words(1)
        answers = [self.rng.choice(ANSWERS) for _ in range(branches)]
        return Talk(prefix, tuple(self.words(self.rng.randint(2, 7)) + answer for answer in answers), views)

    def read(self, views: Sequence[View]) -> torch.Tensor:
        """Features [views, tokens, width], the same for a view each time."""
        drawn = [torch.Generator().manual_seed(zlib.crc32(view.picture.name.encode())) for view in views]
        return torch.stack([torch.randn(self.tokens, self.width, generator=generator) for generator in drawn])

    def steps(self, start: Position = Position()) -> Iterator[Step]:  # noqa: B008 (frozen)
        """Steps without end: rows of every kind, the same ones whenever they are asked for."""
        epoch, at = start.epoch, start.step
        while True:
            made = Made.__new__(Made)
            made.__dict__ = {**self.__dict__, "rng": random.Random(f"{epoch}/{at}")}
            rows = (
                row(made.talk(3), made.talk(1)),
                row(made.talk(1)),
                row(made.talk(2, pictures=2)),
                row(made.talk(1, pictures=0), made.talk(1, pictures=0)),
                row(made.talk(1)),
            )
            at += 1
            position = Position(epoch, 0, at) if at < STEPS_AN_EPOCH else Position(epoch + 1)
            supervised = sum(t != IGNORED for r in rows for t in r.targets)
            yield Step(rows, sum(r.dialogues for r in rows), supervised, position, epoch + at / STEPS_AN_EPOCH)
            epoch, at = position.epoch, position.step


def row(*talks: Talk) -> Row:
    """The groups one after the other."""
    ids: list[int] = []
    targets: list[int] = []
    positions: list[int] = []
    groups: list[int] = []
    branches: list[int] = []
    for group, talk in enumerate(talks):
        ids += talk.prefix
        targets += [IGNORED] * len(talk.prefix)
        positions += range(len(talk.prefix))
        branches += [0] * len(talk.prefix)
        for number, own in enumerate(talk.branches, 1):
            ids += own
            targets += [IGNORED] * (len(own) - 3) + [*own[-2:], IGNORED]
            positions += range(len(talk.prefix), len(talk.prefix) + len(own))
            branches += [number] * len(own)
        groups += [group] * (len(ids) - len(groups))
    views = tuple(view for talk in talks for view in talk.views)
    values = (tuple(some) for some in (ids, targets, positions, groups, branches))
    return Row(*values, views, sum(len(talk.branches) for talk in talks))


def alone(*talks: Talk) -> list[Row]:
    """Each dialogue of the groups in a row of its own, with all that it shares."""
    return [row(Talk(talk.prefix, (own,), talk.views)) for talk in talks for own in talk.branches]
