"""What every engine does that computes in this process, whatever library it computes with.

::

    conversation -> segments -> ids          chatspot.prompts (never a processor's own template call on user text)
    pictures     -> tower -> visual tokens   kept by content, so further questions about a picture do not encode it
    both         -> rows -> tokens           lanes: one pass for each token, side by side for all answers of a batch
    rows         -> kept                     what a row has read stays, so the next one reads only what is new to it

Choosing tokens is a plain loop and no library's ``generate()``: batches that requests join and leave, streams and
log-probabilities come from the same few lines.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from chatspot.engine.calibration import Calibration
from chatspot.engine.finding import Boxes, Scores
from chatspot.engine.interface import Prepared, Reply, Request
from chatspot.engine.kept import KeptBeginnings, KeptViews, Row, ViewKey
from chatspot.engine.routed import OpenedLater, RoutedBatch
from chatspot.engine.running import Lanes, RunningBatch
from chatspot.errors import MessageError
from chatspot.images import encoder_view, encoder_views
from chatspot.images.focal import SIZES
from chatspot.prompts import PromptSettings, Tokens, encode, pictures, render
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN
from chatspot.regions import Region

TEXT_LIMIT = 2048  # tokens of prompt and answer together; source: the paper
CHUNK = 4  # pictures that pass the tower together; on CPUs larger batches are slower (measured)
BATCH_TOKENS = 4096  # padded prompt and answer tokens computed together; bounds the memory
RUNNING_TOKENS = 8192  # the same for a batch that requests join; nano keeps 23 kB a token
KEPT_BYTES = 64 * 2**20  # visual tokens that are kept; nano's are 18 kB a picture, the paper's 2 MB
KEPT_BEGINNING_BYTES = 64 * 2**20  # keys and values that are kept: about 15 conversations with nano
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # how the tokenizer writes bytes that are no whole character


@dataclass(frozen=True)
class Prompt:
    """A request as ids, and as the ``text`` that they are of; ``views`` fill the runs of image tokens in their order.
    ``pixels`` are those of the views that were drawn ahead, as the tower reads them."""

    ids: list[int]
    views: list[ViewKey]
    max_new_tokens: int
    text: str = ""
    pixels: dict[ViewKey, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens of the prompt and of the longest answer to it."""
        return len(self.ids) + self.max_new_tokens


