"""Nano's vision tower and projector as an ONNX graph: the parts of sheets in, visual tokens out.

The layers are those of ``model.sheet_tower``, ``model.efficientnet_lite`` and ``model.text_line``, which say what they
are; a test holds the two against each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chatspot.engine.onnx.graph import Graph
from chatspot.engine.onnx.stored import StoredTensors
from chatspot.images.sheet import LINE_HEIGHT, SIDE

GRID, TOKENS = 4, 16  # sheet_tower.GRID and TOKENS_PER_IMAGE
MIDDLE_CELLS = tuple(row * GRID + column for row in range(1, GRID - 1) for column in range(1, GRID - 1))
MIDDLE_STAGES = (2, 4)  # efficientnet_lite.MIDDLE_STAGES
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the stages' first blocks (efficientnet_lite.B0_STAGES)
HIGH_STRIDES = {3: 2, 10: 2}  # blocks of the line whose stride of the height is not 1 (text_line.BLOCKS)
LINE_HEADS, LINE_FEATURES = 8, 120  # text_line.HEADS and FEATURES
LINE_STEPS = SIDE // 8  # feature vectors of a line


def tower_graph(stored: StoredTensors) -> Graph:
    """The graph of tower and projector.

    A view has one square or several, and one line (``tower_inputs``). It takes ``squares`` [squares, 3, SIDE, SIDE],
    ``shares`` [views, squares], what each square counts for in each view, and ``lines`` [views, 3, LINE_HEIGHT, SIDE],
    and gives ``tokens`` [views, 16, hidden].
    """
    net = Net(stored, "vision_tower.")
    graph = net.graph
    squares = graph.input("squares", ["squares", 3, SIDE, SIDE])
    shares = graph.input("shares", ["views", "squares"])
    lines = graph.input("lines", ["views", 3, LINE_HEIGHT, SIDE])
    seen = picture_features(net, squares)
    read = line_features(net, lines)
    width = len(net.tensor("feature_mean")) - LINE_STEPS // TOKENS * LINE_FEATURES
    mean = graph.op("MatMul", shares, graph.op("Reshape", seen, graph.ints(-1, TOKENS * width)))
    features = graph.op("Concat", graph.op("Reshape", mean, graph.ints(-1, TOKENS, width)), read, axis=2)
    features = graph.op("Sub", features, net.weight("feature_mean"))
    features = graph.op("Mul", features, net.weight("feature_scale"))
    projector = Net(stored, "multi_modal_projector.", graph)
    tokens = projector.linear("linear_1", features)  # the "identity" layout of ``model.projector``: the second is none
    graph.output(tokens, "tokens", ["views", TOKENS, len(projector.tensor("linear_1.bias"))])
    return graph


class Net:
    """Layers over a checkpoint's tensors below ``prefix``, named as the modules of the torch model are."""

    def __init__(self, stored: StoredTensors, prefix: str, graph: Graph | None = None):
        self.stored, self.prefix = stored, prefix
        self.graph = graph or Graph("vision tower")

    def has(self, name: str) -> bool:
        """Whether there is such a layer."""
        return f"{self.prefix}{name}.weight" in self.stored

    def tensor(self, name: str) -> NDArray[np.float32]:
        """A tensor of the checkpoint."""
        return self.stored[self.prefix + name]

    def weight(self, name: str) -> str:
        """A tensor of the checkpoint as a constant."""
        return self.graph.weight(self.tensor(name))

    def conv(self, name: str, x: str, *, pads: list[int] | None = None, strides: list[int] | None = None) -> str:
        """A convolution; one whose kernel sees a single channel has as many groups as channels.

        ``pads``: top, left, bottom, right.
        """
        weight = self.tensor(f"{name}.weight")
        groups = len(weight) if weight.shape[1] == 1 else 1
        return self.graph.op(
            "Conv", x, self.graph.weight(weight), self.weight(f"{name}.bias"),
            kernel_shape=list(weight.shape[2:]), pads=pads or [0] * 4, strides=strides or [1, 1], group=groups,
        )  # fmt: skip

    def linear(self, name: str, x: str) -> str:
        """``x`` [..., in] times the layer's weight, plus its bias."""
        graph = self.graph
        found = graph.op("MatMul", x, graph.weight(self.tensor(f"{name}.weight").T))
        return graph.op("Add", found, self.weight(f"{name}.bias"))

    def norm(self, name: str, x: str, epsilon: float) -> str:
        """A layer normalisation of the last axis."""
        return self.graph.op(
            "LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), epsilon=epsilon
        )

    def silu(self, x: str) -> str:
        """x * sigmoid(x)"""
        return self.graph.contrib("QuickGelu", x, alpha=1.0)


