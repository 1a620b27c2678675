"""A tokenizer made here, without a model hub: bytes, a few merges and the control tokens."""

from __future__ import annotations

import pytest
from golden_talks import CONTROL_TOKENS, SPECIAL_TOKENS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level fast tokenizer with the control tokens of both templates."""
    bytes_and_merges = Tokenizer(models.BPE())
    bytes_and_merges.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_and_merges.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=CONTROL_TOKENS[:3],
        show_progress=False,
    )
    sentences = ["What can you see in this region?", "USER: user ASSISTANT: assistant system", "im_start image 0.123"]
    bytes_and_merges.train_from_iterator(sentences * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bytes_and_merges, pad_token="<|endoftext|>", **SPECIAL_TOKENS)
    fast.add_special_tokens({"additional_special_tokens": CONTROL_TOKENS})
    return fast
