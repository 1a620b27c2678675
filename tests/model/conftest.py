"""Small random stand-ins for the published parts of chatspot-7b, in folders laid out as their hub repositories are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from chatspot.model.checkpoint import quiet, save_checkpoint
from chatspot.model.preset_7b import assemble_7b, settings_7b

SIDE, PATCH, TOKENS = 56, 14, 16  # 4 x 4 patches
WORDS = ("the", "dog", "cat", "box", "in", "is", "What", "USER", "ASSISTANT")

# lmsys/vicuna-7b-v1.5's own file: a temperature without sampling, which transformers 5 refuses to save.
VICUNA_GENERATION = {
    "_from_model_config": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_length": 4096,
    "pad_token_id": 0,
    "temperature": 0.9,
    "top_p": 0.6,
    "transformers_version": "4.31.0",
}


@dataclass(frozen=True)
class Parts:
    """Folders of a CLIP model and of a LLaMA model with its tokenizer."""

    vision: Path
    language: Path


def small_tokenizer() -> LlamaTokenizer:
    """A LLaMA tokenizer (byte pairs, blanks as a mark, bytes for the rest) that knows a few words."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    pieces += [chr(code) for code in range(33, 127)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        left = "▁"
        for letter in word:
            merges.append((left, letter))
            left += letter
    pieces += [left + right for left, right in merges]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return LlamaTokenizer(vocab=vocabulary, merges=list(dict.fromkeys(merges)), legacy=False)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A small CLIP (both its towers, as openai/clip-vit-large-patch14 has) and a small LLaMA laid out like Vicuna."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    found = Parts(folder / "clip", folder / "llama")
    tower = {"intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16}
    clip = CLIPConfig(
        vision_config={**tower, "image_size": SIDE, "patch_size": PATCH}, text_config=tower, projection_dim=16
    )
    tokenizer = small_tokenizer()
    llama = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=40,  # more than twice the tower's 16, so the projector has columns that stay zero
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    with quiet():
        CLIPModel(clip).save_pretrained(found.vision)
        LlamaForCausalLM(llama).save_pretrained(found.language)
    tokenizer.save_pretrained(found.language)
    (found.language / "generation_config.json").write_text(json.dumps(VICUNA_GENERATION))
    return found


@pytest.fixture(scope="session")
def small_7b(parts: Parts) -> Callable[..., tuple[LlavaForConditionalGeneration, LlavaProcessor]]:
    """Assembles chatspot-7b from the small parts, anew at each call, in float32 unless told otherwise."""
    return partial(assemble_7b, parts.vision, parts.language, dtype=torch.float32)


@pytest.fixture(scope="session")
def saved_7b(small_7b, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved small chatspot-7b; read it, never write into it."""
    model, processor = small_7b()
    return save_checkpoint(tmp_path_factory.mktemp("saved") / "small-7b", model, processor, settings_7b())
