"""Which engine opens a checkpoint: torch wherever it can, ONNX Runtime where that is the faster one."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from chatspot.engine.calibration import calibration_in, nano_calibration
from chatspot.engine.local_engine import LocalEngine
from chatspot.engine.onnx.session import Precision
from chatspot.engine.routed import OpenedLater
from chatspot.errors import CheckpointError, MessageError
from chatspot.model.folder import local_folder
from chatspot.model.nano import nano_checkpoint

if TYPE_CHECKING:
    import torch

EngineKind: TypeAlias = Literal["auto", "torch", "onnx"]

NANO = "chatspot-nano"
PRECISIONS: dict[str, Precision] = {"auto": "int8", "int8": "int8", "float32": "float32"}  # of ONNX weights, by dtype
GPU_SIGNS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")  # of NVIDIA, AMD, WSL, Windows


def open_engine(
    source: str | os.PathLike[str] | None = None,
    kind: EngineKind = "auto",
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    focal_view: bool | None = None,
) -> LocalEngine:
    """An engine over the embedded nano (None or "chatspot-nano"), a checkpoint folder, or a hub id.

    "auto" takes "onnx" for nano on a machine without a GPU where the extra ``fast`` is installed and neither device nor
    dtype is chosen, else "torch". "onnx" needs nano's tower and a LLaMA language model; its dtype is "auto" (weights in
    8 bits) or "float32". Its ``calibration`` is the one in the checkpoint's folder, nano's the package's. Conversations
    without a picture go to nano's language model as it was published (``routed``). Raises ``CheckpointError`` when the
    model or its calibration cannot be opened so, ``MessageError`` for an unknown engine, device or dtype.
    """
    if kind not in get_args(EngineKind):
        raise MessageError(f"engine must be one of {', '.join(get_args(EngineKind))}, got {kind!r}")
    is_nano = source is None or str(source) == NANO
    if kind == "auto":
        fast = is_nano and device == dtype == "auto" and installed() and not has_gpu()
        kind = "onnx" if fast else "torch"
    folder = nano_checkpoint() if is_nano or source is None else local_folder(source)
    calibration = nano_calibration() if is_nano else calibration_in(folder)
    engine = open_with(kind, folder, device, dtype, focal_view)
    engine.calibration = calibration
    if is_nano:
        engine.texts = OpenedLater(lambda: open_with(kind, nano_checkpoint(update=False), device, dtype, focal_view))
    return engine


def open_with(
    kind: EngineKind, folder: Path, device: str | torch.device, dtype: str | torch.dtype, focal_view: bool | None
) -> LocalEngine:
    """The engine of this kind over a checkpoint folder."""
    if kind == "onnx":
        return open_onnx(folder, str(device), str(dtype), focal_view)
    from chatspot.engine.torch_engine import TorchEngine
    from chatspot.model.checkpoint import load_checkpoint

    return TorchEngine(load_checkpoint(folder), device=device, dtype=dtype, focal_view=focal_view)


def open_onnx(folder: Path, device: str, dtype: str, focal_view: bool | None) -> LocalEngine:
    """The ONNX engine over a checkpoint folder."""
    dtype = dtype.removeprefix("torch.")
    if device not in ("auto", "cpu"):
        raise MessageError(f"the engine 'onnx' computes on the CPU, not on {device!r}; use the engine 'torch'")
    if dtype not in PRECISIONS:
        raise MessageError(f"the engine 'onnx' takes the dtype {', '.join(PRECISIONS)}, got {dtype!r}; use the engine "
                           "'torch' for others")  # fmt: skip
    if not installed():
        raise CheckpointError("the engine 'onnx' needs onnxruntime, which is not installed: pip install "
                              "'chatspot[fast]'")  # fmt: skip
    from chatspot.engine.onnx.onnx_engine import OnnxEngine

    return OnnxEngine(folder, PRECISIONS[dtype], focal_view)


def installed() -> bool:
    """Whether the extra ``fast`` is."""
    return importlib.util.find_spec("onnxruntime") is not None


def has_gpu() -> bool:
    """Whether torch has a GPU here. torch, whose import takes seconds, is asked only where the system shows one."""
    if not any(Path(sign).exists() for sign in GPU_SIGNS):
        return False
    import torch

    return torch.cuda.is_available()
