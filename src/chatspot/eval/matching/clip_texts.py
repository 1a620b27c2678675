"""CLIP's text embeddings, by which the paper maps an answer to a class (its section 4).

The paper names neither the CLIP nor the template. Ours: the CLIP whose picture tower the paper's model has, and the
template of CLIP's own zero-shot examples for the class names; an answer is taken as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from chatspot.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np

NAME = "openai/clip-vit-large-patch14"
TEMPLATE = "a photo of a {}."
BATCH = 64


def embed_clip_texts(texts: Sequence[str], name: str = NAME) -> np.ndarray:
    """The projected text embeddings, float32 [texts, size], each of length 1. ``name``: a hub id or a local folder.

    Texts are cut at the model's 77 tokens. Raises ``CheckpointError`` when the model cannot be opened.
    """
    import numpy as np
    import torch

    tokenizer, model = clip_text_model(name)
    found = [np.zeros((0, model.config.projection_dim), dtype=np.float32)]
    for start in range(0, len(texts), BATCH):
        tokens = tokenizer(
            list(texts[start : start + BATCH]),
            padding=True,
            truncation=True,
            max_length=model.config.max_position_embeddings,
            return_tensors="pt",
        )
        with torch.no_grad():
            vectors = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).text_embeds
        found.append(torch.nn.functional.normalize(vectors.float(), dim=1).numpy())
    return np.concatenate(found)


@cache
def clip_text_model(name: str) -> tuple[Any, Any]:
    """The tokenizer and the text half of a CLIP."""
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    try:
        return AutoTokenizer.from_pretrained(name), CLIPTextModelWithProjection.from_pretrained(name).eval()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"CLIP's text model {name} cannot be opened ({' '.join(str(error).split())[:200]}); give "
                              "a folder that holds it, or check the network") from error  # fmt: skip
