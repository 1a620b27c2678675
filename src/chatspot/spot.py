"""Ask about a part of a picture: the Python interface, a thin layer over an engine.

::

    spot = ChatSpot.from_pretrained()
    box = Box.from_pixels(172, 14, 416, 314, size=(600, 400))
    spot.ask("coffee.jpg", "What is this?", box).text
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from PIL import Image

from chatspot.engine.agreement import agreement_of, around
from chatspot.engine.interface import Engine, Finish, Reply, Request
from chatspot.errors import MessageError
from chatspot.images import open_image
from chatspot.images.load import ImageSource
from chatspot.messages import Conversation, Message, Part, RegionPart, Style, ask
from chatspot.prompts import read_answer
from chatspot.regions import Region

if TYPE_CHECKING:
    import torch

    from chatspot.engine.opening import EngineKind

Question: TypeAlias = "tuple[str, Region | Sequence[Region] | None]"

ANSWER_TOKENS = 64  # a default; nano's answers are a few words


@dataclass(frozen=True)
class Answer:
    """An answer; ``str(answer)`` is its text.

    ``image`` is the number of the picture, from 0, that its regions are read on. ``finish`` is "end", or "length" when
    the token limit cut the answer off. ``confidence`` is how likely the answer is right, 0 to 1, where the checkpoint
    was calibrated, otherwise how sure the model was of its words (``engine.Reply.confidence``); None where a remote
    model answered, which does not say. ``sure`` is whether the calibration takes the answer for right, None without
    one. ``agreement`` is the share of the same questions about slightly moved regions that were answered alike, 0 to 1,
    None where none were asked.
    """

    text: str
    confidence: float | None
    finish: Finish
    image: int = 0
    sure: bool | None = None
    agreement: float | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def modest(self) -> str:
        """The text, under a reserve where the answer is not ``sure``: "I can't tell; perhaps: cup (34 %)"."""
        if self.sure is not False or self.confidence is None or not self.text.strip():
            return self.text
        return f"I can't tell; perhaps: {self.text} ({100 * self.confidence:.0f} %)"

    @property
    def parts(self) -> tuple[Part, ...]:
        """The text with the regions that it names as parts."""
        return read_answer(self.text, self.image)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that the answer names, in order."""
        return tuple(part.region for part in self.parts if isinstance(part, RegionPart))


class ChatSpot:
    """A model to ask about parts of pictures. ``engine`` computes the answers."""

    def __init__(self, engine: Engine):
        self.engine = engine

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        focal_view: bool | None = None,
        engine: EngineKind = "auto",
    ) -> ChatSpot:
        """Open a model: the embedded chatspot-nano (None or "chatspot-nano"), a checkpoint folder, or a hub id.

        ``device`` and ``dtype`` "auto" take a GPU where there is one and the fastest safe number format; ``focal_view``
        None is the checkpoint's own setting. ``engine`` is "torch", "onnx" (faster on CPUs, for nano and models like
        it) or "auto", which takes the faster one for nano where it is installed. The first start of nano converts its
        published weights (seconds). Raises ``CheckpointError`` when the model cannot be opened, ``MessageError`` for an
        unknown engine, device or dtype.
        """
        from chatspot.engine.opening import open_engine

        return cls(open_engine(source, engine, device, dtype, focal_view))

    def ask(
        self,
        image: ImageSource,
        question: str,
        *regions: Region,
        style: Style | None = "short",
        max_new_tokens: int = ANSWER_TOKENS,
        agreement: int = 0,
    ) -> Answer:
        """The answer to a question about the picture and, where ``regions`` are given, about exactly these parts.

        ``image`` is a path, the bytes of an image file or a PIL image. A ``{region}`` in the question is the place of
        the next region; regions without a place follow the question. With ``agreement`` 1 to 8 the same is asked so
        many times more about slightly moved regions, beside it (``Answer.agreement``). Raises ``ImageError``, or
        ``MessageError`` for a question that says nothing, has more places than regions, or is too long.
        """
        asked: list[Question] = [(question, regions)]
        return self.ask_many(image, asked, style=style, max_new_tokens=max_new_tokens, agreement=agreement)[0]

    def ask_many(
        self,
        image: ImageSource,
        questions: Iterable[Question],
        style: Style | None = "short",
        max_new_tokens: int = ANSWER_TOKENS,
        agreement: int = 0,
    ) -> list[Answer]:
        """Answers to independent questions about one picture, computed together; the picture is encoded once.

        A question is a text with its region, its regions, or None. Errors are those of ``ask``.
        """
        picture = open_image(image)
        messages = [user_message(question, region_tuple(given), style=style) for question, given in questions]
        requests = [Request(Conversation((message,)), (picture,), max_new_tokens) for message in messages]
        beside = [around(request, agreement) for request in requests]
        replies = iter(self.engine.answer([*requests, *(one for some in beside for one in some)]))
        main = [next(replies) for _ in requests]
        others = [[next(replies) for _ in some] for some in beside]
        return [answer_of(reply, others=some) for reply, some in zip(main, others, strict=True)]

    def chat(
        self,
        images: ImageSource | Sequence[ImageSource],
        style: Style | None = "short",
        max_new_tokens: int = ANSWER_TOKENS,
    ) -> Chat:
        """A conversation about one picture or several, which are opened now. Raises ``ImageError``."""
        many: Sequence[Any] = images if isinstance(images, (list, tuple)) else [images]
        if not many:
            raise MessageError("a chat needs at least one picture, got an empty list")
        return Chat(self.engine, tuple(open_image(image) for image in many), style, max_new_tokens)