class LocalEngine(ABC):
    """An ``Engine`` that computes here. A subclass says how views and rows are computed, and may change the limits.

    ``settings`` and ``template`` (Jinja) are the checkpoint's, as are ``end_ids``, the tokens that end an answer.
    ``focal_view`` None leaves the checkpoint's setting. Of the language model's ``text_positions`` TEXT_LIMIT are used.
    ``calibration`` is set by whoever opens the checkpoint (``opening``), as is ``texts``, the engine that answers what
    shows no picture, None where this one does.
    """

    chunk = CHUNK
    batch_tokens = BATCH_TOKENS
    running_tokens = RUNNING_TOKENS
    calibration: Calibration | None = None
    texts: OpenedLater | None = None

    def __init__(
        self,
        settings: PromptSettings,
        template: str,
        tokens: Tokens,
        *,
        tokens_per_image: int,
        end_ids: frozenset[int],
        text_positions: int,
        focal_view: bool | None = None,
    ):
        self.settings = settings if focal_view is None else replace(settings, focal_view=focal_view)
        self.template, self.tokens, self.tokens_per_image, self.end_ids = template, tokens, tokens_per_image, end_ids
        self.image_id, self.box_id = tokens.id_of(IMAGE_TOKEN), tokens.id_of(BOX_TOKEN)
        # control tokens that an answer's text leaves out: all but the box markup
        self.hidden_ids = tokens.control_ids - {self.box_id, tokens.id_of(END_BOX_TOKEN)}
        self.byte_ids = tokens.byte_ids
        self.text_limit = min(TEXT_LIMIT, text_positions)
        self.kept = KeptViews(KEPT_BYTES)
        self.beginnings = KeptBeginnings(KEPT_BEGINNING_BYTES)

    @property
    @abstractmethod
    def name(self) -> str:
        """What answers, for people and result files: the checkpoint's name."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it computes, such as "cpu" or "cuda:0"."""

    @abstractmethod
    def read_by_tower(self, shown: list[Image.Image]) -> Any:
        """Pictures (``images.encoder_view``) as the tower reads them: [pictures, 3, height, width]. Called in any
        thread."""

    @abstractmethod
    def tower(self, pixels: list[Any]) -> list[Any]:
        """The visual tokens of each view, of the mean over its pictures' features, each of its own memory and with
        ``nbytes``. Views come together that have about ``chunk`` pictures."""

    @property
    @abstractmethod
    def finds_boxes(self) -> bool:
        """Whether the checkpoint has a box head."""

    @abstractmethod
    def find(self, image: Image.Image, ids: Sequence[int]) -> tuple[Scores, Boxes]:
        """What the box head says of the upright picture and of words given as token ids, at least one."""

    def view_pixels(self, image: Image.Image, region: Region | None) -> Any:
        """A view as the tower reads it: the picture, or the region at one size or, as the settings say, at several."""
        fit = self.settings.image_fit
        if region is not None and self.settings.several_sizes:
            return self.read_by_tower(encoder_views(image, region, fit))
        return self.read_by_tower([encoder_view(image, region, fit)])

    @abstractmethod
    def lanes(self, prompts: Sequence[Prompt], views: Mapping[ViewKey, Any]) -> Lanes:
        """The prompts as rows, in their order, that have read them (kept ``beginnings`` need not be read again) and
        have chosen their first tokens."""

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply for each request, in order; prompts of like length are computed together.

        Raises ``MessageError`` when a prompt and its answer do not fit the text limit; then nothing is computed.
        """
        hashes: dict[int, str] = {}
        prompts = [self.prompt(request, number, hashes) for number, request in enumerate(requests)]
        replies: dict[int, Reply] = {}
        for numbers in batches(prompts, self.batch_tokens):
            batch = self.batch()
            chosen = [Prepared(requests[number], prompts[number], prompts[number].max_new_tokens) for number in numbers]
            answers = batch.join(chosen)
            while len(batch):
                batch.step()
            replies.update((n, a.reply) for n, a in zip(numbers, answers, strict=True) if a.reply is not None)
        return [replies[number] for number in range(len(requests))]

    def stream(self, request: Request) -> Iterator[str]:
        """The answer in pieces of whole characters; a model that writes no text yields none.

        Raises ``MessageError`` as ``answer`` does, with the first piece.
        """
        prompt = self.prompt(request, 0, {})
        batch = self.batch()
        (answer,) = batch.join([Prepared(request, prompt, prompt.max_new_tokens)])
        try:
            while True:
                if piece := answer.read():
                    yield piece
                if answer.reply is not None:
                    return
                batch.step()
        finally:
            batch.leave([answer])

    def prepare(self, request: Request) -> Prepared:
        """The request as ids; an answer longer than the text limit leaves room for is allowed what there is room for.

        Views that are not kept are drawn here: of a picture of 25 megapixels each takes up to 0.6 s, in which a batch
        would stand still; so does the engine for ``texts``, which is opened here. Raises ``MessageError`` when the
        prompt leaves no room.
        """
        if self.texts is not None and not request.images:
            self.texts()
        prompt = self.prompt(replace(request, max_new_tokens=1), 0, {})
        most = min(request.max_new_tokens, self.text_limit - len(prompt.ids))
        drawn: dict[ViewKey, Any] = {}
        for picture, key in zip(pictures(request.conversation, self.settings), prompt.views, strict=True):
            if key not in drawn and self.kept.get(key) is None:
                drawn[key] = self.view_pixels(request.images[picture.image], picture.region)
        return Prepared(request, replace(prompt, max_new_tokens=most, pixels=drawn), most)

    def batch(self) -> RunningBatch | RoutedBatch:
        """An empty batch that requests join and leave."""
        batch = RunningBatch(self, self.running_tokens)
        return batch if self.texts is None else RoutedBatch(batch, self.texts)

    def prompt(self, request: Request, number: int, hashes: dict[int, str]) -> Prompt:
        """Request ``number`` as ids and views; ``hashes`` keeps the content hash of each picture object seen."""
        segments = render(
            request.conversation,
            self.settings,
            template=self.template,
            special_tokens=self.tokens.special_tokens,
            add_generation_prompt=True,
        )
        ids = encode(segments, self.tokens, self.tokens_per_image).input_ids
        if len(ids) + request.max_new_tokens > self.text_limit:
            raise MessageError(f"request {number} is too long: its prompt has {len(ids)} tokens and its answer up to "
                               f"{request.max_new_tokens}, together at most {self.text_limit}; shorten the question or "
                               "the history, name fewer regions, or lower max_new_tokens")  # fmt: skip
        views: list[ViewKey] = []
        for picture in pictures(request.conversation, self.settings):
            image = request.images[picture.image]
            if id(image) not in hashes:
                hashes[id(image)] = content_hash(image)
            views.append((hashes[id(image)], picture.region))
        return Prompt(ids, views, request.max_new_tokens, "".join(segment.text for segment in segments))

    def row(self, prompt: Prompt) -> Row:
        """What the prompt's row reads: its ids, with the view's key in the place of each of its image tokens."""
        keys = iter([key for key in prompt.views for _ in range(self.tokens_per_image)])
        return tuple(next(keys) if token == self.image_id else token for token in prompt.ids)

    def encoded(self, requests: Sequence[Request], prompts: Sequence[Prompt]) -> dict[ViewKey, Any]:
        """Visual tokens of every view of the prompts: kept ones, and the others computed now."""
        found: dict[ViewKey, Any] = {}
        missing: dict[ViewKey, tuple[Prompt, Image.Image, Region | None]] = {}
        for request, prompt in zip(requests, prompts, strict=True):
            shown = pictures(request.conversation, self.settings)
            for picture, key in zip(shown, prompt.views, strict=True):
                kept = self.kept.get(key)
                if kept is not None:
                    found[key] = kept
                elif key not in missing or key not in missing[key][0].pixels:
                    missing[key] = (prompt, request.images[picture.image], picture.region)
        keys = list(missing)
        together = max(self.chunk // (len(SIZES) if self.settings.several_sizes else 1), 1)
        for start in range(0, len(keys), together):
            some = keys[start : start + together]
            pixels = []
            for key in some:
                prompt, image, region = missing[key]
                drawn = prompt.pixels.get(key)  # a view that was dropped since the request was prepared has none
                pixels.append(self.view_pixels(image, region) if drawn is None else drawn)
            for key, tokens in zip(some, self.tower(pixels), strict=True):
                found[key] = tokens
                self.kept.put(key, tokens)
        return found

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens: box markup stays, control tokens do not."""
        return self.tokens.text([token for token in ids if token not in self.hidden_ids])

    def settled_text(self, ids: Sequence[int]) -> str:
        """What of ``text(ids)`` no further token can change: without a character that lacks bytes, and without single
        bytes at the end (a LLaMA tokenizer decodes a run of them as a whole or not at all)."""
        shown = [token for token in ids if token not in self.hidden_ids]
        while shown and shown[-1] in self.byte_ids:
            shown.pop()
        return self.text(shown).rstrip(INCOMPLETE)


def batches(prompts: Sequence[Prompt], most_tokens: int) -> Iterator[list[int]]:
    """The prompts' numbers in batches of at most ``most_tokens`` padded tokens (or a single prompt), by length."""
    batch: list[int] = []
    for number in sorted(range(len(prompts)), key=lambda n: prompts[n].length):
        if batch and prompts[number].length * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def content_hash(image: Image.Image) -> str:
    """A hash of the picture's size and pixels."""
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()
