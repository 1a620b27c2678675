"""The paper's one linear layer inside LLaVA's stock two-layer projector.

The stock projector computes ``linear_2(act(linear_1(x)))`` with a square ``linear_2``. The paper's is ``W x + b``.
Two layouts hold exactly that, so that stock classes (and servers that know stock LLaVA) open the checkpoint::

    layout     when                              activation   linear_1         linear_2
    split      2 * vision_hidden <= text_hidden  "relu"       [I; -I; 0], 0    [W, -W, 0], b
    identity   otherwise                         "linear"     W, b             I, 0

Split rests on ``x = relu(x) - relu(-x)``, exact for every finite float: one of the two is x and the other 0. Its sum
has the same non-zero terms as ``W x``, in whatever order the matrix product adds them, so the two differ by rounding
alone. Identity is there for towers whose features are wider than the language model's (nano: 3,008 to 576).

Trained as it stands, the split layout would have 16 times the free numbers and W and -W would drift apart. So the
layer trains as what it is, a plain ``nn.Linear`` (``train_as_one_linear``), and is written into the stock layout on
saving (``stock_state_dict``, which ``save_checkpoint`` calls).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration
from transformers.activations import LinearActivation
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from chatspot.errors import CheckpointError

SPLIT, IDENTITY = "relu", "linear"  # projector_hidden_act of the two layouts


def one_linear_activation(vision_hidden: int, text_hidden: int) -> str:
    """The ``projector_hidden_act`` for ``LlavaConfig``: "relu" where the split layout fits, else "linear"."""
    return SPLIT if 2 * vision_hidden <= text_hidden else IDENTITY


@torch.no_grad()
def write_linear(projector: LlavaMultiModalProjector | nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Make ``projector`` compute ``weight @ x + bias``, with ``weight`` [text_hidden, vision_hidden].

    ``projector`` is a stock projector of either layout, all of whose numbers are set, or a plain ``nn.Linear``. Values
    are cast to its dtype; without a ``bias`` its own becomes zero. Raises ``CheckpointError`` when the shapes do not
    fit, when the activation is of neither layout, or when there is a bias to write and no place for it.
    """
    if isinstance(projector, nn.Linear):
        copy_linear(projector, weight, bias)
        return
    layout = layout_of(projector)
    first, second = projector.linear_1, projector.linear_2
    if layout == IDENTITY:
        copy_linear(first, weight, bias)
        copy_linear(second, torch.eye(second.in_features, device=weight.device), None)
        return
    expected = (second.out_features, first.in_features)
    if tuple(weight.shape) != expected:
        raise misshapen("weight", weight, expected)
    width = first.in_features
    halves = torch.zeros(first.weight.shape, device=weight.device)
    halves[:width], halves[width : 2 * width] = torch.eye(width), -torch.eye(width)
    columns = torch.zeros(second.weight.shape, dtype=weight.dtype, device=weight.device)
    columns[:, :width], columns[:, width : 2 * width] = weight, -weight
    copy_linear(first, halves, None)
    copy_linear(second, columns, bias)


