"""Nano's model put together from the published weights and our trained parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from chatspot.errors import CheckpointError
from chatspot.images.sheet import LINE_HEIGHT
from chatspot.model import gguf
from chatspot.model.efficientnet_lite import EfficientNetLite
from chatspot.model.nano import SETTINGS
from chatspot.model.sheet_tower import TOKENS_PER_IMAGE, SheetTowerConfig
from chatspot.model.text_line import text_line_state_dict
from chatspot.model.token_rows import writable_row
from chatspot.model.weights import language_weights, line_weights, picture_weights
from chatspot.prompts import template_source
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN

BATCH_NORM_EPS = 1e-3  # EfficientNet's (official efficientnet_lite_builder.py)
# Lite models are trained on (pixel - 127) / 128 (official efficientnet_lite_builder.py: MEAN_RGB, STDDEV_RGB).
IMAGE_MEAN, IMAGE_STD = [127 / 255] * 3, [128 / 255] * 3


def assemble_nano(
    tower: Path | None = None, projector: Path | None = None, lora: Path | None = None
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Nano in float32 from the published weights, with our trained parts where they are given."""
    metadata, tensors = gguf.read_gguf(language_weights())
    tokenizer = nano_tokenizer(metadata)
    config = nano_config(metadata, tokenizer)
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.to_empty(device="cpu")
    state = {f"language_model.{k}": torch.from_numpy(v) for k, v in gguf.llama_state_dict(metadata, tensors).items()}
    rows = state["language_model.embed_tokens.weight"]
    state["language_model.embed_tokens.weight"] = torch.cat([rows, new_token_rows(rows, tokenizer)])
    picture = picture_state_dict(picture_weights())
    if tower:
        picture |= {name: value.float() for name, value in read_tensors(tower).items()}
    state |= {f"vision_tower.picture.{name}": value for name, value in picture.items()}
    state |= {f"vision_tower.line.{name}": value for name, value in text_line_state_dict(line_weights()).items()}
    state |= projector_state_dict(config, projector)
    model.model.load_state_dict(state, strict=False)
    restore_buffers(model)
    model.tie_weights()
    if lora:
        merge_lora(model, lora)
    return model.eval(), nano_processor(tokenizer, config)


