"""``chatspot info``: what is installed, what would answer, and under which licences."""

from __future__ import annotations

import platform
from typing import Any

from chatspot.cli import options

FITS = {"stretch": "stretched", "pad": "padded", "sheet": "stretched, with a line of text beneath"}
LICENCES = (
    ("chatspot, the program", "Apache-2.0"),
    ("nano's trained weights", "research; learnt from sets that are partly for research only, see MODEL_CARD.md"),
    ("SmolLM2-135M-Instruct (Hugging Face)", "Apache-2.0"),
    ("EfficientNet-Lite2 (Google; PyTorch copy by ML Illustrated)", "Apache-2.0"),
    ("PP-OCRv6 small recognition (PaddleOCR authors; ONNX copy in rapidocr)", "Apache-2.0"),
    ("example pictures (chatspot/examples/README.md)", "CC0, public domain"),
)


def info(model: options.Model = None, device: options.Device = "auto") -> None:
    """Show the version, the checkpoint, where and how it computes, sizes and licences."""
    import torch
    import transformers

    from chatspot import __version__
    from chatspot.model.weights import cache_folder

    versions = (
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, transformers {transformers.__version__}"
    )
    options.print_table([("chatspot", __version__), ("with", versions), ("cache folder", cache_folder())])
    spot = options.open_spot(model, device)
    options.print_table(engine_rows(spot.engine))
    if model is None:
        options.print_table([("licence", f"{licence}: {name}") for name, licence in LICENCES])


def engine_rows(engine: Any) -> list[tuple[str, str]]:
    """What a ``TorchEngine`` is made of."""
    model, settings = engine.model, engine.settings
    vision, text = model.config.vision_config, model.config.text_config
    view = "on" if settings.focal_view else "off"
    parts = {
        "vision tower": model.model.vision_tower,
        "projector": model.model.multi_modal_projector,
        "language model": model.model.language_model,
    }
    rows = [
        ("checkpoint", str(engine.checkpoint.path)),
        ("device", engine.device),
        ("dtype", f"{str(engine.dtype).removeprefix('torch.')} (language model)"),
        ("prompt", f"{settings.template}, version {settings.version}, focal view {view}"),
        ("picture", f"{vision.image_size} x {vision.image_size} pixels ({FITS[settings.image_fit]}), "
                    f"{engine.checkpoint.tokens_per_image} tokens"),
        ("text limit", f"{engine.text_limit:,} tokens of {text.vocab_size:,} kinds"),
    ]  # fmt: skip
    for name, part in parts.items():
        count = sum(parameter.numel() for parameter in part.parameters())
        size = sum(parameter.nbytes for parameter in part.parameters())
        rows.append((name, f"{type(part).__name__}, {count / 1e6:,.1f} million parameters, {size / 1e6:,.0f} MB"))
    return rows
