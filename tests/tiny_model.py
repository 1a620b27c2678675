"""A tiny model of nano's kind with random weights, made here: no published weights, no photos."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from chatspot.model.checkpoint import save_checkpoint
from chatspot.model.nano import SETTINGS
from chatspot.model.nano_assembly import nano_processor
from chatspot.model.sheet_tower import TOKENS_PER_IMAGE, SheetTowerConfig
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN, IMAGE_TOKEN


def small_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with ChatML's tokens, trained on a sentence."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(["What can you see in this region? red green blue user assistant"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token="<|endoftext|>", model_max_length=2048,
    )  # fmt: skip
    fast.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN]})
    fast.image_token, fast.image_token_id = IMAGE_TOKEN, fast.convert_tokens_to_ids(IMAGE_TOKEN)
    return fast


def save_tiny_nano(folder: Path, hidden: int = 32) -> Path:
    """Save a checkpoint of nano's kind: a thin tower, an identity projector and two decoder layers of four heads."""
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=hidden + 32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=SheetTowerConfig(width=0.25, depth=0.3),
        text_config=text,
        image_token_id=tokenizer.image_token_id,
        projector_hidden_act="linear",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS_PER_IMAGE,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    projector = model.model.multi_modal_projector
    projector.linear_2.weight.data = torch.eye(hidden)
    projector.linear_2.bias.data.zero_()
    return save_checkpoint(folder, model, nano_processor(tokenizer, config), SETTINGS)
