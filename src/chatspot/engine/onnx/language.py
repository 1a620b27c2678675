"""The language model as an ONNX graph: a LLaMA decoder that takes embeddings and gives the likeliest next tokens.

::

    embeddings [rows, new, hidden] ─┐
    past keys and values ───────────┤ per layer: norm, one product for q, k and v, GroupQueryAttention (rotary inside),
    seqlens_k, total ───────────────┘            product, norm, gate and up, SiLU, down
                                      last position -> norm -> head -> tokens [rows], logprobs [rows]

Keys and values are written behind the past where it lies: ``past_*`` and ``present_*`` are bound to the same memory,
[rows, key/value heads, columns, size], whose columns beyond a row's length are not read.

In 8 bits the model stands in a turned frame (``turned``), and its products go by rows but for ``down``, whose
activations no turning evens out (``products``). Of 80 short answers of nano 78 were then those of float32; 77 with
blocks alone, 72 with rows alone and no turning, 79 by torch in bfloat16.

Operators and their inputs: onnxruntime's docs/ContribOperators.md. The layers are LLaMA's (transformers'
modeling_llama.py), with q, k and v in one matrix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from chatspot.engine.onnx.graph import Graph, Shape
from chatspot.engine.onnx.products import Kind, products
from chatspot.engine.onnx.session import Precision
from chatspot.engine.onnx.stored import DECODER, StoredTensors
from chatspot.engine.onnx.turned import TurnedTensors
from chatspot.errors import CheckpointError
from chatspot.model.folder import CONFIG

# Behind a norm a turned vector's numbers have a mean square of 1 and no direction: 1 in 16,000 is larger than this.
SPREAD = 4.0


def language_graph(
    stored: StoredTensors, text: dict[str, Any], positions: int, precision: Precision, *, by_rows: bool = False
) -> Graph:
    """The graph of the checkpoint's language model, for at most ``positions`` tokens; ``text`` is its configuration.

    ``by_rows`` allows products by rows, for ``session.multiplies_bytes``.
    """
    graph = Graph("language model")
    heads, kv_heads = text["num_attention_heads"], text["num_key_value_heads"]
    size, width, layers = head_size(text), text["hidden_size"], text["num_hidden_layers"]
    epsilon = float(text["rms_norm_eps"])

    uneven: Kind = "float32" if precision == "float32" else "blocks"
    even: Kind = "rows" if by_rows and uneven == "blocks" else uneven
    x = graph.input("embeddings", ["rows", "new", width])
    tensors: StoredTensors | TurnedTensors = stored
    if precision == "int8":
        tensors = TurnedTensors(stored, width, size)
        x = graph.op("MatMul", x, graph.weight(tensors.turn))

    def weights(*names: str) -> NDArray[np.float32]:
        return np.concatenate([tensors[f"{DECODER}.{name}.weight"] for name in names])

    lengths = graph.input("seqlens_k", ["rows"], TensorProto.INT32)
    total = graph.input("total_sequence_length", [1], TensorProto.INT32)
    turns = [graph.weight(values) for values in rotation(text, positions)]
    added = ""  # to x, by the norm that comes next
    for layer in range(layers):
        at = f"layers.{layer}."
        normed, x = norm(graph, x, added, weights(at + "input_layernorm"), epsilon)
        (qkv,) = products(graph, normed, [weights(*(f"{at}self_attn.{part}_proj" for part in "qkv"))], even, SPREAD)
        shape: Shape = ["rows", kv_heads, "columns", size]
        past = [graph.input(f"past_{what}_{layer}", shape) for what in ("key", "value")]
        attended, *present = graph.ops(
            "GroupQueryAttention", qkv, "", "", *past, lengths, total, *turns,
            outputs=3, contrib=True, num_heads=heads, kv_num_heads=kv_heads, do_rotary=1, rotary_interleaved=0,
        )  # fmt: skip
        for what, value in zip(("key", "value"), present, strict=True):
            graph.output(value, f"present_{what}_{layer}", shape)
        if layer == layers - 1:  # behind its keys and values, only the last position is asked for
            attended, x = (graph.op("Gather", value, graph.number(-1), axis=1) for value in (attended, x))
        (seen,) = products(graph, attended, [weights(at + "self_attn.o_proj")], even)
        normed, x = norm(graph, x, seen, weights(at + "post_attention_layernorm"), epsilon)
        gate, up = products(graph, normed, [weights(f"{at}mlp.{part}_proj") for part in ("gate", "up")], even, SPREAD)
        wide = graph.op("Mul", graph.contrib("QuickGelu", gate, alpha=1.0), up)  # x * sigmoid(x) is SiLU
        (added,) = products(graph, wide, [weights(at + "mlp.down_proj")], uneven)
    normed, _ = norm(graph, x, added, weights("norm"), epsilon)
    (logits,) = products(graph, normed, [tensors.head()], even, SPREAD)  # [rows, vocabulary]
    most, token = graph.ops("TopK", logits, graph.ints(1), outputs=2, axis=1)
    total_share = graph.op("ReduceSum", graph.op("Exp", graph.op("Sub", logits, most)), graph.ints(1), keepdims=0)
    graph.output(graph.op("Squeeze", token, graph.ints(1)), "tokens", ["rows"], TensorProto.INT64)
    graph.output(graph.op("Neg", graph.op("Log", total_share)), "logprobs", ["rows"])
    return graph


def head_size(text: dict[str, Any]) -> int:
    """Numbers in a head's keys and values."""
    return int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"])


