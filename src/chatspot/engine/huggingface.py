"""Any image-text model of transformers, asked in its own region dialect.

::

    conversation -> messages in the model's region dialect      engine.remote.speech, as for a remote model
    messages     -> ids and pixels                              the model's own chat template and processor
    both         -> tokens, greedily                            generate(), padded on the left
    its answer   -> the same regions in this project's text     engine.remote.speech

Answers of a batch come all at once, and a picture is encoded anew for every question: how a model keeps what it has
seen is its own affair. This project's own checkpoints are for ``TorchEngine``, which does better on both.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from chatspot.dialects.frames import FrameKind
from chatspot.engine.interface import Growing, Prepared, Reply, Request
from chatspot.engine.remote.pictures import MOST_PIXELS, SentPictures, shown
from chatspot.engine.remote.remote_engine import speech_of
from chatspot.engine.remote.speech import OWN_SERVER, DialectSpeech
from chatspot.engine.torch_engine import chosen_device, chosen_dtype
from chatspot.errors import CheckpointError, MessageError, RegionError
from chatspot.prompts import PromptSettings


class ShownPictures(SentPictures):
    """Pictures that are handed to the processor as they are: they need no address."""

    def url(self, image: Image.Image) -> str:
        """None."""
        return ""


@dataclass(frozen=True)
class SpokenPrompt:
    """A request as the processor takes it: the chat template's ``text``, and the pictures of its image parts. Only the
    processor knows how many tokens they become, so ``ids`` is empty."""

    text: str
    images: tuple[Image.Image, ...]
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class WholeAnswer:
    """An answer that has come as a whole (``interface.Growing``)."""

    reply: Reply

    def read(self) -> str:
        """All of it."""
        return self.reply.text


class WholeBatch:
    """A batch whose answers are whole when they have joined (``interface.Batch``)."""

    def __init__(self, engine: HuggingFaceEngine):
        self.engine = engine

    def __len__(self) -> int:
        return 0

    def has_room(self, *prepared: Prepared) -> bool:
        """Always: the caller chooses how many are asked together."""
        return True

    def join(self, prepared: Sequence[Prepared]) -> list[WholeAnswer]:
        """Answer these."""
        return [WholeAnswer(reply) for reply in self.engine.replies(prepared)]

    def step(self) -> None:
        """Nothing is left to do."""

    def leave(self, gone: Collection[Growing]) -> None:
        """Nothing is left to end."""


class HuggingFaceEngine:
    """A model and its processor (``interface.Engine``). Made by ``open_huggingface``.

    ``settings`` names the dialect in the place of the template and the frame in that of the fit, as those of a remote
    model do. ``Reply.counted`` holds the tokens read, those of the pictures included, and written.
    """

    def __init__(
        self, model: Any, processor: Any, name: str, dialect: str, *, frame: FrameKind | None = None,
        most_pixels: int = MOST_PIXELS,
    ):  # fmt: skip
        speech, self.settings_in_use = speech_of(dialect, frame, False, most_pixels)
        if not isinstance(speech, DialectSpeech):
            raise RegionError(f"{OWN_SERVER} is how this project's server is asked; name the dialect of the model")
        self.pictures = ShownPictures(speech.pictures.kind, most_pixels)
        self.speech = DialectSpeech(speech.dialect, self.pictures, blind=False)
        self.model, self.processor, self.model_name = model.eval().requires_grad_(False), processor, name
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if not getattr(processor, "chat_template", None):
            raise CheckpointError(f"{name} has no chat template, so nothing says how a question is put to it; add a "
                                  "chat_template.jinja to its folder")  # fmt: skip
        stored = model.generation_config.eos_token_id
        ends = {tokenizer.eos_token_id, *(stored if isinstance(stored, list) else [stored])}
        self.end_ids = sorted(token for token in ends if token is not None)
        # Not all special tokens: those of a dialect's markup often are special too, and are to be read.
        self.control = [token for token in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) if token]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model_name

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """The model's number format."""
        found: torch.dtype = self.model.dtype
        return found

    @property
    def settings(self) -> PromptSettings:
        """The dialect and the frame."""
        return self.settings_in_use

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply for each request, in order, computed together. Raises ``MessageError`` when a prompt and its answer
        do not fit the model's text limit, or when the dialect has no form for it."""
        return self.replies([self.prepare(request) for request in requests])

    def stream(self, request: Request) -> Iterator[str]:
        """The answer in one piece."""
        yield self.answer([request])[0].text

    def batch(self) -> WholeBatch:
        """An empty batch."""
        return WholeBatch(self)

    def prepare(self, request: Request) -> Prepared:
        """Through dialect and chat template. Raises ``MessageError`` where the dialect has no form for it."""
        try:
            messages = [for_template(message) for message in self.speech.messages(request)]
        except RegionError as error:
            raise MessageError(f"this cannot be put to {self.name}: {error}") from error
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        images = tuple(shown(image, self.pictures.kind, self.pictures.most_pixels) for image in request.images)
        return Prepared(request, SpokenPrompt(text, images), request.max_new_tokens)

    @torch.inference_mode()
    def replies(self, prepared: Sequence[Prepared]) -> list[Reply]:
        """The answers to prepared requests. Processors take pictures for all texts or for none, so requests without one
        are a batch of their own."""
        found: dict[int, Reply] = {}
        for with_images in (True, False):
            numbers = [n for n, one in enumerate(prepared) if bool(one.prompt.images) == with_images]
            if numbers:
                found.update(zip(numbers, self.generated([prepared[n] for n in numbers]), strict=True))
        return [found[number] for number in range(len(prepared))]

    def generated(self, prepared: Sequence[Prepared]) -> list[Reply]:
        """The answers, all with or all without pictures."""
        inputs = self.inputs(prepared)
        read = inputs["attention_mask"].sum(dim=1).tolist()
        most = max(one.max_new_tokens for one in prepared)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and max(read) + most > limit:
            raise MessageError(f"a prompt of {max(read)} tokens and its answer of up to {most} are more than the "
                               f"{limit} that {self.name} can tell apart; shorten it, or lower max_new_tokens"
                               )  # fmt: skip
        out = self.model.generate(
            **inputs, do_sample=False, num_beams=1, max_new_tokens=most, eos_token_id=self.end_ids,
            pad_token_id=self.processor.tokenizer.pad_token_id, return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        new = out.sequences[:, -len(out.logits) :].cpu()
        chosen = torch.stack(out.logits, dim=1).float().log_softmax(dim=-1).cpu().gather(2, new[:, :, None])[:, :, 0]
        rows = zip(prepared, read, new.tolist(), chosen.tolist(), strict=True)
        return [self.reply(one, count, ids, logprobs) for one, count, ids, logprobs in rows]

    def inputs(self, prepared: Sequence[Prepared]) -> dict[str, Any]:
        """What the model reads, on its device: ids padded on the left, and pixels in its number format."""
        texts = [one.prompt.text for one in prepared]
        bos = self.processor.tokenizer.bos_token
        given: dict[str, Any] = {"text": texts, "padding": True, "return_tensors": "pt"}
        if prepared[0].prompt.images:
            given["images"] = [list(one.prompt.images) for one in prepared]
        if bos and all(text.startswith(bos) for text in texts):  # the template has written it
            given["add_special_tokens"] = False
        inputs = self.processor(**given)
        moved = {name: value.to(self.model.device) for name, value in inputs.items() if torch.is_tensor(value)}
        return {name: value.to(self.dtype) if value.is_floating_point() else value for name, value in moved.items()}

    def reply(self, prepared: Prepared, read: int, ids: list[int], logprobs: list[float]) -> Reply:
        """One answer, cut at its end token or at its own limit."""
        ids = ids[: prepared.max_new_tokens]
        ends = [at for at, token in enumerate(ids) if token in self.end_ids]
        ids = ids[: ends[0] + 1] if ends else ids
        said = self.processor.tokenizer.decode(ids[: ends[0]] if ends else ids, skip_special_tokens=False)
        for control in self.control:
            said = said.replace(control, "")
        text = self.speech.text(said.strip(), prepared.request)
        finish = "end" if ends else "length"
        return Reply(text, tuple(ids), sum(logprobs[: len(ids)]), finish, (read, len(ids)))  # type: ignore[arg-type]


def for_template(message: dict[str, Any]) -> dict[str, Any]:
    """A message of OpenAI's form as transformers' chat templates take it: a list of parts, pictures without content."""
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**message, "content": [{"type": "image"} if part["type"] == "image_url" else part for part in parts]}


