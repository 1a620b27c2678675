"""Read a LLaMA-architecture GGUF file with numpy alone: names, values and tokenizer, without compiler or package.

Layout: ggml-org/ggml ``docs/gguf.md`` (version 3). Block formats: ggml ``ggml-common.h`` (``block_q4_1``,
``block_q8_0``). Only what SmolLM2's published file uses is read; another block format is a clear error.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from chatspot.errors import CheckpointError

MAGIC = b"GGUF"
ALIGNMENT = 32
BLOCK = 32  # values in a quantised block
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8
BYTES_PER_BLOCK = {F32: 4 * BLOCK, F16: 2 * BLOCK, Q4_1: 20, Q8_0: 34}


class Reader:
    """A cursor over the bytes of the file's header."""

    def __init__(self, data: memoryview):
        self.data, self.at = data, 0

    def scalar(self, kind: str) -> Any:
        value = struct.unpack_from("<" + kind, self.data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self) -> str:
        length = self.scalar("Q")
        raw = bytes(self.data[self.at : self.at + length])
        self.at += length
        return raw.decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, count = self.scalar("I"), self.scalar("Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata and every tensor of a GGUF file, dequantised to float32 in row-major [out, in] order.

    Raises ``CheckpointError`` when the file is not GGUF, is cut short or uses another block format.
    """
    with path.open("rb") as file:
        found = file.read(len(MAGIC))
    if found != MAGIC:
        raise CheckpointError(f"{path} is not a GGUF file: expected it to begin with {MAGIC!r}, got {found!r}")
    data = np.memmap(path, dtype=np.uint8, mode="r").data
    try:
        reader = Reader(data)
        reader.at = 4
        reader.scalar("I")  # version
        tensor_count, metadata_count = reader.scalar("Q"), reader.scalar("Q")
        metadata = {}
        for _ in range(metadata_count):
            key = reader.text()
            metadata[key] = reader.value(reader.scalar("I"))
        entries = []
        for _ in range(tensor_count):
            name, dims = reader.text(), reader.scalar("I")
            shape = tuple(reader.scalar("Q") for _ in range(dims))[::-1]  # ggml lists the fastest axis first
            entries.append((name, shape, reader.scalar("I"), reader.scalar("Q")))
        start = -(-reader.at // ALIGNMENT) * ALIGNMENT
        return metadata, {n: dequantise(data, start + at, shape, kind, n) for n, shape, kind, at in entries}
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut short ({error}); fetch it again") from error


def dequantise(data: memoryview, at: int, shape: tuple[int, ...], kind: int, name: str) -> np.ndarray:
    """Tensor ``name`` of ``shape`` as float32, from the blocks that begin at byte ``at``."""
    if kind not in BYTES_PER_BLOCK:
        raise CheckpointError(f"tensor {name} has block format {kind}; known are {sorted(BYTES_PER_BLOCK)}")
    count = int(np.prod(shape))
    size = count * BYTES_PER_BLOCK[kind] // BLOCK
    raw = np.frombuffer(data[at : at + size], dtype=np.uint8)
    if raw.size != size:
        raise ValueError(f"tensor {name} wants {size} bytes, the file holds {raw.size}")
    if kind == F32:
        return raw.view("<f4").reshape(shape).copy()
    if kind == F16:
        return raw.view("<f2").astype(np.float32).reshape(shape)
    blocks = raw.reshape(-1, BYTES_PER_BLOCK[kind])
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    if kind == Q8_0:
        return (blocks[:, 2:].view(np.int8) * scale).reshape(shape)
    low = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    packed = blocks[:, 4:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=1)  # the low halves are the first 16 values
    return (nibbles * scale + low).reshape(shape)


def llama_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of transformers' ``LlamaConfig`` that GGUF metadata fix."""
    get = lambda key: metadata["llama." + key]  # noqa: E731
    return {
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": get("embedding_length"),
        "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": get("block_count"),
        "num_attention_heads": get("attention.head_count"),
        "num_key_value_heads": get("attention.head_count_kv"),
        "max_position_embeddings": get("context_length"),
        "rms_norm_eps": get("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": get("rope.freq_base")},
        "tie_word_embeddings": True,
    }


def llama_state_dict(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """GGUF tensors under the names of transformers' ``LlamaModel`` (no prefix).

    llama.cpp stores query and key rows for interleaved rotary pairs; transformers wants halves, so their rows are put
    back (source: llama.cpp ``conversion`` of LLaMA models, ``permute``).
    """
    layer_names = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    heads = {"attn_q": metadata["llama.attention.head_count"], "attn_k": metadata["llama.attention.head_count_kv"]}
    state = {"embed_tokens.weight": tensors["token_embd.weight"], "norm.weight": tensors["output_norm.weight"]}
    for layer in range(metadata["llama.block_count"]):
        for short, long in layer_names.items():
            weight = tensors[f"blk.{layer}.{short}.weight"]
            if short in heads:
                weight = rotary_halves(weight, heads[short])
            state[f"layers.{layer}.{long}.weight"] = weight
    return state


def rotary_halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix [heads * d, in] from interleaved pairs to two halves a head."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def byte_pair_tokenizer(metadata: dict[str, Any]) -> Any:
    """The file's tokenizer as a ``tokenizers.Tokenizer``: byte-level BPE, each digit a token of its own (SmolLM2)."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    if metadata.get("tokenizer.ggml.pre") != "smollm":
        raise CheckpointError(f"tokenizer kind {metadata.get('tokenizer.ggml.pre')!r} is unknown; expected 'smollm'")
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [
            AddedToken(t, special=True, normalized=False)
            for t, kind in zip(tokens, kinds, strict=True)
            if kind == control
        ]
    )
    return tokenizer
