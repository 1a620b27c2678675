"""A low-rank update of the language model (LoRA, arXiv 2106.09685), by PEFT."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from safetensors.torch import save_file
from torch import nn

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTER = "default"  # PEFT's name for an adapter without one


def add_lora(language_model: nn.Module, rank: int, alpha: int) -> None:
    """Put low-rank layers beside every linear layer of the decoder, in its precision; they start as no change."""
    with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5.23 by a name that 6 will drop
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS), language_model)
    dtype = next(language_model.parameters()).dtype
    for name, parameter in language_model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)


def lora_parameters(language_model: nn.Module) -> list[nn.Parameter]:
    """The low-rank matrices."""
    return [parameter for name, parameter in language_model.named_parameters() if "lora_" in name]


def merge_and_save_lora(language_model: nn.Module, file: Path, scale: float) -> None:
    """Write the update to ``file`` (names ``<layer>.lora_A.weight``, float16, scale in the metadata) and merge it.

    The layers become plain ones again. What is merged is what the file says, float16 included, so that the file and
    the merged weights agree.
    """
    layers: dict[str, Any] = {
        name: layer for name, layer in language_model.named_modules() if isinstance(layer, LoraLinear)
    }
    tensors = {}
    for name, layer in layers.items():
        down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        tensors[f"{name}.lora_A.weight"] = down.detach().half().contiguous()
        tensors[f"{name}.lora_B.weight"] = up.detach().half().contiguous()
    temporary = file.with_suffix(".part")
    save_file(tensors, temporary, metadata={"format": "pt", "scale": repr(scale)})
    temporary.replace(file)
    with torch.no_grad():
        for name, layer in layers.items():
            plain = layer.get_base_layer()
            update = tensors[f"{name}.lora_B.weight"].float() @ tensors[f"{name}.lora_A.weight"].float()
            plain.weight.copy_(plain.weight.float() + scale * update)
            parent, _, child = name.rpartition(".")
            setattr(language_model.get_submodule(parent), child, plain)
