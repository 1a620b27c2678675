"""chatspot-nano, the embedded default: EfficientNet-Lite2 and PP-OCRv6 + one linear layer + SmolLM2-135M-Instruct.

The published weights are converted once into a stock LLaVA checkpoint under the user's cache folder, with our trained
parts in it: the tower's late layers, the projector and a low-rank update, and beside them the box head. A conversion
that is interrupted leaves no checkpoint; the next start begins anew. The folder's name carries a hash of everything it
was made from. Finding it takes no torch; making it does (``nano_assembly``).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from chatspot.errors import CheckpointError
from chatspot.model.weights import LANGUAGE_FILE, LINE_FILE, PICTURE_FILE, cache_folder, sha256
from chatspot.prompts import PromptSettings, template_source

FORMAT = 4  # raise when the conversion changes
SETTINGS = PromptSettings("chatspot-nano", 1, focal_view=True, several_sizes=True, spell_quotes=True, image_fit="sheet")
SHIPPED = {
    "tower": "nano-tower.safetensors",
    "projector": "nano-projector.safetensors",
    "lora": "nano-lora.safetensors",
}
SHIPPED_HEAD = "nano-box-head.safetensors"  # finds the box of what words name (``box_head``)


def shipped_file(part: str) -> Path | None:
    """Our trained part ("tower", "projector" or "lora") inside the installed package, or None before there is one."""
    return packaged(SHIPPED[part])


def shipped_head() -> Path | None:
    """The box head inside the installed package, or None before there is one."""
    return packaged(SHIPPED_HEAD)


def packaged(name: str) -> Path | None:
    """A file of weights inside the installed package, or None where there is none."""
    path = Path(str(resources.files("chatspot").joinpath("weights", name)))
    return path if path.is_file() else None


def nano_checkpoint(*, trained: bool = True, update: bool = True) -> Path:
    """The folder of nano's checkpoint, converted on the first call (seconds) and found again afterwards.

    With ``trained=False``: the published weights alone, with a projector that is still zero, where training starts.
    With ``update=False``: tower and projector as they ship, the language model as published and no box head, where
    training goes on and what answers without a picture.
    Raises ``CheckpointError`` when a part is missing or damaged.
    """
    parts = {name: shipped_file(name) for name in SHIPPED} if trained else dict.fromkeys(SHIPPED)
    missing = [SHIPPED[name] for name, path in parts.items() if path is None]
    if trained and missing:
        raise CheckpointError(f"this copy of chatspot lacks {', '.join(missing)}; install it again")
    if not update:
        parts["lora"] = None
    head = shipped_head() if trained and update else None
    made_from = [
        FORMAT,
        LANGUAGE_FILE.sha256,
        PICTURE_FILE.sha256,
        LINE_FILE.sha256,
        SETTINGS.to_json(),
        template_source(SETTINGS.template),
    ]
    made_from += [sha256(path) for path in (*parts.values(), head) if path]
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]
    folder = cache_folder() / f"nano-{key}"
    if not (folder / "config.json").is_file():
        build_once(folder, parts, head)
    return folder


def build_once(folder: Path, parts: Mapping[str, Path | None], head: Path | None) -> None:
    """Assemble and save the checkpoint at ``folder``, with the trained ``parts`` and box ``head`` that are given: one
    process at a time, by a rename at the end."""
    import torch
    from filelock import FileLock

    from chatspot.model.box_head import unpacked
    from chatspot.model.checkpoint import save_checkpoint
    from chatspot.model.nano_assembly import assemble_nano, read_tensors

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder) + ".lock"):
        if (folder / "config.json").is_file():
            return  # another process was faster
        for remains in folder.parent.glob(f".{folder.name}.*"):  # of a conversion that was killed
            shutil.rmtree(remains, ignore_errors=True)
        model, processor = assemble_nano(**parts)
        box_head = unpacked(read_tensors(head)) if head else None
        save_checkpoint(folder, torch.nn.Module.to(model, torch.bfloat16), processor, SETTINGS, box_head)
