"""How steady an answer is: the same question about regions that lie nearly where the asked ones do.

A region is pointed at by hand, so an answer that changes when it moves by a tenth is not to be trusted. Each of the
regions of the last question moves by an independent draw (``regions.jittered``); pictures stay, so their visual tokens
are computed once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from chatspot.engine.interface import Reply, Request
from chatspot.errors import MessageError
from chatspot.messages import Conversation, Message, Part, RegionPart
from chatspot.regions import jittered

NOISE = 0.1  # the s of the paper's robustness test, the least of its three
MOST_AROUND = 8  # further questions; a batch of a server holds 16 (our choice)
SEED = "chatspot agreement"


def around(request: Request, count: int) -> list[Request]:
    """The request ``count`` times more, about regions moved by NOISE; none where its question names no region.

    Equal requests give equal draws. Raises ``MessageError`` for a count outside 0 to MOST_AROUND.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_AROUND:
        raise MessageError(f"agreement is the number of further questions, 0 to {MOST_AROUND}, got {count!r}")
    *before, question = request.conversation.messages
    if not question.regions:
        return []
    return [
        replace(request, conversation=Conversation((*before, moved(question, request, number))))
        for number in range(count)
    ]


def moved(question: Message, request: Request, number: int) -> Message:
    """The question with each of its regions moved by draw ``number``."""
    rng = random.Random(f"{SEED}/{number}")

    def part_of(part: Part) -> Part:
        if not isinstance(part, RegionPart):
            return part
        size = request.images[part.image].size
        return replace(part, region=jittered(part.region, NOISE, size=size, rng=rng))

    return replace(question, parts=tuple(part_of(part) for part in question.parts))


def agreement_of(reply: Reply, others: Sequence[Reply]) -> float | None:
    """The share of ``others`` that say what ``reply`` says, 0 to 1; None where there are none."""
    if not others:
        return None
    return sum(folded(other.text) == folded(reply.text) for other in others) / len(others)


def folded(text: str) -> str:
    """A text as it is compared: without case, blanks at the ends and a full stop."""
    return " ".join(text.casefold().split()).rstrip(".")
