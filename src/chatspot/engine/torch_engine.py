"""Answers computed with PyTorch: pictures encoded once and kept, prompts batched, tokens chosen greedily.

::

    conversation -> segments -> ids          chatspot.prompts (never a processor's own template call on user text)
    pictures     -> tower -> visual tokens   kept by content, so further questions about a picture do not encode it
    both         -> embeddings -> tokens     one cached forward pass of the stock model for each token

Choosing tokens is a plain loop (``lanes``) and not ``generate()``: batches that requests join and leave, streams and
log-probabilities come from the same few lines. A test holds it against ``generate()``.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from chatspot.engine.interface import Prepared, Reply, Request
from chatspot.engine.lanes import Lanes, shared_beginnings
from chatspot.engine.running import GrowingAnswer, RunningBatch
from chatspot.errors import MessageError
from chatspot.images import encoder_view
from chatspot.model.checkpoint import Checkpoint
from chatspot.model.sheet_tower import SheetTower
from chatspot.model.vision import raw_features, visual_tokens
from chatspot.prompts import PromptSettings, encode, pictures, render
from chatspot.prompts.encode import BOX_TOKEN, END_BOX_TOKEN, ONE_AT_A_TIME
from chatspot.regions import Region

ViewKey: TypeAlias = Hashable  # a picture's content hash and the region of its focal view, or None for the whole

TEXT_LIMIT = 2048  # tokens of prompt and answer together; source: the paper
CPU_CHUNK, GPU_CHUNK = 4, 32  # pictures that pass the tower together; on CPUs larger batches are slower (measured)
BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}  # padded prompt and answer tokens computed together; bounds the memory
# Beginnings that prompts share are read first, in a pass of their own, where that saves so many tokens: a pass costs a
# CPU as much as about 120 tokens (nano, by profile), and a GPU thousands.
LEAST_SHARED = {"cpu": 256, "cuda": 16384}
RUNNING_TOKENS = {"cpu": 8192, "cuda": 65536}  # the same for a batch that requests join; nano keeps 23 kB a token
KEPT_BYTES = 64 * 2**20  # visual tokens that are kept; nano's are 18 kB a picture, the paper's 2 MB
BYTE_TOKEN = re.compile("<0x[0-9A-F]{2}>")  # a LLaMA tokenizer's token for a single byte
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # how the tokenizer writes bytes that are no whole character


@dataclass(frozen=True)
class Prompt:
    """A request as ids, and as the ``text`` that they are of; ``views`` fill the runs of image tokens in their order.
    ``pixels`` are those of the views that were drawn ahead, as the tower reads them [1, 3, height, width]."""

    ids: list[int]
    views: list[ViewKey]
    max_new_tokens: int
    text: str = ""
    pixels: dict[ViewKey, Tensor] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens of the prompt and of the longest answer to it."""
        return len(self.ids) + self.max_new_tokens


