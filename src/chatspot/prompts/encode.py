"""From segments to token ids and labels, in the same breath: what is supervised is known, never searched for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chatspot.prompts.render import Segment
from chatspot.prompts.tokens import IMAGE_TOKEN, Tokens

IGNORED = -100  # torch's cross-entropy leaves out positions with this label


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


def encode(segments: Iterable[Segment], tokens: Tokens, tokens_per_image: int) -> Encoded:
    """The segments as ids and labels. ``tokens`` has the image token.

    Each segment is tokenised by itself, so ids of a conversation are a prefix of the ids of its continuation, and
    supervised tokens are exactly the answers and their end tokens.
    """
    image_id = tokens.id_of(IMAGE_TOKEN)
    input_ids: list[int] = []
    labels: list[int] = []
    for segment in segments:
        for token in tokens.ids(segment.text, control=segment.control):
            copies = tokens_per_image if token == image_id else 1
            input_ids += [token] * copies
            labels += [token if segment.supervised and token != image_id else IGNORED] * copies
    return Encoded(input_ids, labels)
