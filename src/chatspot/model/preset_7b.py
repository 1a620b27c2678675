"""chatspot-7b, the paper's model: CLIP ViT-L/14 + one linear layer + Vicuna-7B, as a stock LLaVA model.

::

    part             choice                                              source
    vision tower     CLIP ViT-L/14 at 224 px, 256 patch tokens           the paper, 4.1
    features         last layer but one, patches only                    LLaVA-1 (the paper is silent)
    projector        one linear layer, 1,024 to 4,096                    the paper, 4.1 ("a simple linear layer")
    language model   Vicuna-7B v1.5, vocabulary + <image> <box> </box>   the paper (the version is our choice)
    text limit       2,048 tokens                                        the paper
    picture          stretched to the square, or padded                  our choice (the paper is silent)

*Deviation*: CLIP's own image processor cuts out the centre square, so of a picture three times as wide as high it hides
two thirds, and regions there would name what the model cannot see. Here the whole picture is stretched to the square
(``image_fit="stretch"``), or padded to a square with CLIP's mean colour (``"pad"``). Coordinates are those of the whole
picture either way.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import quiet
from chatspot.model.folder import HUB_ID
from chatspot.model.projector import one_linear_activation, write_linear
from chatspot.model.token_rows import writable_row
from chatspot.prompts import PromptSettings, template_source
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN

VISION, LANGUAGE = "openai/clip-vit-large-patch14", "lmsys/vicuna-7b-v1.5"
FEATURE_LAYER = -2  # the last layer but one; source: LLaVA-1
FEATURE_STRATEGY: Literal["default"] = "default"  # patch tokens without the class token; source: LLaVA-1
TEXT_LIMIT = 2048  # tokens; source: the paper
FITS = ("stretch", "pad")  # a sheet is read by nano's tower alone


def assemble_7b(
    vision: str | os.PathLike[str] = VISION,
    language: str | os.PathLike[str] = LANGUAGE,
    *,
    image_fit: str = "stretch",
    dtype: torch.dtype = torch.bfloat16,
    seed: int = 0,
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The model before training and its processor: pretrained parts, and a projector drawn at random from ``seed``.

    ``vision`` (a CLIP model) and ``language`` (a LLaMA model) are folders or ids of the Hugging Face hub. The parts
    are read in ``dtype`` and moved into the model, so memory holds them once. The prompt settings are in
    ``model.config.chatspot``. Raises ``CheckpointError`` when a part is missing, damaged or of another kind.
    """
    settings = settings_7b(image_fit)
    vision_config = part_config(vision, "vision tower", ("clip", "clip_vision_model"))
    text_config = part_config(language, "language model", ("llama",))
    tokenizer = tokenizer_7b(language)
    tower = open_part(CLIPVisionModel, vision, "vision tower", dtype, getattr(vision_config, "vision_config", None))
    speaker = open_part(AutoModelForCausalLM, language, "language model", dtype, text_config)
    add_region_tokens(tokenizer, speaker)
    config = llava_config(tower.config, speaker.config, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), settings)
    with torch.device("meta"):  # a frame without memory, to be filled
        model = LlavaForConditionalGeneration(config)
    model.model.vision_tower = tower
    model.model.language_model = speaker.model
    model.model.multi_modal_projector = new_projector(config, dtype, seed)
    model.lm_head = speaker.lm_head
    # Vicuna's own generation settings ask for a temperature without sampling, which transformers refuses to save.
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model.eval(), processor_7b(tokenizer, config, settings)


def settings_7b(image_fit: str = "stretch") -> PromptSettings:
    """The prompt settings of the paper's model: coordinates alone, no focal view; ``image_fit`` stretch or pad."""
    if image_fit not in FITS:
        raise CheckpointError(f"image_fit should be one of {FITS}, got {image_fit!r}")
    return PromptSettings("chatspot-7b", version=1, focal_view=False, spell_quotes=False, image_fit=image_fit)


def full_size_7b_configs() -> tuple[CLIPVisionConfig, LlamaConfig]:
    """The published sizes of CLIP ViT-L/14 and Vicuna-7B v1.5, from the ``config.json`` of VISION and LANGUAGE."""
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        image_size=224,
        projection_dim=768,
    )
    text = LlamaConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    return vision, text


def llava_config(vision: Any, text: Any, image_token_id: int, settings: PromptSettings) -> LlavaConfig:
    """The stock configuration around a CLIP tower's and a language model's, our settings under ``chatspot``."""
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token_id,
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        projector_hidden_act=one_linear_activation(vision.hidden_size, text.hidden_size),
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy=FEATURE_STRATEGY,
        tie_word_embeddings=text.tie_word_embeddings,
    )
    config.chatspot = settings.to_json()
    return config


def new_projector(config: LlavaConfig, dtype: torch.dtype, seed: int) -> LlavaMultiModalProjector:
    """A stock projector that is one linear layer, drawn as ``nn.Linear`` draws (uniform within 1 / sqrt(inputs))."""
    with torch.device("meta"):
        projector = LlavaMultiModalProjector(config)
    projector.to(dtype).to_empty(device="cpu")
    outputs, inputs = projector.linear_2.out_features, projector.linear_1.in_features
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.empty(outputs, inputs), torch.empty(outputs)
    for values in (weight, bias):
        values.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    write_linear(projector, weight, bias)
    return projector


