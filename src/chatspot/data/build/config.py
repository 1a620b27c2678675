"""What a build is made of: sources, their share, their stage. Read from YAML; unknown keys are errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from chatspot.data.dialogues import DialogueSettings
from chatspot.data.shards import Stage
from chatspot.data.strict import Strict, read_yaml, validated
from chatspot.errors import DataError


class EvaluationSource(Strict):
    """A set that is measured on: none of its photos may be trained on. Fields as in ``BuildSource``."""

    name: str
    folder: str
    split: str | None = None


class BuildSource(Strict):
    """A source of training pictures. A relative folder is below one of the build's data folders."""

    name: str = Field(description="the reader: a name that 'chatspot data list' shows")
    folder: str
    split: str | None = Field(default=None, description="the reader's only split, else train")
    stages: tuple[Stage, ...] = Field(default=("instruct",), min_length=1)
    weight: float = Field(default=1.0, gt=0, le=100, description="0.5: half the pictures; 2: each twice, asked anew")
    limit: int | None = Field(default=None, ge=1, description="at most so many pictures, drawn by the seed")
    dialogues: DialogueSettings = DialogueSettings()
    regionchat: str | None = Field(
        default=None, description="folder of a RegionChat run about these pictures; its dialogues go to instruct"
    )


class BuildConfig(Strict):
    """A mixture. A source may be listed again, with other settings or for another stage: it is asked anew then."""

    name: str
    seed: int = 0
    sources: tuple[BuildSource, ...] = Field(min_length=1)
    evaluation: tuple[EvaluationSource, ...] = ()
    duplicates: Literal["source", "stage", "keep"] = Field(
        default="source", description="a photo is used once in each listed source, once in each stage, or as it comes"
    )
    shard_pictures: int = Field(default=1000, ge=1, description="a shard ends at so many pictures")
    shard_mb: int = Field(default=256, ge=1, description="or at so many megabytes of them")

    @property
    def sha256(self) -> str:
        """Hash of all settings, written out or not."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load_config(path: Path) -> BuildConfig:
    """The configuration in a YAML file. ``DataError`` names the file, the key and, for an unknown one, the nearest."""
    return parse_config(read_yaml(path, "configuration", DataError), str(path))


def parse_config(values: Any, where: str) -> BuildConfig:
    """The configuration that a mapping describes; ``where`` opens the message of any error."""
    return validated(BuildConfig, values, where, DataError)


def find_folder(folder: str, data: Sequence[Path]) -> Path:
    """Where a source's folder lies: the first of the ``data`` folders that holds it, or where it says if absolute."""
    candidates = [Path(folder)] if Path(folder).is_absolute() else [below / folder for below in data]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.resolve()
    where = ", ".join(str(path) for path in data) or "no data folder is given"
    raise DataError(f"folder {folder!r} of the configuration is in none of the data folders ({where}); "
                    "pass --data FOLDER with the folder above it")  # fmt: skip
