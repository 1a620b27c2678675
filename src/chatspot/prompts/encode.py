"""From segments to token ids and labels, in the same breath: what is supervised is known, never searched for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from chatspot.prompts.render import Segment

IGNORED = -100  # torch's cross-entropy leaves out positions with this label
ONE_AT_A_TIME = Lock()  # whether control tokens count is a state of the tokenizer, not of the call: see ``encode``
IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN = "<image>", "<box>", "</box>"


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of equal length; a label is the id where training learns it and IGNORED elsewhere.

    Every picture stands as ``tokens_per_image`` copies of the image token, in the order of ``pictures``.
    """

    input_ids: list[int]
    labels: list[int]

    @property
    def supervised(self) -> int:
        """How many tokens training learns from."""
        return sum(label != IGNORED for label in self.labels)


def encode(segments: Iterable[Segment], tokenizer: Any, tokens_per_image: int) -> Encoded:
    """The segments as ids and labels. ``tokenizer`` is a transformers fast tokenizer with the image token added.

    Each segment is tokenised by itself, so ids of a conversation are a prefix of the ids of its continuation, and
    supervised tokens are exactly the answers and their end tokens.

    One thread at a time uses the tokenizer: another that switched control tokens on for its own segment would let
    forged ones count in this one's text.
    """
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    input_ids: list[int] = []
    labels: list[int] = []
    for segment in segments:
        with ONE_AT_A_TIME:
            ids = tokenizer(
                segment.text, add_special_tokens=False, split_special_tokens=not segment.control, verbose=False
            )["input_ids"]
        for token in ids:
            copies = tokens_per_image if token == image_id else 1
            input_ids += [token] * copies
            labels += [token if segment.supervised and token != image_id else IGNORED] * copies
    return Encoded(input_ids, labels)
