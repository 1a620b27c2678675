"""Answers computed with PyTorch: the stock model of transformers over pictures that are encoded once.

A test holds the tokens that it chooses (``torch_lanes``) against ``generate()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from chatspot.engine.finding import Boxes, Scores
from chatspot.engine.kept import KeptBeginnings, Row, ViewKey
from chatspot.engine.local_engine import LocalEngine, Prompt
from chatspot.engine.torch_lanes import TorchLanes, numbered, read_together, shared_beginnings
from chatspot.errors import MessageError
from chatspot.images.whole import box_view
from chatspot.model.box_head import load_box_head, maps_of
from chatspot.model.checkpoint import Checkpoint
from chatspot.model.folder import BOX_HEAD
from chatspot.model.sheet_tower import SheetTower
from chatspot.model.vision import view_features, visual_tokens
from chatspot.prompts import Tokens

# On GPUs; those for CPUs are ``local_engine``'s.
GPU_CHUNK = 32
GPU_BATCH_TOKENS = 32768
GPU_RUNNING_TOKENS = 65536
GPU_KEPT_BEGINNING_BYTES = 2**30  # 2,000 tokens of a 7B model
GPU_PASS_TOKENS = 8192
PASS_TOKENS = 120  # a pass costs a CPU as much as reading so many tokens (nano, by profile), and a GPU thousands
LEAST_SHARED = 2  # beginnings that prompts share are read first where that saves so many passes' worth of tokens


@dataclass(frozen=True)
class Unread:
    """A prompt that is to be read, and the states of the longest beginning of its row that is kept."""

    prompt: Prompt
    row: Row
    kept: Tensor | None

    @property
    def length(self) -> int:
        """How many of its tokens are to be read."""
        return len(self.row) - (0 if self.kept is None else self.kept.shape[-2])


class TorchEngine(LocalEngine):
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
        self.model = placed_model(checkpoint.model, self._device, self.dtype)
        head = checkpoint.path / BOX_HEAD
        self.box_head = torch.nn.Module.to(load_box_head(head), self._device) if head.is_file() else None
        config: Any = self.model.config
        tokenizer = checkpoint.processor.tokenizer
        super().__init__(
            checkpoint.settings,
            checkpoint.template,
            Tokens.of(tokenizer),
            tokens_per_image=checkpoint.tokens_per_image,
            end_ids=end_ids(self.model, tokenizer),
            text_positions=config.text_config.max_position_embeddings,
            focal_view=focal_view,
        )
        self.pad_id = tokenizer.pad_token_id or 0  # whatever it is, the mask hides it
        self.pass_tokens = PASS_TOKENS if self._device.type == "cpu" else GPU_PASS_TOKENS
        self.least_shared = LEAST_SHARED * self.pass_tokens
        if self._device.type != "cpu":
            self.chunk, self.batch_tokens, self.running_tokens = GPU_CHUNK, GPU_BATCH_TOKENS, GPU_RUNNING_TOKENS
            self.beginnings = KeptBeginnings(GPU_KEPT_BEGINNING_BYTES)

    @property
    def name(self) -> str:
        """The checkpoint folder's name."""
        return self.checkpoint.path.name

    @property
    def device(self) -> str:
        """The torch device, such as "cpu" or "cuda:0"."""
        return str(self._device)

    def read_by_tower(self, shown: list[Image.Image]) -> Tensor:
        """Pictures as the tower reads them: [pictures, 3, height, width], on the CPU. Safe in any thread."""
        pixels: Tensor = self.checkpoint.processor.image_processor(images=shown, return_tensors="pt")["pixel_values"]
        return pixels

    @torch.inference_mode()
    def tower(self, pixels: list[Tensor]) -> list[Tensor]:
        """Views [pictures, 3, height, width] each through tower and projector: [tokens, hidden] each, of the mean over
        its pictures, in the language model's dtype and of its own memory, so that dropping one frees it."""
        together = torch.cat(pixels).to(self._device)
        if isinstance(self.model.model.vision_tower, SheetTower):
            together = together.contiguous(memory_format=torch.channels_last)
        features = view_features(self.model, together, [len(each) for each in pixels])
        return [view.clone() for view in visual_tokens(self.model, features).to(self.dtype)]

    @property
    def finds_boxes(self) -> bool:
        """Whether the checkpoint has a box head."""
        return self.box_head is not None

    @torch.inference_mode()
    def find(self, image: Image.Image, ids: Sequence[int]) -> tuple[Scores, Boxes]:
        """What the box head says of the upright picture and of words given as token ids, at least one."""
        assert self.box_head is not None
        tower: Any = self.model.model.vision_tower
        images = self.checkpoint.processor.image_processor
        shown = box_view(image, images.image_mean, images.image_std)
        maps = maps_of(
            tower.picture, torch.from_numpy(shown).to(self._device).contiguous(memory_format=torch.channels_last)
        )
        words = self.model.get_input_embeddings()(torch.tensor([list(ids)], device=self._device)).float()
        asked = self.box_head.asked(words, torch.tensor([len(ids)], device=self._device))
        scores, boxes = self.box_head(self.box_head.seen(maps), asked)
        return scores[0].cpu().numpy(), boxes[0].cpu().numpy()

    def lanes(self, prompts: Sequence[Prompt], views: Mapping[ViewKey, Tensor]) -> TorchLanes:
        """The prompts as rows that have read them, those with about as much to read together."""
        rows = [self.row(prompt) for prompt in prompts]
        # The last token is read in any case: what comes after it is not kept.
        unread = [
            Unread(prompt, row, self.beginnings.longest(row[:-1])) for prompt, row in zip(prompts, rows, strict=True)
        ]
        groups = read_together([one.length for one in unread], self.pass_tokens)
        lanes, *others = [self.group_lanes([unread[number] for number in group], views) for group in groups]
        for other in others:
            lanes.join(other)
        order = [number for group in groups for number in group]
        if order != sorted(order):
            lanes.keep([order.index(number) for number in range(len(order))])
        return lanes

    def group_lanes(self, unread: Sequence[Unread], views: Mapping[ViewKey, Tensor]) -> TorchLanes:
        """Prompts that are read together: from where their kept beginnings end, or, where that is less work, what they
        share first."""
        rows = [one.row for one in unread]
        lengths, own = [len(row) for row in rows], max(one.length for one in unread)
        spared = max(sum(lengths) - own * len(rows), 0)
        shared = shared_beginnings(numbered(rows), spared + self.least_shared)
        embeddings = self.embedded([one.prompt for one in unread], views, max(lengths))
        if shared is None and own < max(lengths):
            return TorchLanes(self.model, embeddings[:, -own:], lengths, kept=[one.kept for one in unread])
        return TorchLanes(self.model, embeddings, lengths, shared)

    @torch.inference_mode()
    def embedded(self, prompts: Sequence[Prompt], views: Mapping[ViewKey, Tensor], length: int) -> Tensor:
        """The prompts' embeddings [rows, length, hidden], padded on the left, visual tokens in their places."""
        ids = torch.tensor([[self.pad_id] * (length - len(p.ids)) + p.ids for p in prompts], device=self._device)
        embeddings = self.model.get_input_embeddings()(ids)
        for row, prompt in enumerate(prompts):
            if prompt.views:
                places = torch.tensor(prompt.ids, device=self._device) == self.image_id
                embeddings[row, length - len(prompt.ids) :][places] = torch.cat([views[key] for key in prompt.views])
        return embeddings


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
