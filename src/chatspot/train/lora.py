"""A low-rank update of the language model (LoRA, arXiv 2106.09685), by PEFT; over 4-bit weights where asked (QLoRA,
arXiv 2305.14314), by bitsandbytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from chatspot.errors import RecipeError, TrainingError
from chatspot.model.nano_assembly import read_lora

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTER = "default"  # PEFT's name for an adapter without one
FORMAT_4_BIT = "nf4"  # source: QLoRA, section 3


def add_lora(language_model: nn.Module, rank: int, alpha: int) -> None:
    """Put low-rank layers beside every linear layer of the decoder, in its precision; they start as no change."""
    dtype = next(p.dtype for p in language_model.parameters() if p.is_floating_point())
    with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5.23 by a name that 6 will drop
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS), language_model)
    for name, parameter in language_model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)
    for layer in language_model.modules():
        if isinstance(layer, LoraLayer) and type(layer.get_base_layer()) is nn.Linear:
            layer.forward = partial(beside_in_place, layer, layer.forward)


def beside_in_place(layer: Any, beside: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The layer's answer to ``x`` [..., in]: on a CPU with the update added in place, elsewhere ``beside``, PEFT's way.

    PEFT scales the update, adds it and keeps what it scaled: on CPUs reading and writing these takes longer than the
    thin products themselves.
    """
    if x.device.type != "cpu":
        return beside(x)
    base, down, up = layer.get_base_layer(), layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    out: Tensor = LowRankLinear.apply(x, base.weight, base.bias, down, up, layer.scaling[ADAPTER])
    return out


class LowRankLinear(torch.autograd.Function):
    """x W^T + bias + scale x A^T B^T for x [..., in], W [out, in], A [r, in], B [out, r]; W and bias have no gradient.

    Source: LoRA, section 4.1.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        """The answer [..., out]."""
        rows = x.flatten(0, -2)
        thin = rows @ down.T  # [rows, r]
        ctx.save_for_backward(x, weight, down, up, thin)
        ctx.scale = scale
        out = functional.linear(rows, weight, bias).addmm_(thin, up.T, alpha=scale)
        return out.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, A and B."""
        x, weight, down, up, thin = ctx.saved_tensors
        of_out = gradients[0].flatten(0, -2)
        of_thin = (of_out @ up).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_out @ weight).addmm_(of_thin, down).unflatten(0, x.shape[:-1])
        return of_x, None, None, of_thin.T @ x.flatten(0, -2), (of_out.T @ thin).mul_(ctx.scale), None


def load_lora(language_model: nn.Module, file: Path) -> None:
    """Put the update in ``file`` (as ``merge_and_save_lora`` writes it) into the low-rank layers, which go on from it.

    Raises ``RecipeError`` where the recipe's rank or scale is another, or where there are no such layers, and
    ``CheckpointError`` where the file is damaged.
    """
    tensors, scale = read_lora(file)
    layers = {name: layer for name, layer in language_model.named_modules() if isinstance(layer, LoraLayer)}
    expected: dict[str, Any] = {}
    for name, layer in layers.items():
        expected[f"{name}.lora_A.weight"] = layer.lora_A[ADAPTER].weight
        expected[f"{name}.lora_B.weight"] = layer.lora_B[ADAPTER].weight
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    scales = {float(layer.scaling[ADAPTER]) for layer in layers.values()}
    if {name: tuple(value.shape) for name, value in expected.items()} != shapes or scales != {scale}:
        rank = min((min(shape) for shape in shapes.values()), default=0)
        raise RecipeError(f"{file} is no update of such layers; to go on from it, the recipe needs "
                          f"low_rank.rank={rank} and low_rank.alpha={round(scale * rank)}")  # fmt: skip
    with torch.no_grad():
        for name, parameter in expected.items():
            parameter.copy_(tensors[name])


def quantise(language_model: nn.Module) -> None:
    """Replace the decoder's linear layers by ones that hold 4 bits a weight (nf4, with double quantisation) and compute
    in the precision that the layers had. The weights are quantised when the model moves to its device.

    Raises ``RecipeError`` when bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise RecipeError("low_rank.quantised needs bitsandbytes, which is not installed; install it with "
                          "'pip install bitsandbytes>=0.46', or set low_rank.quantised=false") from error  # fmt: skip
    layers = [
        (name, layer)
        for name, layer in language_model.named_modules()
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in TARGETS
    ]
    for name, layer in layers:
        outputs, inputs = layer.weight.shape
        packed: Any = Linear4bit(
            inputs,
            outputs,
            bias=layer.bias is not None,
            compute_dtype=layer.weight.dtype,
            compress_statistics=True,
            quant_type=FORMAT_4_BIT,
            device="meta",
        )
        packed.weight = Params4bit(
            layer.weight.data, requires_grad=False, compress_statistics=True, quant_type=FORMAT_4_BIT, module=packed
        )
        packed.bias = layer.bias
        packed.support_avx512bf16_for_cpu = False  # it would repack the weights for inference, past reading them back
        replace_layer(language_model, name, packed)


def merge_and_save_lora(language_model: nn.Module, file: Path, scale: float) -> None:
    """Write the update to ``file`` (names ``<layer>.lora_A.weight``, float16, scale in the metadata) and merge it.

    The layers become plain ones again; weights of 4 bits become those of the update's precision that they stand for.
    What is merged is what the file says, float16 included, so that the file and the merged weights agree. Raises
    ``TrainingError`` when the file cannot be written.
    """
    layers: dict[str, Any] = {
        name: layer for name, layer in language_model.named_modules() if isinstance(layer, LoraLayer)
    }
    tensors = {}
    for name, layer in layers.items():
        down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        tensors[f"{name}.lora_A.weight"] = down.detach().half().contiguous()
        tensors[f"{name}.lora_B.weight"] = up.detach().half().contiguous()
    temporary = file.with_suffix(".part")
    try:
        save_file(tensors, temporary, metadata={"format": "pt", "scale": repr(scale)})
    except Exception as error:  # safetensors raises its own untyped error for a full disk
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"{file} could not be saved ({error}); free some disk space and start the command again: "
                            "the last state is whole") from error  # fmt: skip
    temporary.replace(file)
    with torch.no_grad():
        for name, layer in layers.items():
            plain = plain_layer(layer.get_base_layer(), layer.lora_A[ADAPTER].weight.dtype)
            update = tensors[f"{name}.lora_B.weight"].float() @ tensors[f"{name}.lora_A.weight"].float()
            plain.weight.copy_(plain.weight.float() + scale * update)
            replace_layer(language_model, name, plain)


def plain_layer(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """The layer itself; of 4-bit weights, a layer of what they stand for, in ``dtype``."""
    state = getattr(layer.weight, "quant_state", None)
    if state is None:
        return layer
    from bitsandbytes.functional import dequantize_4bit

    weight: Tensor = dequantize_4bit(layer.weight.data, state).to(dtype)
    plain = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.bias is not None, device="meta")
    plain.weight, plain.bias = nn.Parameter(weight, requires_grad=False), layer.bias
    return plain


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put ``layer`` at ``name``."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
