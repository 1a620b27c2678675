"""Checkpoints: stock transformers folders of LLaVA and its processor, whose ``config.json`` also holds our settings
(``folder`` lists the files).

What a folder says about itself is compared before its weights are opened: a template of another version, a centre crop
that hides regions, or a picture token that the embedding does not know would not fail, it would answer badly.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.utils import logging

from chatspot.errors import CheckpointError
from chatspot.images.sheet import LINE_HEIGHT
from chatspot.model.folder import (
    BOX_HEAD,
    CONFIG,
    PROCESSOR,
    TEMPLATE,
    local_folder,
    read_folder,
    read_json,
    read_text,
)
from chatspot.model.projector import stock_state_dict
from chatspot.model.sheet_tower import SheetTowerConfig  # importing it registers nano's vision tower
from chatspot.prompts import PromptSettings, template_source
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint; ``model`` is in evaluation mode, ``path`` the local folder it came from."""

    model: LlavaForConditionalGeneration
    processor: LlavaProcessor
    settings: PromptSettings
    path: Path

    @property
    def tokens_per_image(self) -> int:
        """How many image tokens stand for one picture."""
        return self.model.config.image_seq_length

    @property
    def template(self) -> str:
        """The Jinja source of the chat template that this checkpoint was trained with."""
        return str(self.processor.chat_template)

    @property
    def box_head(self) -> dict[str, torch.Tensor] | None:
        """The tensors of its box head, None where it has none."""
        file = self.path / BOX_HEAD
        return load_file(file) if file.is_file() else None