def tokenizer_7b(language: str | os.PathLike[str]) -> Any:
    """The language model's tokenizer with the paper's text limit; unknown stands in for padding, as Vicuna has none."""
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(part_source(language, "language model"))
    except Exception as error:  # tokenizers raises a bare Exception for a damaged file
        raise CheckpointError(f"the tokenizer of {language} cannot be opened ({first_line(error)}); it should hold "
                              "tokenizer.json, or tokenizer.model, which needs 'pip install sentencepiece protobuf'"
                              ) from error  # fmt: skip
    if tokenizer.bos_token is None or tokenizer.eos_token is None:
        raise CheckpointError(f"the tokenizer of {language} has no begin or end token, expected Vicuna's <s> and </s>")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    tokenizer.model_max_length = TEXT_LIMIT
    tokenizer.padding_side = "left"  # a batch of prompts must end at the same place to be continued
    return tokenizer


@torch.no_grad()
def add_region_tokens(tokenizer: Any, language_model: Any) -> None:
    """Add ``<image>``, ``<box>`` and ``</box>`` to the tokenizer and as rows to the language model's two embeddings.

    A new row starts as the mean of the rows of the pieces that spelled the token so far: stage 1 freezes the language
    model, so random rows would stay random through it. What the token is written with has a direction of its own
    besides (``token_rows.writable_row``), for a low-rank update leaves both tables as they are.
    """
    known = tokenizer.get_vocab()
    new = [token for token in (IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN) if token not in known]
    pieces = {token: tokenizer(token, add_special_tokens=False)["input_ids"] for token in new}
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in new], special_tokens=True)
    rows = language_model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        with quiet():
            language_model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    read: Tensor = language_model.get_input_embeddings().weight
    written: Tensor = language_model.get_output_embeddings().weight
    for seed, (token, ids) in enumerate(pieces.items()):
        number = tokenizer.convert_tokens_to_ids(token)
        read[number] = read[ids].float().mean(dim=0).to(read.dtype)
        written[number] = writable_row(written[:rows], ids, seed).to(written.dtype)


def processor_7b(tokenizer: Any, config: LlavaConfig, settings: PromptSettings) -> LlavaProcessor:
    """The stock processor: whole pictures as squares, as many image tokens as the tower has patches, our template."""
    vision: Any = config.vision_config
    square = {"height": vision.image_size, "width": vision.image_size}
    # crop_size is what servers read the token count from, although nothing is cropped.
    fit: dict[str, Any] = {"size": square, "crop_size": square, "do_center_crop": False}
    images = LlavaImageProcessorPil(do_pad=True, **fit) if settings.image_fit == "pad" else CLIPImageProcessorPil(**fit)
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=FEATURE_STRATEGY,
        num_additional_image_tokens=1,  # the class token, which the "default" strategy takes off again
        chat_template=template_source(settings.template),
        image_token=IMAGE_TOKEN,
    )


def part_config(source: str | os.PathLike[str], part: str, kinds: tuple[str, ...]) -> Any:
    """The configuration of a pretrained part; ``CheckpointError`` when it is not of one of ``kinds``."""
    try:
        config = AutoConfig.from_pretrained(part_source(source, part))
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"the {part} {source} cannot be opened ({first_line(error)}); expected a folder or "
                              f"hub id with a config.json of kind {' or '.join(kinds)}") from error  # fmt: skip
    if config.model_type not in kinds:
        raise CheckpointError(f"the {part} {source} is of kind {config.model_type!r}, expected {' or '.join(kinds)}")
    return config


def open_part(kind: Any, source: str | os.PathLike[str], part: str, dtype: torch.dtype, config: Any) -> nn.Module | Any:
    """A pretrained part in ``dtype``; ``CheckpointError`` when its weights are missing, damaged or incomplete."""
    given = {} if config is None else {"config": config}
    try:
        with quiet():
            model, report = kind.from_pretrained(
                part_source(source, part), dtype=dtype, output_loading_info=True, **given
            )
    except Exception as error:  # safetensors and torch.load raise errors of their own
        raise CheckpointError(f"the weights of the {part} {source} cannot be opened ({first_line(error)}); fetch them "
                              "again") from error  # fmt: skip
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"the weights of the {part} {source} lack {', '.join(missing[:3])} ({len(missing)} in "
                              "all); fetch them again")  # fmt: skip
    return model


def part_source(source: str | os.PathLike[str], part: str) -> str:
    """A folder's path or a hub id, as ``from_pretrained`` takes it; ``CheckpointError`` when it is neither."""
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path)
    if path.exists() or not HUB_ID.fullmatch(str(source)):
        raise CheckpointError(f"there is no folder {path} for the {part}; check the path (a hub id reads owner/name)")
    return str(source)


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
