"""What an engine's stages have to read and to compute at the least, counted from its weights.

Attention, norms and the states of what was read are left out: with short prompts they are small, and a stage can only
be nearer to its true bound than its share says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from chatspot.engine.local_engine import LocalEngine
from chatspot.engine.measured.machine import device_bandwidth, onnx_products, read_bandwidth, torch_products
from chatspot.regions import Box

if TYPE_CHECKING:
    from chatspot.engine.onnx.onnx_engine import OnnxEngine
    from chatspot.engine.torch_engine import TorchEngine

VIEW_SIZE = (64, 48)  # of the picture whose views are counted; every picture has as many pixels for the tower


@dataclass(frozen=True)
class Costs:
    """Bytes of all weights and of those that every token reads; operations (a product or a sum) of a token in the
    layers, of choosing a token in the head, and of a view in tower and projector: of a picture as a whole, and of a
    region, which may be shown at several sizes.

    ``language`` and ``tower`` say what kind of numbers is multiplied.
    """

    weight_bytes: int
    token_bytes: int
    layer_operations: int
    head_operations: int
    view_operations: int
    region_operations: int
    language: str
    tower: str


@dataclass(frozen=True)
class Rates:
    """What the machine can do a second: bytes read, and operations of products as the language model and the tower
    compute them."""

    read_bytes: float
    language_operations: float
    tower_operations: float


@dataclass(frozen=True)
class Counted:
    """An engine's ``costs``, and what measures the rates that bound them once the engine is gone."""

    engine: str
    costs: Costs
    rates: Callable[[], Rates]


def counted_views(engine: LocalEngine) -> tuple[Any, Any]:
    """A picture as a whole and a region of it, as the tower reads them."""
    image = Image.new("RGB", VIEW_SIZE)
    return engine.view_pixels(image, None), engine.view_pixels(image, Box.from_normalized(0.2, 0.2, 0.8, 0.8))


def counted(engine: LocalEngine) -> Counted:
    """The costs of an engine, whichever it is."""
    from chatspot.engine.onnx.onnx_engine import OnnxEngine

    if isinstance(engine, OnnxEngine):
        return counted_onnx(engine)
    from chatspot.engine.torch_engine import TorchEngine

    assert isinstance(engine, TorchEngine)
    return counted_torch(engine)


# ------------------------------------------------------------------------------------------------------------ onnx


def counted_onnx(engine: OnnxEngine) -> Counted:
    """The costs of an ONNX engine. Prompts are held against the faster of its kinds of products."""
    from chatspot.engine.onnx.build import LANGUAGE, TOWER
    from chatspot.engine.onnx.onnx_engine import tower_inputs
    from chatspot.engine.onnx.products import Kind
    from chatspot.engine.onnx.session import multiplies_bytes
    from chatspot.engine.onnx.stored import DECODER, HEAD, TABLE

    stored = engine.decoder.stored
    head = stored.stored(HEAD if HEAD in stored else TABLE)
    matrices = [
        values
        for name, values in stored.found.items()
        if name.startswith(DECODER) and values.ndim == 2 and name != TABLE
    ]
    language, tower = ((engine.built / f"{name}.data").stat().st_size for name in (LANGUAGE, TOWER))
    kind: Kind = "float32"
    if engine.precision == "int8":
        kind = "rows" if multiplies_bytes() else "blocks"
    whole, region = (
        graph_operations(engine.built / TOWER, {name: values.shape for name, values in tower_inputs([view]).items()})
        for view in counted_views(engine)
    )
    costs = Costs(
        weight_bytes=language + tower,
        token_bytes=language,
        layer_operations=2 * sum(values.size for values in matrices),
        head_operations=2 * head.size,
        view_operations=whole,
        region_operations=region,
        language="float32" if kind == "float32" else f"8 bits by {kind}",
        tower="float32",
    )
    return Counted("onnx", costs, lambda: Rates(read_bandwidth(), onnx_products(kind), onnx_products("float32")))


def graph_operations(path: Path, inputs: Mapping[str, tuple[int, ...]]) -> int:
    """Operations of the convolutions and products of a graph over inputs of these shapes."""
    import onnx
    from onnx import helper, shape_inference

    from chatspot.engine.onnx.graph import CONTRIB

    model = onnx.load(path, load_external_data=False)
    for value in model.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, inputs[value.name], strict=True):
            dimension.dim_value = size
    for node in model.graph.node:
        if node.domain == CONTRIB:  # the towers' are activations, which leave shapes as they are; onnx knows them not
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output))
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {weight.name: list(weight.dims) for weight in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul"):
            seen, weight = shapes[node.input[0]], shapes[node.input[1]]
            terms = math.prod(weight[1:]) if node.op_type == "Conv" else seen[-1]
            total += 2 * terms * math.prod(shapes[node.output[0]])
    return total


# ----------------------------------------------------------------------------------------------------------- torch


def counted_torch(engine: TorchEngine) -> Counted:
    """The costs of a torch engine."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model: Any = engine.model
    device = torch.device(engine.device)
    decoder, dtype = model.model.language_model, engine.dtype
    tower_dtype = next(model.model.vision_tower.parameters()).dtype
    table, head = decoder.embed_tokens.weight, model.lm_head.weight
    matrices = [weight for weight in decoder.parameters() if weight.ndim == 2 and weight is not table]
    passed = []
    for view in counted_views(engine):
        with FlopCounterMode(display=False) as counter:
            engine.tower([view])
        passed.append(counter.get_total_flops())
    costs = Costs(
        weight_bytes=sum(weight.nbytes for weight in model.parameters()),
        token_bytes=token_bytes(engine),
        layer_operations=2 * sum(weight.numel() for weight in matrices),
        head_operations=2 * head.numel(),
        view_operations=passed[0],
        region_operations=passed[1],
        language=str(dtype).removeprefix("torch."),
        tower=str(tower_dtype).removeprefix("torch."),
    )

    def rates() -> Rates:
        bandwidth = read_bandwidth() if device.type == "cpu" else device_bandwidth(device)
        return Rates(bandwidth, torch_products(device, dtype), torch_products(device, tower_dtype))

    return Counted("torch", costs, rates)


def token_bytes(engine: TorchEngine) -> int:
    """Bytes of the weights that each token reads: the decoder and the output head, not the table of embeddings."""
    model: Any = engine.model
    decoder = model.model.language_model
    total = sum(weight.nbytes for weight in decoder.parameters())
    head, table = model.lm_head.weight, decoder.embed_tokens.weight
    return int(total if head is table else total - table.nbytes + head.nbytes)