def load_checkpoint(
    source: str | os.PathLike[str],
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Checkpoint:
    """Open a checkpoint folder, or one of the Hugging Face hub by its id "owner/name" (fetched once, then cached).

    ``dtype`` None keeps the saved one; ``device`` None leaves the model on the CPU. Raises ``CheckpointError`` naming
    what is missing, damaged, of another kind or in contradiction.
    """
    folder = local_folder(source)
    config, settings = check_folder(folder)
    with quiet():
        processor = open_processor(folder, config)
        model = open_model(folder, config, "auto" if dtype is None else dtype)
    if device is not None:
        torch.nn.Module.to(model, device)
    return Checkpoint(model, processor, settings, folder)


def save_checkpoint(
    folder: str | os.PathLike[str],
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    settings: PromptSettings,
    box_head: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Write a checkpoint at ``folder``, with the tensors of a ``box_head`` where it has one, and give back its path.

    Everything is written beside ``folder`` as ``.NAME.PID.partial`` and renamed at the end, so ``folder`` is never
    half-written. A checkpoint that stands there is replaced; anything else is left alone (``CheckpointError``). A
    projector that trains as a plain linear layer is written in the stock layout.
    """
    folder = Path(folder).expanduser().resolve()
    check_replaceable(folder)
    state = stock_state(model)
    model.config.chatspot = settings.to_json()
    if processor.chat_template is None:
        processor.chat_template = template_source(settings.template)
    with written_whole(folder, "checkpoint") as partial, quiet():
        processor.save_pretrained(partial)
        model.save_pretrained(partial, state_dict=state)
        if box_head is not None:
            save_file(dict(box_head), partial / BOX_HEAD)
        config, _ = check_folder(partial)
        open_processor(partial, config)
    return folder


def stock_state(model: LlavaForConditionalGeneration) -> dict[str, torch.Tensor]:
    """The tensors of a stock model, no more and no less; ``CheckpointError`` for a model that has others."""
    if not isinstance(model, LlavaForConditionalGeneration):
        raise CheckpointError(f"a {type(model).__name__} cannot be saved as a checkpoint, expected "
                              "LlavaForConditionalGeneration; merge low-rank updates first")  # fmt: skip
    state = stock_state_dict(model)
    with torch.device("meta"):
        expected = LlavaForConditionalGeneration(model.config).state_dict()
    for name in sorted(set(state) ^ set(expected)):
        fault = "lacks" if name in expected else "has a tensor of its own,"
        raise CheckpointError(
            f"the model {fault} {name}, so it is no stock LLaVA; merge low-rank updates before saving"
        )
    return state


def check_replaceable(folder: Path) -> None:
    """Refuse to write over anything but nothing, an empty folder, or a checkpoint without foreign files."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; choose a folder for the checkpoint")
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return
    if CONFIG not in names or "chatspot" not in read_json(folder / CONFIG):
        raise CheckpointError(f"{folder} is not empty and not a checkpoint (it holds {', '.join(names[:3])}); nothing "
                              "was written; choose another folder")  # fmt: skip
    foreign = [name for name in names if not name.endswith((".json", ".jinja", ".safetensors", ".model"))]
    if foreign:
        raise CheckpointError(f"{folder} holds a checkpoint and also {', '.join(foreign[:3])}, which saving would "
                              "delete; move it, or choose another folder")  # fmt: skip


@contextmanager
def written_whole(folder: Path, what: str) -> Iterator[Path]:
    """An empty folder to write to, renamed to ``folder`` at the end; what stood there is kept until the new one stands.

    Raises ``CheckpointError`` where it cannot be written; ``what`` names it. Nothing half-written stays.
    """
    partial, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rename(old)
        try:
            partial.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(f"the {what} could not be written at {folder} ({error}); free disk space or choose "
                              "another folder") from error  # fmt: skip
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_folder(folder: Path) -> tuple[Any, PromptSettings]:
    """The configuration and settings of a complete folder of ours; ``CheckpointError`` for any other."""
    _, settings = read_folder(folder)
    config = open_config(folder)
    if (settings.image_fit == "sheet") != (config.vision_config.model_type == SheetTowerConfig.model_type):
        raise CheckpointError(
            f"{folder / CONFIG}: image_fit {settings.image_fit!r} does not go with a vision tower of "
            f"kind {config.vision_config.model_type!r}; nano's tower reads sheets, no other does"
        )
    check_pictures(read_json(folder / PROCESSOR), config, settings, folder)
    return config, settings


def open_config(folder: Path) -> Any:
    """The LLaVA configuration; ``CheckpointError`` when transformers cannot read it."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        return LlavaConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise CheckpointError(f"{folder / CONFIG} is no LLaVA configuration that can be read ({error})") from error


def check_pictures(stored: dict[str, Any], config: Any, settings: PromptSettings, folder: Path) -> None:
    """The processor must show every part of a picture, in the square and with the token count of the model."""
    where = folder / PROCESSOR
    images = stored.get("image_processor")
    if not isinstance(images, dict):
        raise CheckpointError(f"{where} has no key 'image_processor'; save the checkpoint again")
    side = config.vision_config.image_size
    expected: dict[str, Any] = {
        "size": {"height": side + LINE_HEIGHT * (settings.image_fit == "sheet"), "width": side},
        "do_resize": True,
        "do_center_crop": False,
        "do_pad": settings.image_fit == "pad",
    }
    for name, value in expected.items():
        found = images.get(name, False)
        if (bool(found) if isinstance(value, bool) else found) != value:
            raise CheckpointError(f"{where}: {name} is {found!r}, but image_fit {settings.image_fit!r} and the "
                                  f"encoder's side of {side} px want {value!r}; regions would be hidden")  # fmt: skip
    strategy = stored.get("vision_feature_select_strategy")
    if strategy != config.vision_feature_select_strategy:
        raise CheckpointError(f"{where}: vision_feature_select_strategy is {strategy!r}, the model's is "
                              f"{config.vision_feature_select_strategy!r}")  # fmt: skip
    patch, additional = stored.get("patch_size"), stored.get("num_additional_image_tokens", 0)
    if not isinstance(patch, int) or patch < 1 or not isinstance(additional, int):
        raise CheckpointError(f"{where}: patch_size {patch!r} and num_additional_image_tokens {additional!r} should be "
                              "whole numbers")  # fmt: skip
    count = (side // patch) ** 2 + additional - (strategy == "default")
    if count != config.image_seq_length:
        raise CheckpointError(f"{where} counts {count} tokens a picture, {CONFIG} says {config.image_seq_length}")


def open_processor(folder: Path, config: Any) -> LlavaProcessor:
    """The stock processor with Pillow's resizing (the one training used, on every machine), its tokens checked."""
    stored = read_json(folder / PROCESSOR)
    try:
        processor = LlavaProcessor(
            image_processor=AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True),
            tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
            patch_size=stored["patch_size"],
            vision_feature_select_strategy=stored["vision_feature_select_strategy"],
            chat_template=read_text(folder / TEMPLATE),
            image_token=IMAGE_TOKEN,
            num_additional_image_tokens=stored.get("num_additional_image_tokens", 0),
        )
    except CheckpointError:
        raise
    except Exception as error:  # tokenizers raises a bare Exception for a damaged file
        raise CheckpointError(f"the processor in {folder} cannot be opened ({error}); fetch it again") from error
    tokenizer = processor.tokenizer
    rows = config.text_config.vocab_size
    for token in (IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN):
        ids = tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or token not in tokenizer.get_added_vocab():
            raise CheckpointError(f"the tokenizer in {folder} has no token {token}; it belongs to another model")
        if ids[0] >= rows:
            raise CheckpointError(f"the tokenizer in {folder} gives {token} the id {ids[0]}, but the model has {rows} "
                                  "rows of embedding; it belongs to another model")  # fmt: skip
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if image_id != config.image_token_id:
        raise CheckpointError(f"the tokenizer in {folder} gives {IMAGE_TOKEN} the id {image_id}, {CONFIG} says "
                              f"{config.image_token_id}; it belongs to another model")  # fmt: skip
    return processor


def open_model(folder: Path, config: Any, dtype: torch.dtype | str) -> LlavaForConditionalGeneration:
    """The weights in the stock class; ``CheckpointError`` when tensors are missing, extra, damaged or misshapen."""
    advice = "fetch or save the checkpoint again"
    opener: Any = LlavaForConditionalGeneration.from_pretrained  # with loading info it gives back a pair
    try:
        model, report = opener(
            folder, config=config, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"the weights in {folder} cannot be opened ({error}); {advice}") from error
    for what in ("missing_keys", "unexpected_keys"):
        names = sorted(report[what])
        if names:
            raise CheckpointError(f"the weights in {folder} do not fit {CONFIG}: {what.replace('_', ' ')} "
                                  f"{', '.join(names[:3])} ({len(names)} in all); {advice}")  # fmt: skip
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without progress bars and notes; what matters of them is raised here as an error."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # type: ignore[attr-defined]
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
