"""From an example's dialogues to token ids, labels and views: the only place of training that knows the template."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from transformers import LlavaProcessor

from chatspot.errors import DataError
from chatspot.prompts import PromptSettings, Tokens, encode, pictures, render
from chatspot.prompts.encode import IGNORED
from chatspot.prompts.tokens import IMAGE_TOKEN
from chatspot.train.recipe import Recipe
from chatspot.train.stream.examples import Dialogue, Example
from chatspot.train.stream.features import View


@dataclass(frozen=True)
class Branch:
    """One dialogue as the model reads it alone. ``labels`` holds the ids that training learns, IGNORED elsewhere;
    ``views`` fill the runs of image tokens in their order."""

    dialogue: Dialogue
    input_ids: list[int]
    labels: list[int]
    views: tuple[View, ...]

    @property
    def supervised(self) -> int:
        """Tokens that training learns: the first of a sequence has nothing before it to be predicted from."""
        return sum(label != IGNORED for label in self.labels[1:])


class Encoder:
    """Encodes dialogues for the checkpoint of ``processor`` and ``settings``.

    The recipe's share of dialogues, drawn by their ids, is shown without focal views, so that the model can do without.
    """

    def __init__(self, processor: LlavaProcessor, settings: PromptSettings, recipe: Recipe, tokens_per_image: int):
        self.tokens = Tokens.of(processor.tokenizer)
        self.template: Any = processor.chat_template
        self.tokens_per_image = tokens_per_image
        self.image_token = self.tokens.id_of(IMAGE_TOKEN)
        self.settings, self.plain = settings, replace(settings, focal_view=False)
        self.seed, self.plain_share = recipe.seed, recipe.without_focal_share

    def branches(self, example: Example) -> list[Branch]:
        """The example's dialogues, encoded; errors as for ``branch``."""
        return [self.branch(example, dialogue) for dialogue in example.dialogues]

    def branch(self, example: Example, dialogue: Dialogue) -> Branch:
        """A dialogue of the example, encoded. ``DataError`` for one that has nothing to learn from, or shows other
        pictures than the example's."""
        talk = dialogue.conversation
        if talk.image_count != len(example.pictures):
            raise DataError(f"dialogue {dialogue.id} of {example.source} shows {talk.image_count} pictures, "
                            f"its example has {len(example.pictures)}; make the data again")  # fmt: skip
        draw = random.Random(f"{self.seed}/focal/{dialogue.id}").random()
        settings = self.plain if draw < self.plain_share else self.settings
        segments = render(talk, settings, template=self.template, special_tokens=self.tokens.special_tokens)
        encoded = encode(segments, self.tokens, self.tokens_per_image)
        views = tuple(View(example.pictures[shown.image], shown.region) for shown in pictures(talk, settings))
        branch = Branch(dialogue, encoded.input_ids, encoded.labels, views)
        if not branch.supervised:
            raise DataError(f"dialogue {dialogue.id} of {example.source} has no supervised token: it has no answer")
        return branch