def picture_features(net: Net, x: str) -> str:
    """What is there: [views, 16, 2 channels] of pictures [views, 3, SIDE, SIDE] (``EfficientNetLite``), each cell
    beside the mean of those in the middle."""
    graph, stages = net.graph, picture_maps(net, x, SIDE)
    sides = [SIDE // 2]
    for stride in STRIDES:
        sides.append(sides[-1] // stride)

    def pooled(value: str, side: int) -> str:
        kernel = [side // GRID] * 2
        return graph.op("AveragePool", value, kernel_shape=kernel, strides=kernel)

    maps = [pooled(head_map(net, stages[-1], sides[-1]), sides[-1])]
    maps += [pooled(stages[stage], sides[stage + 1]) for stage in MIDDLE_STAGES]
    together = graph.op("Concat", *maps, axis=1)  # [views, channels, 4, 4]
    cells = graph.op("Transpose", graph.op("Reshape", together, graph.ints(0, 0, TOKENS)), perm=[0, 2, 1])
    inner = graph.op("Gather", cells, graph.ints(*MIDDLE_CELLS), axis=1)
    middle = graph.op("Expand", graph.op("ReduceMean", inner, axes=[1], keepdims=1), graph.ints(1, TOKENS, 1))
    return graph.op("Concat", cells, middle, axis=2)


def head_map(net: Net, x: str, side: int) -> str:
    """The head's map of what the last stage gives."""
    return same(net, "picture.head", x, side, relu=True)


def picture_maps(net: Net, x: str, side: int) -> list[str]:
    """What each stage gives of pictures [views, 3, ``side``, ``side``]."""
    x, side = same(net, "picture.stem", x, side, 2, relu=True), side // 2
    maps = []
    for stage, first_stride in enumerate(STRIDES):
        block = 0
        while net.has(at := f"picture.stages.{stage}.{block}.project"):
            at = at.removesuffix("project")
            stride = first_stride if block == 0 else 1
            widened = net.has(at + "expand")
            y = same(net, at + "expand", x, side, relu=True) if widened else x
            y, side = same(net, at + "depthwise", y, side, stride, relu=True), side // stride
            y = same(net, at + "project", y, side)
            inputs = net.tensor(at + ("expand.weight" if widened else "depthwise.weight")).shape[1 if widened else 0]
            x = net.graph.op("Add", x, y) if stride == 1 and len(net.tensor(at + "project.bias")) == inputs else y
            block += 1
        maps.append(x)
    return maps


def same(net: Net, name: str, value: str, side: int, stride: int = 1, *, relu: bool = False) -> str:
    """A convolution of pictures of ``side``, padded as ``SameConv`` does; ``relu`` cuts at 0 and 6."""
    kernel = net.tensor(f"{name}.weight").shape[2]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    pads = [total // 2, total // 2, total - total // 2, total - total // 2]
    found = net.conv(name, value, pads=pads, strides=[stride, stride])
    return net.graph.op("Clip", found, net.graph.number(0.0), net.graph.number(6.0)) if relu else found


def line_features(net: Net, x: str) -> str:
    """What is written: [views, 16, features] of lines [views, 3, LINE_HEIGHT, SIDE] (``TextLineEncoder``)."""
    graph = net.graph

    def relu(value: str) -> str:
        return graph.op("Relu", value)

    right_bottom = [0, 0, 1, 1]
    bgr = graph.op("Gather", x, graph.ints(2, 1, 0), axis=1)
    x = relu(net.conv("line.stem.first", bgr, pads=[1] * 4, strides=[2, 2]))
    y = relu(net.conv("line.stem.narrow", x, pads=right_bottom))
    y = relu(net.conv("line.stem.widen", y, pads=right_bottom))
    # Behind a ReLU, the zeros that torch's model pads with are as small as the nothing that MaxPool pads with.
    pooled = graph.op("MaxPool", x, kernel_shape=[2, 2], pads=right_bottom)
    x = relu(net.conv("line.stem.join", graph.op("Concat", pooled, y, axis=1), pads=[1] * 4, strides=[2, 2]))
    x = relu(net.conv("line.stem.last", x))
    block = 0
    while net.has(at := f"line.blocks.{block}.look"):
        at = at.removesuffix("look")
        x = net.conv(at + "look", x, pads=[1] * 4, strides=[HIGH_STRIDES.get(block, 1), 1])
        if net.has(at + "excite.down"):
            gate = relu(net.conv(at + "excite.down", graph.op("GlobalAveragePool", x)))
            gate = graph.op("HardSigmoid", net.conv(at + "excite.up", gate), alpha=1 / 6, beta=0.5)
            x = graph.op("Mul", x, gate)
        y = net.conv(at + "project", graph.contrib("Gelu", net.conv(at + "expand", x)))
        inputs, outputs = (len(net.tensor(at + name)) for name in ("look.bias", "project.bias"))
        x = graph.op("Add", x, y) if inputs == outputs else y
        block += 1
    x = graph.op("AveragePool", x, kernel_shape=[3, 2], strides=[3, 2])  # [views, channels, 1, steps]
    shortcut = net.silu(net.conv("line.shortcut", x))
    x = net.silu(net.conv("line.enter", x))
    x = graph.op("Add", x, net.silu(net.conv("line.neighbours", x, pads=[0, 3, 0, 3])))
    steps = by_steps(graph, x)
    block = 0
    while net.has(f"line.line_blocks.{block}.qkv"):
        steps = line_block(net, f"line.line_blocks.{block}.", steps)
        block += 1
    features = graph.op("Add", net.norm("line.norm", steps, 1e-6), by_steps(graph, shortcut))
    return graph.op("Reshape", features, graph.ints(0, TOKENS, LINE_STEPS // TOKENS * LINE_FEATURES))


def by_steps(graph: Graph, x: str) -> str:
    """[views, features, 1, steps] as [views, steps, features]."""
    return graph.op("Transpose", graph.op("Squeeze", x, graph.ints(2)), perm=[0, 2, 1])


def line_block(net: Net, at: str, x: str) -> str:
    """A transformer block over the line's steps [views, steps, features] (``LineBlock``)."""
    graph, size = net.graph, LINE_FEATURES // LINE_HEADS
    qkv = net.linear(at + "qkv", net.norm(at + "norm_1", x, 1e-5))
    split = graph.op("Reshape", qkv, graph.ints(0, LINE_STEPS, 3, LINE_HEADS, size))
    q, k, v = graph.ops("Split", graph.op("Transpose", split, perm=[2, 0, 3, 1, 4]), outputs=3, axis=0)
    scores = graph.op("MatMul", q, graph.op("Transpose", k, perm=[0, 1, 2, 4, 3]))
    weights = graph.op("Softmax", graph.op("Mul", scores, graph.number(size**-0.5)), axis=-1)
    seen = graph.op("Transpose", graph.op("MatMul", weights, v), perm=[0, 1, 3, 2, 4])  # [1, views, steps, heads, size]
    joined = graph.op("Squeeze", graph.op("Reshape", seen, graph.ints(1, -1, LINE_STEPS, LINE_FEATURES)), graph.ints(0))
    x = graph.op("Add", x, net.linear(at + "out", joined))
    wide = net.silu(net.linear(at + "up", net.norm(at + "norm_2", x, 1e-5)))
    return graph.op("Add", x, net.linear(at + "down", wide))