class TorchEngine:
    """An ``Engine`` over an opened checkpoint, which it takes over: the model is moved and cast in place.

    ``device``: "auto" (a GPU that torch knows, else the CPU) or a torch device. ``dtype`` is the language model's:
    "auto" is bfloat16 where the hardware computes in it and float32 elsewhere, or a torch dtype or its name. Nano's
    vision tower stays in float32: it is small, and convolutions are no faster in bfloat16 on CPUs. ``focal_view`` None
    leaves the checkpoint's setting. Raises ``MessageError`` for a device or dtype that is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        focal_view: bool | None = None,
    ):
        self.checkpoint = checkpoint
        self._device = chosen_device(device)
        self.dtype = chosen_dtype(dtype, self._device)
        self._settings = checkpoint.settings
        if focal_view is not None:
            self._settings = replace(checkpoint.settings, focal_view=focal_view)
        self.model = placed_model(checkpoint.model, self._device, self.dtype)
        self.tokenizer: Any = checkpoint.processor.tokenizer
        self.kept = KeptViews(KEPT_BYTES)
        self.end_ids = end_ids(self.model, self.tokenizer)
        self.hidden_ids = hidden_ids(self.tokenizer)
        self.byte_ids = byte_ids(self.tokenizer)
        config: Any = self.model.config
        self.text_config = config.text_config
        self.text_limit = min(TEXT_LIMIT, self.text_config.max_position_embeddings)

    @property
    def name(self) -> str:
        """The checkpoint folder's name."""
        return self.checkpoint.path.name

    @property
    def device(self) -> str:
        """The torch device, such as "cpu" or "cuda:0"."""
        return str(self._device)

    @property
    def settings(self) -> PromptSettings:
        """The prompt settings in use."""
        return self._settings

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply for each request, in order; prompts of like length are computed together.

        Raises ``MessageError`` when a prompt and its answer do not fit the text limit; then nothing is computed.
        """
        hashes: dict[int, str] = {}
        prompts = [self.prompt(request, number, hashes) for number, request in enumerate(requests)]
        replies: dict[int, Reply] = {}
        for numbers in batches(prompts, BATCH_TOKENS.get(self._device.type, BATCH_TOKENS["cpu"])):
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
        answer = GrowingAnswer(self, prompt.max_new_tokens)
        for tokens, logprobs in self.steps([prompt], self.encoded([request], [prompt])):
            answer.grow(tokens[0], logprobs[0])
            if piece := answer.read():
                yield piece
            if answer.reply is not None:
                return

    def prepare(self, request: Request) -> Prepared:
        """The request as ids; an answer longer than the text limit leaves room for is allowed what there is room for.

        Views that are not kept are drawn here: of a picture of 25 megapixels each takes up to 0.6 s, in which a batch
        would stand still. Raises ``MessageError`` when the prompt leaves no room.
        """
        prompt = self.prompt(replace(request, max_new_tokens=1), 0, {})
        most = min(request.max_new_tokens, self.text_limit - len(prompt.ids))
        drawn: dict[ViewKey, Tensor] = {}
        for picture, key in zip(pictures(request.conversation, self._settings), prompt.views, strict=True):
            if key not in drawn and self.kept.get(key) is None:
                drawn[key] = self.view_pixels(request.images[picture.image], picture.region)
        return Prepared(request, replace(prompt, max_new_tokens=most, pixels=drawn), most)

    def batch(self) -> RunningBatch:
        """An empty batch that requests join and leave."""
        return RunningBatch(self, RUNNING_TOKENS.get(self._device.type, RUNNING_TOKENS["cpu"]))

    def prompt(self, request: Request, number: int, hashes: dict[int, str]) -> Prompt:
        """Request ``number`` as ids and views; ``hashes`` keeps the content hash of each picture object seen."""
        segments = render(
            request.conversation,
            self._settings,
            template=self.checkpoint.template,
            special_tokens=self.tokenizer.special_tokens_map,
            add_generation_prompt=True,
        )
        ids = encode(segments, self.tokenizer, self.checkpoint.tokens_per_image).input_ids
        if len(ids) + request.max_new_tokens > self.text_limit:
            raise MessageError(f"request {number} is too long: its prompt has {len(ids)} tokens and its answer up to "
                               f"{request.max_new_tokens}, together at most {self.text_limit}; shorten the question or "
                               "the history, name fewer regions, or lower max_new_tokens")  # fmt: skip
        views: list[ViewKey] = []
        for picture in pictures(request.conversation, self._settings):
            image = request.images[picture.image]
            if id(image) not in hashes:
                hashes[id(image)] = content_hash(image)
            views.append((hashes[id(image)], picture.region))
        return Prompt(ids, views, request.max_new_tokens, "".join(segment.text for segment in segments))

    def encoded(self, requests: Sequence[Request], prompts: Sequence[Prompt]) -> dict[ViewKey, Tensor]:
        """Visual tokens [tokens, hidden] of every view of the prompts: kept ones, and the others computed now."""
        found: dict[ViewKey, Tensor] = {}
        missing: dict[ViewKey, tuple[Prompt, Image.Image, Region | None]] = {}
        for request, prompt in zip(requests, prompts, strict=True):
            shown = pictures(request.conversation, self._settings)
            for picture, key in zip(shown, prompt.views, strict=True):
                kept = self.kept.get(key)
                if kept is not None:
                    found[key] = kept
                elif key not in missing or key not in missing[key][0].pixels:
                    missing[key] = (prompt, request.images[picture.image], picture.region)
        keys = list(missing)
        chunk = CPU_CHUNK if self._device.type == "cpu" else GPU_CHUNK
        for start in range(0, len(keys), chunk):
            some = keys[start : start + chunk]
            pixels = []
            for key in some:
                prompt, image, region = missing[key]
                drawn = prompt.pixels.get(key)  # a view that was dropped since the request was prepared has none
                pixels.append(self.view_pixels(image, region) if drawn is None else drawn)
            for key, tokens in zip(some, self.encode_pixels(torch.cat(pixels)), strict=True):
                found[key] = tokens.clone()  # of its own memory, so that dropping one frees it
                self.kept.put(key, found[key])
        return found

    def view_pixels(self, image: Image.Image, region: Region | None) -> Tensor:
        """A view as the tower reads it: [1, 3, height, width], on the CPU. Safe in any thread."""
        shown = encoder_view(image, region, self._settings.image_fit)
        pixels: Tensor = self.checkpoint.processor.image_processor(images=[shown], return_tensors="pt")["pixel_values"]
        return pixels

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Views [views, 3, height, width] through tower and projector: [views, tokens, hidden] in the language model's
        dtype."""
        pixels = pixels.to(self._device)
        if isinstance(self.model.model.vision_tower, SheetTower):
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return visual_tokens(self.model, raw_features(self.model, pixels)).to(self.dtype)

    def steps(self, prompts: Sequence[Prompt], views: dict[ViewKey, Tensor]) -> Iterator[tuple[list[int], list[float]]]:
        """Token after token of a batch, with log-probabilities: one of each for every row, without end.

        A row that has ended goes on until its reader stops.
        """
        lanes = self.lanes(prompts, views)
        while True:
            yield lanes.tokens.tolist(), lanes.logprobs.tolist()
            lanes.step()

    def lanes(self, prompts: Sequence[Prompt], views: dict[ViewKey, Tensor]) -> Lanes:
        """The prompts as rows that have read them."""
        lengths = [len(prompt.ids) for prompt in prompts]
        shared = shared_beginnings(self.marked(prompts), LEAST_SHARED.get(self._device.type, LEAST_SHARED["cpu"]))
        return Lanes(self.model, self.embedded(prompts, views, max(lengths)), lengths, shared)

    def marked(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """The prompts' ids, with a number below zero for each view in the place of its image tokens."""
        numbers: dict[ViewKey, int] = {}
        rows = []
        for prompt in prompts:
            views = [-1 - numbers.setdefault(key, len(numbers)) for key in prompt.views]
            places = iter([number for number in views for _ in range(self.checkpoint.tokens_per_image)])
            image = self.model.config.image_token_id
            rows.append([next(places) if token == image else token for token in prompt.ids])
        return rows

    @torch.inference_mode()
    def embedded(self, prompts: Sequence[Prompt], views: dict[ViewKey, Tensor], length: int) -> Tensor:
        """The prompts' embeddings [rows, length, hidden], padded on the left, visual tokens in their places."""
        pad = self.tokenizer.pad_token_id or 0  # whatever it is, the mask hides it
        ids = torch.tensor([[pad] * (length - len(p.ids)) + p.ids for p in prompts], device=self._device)
        embeddings = self.model.get_input_embeddings()(ids)
        for row, prompt in enumerate(prompts):
            if prompt.views:
                places = torch.tensor(prompt.ids, device=self._device) == self.model.config.image_token_id
                embeddings[row, length - len(prompt.ids) :][places] = torch.cat([views[key] for key in prompt.views])
        return embeddings

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens: box markup stays, control tokens do not."""
        shown = [token for token in ids if token not in self.hidden_ids]
        with ONE_AT_A_TIME:  # before 0.22, tokenizers fails where one thread decodes while another sets up encoding
            return str(self.tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def settled_text(self, ids: Sequence[int]) -> str:
        """What of ``text(ids)`` no further token can change: without a character that lacks bytes, and without single
        bytes at the end (a LLaMA tokenizer decodes a run of them as a whole or not at all)."""
        shown = [token for token in ids if token not in self.hidden_ids]
        while shown and shown[-1] in self.byte_ids:
            shown.pop()
        return self.text(shown).rstrip(INCOMPLETE)


class KeptViews:
    """Visual tokens by view, up to ``most_bytes`` of them; those unused for longest go first. Safe under threads."""

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self.views: OrderedDict[ViewKey, Tensor] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: ViewKey) -> Tensor | None:
        """The view's tokens, or None where they are not kept."""
        with self.lock:
            if key in self.views:
                self.views.move_to_end(key)
            return self.views.get(key)

    def put(self, key: ViewKey, tokens: Tensor) -> None:
        """Keep the tokens of a view."""
        with self.lock:
            replaced = self.views.pop(key, None)
            self.views[key] = tokens
            self.bytes += tokens.nbytes - (0 if replaced is None else replaced.nbytes)
            while self.bytes > self.most_bytes:
                _, oldest = self.views.popitem(last=False)
                self.bytes -= oldest.nbytes


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


def chosen_device(device: str | torch.device) -> torch.device:
    """The torch device; ``MessageError`` when there is none of that name here."""
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MessageError(f"there is no device {str(device)!r} here ({reason}); use 'auto' or 'cpu'") from error
    return chosen


def chosen_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The language model's dtype on ``device``; ``MessageError`` for a name that is none."""
    if dtype == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else fast_bfloat16_on_cpu(device)
        return torch.bfloat16 if fast else torch.float32
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype), None)
    if found not in (torch.bfloat16, torch.float16, torch.float32):
        raise MessageError(f"dtype must be 'auto', 'bfloat16', 'float16' or 'float32', got {dtype!r}")
    return found


