"""Products with weights, in float32 or in 8 bits.

In 8 bits they come in two kinds::

    blocks    a scale for BLOCK weights, activations rounded by blocks as well (MatMulNBits)
    rows      a scale for a row of the matrix and one for a token's activations (MatMulIntegerToFloat): with AMX,
              prompts are read in half the time. Where the processor does not multiply bytes
              (``session.multiplies_bytes``) blocks stand in for them.

Rows want even activations, as they are in a turned frame (``turned``). Rows take their own scales, so what else is in a
batch changes nothing. Operators: onnxruntime's docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chatspot.engine.onnx.graph import Graph

Kind: TypeAlias = Literal["float32", "blocks", "rows"]

BLOCK = 64  # smaller ones are nearer to the truth, and 4 bytes a block are read
INT8_PRODUCTS = 4  # MatMulNBits' accuracy_level: activations are rounded to 8 bits, too
LARGEST = 127  # of a signed byte


def products(
    graph: Graph, x: str, weights: Sequence[NDArray[np.float32]], kind: Kind, most: float | None = None
) -> list[str]:
    """``x`` [..., in] times each of the ``weights`` [out, in], transposed.

    ``most`` is what numbers of ``x`` seldom exceed, where that is known beforehand: "rows" then cuts off what does, and
    need not look for the largest of each row.
    """
    if kind == "float32":
        return [graph.op("MatMul", x, graph.weight(weight.T)) for weight in weights]
    if kind == "blocks":
        return [block_product(graph, x, weight) for weight in weights]
    step, middle = graph.number((most or 1.0) / LARGEST), graph.weight(np.array(128, np.uint8))
    largest = ""
    if most is None:
        # In a row of zeros the quotient is no number and its byte anything: times ``largest`` it is 0 all the same.
        largest = graph.op("ReduceMax", graph.op("Abs", x), axes=[-1], keepdims=1)
        x = graph.op("Div", x, largest)
    rounded = graph.op("QuantizeLinear", x, step, middle)
    found = []
    for weight in weights:
        values, scales = row_bytes(weight)
        product = graph.contrib(
            "MatMulIntegerToFloat", rounded, graph.weight(values.T), step, graph.weight(scales), middle
        )
        found.append(graph.op("Mul", product, largest) if largest else product)
    return found


def block_product(graph: Graph, x: str, weight: NDArray[np.float32]) -> str:
    """``x`` times a matrix whose weights have scales by blocks."""
    rows, columns = weight.shape
    values, scales = block_bytes(weight)
    return graph.contrib(
        "MatMulNBits", x, graph.weight(values), graph.weight(scales),
        K=columns, N=rows, bits=8, block_size=BLOCK, accuracy_level=INT8_PRODUCTS,
    )  # fmt: skip


def row_bytes(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights [out, in] as signed bytes and their scales [out]."""
    scales = np.abs(weight).max(axis=1) / LARGEST
    return np.rint(weight / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8), scales.astype(np.float32)


def block_bytes(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Weights [out, in] as bytes [out, blocks, BLOCK] around 128, MatMulNBits' zero point, and scales [out, blocks]."""
    rows, columns = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    scales = np.abs(padded).max(axis=2) / LARGEST
    safe = np.where(scales > 0, scales, 1)
    return (np.rint(padded / safe[..., None]) + 128).astype(np.uint8), scales.astype(np.float32)