def norm(graph: Graph, x: str, added: str, weight: NDArray[np.float32], epsilon: float) -> tuple[str, str]:
    """The root-mean-square norm of ``x`` and ``added`` (where it is not ""), and their sum."""
    if not added:
        return graph.op("SimplifiedLayerNormalization", x, graph.weight(weight), axis=-1, epsilon=epsilon), x
    normed, _, _, total = graph.ops(
        "SkipSimplifiedLayerNormalization", x, added, graph.weight(weight), outputs=4, contrib=True, epsilon=epsilon
    )
    return normed, total


def rotation(text: dict[str, Any], positions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines of every position, each [positions, size / 2] (RoPE, arXiv 2104.09864)."""
    size = head_size(text)
    base = float(text["rope_parameters"]["rope_theta"])
    frequencies = base ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    angles = np.arange(positions)[:, None] * frequencies[None]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def check_supported(checkpoint: Path, config: dict[str, Any], stored: StoredTensors) -> None:
    """Raise ``CheckpointError`` for a model that the graphs would compute wrongly or not at all."""
    projector = stored["multi_modal_projector.linear_2.weight"], stored["multi_modal_projector.linear_2.bias"]
    try:
        text = config["text_config"]
        expected = {
            "nano's vision tower": config["vision_config"]["model_type"] == "chatspot_sheet_tower",
            "a single linear layer as projector": config["projector_hidden_act"] == "linear"
            and np.array_equal(projector[0], np.eye(len(projector[1])))
            and not projector[1].any(),
            "a LLaMA language model": text["model_type"] == "llama" and text["hidden_act"] == "silu",
            "no biases": not text.get("attention_bias") and not text.get("mlp_bias"),
            "plain rotary positions": text["rope_parameters"].get("rope_type", "default") == "default",
            "heads of a multiple of 16 numbers": head_size(text) % 16 == 0,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{checkpoint / CONFIG} lacks a value that the engine 'onnx' needs ({error}); use the "
                              "engine 'torch'") from error  # fmt: skip
    lacking = [what for what, found in expected.items() if not found]
    if lacking:
        raise CheckpointError(f"{checkpoint} is no model for the engine 'onnx', which needs {', '.join(lacking)}; use "
                              "the engine 'torch'")  # fmt: skip
