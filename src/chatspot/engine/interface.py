"""The seam between a conversation and whatever computes its answer.

An engine takes pure values (a conversation, its upright pictures) and gives back text. Anything above it, from the
Python interface to the command line and evaluation, knows only what stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from PIL import Image

from chatspot.errors import MessageError
from chatspot.messages import Conversation, Part
from chatspot.prompts import PromptSettings, read_answer

Finish: TypeAlias = Literal["end", "length"]


@dataclass(frozen=True)
class Request:
    """A conversation that ends with a user's message, and its pictures.

    ``images`` are upright RGB pictures (``images.open_image``), one for each of the conversation's image parts, in
    order. At most ``max_new_tokens`` tokens are answered. Raises ``MessageError`` when there is nothing to answer, or
    when pictures and image parts differ in number.
    """

    conversation: Conversation
    images: tuple[Image.Image, ...]
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        last = self.conversation.messages[-1]
        if last.role != "user":
            raise MessageError(f"the last message is the {last.role}'s: there is no question to answer; end the "
                               "conversation with a user's message")  # fmt: skip
        wanted = self.conversation.image_count
        if len(self.images) != wanted:
            raise MessageError(f"the conversation shows {wanted} picture(s), but {len(self.images)} came with it; give "
                               "one picture for each image part")  # fmt: skip
        if isinstance(self.max_new_tokens, bool) or not isinstance(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise MessageError(f"max_new_tokens must be a whole number of at least 1, got {self.max_new_tokens!r}")


@dataclass(frozen=True)
class Reply:
    """An answer.

    ``text`` is the answer without control tokens; ``token_ids`` are the chosen tokens, the end token included where
    the model chose it; ``logprob`` is the sum of their natural-log probabilities, so at most 0. ``finish`` is "end"
    when the model ended by itself and "length" when ``max_new_tokens`` stopped it.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    finish: Finish

    @property
    def parts(self) -> tuple[Part, ...]:
        """The answer as text and region parts, its regions on picture 0 (``prompts.read_answer`` for another)."""
        return read_answer(self.text)


class Engine(Protocol):
    """What computes answers; greedy, so the same request gives the same answer."""

    @property
    def name(self) -> str:
        """What answers, for people and result files: the checkpoint's name."""

    @property
    def device(self) -> str:
        """Where it computes, such as "cpu" or "cuda:0"."""

    @property
    def settings(self) -> PromptSettings:
        """The prompt settings in use; ``focal_view`` may differ from the checkpoint's where the caller chose so."""

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply for each request, in order, computed together; no request gives no reply.

        Raises ``MessageError`` when prompt and answer do not fit the model's text limit.
        """

    def stream(self, request: Request) -> Iterator[str]:
        """The answer's text in pieces as it comes; joined they are ``Reply.text``. Closing the iterator stops it.

        Raises ``MessageError`` as ``answer`` does, with the first piece.
        """
