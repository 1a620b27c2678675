"""What a checkpoint folder says about itself, read without its weights and without torch or transformers.

::

    config.json              stock LLaVA configuration; our prompt settings under "chatspot"
    model.safetensors        or model.safetensors.index.json and its shards
    processor_config.json    how pictures are fitted and counted
    tokenizer.json, tokenizer_config.json
    chat_template.jinja      the template that training used; it stays with the weights
    box_head.safetensors     nano's: finds the boxes of answers (``box_head``); stock software opens the rest without
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from chatspot.errors import CheckpointError
from chatspot.prompts import PromptSettings
from chatspot.prompts.render import PROMPT_VERSIONS

CONFIG, PROCESSOR, TEMPLATE = "config.json", "processor_config.json", "chat_template.jinja"
BOX_HEAD = "box_head.safetensors"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FILES = (CONFIG, PROCESSOR, TEMPLATE, "tokenizer.json", "tokenizer_config.json")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")  # owner/name
TEMPLATE_NAME = re.compile(r"\{#-?\s*([\w-]+), version (\d+)")  # the first line of a shipped template
IMAGE_FITS = ("stretch", "pad", "sheet")
LATER_SETTINGS = {"several_sizes": False}  # what older checkpoints do that do not name the setting


def local_folder(source: str | os.PathLike[str]) -> Path:
    """The folder itself, or the cached copy of the hub repository that ``source`` names."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise CheckpointError(f"{path} is a file; give the checkpoint's folder")
    if not HUB_ID.fullmatch(str(source)):
        raise CheckpointError(f"there is no checkpoint folder {path}; check the path (a hub id reads owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(str(source), allow_patterns=["*.json", "*.jinja", "*.safetensors"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{source} is no local folder and could not be fetched from the Hugging Face hub "
                              f"({reason}); check the id and the network, or give a folder") from error  # fmt: skip


def read_folder(folder: Path) -> tuple[dict[str, Any], PromptSettings]:
    """``config.json`` and the prompt settings of a complete folder of ours; ``CheckpointError`` for any other."""
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} is no checkpoint: {CONFIG} is missing")
    stored = read_json(folder / CONFIG)
    kind = stored.get("model_type")
    if kind != "llava":
        raise CheckpointError(f"{folder} holds a model of kind {kind!r}, expected 'llava'; give a ChatSpot checkpoint")
    if "chatspot" not in stored:
        raise CheckpointError(f"{folder} holds a LLaVA model without ChatSpot's settings: {CONFIG} has no key "
                              "'chatspot'; its prompt is unknown")  # fmt: skip
    for name in (*FILES, *weight_files(folder)):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is incomplete: {name} is missing; fetch or save the checkpoint again")
    settings = settings_from_json(stored["chatspot"], folder)
    check_template(read_text(folder / TEMPLATE), settings, folder)
    return stored, settings


def weight_files(folder: Path) -> list[str]:
    """The names of the weight files that the folder should hold."""
    if not (folder / INDEX).is_file():
        return [WEIGHTS]
    shards = read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{folder / INDEX} is damaged: it names no weight file; fetch or save it again")
    return sorted({str(name) for name in shards.values()})


def settings_from_json(stored: Any, folder: Path) -> PromptSettings:
    """The prompt settings in ``config.json``; ``CheckpointError`` when they are not what this version knows."""
    where = f"{folder / CONFIG}, key 'chatspot'"
    known = {field.name: type(field.default) for field in fields(PromptSettings)}
    stored = {**LATER_SETTINGS, **stored} if isinstance(stored, dict) else stored
    if not isinstance(stored, dict) or set(stored) != set(known):
        found = sorted(stored) if isinstance(stored, dict) else stored
        raise CheckpointError(f"{where}: expected exactly {sorted(known)}, got {found}; it was made by another "
                              "version of chatspot")  # fmt: skip
    for name, kind in known.items():
        if type(stored[name]) is not kind:
            raise CheckpointError(f"{where}: {name} should be of type {kind.__name__}, got {stored[name]!r}")
    settings = PromptSettings(**stored)
    if settings.image_fit not in IMAGE_FITS:
        raise CheckpointError(f"{where}: image_fit should be one of {IMAGE_FITS}, got {settings.image_fit!r}")
    newest = PROMPT_VERSIONS.get(settings.template)
    if newest is None or not 1 <= settings.version <= newest:
        raise CheckpointError(f"{where}: template {settings.template!r} version {settings.version} is unknown; this "
                              f"chatspot knows {PROMPT_VERSIONS}; upgrade it")  # fmt: skip
    return settings


def check_template(source: str, settings: PromptSettings, folder: Path) -> None:
    """The template file must name itself as the settings do."""
    match = TEMPLATE_NAME.match(source)
    found = f"{match[1]!r} version {match[2]}" if match else "no name and version in its first line"
    expected = f"{settings.template!r} version {settings.version}"
    if found != expected:
        raise CheckpointError(f"{folder / TEMPLATE} says {found}, but {CONFIG} says {expected}; the prompt that the "
                              "model was trained with is unknown: fetch the checkpoint again")  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ``CheckpointError`` when it holds none."""
    try:
        value = json.loads(read_text(path))
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); fetch or save it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} should hold a JSON object, got {type(value).__name__}; fetch it again")
    return value


def read_text(path: Path) -> str:
    """The text of a file; ``CheckpointError`` when it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); fetch or save it again") from error
