"""Small checkpoints whose answers depend on what they see, and engines over them, in float32 on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlamaTokenizer, LlavaForConditionalGeneration

from chatspot.engine.torch_engine import TorchEngine
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from chatspot.model.preset_7b import llava_config, processor_7b, settings_7b
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN
from chatspot.spot import ChatSpot
from lively_model import save_lively_nano, speaks_up
from small_pictures import corner, quarters
from tiny_model import save_tiny_nano


@pytest.fixture(scope="session")
def tiny_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with heads of 16, as ONNX Runtime's attention needs them; read it, never write into it."""
    return save_tiny_nano(tmp_path_factory.mktemp("tiny") / "nano", hidden=64)


@pytest.fixture(scope="session")
def lively_nano(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of nano's kind: focal views on, byte-level tokens."""
    return save_lively_nano(tiny_nano, tmp_path_factory.mktemp("lively") / "nano")


@pytest.fixture(scope="session")
def lively_7b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of chatspot-7b's kind: CLIP, no focal views, LLaMA's tokens with bytes for unknown letters."""
    torch.manual_seed(2)
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    tokenizer = LlamaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[], legacy=False)
    tokenizer.add_tokens([IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN], special_tokens=True)
    tokenizer.pad_token = tokenizer.unk_token
    tower = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=4096,
    )  # fmt: skip
    config = llava_config(tower, text, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), settings_7b())
    model = LlavaForConditionalGeneration(config)
    speaks_up(model)
    folder = tmp_path_factory.mktemp("lively") / "7b"
    return save_checkpoint(folder, model, processor_7b(tokenizer, config, settings_7b()), settings_7b())


@pytest.fixture
def engine(lively_nano: Path) -> TorchEngine:
    """A fresh engine of nano's kind: nothing is kept yet."""
    return TorchEngine(load_checkpoint(lively_nano), device="cpu", dtype="float32")


@pytest.fixture
def engine_7b(lively_7b: Path) -> TorchEngine:
    return TorchEngine(load_checkpoint(lively_7b), device="cpu", dtype="float32")


@pytest.fixture
def spot(engine: TorchEngine) -> ChatSpot:
    return ChatSpot(engine)


@pytest.fixture(scope="session")
def image() -> Image.Image:
    return quarters()


@pytest.fixture(scope="session")
def other_image() -> Image.Image:
    return corner()