class Chat:
    """A conversation that remembers: each question is asked after all that was said before it.

    ``conversation`` is the history (None before the first answer), ``images`` its upright pictures. A turn whose answer
    is empty is not remembered, for an answer that says nothing is no message.
    """

    def __init__(self, engine: Engine, images: tuple[Image.Image, ...], style: Style | None, max_new_tokens: int):
        self.engine, self.images, self.style, self.max_new_tokens = engine, images, style, max_new_tokens
        self.conversation: Conversation | None = None

    def ask(self, question: str, *regions: Region, image: int = 0, agreement: int = 0) -> Answer:
        """The answer to the next question; ``regions`` are parts of picture number ``image`` (from 0).

        ``agreement`` as in ``ChatSpot.ask``.

        Raises ``MessageError`` when the question says nothing or the conversation has grown too long; the history is
        then as before.
        """
        conversation = self.asked(question, regions, image)
        request = Request(conversation, self.images, self.max_new_tokens)
        reply, *others = self.engine.answer([request, *around(request, agreement)])
        self.remember(conversation, reply.text, image)
        return answer_of(reply, image, others)

    def stream(self, question: str, *regions: Region, image: int = 0) -> Iterator[str]:
        """The answer in pieces as it comes. A reader that stops early ends it; what came so far is remembered.

        The question is checked now: raises as ``ask`` does (a conversation that is too long, with the first piece).
        """
        conversation = self.asked(question, regions, image)
        return self.streamed(Request(conversation, self.images, self.max_new_tokens), image)

    def streamed(self, request: Request, image: int) -> Iterator[str]:
        """The pieces of an answer, remembered when the last one was read or the reader stops."""
        said = ""
        pieces = self.engine.stream(request)
        try:
            for piece in pieces:
                said += piece
                yield piece
        finally:
            self.remember(request.conversation, said, image)

    def asked(self, question: str, regions: Sequence[Region], image: int) -> Conversation:
        """The conversation continued by a question; the first one brings the pictures."""
        if self.conversation is None:
            return Conversation((user_message(question, regions, self.style, len(self.images), image),))
        return self.conversation.with_messages(user_message(question, regions, self.style, 0, image))

    def remember(self, conversation: Conversation, text: str, image: int) -> None:
        """Make the conversation with its answer the history."""
        if text.strip():
            self.conversation = conversation.with_messages(Message("assistant", read_answer(text, image)))


def user_message(
    question: str, regions: Sequence[Region], style: Style | None, images: int = 1, image: int = 0
) -> Message:
    """A question as a message; ``MessageError`` for a question that is no text or a region that is none."""
    if not isinstance(question, str):
        raise MessageError(f"a question is a text, got {type(question).__name__}")
    for region in regions:
        if not isinstance(region, get_args(Region)):
            raise MessageError(f"a region is a Box, Point, Polygon, Mask or Scribble, got {region!r}"[:160]
                               + "; write Box.from_pixels(x1, y1, x2, y2, size=(width, height))")  # fmt: skip
    return ask(question, *regions, style=style, images=images, image=image)


def region_tuple(given: Any) -> tuple[Any, ...]:
    """What came with a question as a tuple: None is no region, a single one is one."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def answer_of(reply: Reply, image: int = 0, others: Sequence[Reply] = ()) -> Answer:
    """An engine's reply as an answer; ``others`` are the replies about moved regions."""
    return Answer(reply.text, reply.confidence, reply.finish, image, reply.sure, agreement_of(reply, others))