@torch.no_grad()
def read_linear(projector: LlavaMultiModalProjector | nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Copies of the ``weight`` [text_hidden, vision_hidden] and ``bias`` (None where the layer has none).

    Raises ``CheckpointError`` when the projector is not one linear layer in either layout.
    """
    if isinstance(projector, nn.Linear):
        return copies(projector.weight, projector.bias)
    layout = layout_of(projector)
    first, second = projector.linear_1, projector.linear_2
    if layout == IDENTITY:
        require(is_identity(second.weight) and is_zero(second.bias), "linear_2 is not the identity")
        return copies(first.weight, first.bias)
    width = first.in_features
    weight = second.weight[:, :width]
    require(
        is_identity(first.weight[:width])
        and is_identity(-first.weight[width : 2 * width])
        and is_zero(first.weight[2 * width :])
        and is_zero(first.bias),
        "linear_1 is not [I; -I; 0]",
    )
    require(
        torch.equal(second.weight[:, width : 2 * width], -weight) and is_zero(second.weight[:, 2 * width :]),
        "linear_2 is not [W, -W, 0]",
    )
    return copies(weight, second.bias)


def train_as_one_linear(model: LlavaForConditionalGeneration) -> nn.Linear:
    """The one ``nn.Linear`` whose weight and bias train, with gradients on.

    In the identity layout that is ``linear_1`` where it stands, beside a frozen ``linear_2``. In the split layout the
    model's projector is replaced by a plain ``nn.Linear`` that computes the same; ``save_checkpoint`` puts the stock
    one back in what it writes. Raises ``CheckpointError`` as ``read_linear`` does.
    """
    projector = model.model.multi_modal_projector
    if isinstance(projector, nn.Linear):
        return projector.requires_grad_(True)
    weight, bias = read_linear(projector)
    if layout_of(projector) == IDENTITY:
        projector.linear_2.requires_grad_(False)
        return projector.linear_1.requires_grad_(True)
    linear = plain_linear(weight, bias)
    model.model.multi_modal_projector = linear
    return linear


def plain_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """An ``nn.Linear`` around ``weight`` [outputs, inputs] and ``bias``, of their dtype and device."""
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight)
    if bias is not None:
        linear.bias = nn.Parameter(bias)
    return linear


def stock_state_dict(model: LlavaForConditionalGeneration) -> dict[str, Tensor]:
    """The model's state dict with the projector in its stock layout, whichever of the two forms it trains in."""
    state = model.state_dict()
    linear = model.model.multi_modal_projector
    if not isinstance(linear, nn.Linear):
        return state
    with torch.device("meta"):  # no random numbers are drawn: saving must not change a training run
        stock = LlavaMultiModalProjector(model.config).to(linear.weight.dtype)
    stock.to_empty(device=linear.weight.device)
    write_linear(stock, linear.weight, linear.bias)
    prefix = "model.multi_modal_projector."
    state = {name: value for name, value in state.items() if not name.startswith(prefix)}
    return state | {prefix + name: value for name, value in stock.state_dict().items()}


def layout_of(projector: LlavaMultiModalProjector) -> str:
    """SPLIT or IDENTITY, by the stock projector's activation; ``CheckpointError`` when it is of neither."""
    require(isinstance(projector, LlavaMultiModalProjector), f"it is a {type(projector).__name__}")
    if isinstance(projector.act, nn.ReLU):
        first = projector.linear_1
        require(2 * first.in_features <= first.out_features, f"relu needs 2 * {first.in_features} <= text_hidden "
                f"{first.out_features}; use projector_hidden_act='linear'")  # fmt: skip
        return SPLIT
    require(isinstance(projector.act, LinearActivation), f"its activation is {type(projector.act).__name__}")
    return IDENTITY


def require(condition: bool, found: str) -> None:
    """Raise ``CheckpointError`` with what was ``found`` unless ``condition`` holds."""
    if not condition:
        raise CheckpointError(f"the projector is not the paper's one linear layer: {found}; expected the split layout "
                              "(relu, [I; -I; 0], [W, -W, 0]) or the identity layout (linear, W, I)")  # fmt: skip


def copy_linear(layer: nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Copy values into a layer; without a ``bias`` the layer's becomes zero."""
    if layer.weight.shape != weight.shape:
        raise misshapen("weight", weight, tuple(layer.weight.shape))
    layer.weight.copy_(weight)
    if layer.bias is None:
        if bias is not None:
            raise CheckpointError("there is a bias to write, but this projector has none; build the model with "
                                  "multimodal_projector_bias=True")  # fmt: skip
        return
    if bias is None:
        layer.bias.zero_()
        return
    if layer.bias.shape != bias.shape:
        raise misshapen("bias", bias, tuple(layer.bias.shape))
    layer.bias.copy_(bias)


def misshapen(name: str, values: Tensor, expected: tuple[int, ...]) -> CheckpointError:
    """The error for projector values of another model's shape."""
    found = tuple(values.shape)
    return CheckpointError(f"the projector's {name} has shape {found}, expected {expected}; it is of another model")


def copies(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Values of their own memory and without gradients."""
    return weight.detach().clone(), None if bias is None else bias.detach().clone()


def is_identity(matrix: Tensor) -> bool:
    return torch.equal(matrix, torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device))


def is_zero(values: Tensor | None) -> bool:
    return values is None or not bool(values.any())