def nano_config(metadata: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    """LLaVA's configuration of nano; our prompt settings stand in it under ``chatspot``."""
    text = LlamaConfig(**gguf.llama_config(metadata))
    text.vocab_size = len(tokenizer)
    text.pad_token_id = tokenizer.pad_token_id
    image_token: Any = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    config = LlavaConfig(
        vision_config=SheetTowerConfig(),
        text_config=text,
        image_token_index=image_token,
        projector_hidden_act="linear",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS_PER_IMAGE,
        tie_word_embeddings=True,
    )
    config.chatspot = SETTINGS.to_json()
    return config


def nano_tokenizer(metadata: dict[str, Any]) -> PreTrainedTokenizerFast:
    """SmolLM2's tokenizer with the picture and box tokens added at the end of its vocabulary."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=gguf.byte_pair_tokenizer(metadata),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",  # not the end token, which has to be learnt
        unk_token="<|endoftext|>",
        model_max_length=2048,  # the paper's text limit
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN]})
    tokenizer.image_token, tokenizer.image_token_id = IMAGE_TOKEN, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return tokenizer


def new_token_rows(rows: Tensor, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Embedding rows of the added tokens: the box tokens' can be read and written as they are (``writable_row``), for
    both stages freeze them; the picture token's row is never read."""
    added = [rows.mean(dim=0)]
    for seed, token in enumerate((BOX_TOKEN, END_BOX_TOKEN)):
        pieces: list[int] = tokenizer(token, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        added.append(writable_row(rows, pieces, seed))
    return torch.stack(added)


def nano_processor(tokenizer: PreTrainedTokenizerFast, config: LlavaConfig) -> LlavaProcessor:
    """The stock processor of nano, for sheets (``chatspot.images.sheet``): it has nothing to resize or crop."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    side = config.vision_config.image_size
    images = CLIPImageProcessorPil(
        size={"height": side + LINE_HEIGHT, "width": side},
        do_center_crop=False,
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy="full",
        chat_template=template_source(SETTINGS.template),
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=0,
    )


def picture_state_dict(path: Path) -> dict[str, Tensor]:
    """The published EfficientNet-Lite2 under our names, batch normalisation folded into the convolutions."""
    published = torch.load(path, weights_only=True)
    network = EfficientNetLite(SheetTowerConfig().width, SheetTowerConfig().depth)
    state: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        gain = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + BATCH_NORM_EPS)
        state[f"{name}.weight"] = published[f"{convolution}.weight"] * gain[:, None, None, None]
        state[f"{name}.bias"] = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * gain

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    stages: list[Any] = list(network.stages)
    blocks = [(f"stages.{s}.{b}", block) for s, stage in enumerate(stages) for b, block in enumerate(stage)]
    for number, (name, block) in enumerate(blocks):
        if block.expand is not None:
            fold(f"{name}.expand", f"_blocks.{number}._expand_conv", f"_blocks.{number}._bn0")
        fold(f"{name}.depthwise", f"_blocks.{number}._depthwise_conv", f"_blocks.{number}._bn1")
        fold(f"{name}.project", f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2")
    return state


def projector_state_dict(config: LlavaConfig, path: Path | None) -> dict[str, Tensor]:
    """Projector and feature standardisation: ours where ``path`` is given, else zeros and no standardisation.

    The paper's single linear layer is the stock projector's first; the second is the identity and stays it.
    """
    wide, deep = config.vision_config.hidden_size, config.text_config.hidden_size
    trained = read_tensors(path) if path else {}
    return {
        "multi_modal_projector.linear_1.weight": trained.get("weight", torch.zeros(deep, wide)).float(),
        "multi_modal_projector.linear_1.bias": trained.get("bias", torch.zeros(deep)).float(),
        "multi_modal_projector.linear_2.weight": torch.eye(deep),
        "multi_modal_projector.linear_2.bias": torch.zeros(deep),
        "vision_tower.feature_mean": trained.get("feature_mean", torch.zeros(wide)).float(),
        "vision_tower.feature_scale": trained.get("feature_scale", torch.ones(wide)).float(),
    }


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; ``CheckpointError`` when it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except Exception as error:  # safetensors raises its own untyped error
        raise CheckpointError(f"{path} is damaged ({error}); install chatspot again") from error


def read_lora(path: Path) -> tuple[dict[str, Tensor], float]:
    """PEFT's tensors of a low-rank update (``<layer>.lora_A.weight`` [r, in], ``<layer>.lora_B.weight`` [out, r]), and
    the scale alpha / r that the file's metadata hold; ``CheckpointError`` when it is damaged."""
    tensors = read_tensors(path)
    with safe_open(path, framework="pt") as file:
        scale = (file.metadata() or {}).get("scale")
    if scale is None:
        raise CheckpointError(f"{path} is no low-rank update: its metadata lack the scale; install chatspot again")
    return tensors, float(scale)


def merge_lora(model: LlavaForConditionalGeneration, path: Path) -> None:
    """Add the low-rank update to the language model's weights: W += scale * B A (LoRA, arXiv 2106.09685)."""
    tensors, scale = read_lora(path)
    language_model = model.model.language_model
    for name in [n for n in tensors if n.endswith(".lora_A.weight")]:
        layer = name.removesuffix(".lora_A.weight")
        weight = language_model.get_submodule(layer).weight
        down, up = tensors[name].float(), tensors[f"{layer}.lora_B.weight"].float()
        weight.data += scale * (up @ down)


def restore_buffers(model: LlavaForConditionalGeneration) -> None:
    """Compute again what is no weight and was emptied with the meta device: rotary frequencies."""
    rotary = model.model.language_model.rotary_emb
    rotary.__init__(model.config.text_config)
