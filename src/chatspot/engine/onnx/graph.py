"""ONNX graphs, written a node at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17  # the newest that onnxruntime 1.17, the oldest we allow, knows whole
CONTRIB = "com.microsoft"  # onnxruntime's own operators

Shape: TypeAlias = "list[int | str | None]"


class Graph:
    """A graph while it is written. Values are named by numbers; methods give back the names of what they add."""

    def __init__(self, name: str):
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        """An input; letters in its ``shape`` stand for sizes that may vary."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> None:
        """Give ``value`` out under a name, which it has from now on."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for at in (at for at, found in enumerate(names) if found == value):
                    names[at] = name
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def weight(self, values: NDArray[Any]) -> str:
        """A constant."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def number(self, value: float) -> str:
        """A constant number: of 64 bits where it is whole, else a float32."""
        return self.weight(np.array(value, np.int64 if isinstance(value, int) else np.float32))

    def ints(self, *values: int) -> str:
        """A constant list of whole numbers, as shapes and axes are given."""
        return self.weight(np.array(values, np.int64))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output. An input "" is left out."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, contrib: bool = False, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        names = [f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        domain = CONTRIB if contrib else ""
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    def contrib(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of onnxruntime's own with one output that is used."""
        return self.ops(kind, *inputs, outputs=1, contrib=True, **attributes)[0]

    def save(self, path: Path) -> None:
        """Write the graph to ``path`` and its large constants beside it, to ``path`` with ``.data`` behind: sessions
        map that file into memory."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        onnx.save_model(
            model,
            str(path),
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location=f"{path.name}.data",
            size_threshold=1024,
        )
