"""The files that sessions open, made once from a checkpoint and kept in the user's cache folder.

::

    onnx-<checkpoint>-<key>/
      language.onnx, language.onnx.data    weights as they are computed with
      tower.onnx, tower.onnx.data
      boxes.onnx, boxes.onnx.data          where the checkpoint has a box head
      built.json                           the sizes of these files: what was cut off is made again

The key is a hash of the checkpoint's configuration, of its weight files' names, sizes and times of change, of the
precision, of what the processor is good at, and of FORMAT. One process builds at a time, in a folder beside, which is
renamed when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from chatspot.engine.onnx.session import Precision, multiplies_bytes, open_session
from chatspot.engine.onnx.stored import StoredTensors
from chatspot.errors import CheckpointError
from chatspot.model.folder import BOX_HEAD, CONFIG, read_json, weight_files
from chatspot.model.weights import cache_folder

FORMAT = 5  # raise when the graphs change
LANGUAGE, TOWER, BOXES, BUILT = "language.onnx", "tower.onnx", "boxes.onnx", "built.json"


def open_sessions(checkpoint: Path, precision: Precision, positions: int) -> tuple[Path, Any, Any]:
    """The folder of the graphs, and the sessions of the tower and of the language model, for ``positions`` tokens.

    Raises ``CheckpointError`` for a checkpoint that there are no graphs for, or when they cannot be built.
    """
    failure: Exception | None = None
    for _ in range(2):
        folder = built_files(checkpoint, precision, positions)
        try:
            return folder, open_session(folder / TOWER), open_session(folder / LANGUAGE)
        except Exception as error:  # onnxruntime raises its own untyped errors
            failure = error
            shutil.rmtree(folder, ignore_errors=True)  # damaged in a way that left its size as it was
    raise CheckpointError(f"ONNX Runtime cannot open what was built for {checkpoint} ({failure}); use the engine "
                          "'torch'") from failure  # fmt: skip


def built_files(checkpoint: Path, precision: Precision, positions: int) -> Path:
    """The folder of the checkpoint's graphs, built on the first call (seconds) and found again afterwards.

    Raises ``CheckpointError`` for a checkpoint that there is no graph for, or when the files cannot be written.
    """
    from filelock import FileLock

    folder = cache_folder() / f"onnx-{checkpoint.name}-{key(checkpoint, precision, positions)}"
    if is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder) + ".lock"):
            if not is_whole(folder):  # no other process was faster
                build(checkpoint, folder, precision, positions)
    except OSError as error:
        raise CheckpointError(f"the files of the fast engine cannot be written to {folder} ({error}); make room there, "
                              "set CHATSPOT_CACHE to another folder, or use the engine 'torch'") from error  # fmt: skip
    return folder


def key(checkpoint: Path, precision: Precision, positions: int) -> str:
    """A name for everything that the files are made from."""
    made_from: list[Any] = [FORMAT, precision, multiplies_bytes(), positions, (checkpoint / CONFIG).read_text("utf-8")]
    head = [BOX_HEAD] if (checkpoint / BOX_HEAD).is_file() else []
    for name in [*weight_files(checkpoint), *head]:
        facts = (checkpoint / name).stat()
        made_from.append([name, facts.st_size, facts.st_mtime_ns])
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]


def is_whole(folder: Path) -> bool:
    """Whether all files are there in their full size."""
    try:
        sizes = json.loads((folder / BUILT).read_text("utf-8"))
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def build(checkpoint: Path, folder: Path, precision: Precision, positions: int) -> None:
    """Write the files, and take away what a killed or damaged build has left."""
    from chatspot.engine.onnx.boxes import boxes_graph
    from chatspot.engine.onnx.language import check_supported, language_graph
    from chatspot.engine.onnx.tower import tower_graph

    for remains in (folder, *folder.parent.glob(f".{folder.name}.*")):
        shutil.rmtree(remains, ignore_errors=True)
    config, stored = read_json(checkpoint / CONFIG), StoredTensors(checkpoint)
    check_supported(checkpoint, config, stored)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        partial.mkdir()
        tower_graph(stored).save(partial / TOWER)
        graph = language_graph(stored, config["text_config"], positions, precision, by_rows=multiplies_bytes())
        graph.save(partial / LANGUAGE)
        if (checkpoint / BOX_HEAD).is_file():
            boxes_graph(stored, StoredTensors(checkpoint, BOX_HEAD)).save(partial / BOXES)
        sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
        (partial / BUILT).write_text(json.dumps(sizes), "utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