def open_huggingface(
    source: str | os.PathLike[str],
    dialect: str,
    *,
    frame: FrameKind | None = None,
    device: str = "auto",
    dtype: str = "auto",
    most_pixels: int = MOST_PIXELS,
) -> HuggingFaceEngine:
    """An engine over a folder or hub id of an image-text model. ``dialect`` is how it writes regions, ``frame`` where
    its numbers count (default: the dialect's usual one); pictures are shown with at most ``most_pixels``.

    No code of the model's own is run. Raises ``CheckpointError`` when transformers cannot open it, and ``RegionError``
    for an unknown dialect or one without words for regions.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    place = chosen_device(device)
    folder = model_folder(source)
    try:
        processor = AutoProcessor.from_pretrained(folder)
        model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=chosen_dtype(dtype, place))
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{source} is no image-text model that transformers can open here ({reason})") from error
    return HuggingFaceEngine(
        model.to(place), processor, Path(folder).name if Path(source).is_dir() else str(source), dialect,
        frame=frame, most_pixels=most_pixels,
    )  # fmt: skip


def model_folder(source: str | os.PathLike[str]) -> Path:
    """The folder of a model: ``source`` itself, or where the hub's copy of that id lies. ``CheckpointError`` when there
    is neither."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(source)))
    except (OSError, HFValidationError) as error:
        raise CheckpointError(f"there is no folder {source}, and the hub gives no model of that name ({error})"[:400]
                              ) from error  # fmt: skip
