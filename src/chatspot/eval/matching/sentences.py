"""Meaning as a vector: the sentence embeddings of all-MiniLM-L6-v2, without a network once the weights are there.

The model is the one that Osprey's evaluation uses, and after it those of VP-SPHINX, DAM and PAM (Reimers and Gurevych,
"Sentence-BERT", 2019). An embedding is the mean of the last hidden states over the text's tokens, of length 1: the
model's own ``modules.json``. Longer texts are cut at 256 tokens, its ``max_seq_length``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MOST_TOKENS = 256
BATCH = 64
NAME = "all-MiniLM-L6-v2"


def embed_sentences(texts: Sequence[str]) -> np.ndarray:
    """The embeddings of the texts, float32 [texts, 384], each of length 1. Each text is embedded by itself or beside
    others with the same result to 1e-6. The weights are fetched when they are first needed (84 MB)."""
    import numpy as np

    missing = [text for text in dict.fromkeys(texts) if text not in KEPT]
    for start in range(0, len(missing), BATCH):
        some = missing[start : start + BATCH]
        KEPT.update(zip(some, embedded(some), strict=True))
    return np.stack([KEPT[text] for text in texts]) if texts else np.zeros((0, 384), dtype=np.float32)


KEPT: dict[str, Any] = {}  # answers repeat, and chance is measured by dealing the same ones out again and again


def embedded(texts: Sequence[str]) -> np.ndarray:
    """The embeddings of one batch."""
    import torch

    tokenizer, model = sentence_model()
    tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
    with torch.no_grad():
        states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None].to(states.dtype)
    means = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(means, dim=1).numpy()


@cache
def sentence_model() -> tuple[Any, Any]:
    """The tokenizer and the model."""
    from transformers import AutoModel, AutoTokenizer

    from chatspot.model import weights

    folder = weights.sentence_model()
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


@lru_cache(maxsize=65_536)
def similarity(first: str, second: str) -> float:
    """The cosine of two texts' embeddings, -1 to 1, to six digits: float32's last ones depend on the machine."""
    one, other = embed_sentences([first, second])
    return round(min(max(float(one @ other), -1.0), 1.0), 6)