def fast_bfloat16_on_cpu(device: torch.device) -> bool:
    """Whether the CPU multiplies in bfloat16 itself; emulated, it is slower than float32."""
    instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(instructions())


@torch.no_grad()
def placed_model(
    model: LlavaForConditionalGeneration, device: torch.device, dtype: torch.dtype
) -> LlavaForConditionalGeneration:
    """The model on ``device``: language model in ``dtype``, nano's tower and its projector in float32.

    Parameters alone are cast: rotary frequencies are buffers, and rounded to 8 bits they would misplace far tokens.
    """
    tower: Any = model.model.vision_tower
    small_tower = isinstance(tower, SheetTower)
    for name, parameter in model.named_parameters():
        seeing = small_tower and name.startswith(("model.vision_tower.", "model.multi_modal_projector."))
        parameter.data = parameter.data.to(device, torch.float32 if seeing else dtype)
    torch.nn.Module.to(model, device)
    if small_tower:
        tower.to(memory_format=torch.channels_last)
    return model.requires_grad_(False).eval()


def end_ids(model: LlavaForConditionalGeneration, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer: the tokenizer's end token and those of the checkpoint's generation settings."""
    stored = model.generation_config.eos_token_id
    many = stored if isinstance(stored, list) else [stored]
    return frozenset(token for token in (tokenizer.eos_token_id, *many) if token is not None)


def hidden_ids(tokenizer: Any) -> frozenset[int]:
    """Control tokens that an answer's text leaves out: all but the box markup."""
    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(control - set(tokenizer.convert_tokens_to_ids([BOX_TOKEN, END_BOX_TOKEN])))


def byte_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that stand for a single byte."""
    return frozenset(number for token, number in tokenizer.get_vocab().items() if BYTE_TOKEN.fullmatch(token))
