"""A checkpoint as other servers open it: stock LLaVA under the names that vLLM knows.

::

    what                     in a checkpoint                       as exported
    tower's tensors          model.vision_tower.embeddings...      model.vision_tower.vision_model.embeddings...
    projector's activation   "relu" (split), "linear" (identity)   "relu"; identity is written as split where it fits
    settings                 under "chatspot" in config.json       in chatspot_export.json, for people
    all else                                                       the same: the chat template reads plain texts too

vLLM's CLIP keeps its layers under ``vision_model`` (vllm, model_executor/models/clip.py), and its table of activations
has no "linear" (model_executor/layers/activation.py). transformers opens both spellings. The model computes the same.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from transformers import LlavaForConditionalGeneration
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import Checkpoint, load_checkpoint, quiet, stock_state, written_whole
from chatspot.model.folder import CONFIG
from chatspot.model.projector import IDENTITY, SPLIT, one_linear_activation, read_linear, write_linear
from chatspot.model.sheet_tower import SheetTowerConfig

TOWER, VLLM_TOWER = "model.vision_tower.", "model.vision_tower.vision_model."
PROJECTOR = "model.multi_modal_projector."
TOWER_KIND, LANGUAGE_KINDS = "clip_vision_model", ("llama",)  # what was held against vLLM (benchmarks/vllm_parity.py)
EXPORT_NOTE = "chatspot_export.json"


def export_for_vllm(source: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write the checkpoint ``source`` at ``folder`` as vLLM opens it, and give back its path.

    ``folder`` must not exist or be empty; it appears whole or not at all. Raises ``CheckpointError`` for a checkpoint
    that cannot be opened, or one that vLLM's stock LLaVA would not compute alike; the message says what to do.
    """
    folder = Path(folder).expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} is there already and not empty; choose another folder for the export")
    opened = load_checkpoint(source)
    check_exportable(opened)
    with written_whole(folder, "export") as partial:
        write_export(opened, partial)
    return folder


def check_exportable(opened: Checkpoint) -> None:
    """Refuse what stock LLaVA in vLLM has no place for."""
    config: Any = opened.model.config
    name, tower, language = opened.path.name, config.vision_config.model_type, config.text_config.model_type
    if tower == SheetTowerConfig.model_type:
        raise CheckpointError(f"{name} cannot be exported: its vision tower reads sheets and is not stock LLaVA. "
                              "Serve it with chatspot serve; vLLM opens models of the 7B preset's kind")  # fmt: skip
    if tower != TOWER_KIND:
        raise CheckpointError(f"{name} cannot be exported: its vision tower is of kind {tower!r}, only {TOWER_KIND!r} "
                              "was held against vLLM; serve it with chatspot serve")  # fmt: skip
    if language not in LANGUAGE_KINDS:
        raise CheckpointError(f"{name} cannot be exported: its language model is of kind {language!r}, only "
                              f"{' or '.join(LANGUAGE_KINDS)} was held against vLLM; serve it with chatspot serve"
                              )  # fmt: skip
    if opened.settings.focal_view:
        raise CheckpointError(f"{name} cannot be exported: it was trained to see each region as a picture of its own "
                              "(focal_view), which a stock prompt does not hold; serve it with chatspot serve, or "
                              "train without focal_view")  # fmt: skip
    if config.projector_hidden_act == IDENTITY and layout(config) == IDENTITY:
        raise CheckpointError(f"{name} cannot be exported: its one linear layer needs the activation 'linear', which "
                              f"vLLM does not know, because the tower's features ({config.vision_config.hidden_size}) "
                              f"are wider than half the language model's ({config.text_config.hidden_size}); serve it "
                              "with chatspot serve, or train a pair that fits")  # fmt: skip


def layout(config: Any) -> str:
    """The layout in which one linear layer fits between the two parts."""
    return one_linear_activation(config.vision_config.hidden_size, config.text_config.hidden_size)


def write_export(opened: Checkpoint, folder: Path) -> None:
    """All files of the export."""
    model, processor = opened.model, opened.processor
    state = exported_state(model)
    with quiet():
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
        processor.save_pretrained(folder)
    save_torch_state_dict(state, folder, metadata={"format": "pt"})
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    settings = config.pop("chatspot")
    config["architectures"] = [LlavaForConditionalGeneration.__name__]
    config["projector_hidden_act"] = exported_activation(model)
    for part in ("vision_config", "text_config"):
        config[part].pop("_name_or_path", None)  # a path of the machine that it was put together on
    write_json(folder / CONFIG, config)
    write_json(folder / EXPORT_NOTE, {"from": opened.path.name, "for": "vllm", "settings": settings})


def exported_activation(model: LlavaForConditionalGeneration) -> str:
    """The projector's activation in the export."""
    stored = str(model.config.projector_hidden_act)
    return SPLIT if stored == IDENTITY else stored


def exported_state(model: LlavaForConditionalGeneration) -> dict[str, torch.Tensor]:
    """The tensors under vLLM's names, the projector with an activation that vLLM knows."""
    state = stock_state(model)
    if model.config.projector_hidden_act == IDENTITY:
        weight, bias = read_linear(model.model.multi_modal_projector)
        config: Any = type(model.config)(**{**model.config.to_dict(), "projector_hidden_act": SPLIT})
        with torch.device("meta"):
            projector = LlavaMultiModalProjector(config).to(weight.dtype)
        projector.to_empty(device=weight.device)
        write_linear(projector, weight, bias)
        state |= {PROJECTOR + name: value for name, value in projector.state_dict().items()}
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    return {(VLLM_TOWER + n.removeprefix(TOWER) if n.startswith(TOWER) else n): value for n, value in state.items()}


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", "utf-8")
