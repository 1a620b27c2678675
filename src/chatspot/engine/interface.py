"""The seam between a conversation and whatever computes its answer.

An engine takes pure values (a conversation, its upright pictures) and gives back text. Anything above it, from the
Python interface to the command line and evaluation, knows only what stands here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from PIL import Image

from chatspot.engine.calibration import Calibration
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

    A remote model tells neither: then ``token_ids`` is empty, ``logprob`` None, and ``counted`` holds how many tokens
    it says it read and wrote (zeros where it does not say). ``calibration`` is the checkpoint's, None where it has
    none.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float | None
    finish: Finish
    counted: tuple[int, int] | None = None
    calibration: Calibration | None = None

    @property
    def confidence(self) -> float | None:
        """How likely the answer is right, 0 to 1, by the checkpoint's calibration.

        Without one (``sure`` is None then) the geometric mean of the tokens' probabilities: how sure the model was of
        its words, which is not how often such words are true. None where the engine does not say.
        """
        if self.logprob is None or not self.token_ids or math.isnan(self.logprob):
            return None
        if self.calibration is not None:
            return self.calibration.probability(self.logprob)
        return math.exp(self.logprob / len(self.token_ids))

    @property
    def sure(self) -> bool | None:
        """Whether the calibration says that the answer may be given without a reserve; None without a calibration."""
        confidence = self.confidence
        if self.calibration is None or confidence is None:
            return None
        return confidence >= self.calibration.threshold

    @property
    def parts(self) -> tuple[Part, ...]:
        """The answer as text and region parts, its regions on picture 0 (``prompts.read_answer`` for another)."""
        return read_answer(self.text)


@dataclass(frozen=True)
class Prepared:
    """A request that an engine made ready to be computed. ``prompt`` is that engine's own, with ``len(prompt.ids)``
    tokens and ``prompt.text``; at most ``max_new_tokens`` are answered, which may be fewer than the request allows."""

    request: Request
    prompt: Any
    max_new_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the model reads, those of the pictures included."""
        return len(self.prompt.ids)

    @property
    def text(self) -> str:
        """The prompt as it is given to the model, without the pictures."""
        return str(self.prompt.text)


class Growing(Protocol):
    """An answer while it grows in a batch."""

    @property
    def reply(self) -> Reply | None:
        """The whole answer, once it has ended. Raises ``EngineError`` when there will be none (a remote model)."""

    def read(self) -> str:
        """The text that came since the last call; no later token changes it."""


class Batch(Protocol):
    """Answers that grow together, each by a token at a step. Requests join and leave between steps, and an answer that
    has ended leaves by itself; what else is in the batch does not change an answer. One thread uses it."""

    def __len__(self) -> int:
        """How many answers are growing."""

    def has_room(self, *prepared: Prepared) -> bool:
        """Whether these requests fit into the memory set aside together; an empty batch always has room for one."""

    def join(self, prepared: Sequence[Prepared]) -> Sequence[Growing]:
        """Read the prompts and choose each answer's first token. When it raises, the batch is as before."""

    def step(self) -> None:
        """Choose the next token of every answer, or wait a moment for what a remote model sends."""

    def leave(self, gone: Collection[Growing]) -> None:
        """End these answers now; they have no reply."""


class Engine(Protocol):
    """What computes answers; greedy, so the same request gives the same answer, except that sums in another order (in
    other company, from a kept beginning) can turn a tie."""

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

        Raises ``MessageError`` when prompt and answer do not fit the model's text limit, and ``EngineError`` when a
        remote model does not answer.
        """

    def stream(self, request: Request) -> Iterator[str]:
        """The answer's text in pieces as it comes; joined they are ``Reply.text``. Closing the iterator stops it.

        Raises ``MessageError`` as ``answer`` does, with the first piece.
        """

    def prepare(self, request: Request) -> Prepared:
        """The request made ready to join a batch, in any thread. An answer longer than the model's text limit leaves
        room for may be as long as there is room for. Raises ``MessageError`` when the prompt leaves none."""

    def batch(self) -> Batch:
        """An empty batch."""
