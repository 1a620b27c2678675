"""Nano's box head as an ONNX graph: a whole picture and words in, scores and boxes out.

The layers are those of ``model.box_head``, which says what they are; a test holds the two against each other.
"""

from __future__ import annotations

import numpy as np

from chatspot.engine.onnx.graph import Graph
from chatspot.engine.onnx.stored import StoredTensors
from chatspot.engine.onnx.tower import MIDDLE_STAGES, Net, head_map, picture_maps
from chatspot.images.whole import BOX_SIDE

STRIDE = 16  # box_head.STRIDE
CELLS = BOX_SIDE // STRIDE
FURTHEST = 0.5  # box_head.FURTHEST
SHARPNESS = 8.0  # box_head.SHARPNESS


def boxes_graph(stored: StoredTensors, head: StoredTensors) -> Graph:
    """The graph of the tower's maps and the box head: ``picture`` [1, 3, BOX_SIDE, BOX_SIDE] and ``words`` [words,
    hidden], embeddings; ``scores`` [CELLS²] and ``boxes`` [CELLS², 4], edges in fractions of the picture."""
    tower, net = Net(stored, "vision_tower."), Net(head, "")
    graph = net.graph = tower.graph
    picture = graph.input("picture", [1, 3, BOX_SIDE, BOX_SIDE])
    words = graph.input("words", ["words", len(net.tensor("attend.weight")[0])])
    stages = picture_maps(tower, picture, BOX_SIDE)
    maps = [*(stages[stage] for stage in MIDDLE_STAGES), head_map(tower, stages[-1], BOX_SIDE // 32)]
    scale, shift, key = asked(net, words)
    seen = picture_seen(net, maps)
    alike = graph.op("ReduceMean", graph.op("Mul", net.conv("match", seen), key), axes=[1], keepdims=1)
    x = graph.op("Mul", net.conv("enter", seen), graph.op("Add", scale, graph.number(1.0)))
    x = graph.op("Relu", graph.op("Add", x, shift))
    x = graph.op("Relu", net.conv("leave", around(net, "around", x)))
    score, sides = graph.ops("Split", net.conv("out", x), graph.ints(1, 4), outputs=2, axis=1)
    scores = graph.op("Reshape", graph.op("Add", score, alike), graph.ints(CELLS * CELLS))
    graph.output(scores, "scores", [CELLS * CELLS])
    sides = graph.op("Mul", graph.op("Softplus", sides), graph.number(FURTHEST))
    signs = np.array([-1, -1, 1, 1], np.float32)[:, None]
    edges = graph.op("Mul", graph.op("Reshape", sides, graph.ints(4, CELLS * CELLS)), graph.weight(signs))
    edges = graph.op("Add", edges, graph.weight(middles()))
    graph.output(graph.op("Transpose", edges, perm=[1, 0]), "boxes", [CELLS * CELLS, 4])
    return graph


def asked(net: Net, words: str) -> list[str]:
    """A scale, a shift and a key of the channels [1, channels, 1, 1] each (``BoxHead.asked`` and ``film``)."""
    graph = net.graph
    size = graph.op("Max", graph.op("ReduceL2", words, axes=[1], keepdims=1), graph.number(1e-12))
    unit = graph.op("Div", words, size)
    weights = graph.op("Softmax", graph.op("Mul", net.linear("attend", unit), graph.number(SHARPNESS)), axis=0)
    mean = graph.op("ReduceSum", graph.op("Mul", weights, unit), graph.ints(0), keepdims=1)
    film = net.linear("film", graph.op("Relu", net.linear("squeeze", mean)))
    film = graph.op("Reshape", film, graph.ints(1, -1, 1, 1))
    return graph.ops("Split", film, outputs=3, axis=1)


def picture_seen(net: Net, maps: list[str]) -> str:
    """The picture in the head's own channels [1, channels, CELLS, CELLS] (``BoxHead.seen``)."""
    graph = net.graph
    fine, middle, coarse = maps
    far = look(net, "far", net.conv("coarse", coarse))
    far = graph.op(
        "Resize", far, "", graph.weight(np.array([1, 1, 2, 2], np.float32)),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    x = graph.op("Add", net.conv("fine", fine, strides=[2, 2]), net.conv("middle", middle))
    place = net.tensor("row") + net.tensor("column")
    x = graph.op("Add", graph.op("Add", x, far), graph.weight(place[None]))
    block = 0
    while net.has(f"near.{block}.widen"):
        x = look(net, f"near.{block}", x)
        block += 1
    return x


def look(net: Net, at: str, x: str) -> str:
    """A residual block (``Look``)."""
    wide = net.graph.op("Relu", net.conv(f"{at}.widen", around(net, f"{at}.around", x)))
    return net.graph.op("Add", x, net.conv(f"{at}.narrow", wide))


def around(net: Net, name: str, x: str) -> str:
    """A depthwise convolution that keeps the size."""
    return net.conv(name, x, pads=[net.tensor(f"{name}.weight").shape[2] // 2] * 4)


def middles() -> np.ndarray:
    """The middle (x, y, x, y) of each cell: [4, CELLS²] (``cell_middles``)."""
    along = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
    y, x = np.meshgrid(along, along, indexing="ij")
    return np.stack([x.ravel(), y.ravel(), x.ravel(), y.ravel()])
