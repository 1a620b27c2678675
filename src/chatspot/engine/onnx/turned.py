"""The language model in a turned frame: the same function, in which no channel of the activations stands out.

A LLaMA's residual stream has a few channels that are far larger than the others, and a scale that has to cover them
rounds the others away. Its norms look at the length of a vector alone, so the stream may be turned by any orthogonal
matrix: what writes into it is turned forth, what reads from it is turned back, and the norms' gains move into the
matrices behind them. Values are turned within a head in the same way, between the products before and behind attention.
All of it is computed once, into the weights; only embeddings are turned as they come in. (QuaRot, arXiv 2404.00456, by
an orthogonal matrix drawn at random, as a Hadamard matrix does not exist for every width.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatspot.engine.onnx.stored import DECODER, StoredTensors

SEED = 0
NORM_BEFORE = {
    "q_proj": "input_layernorm",
    "k_proj": "input_layernorm",
    "v_proj": "input_layernorm",
    "gate_proj": "post_attention_layernorm",
    "up_proj": "post_attention_layernorm",
}


class TurnedTensors:
    """The tensors of ``stored`` turned, by their names, for a language model with heads of ``size`` numbers. ``turn``
    [hidden, hidden] is what embeddings are multiplied by."""

    def __init__(self, stored: StoredTensors, hidden: int, size: int):
        drawn = np.random.default_rng(SEED)
        self.stored, self.size = stored, size
        self.exact, self.head_turn = (np.linalg.qr(drawn.normal(size=(side, side)))[0] for side in (hidden, size))
        self.turn = self.exact.astype(np.float32)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The tensor in the turned frame."""
        weight: NDArray[Any] = self.stored[name].astype(np.float64)
        if weight.ndim == 1:
            return np.ones(weight.shape, np.float32)  # a norm's gain, which is in the matrices behind it
        at, part = name.rsplit(".", 3)[0], name.split(".")[-2]
        if part in NORM_BEFORE:
            weight = weight * self.stored[f"{at}.{NORM_BEFORE[part]}.weight"] @ self.exact
        elif part in ("o_proj", "down_proj"):
            weight = self.exact.T @ weight
        if part == "v_proj":
            weight = (self.head_turn.T @ weight.reshape(-1, self.size, weight.shape[1])).reshape(weight.shape)
        elif part == "o_proj":
            weight = (weight.reshape(len(weight), -1, self.size) @ self.head_turn).reshape(weight.shape)
        return weight.astype(np.float32)

    def head(self) -> NDArray[np.float32]:
        """The output head, which reads behind the last norm."""
        gain = self.stored[f"{DECODER}.norm.weight"].astype(np.float64)
        return (self.stored.head() * gain @ self.exact).astype(np.float32)
