"""``chatspot info``: what is installed, what would answer, and under which licences."""

from __future__ import annotations

import platform
from typing import Any

from chatspot.cli import options

FITS = {"stretch": "stretched", "pad": "padded", "sheet": "stretched, with a line of text beneath"}
LIBRARIES = {"PyTorch": "torch", "transformers": "transformers", "ONNX Runtime": "onnxruntime"}
LICENCES = (
    ("chatspot, the program", "Apache-2.0"),
    ("nano's trained weights", "research; learnt from sets that are partly for research only, see MODEL_CARD.md"),
    ("SmolLM2-135M-Instruct (Hugging Face)", "Apache-2.0"),
    ("EfficientNet-Lite2 (Google; PyTorch copy by ML Illustrated)", "Apache-2.0"),
    ("PP-OCRv6 small recognition (PaddleOCR authors; ONNX copy in rapidocr)", "Apache-2.0"),
    ("example pictures (chatspot/examples/README.md)", "CC0, public domain"),
)


def info(model: options.Model = None, device: options.Device = "auto", engine: options.EngineKind = "auto") -> None:
    """Show the version, the checkpoint, where and how it computes, sizes and licences."""
    from importlib.metadata import PackageNotFoundError, version

    from chatspot import __version__
    from chatspot.model.weights import cache_folder

    versions = [f"Python {platform.python_version()}"]
    for name, package in LIBRARIES.items():
        try:
            versions.append(f"{name} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    options.print_table([("chatspot", __version__), ("with", ", ".join(versions)), ("cache folder", cache_folder())])
    spot = options.open_spot(model, device, engine)
    options.print_table(engine_rows(spot.engine))
    if model is None:
        options.print_table([("licence", f"{licence}: {name}") for name, licence in LICENCES])


def engine_rows(engine: Any) -> list[tuple[str, str]]:
    """What an engine over a checkpoint is made of."""
    from chatspot.engine.onnx.onnx_engine import OnnxEngine

    settings = engine.settings
    of = onnx_parts if isinstance(engine, OnnxEngine) else torch_parts
    dtype, side, kinds, parts = of(engine)
    view = "on" if settings.focal_view else "off"
    return [
        ("checkpoint", str(engine.checkpoint.path)),
        ("engine", "onnx" if isinstance(engine, OnnxEngine) else "torch"),
        ("device", engine.device),
        ("dtype", f"{dtype} (language model)"),
        ("prompt", f"{settings.template}, version {settings.version}, focal view {view}"),
        ("picture", f"{side} x {side} pixels ({FITS[settings.image_fit]}), {engine.tokens_per_image} tokens"),
        ("boxes in answers", "found by a box head in the whole picture" if engine.finds_boxes else "written as digits"),
        ("without a picture", "this language model" if engine.texts is None else "the language model as published"),
        ("text limit", f"{engine.text_limit:,} tokens of {kinds:,} kinds"),
        *parts,
    ]


def torch_parts(engine: Any) -> tuple[str, int, int, list[tuple[str, str]]]:
    """Number format, side of a picture, kinds of tokens, and what the parts of a ``TorchEngine`` weigh."""
    model = engine.model
    parts = {
        "vision tower": model.model.vision_tower,
        "projector": model.model.multi_modal_projector,
        "language model": model.model.language_model,
    }
    rows = []
    for name, part in parts.items():
        count = sum(parameter.numel() for parameter in part.parameters())
        size = sum(parameter.nbytes for parameter in part.parameters())
        rows.append((name, f"{type(part).__name__}, {count / 1e6:,.1f} million parameters, {size / 1e6:,.0f} MB"))
    vision, text = model.config.vision_config, model.config.text_config
    return str(engine.dtype).removeprefix("torch."), vision.image_size, text.vocab_size, rows


def onnx_parts(engine: Any) -> tuple[str, int, int, list[tuple[str, str]]]:
    """The same of an ``OnnxEngine``, whose tower and projector are one graph."""
    from chatspot.engine.onnx.build import LANGUAGE, TOWER

    rows = []
    for name, graph in (("vision tower", TOWER), ("language model", LANGUAGE)):
        size = sum(file.stat().st_size for file in engine.built.glob(f"{graph}*"))
        rows.append((name, f"{engine.built / graph}, {size / 1e6:,.0f} MB"))
    config = engine.checkpoint.config
    return engine.precision, config["vision_config"]["image_size"], config["text_config"]["vocab_size"], rows
