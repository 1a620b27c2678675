"""A checkpoint's tensors, read where they lie: nothing is loaded before it is asked for, and torch is not needed.

safetensors' own reader for numpy knows no bfloat16, which checkpoints are mostly stored in. The file is a length, a
JSON header and the numbers (source: the format's page, huggingface.co/docs/safetensors), so it is mapped into memory
and widened to float32 as it is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatspot.errors import CheckpointError
from chatspot.model.folder import weight_files

DECODER = "language_model.model"  # the decoder's tensors begin so in a checkpoint of transformers
TABLE = f"{DECODER}.embed_tokens.weight"
HEAD = "language_model.lm_head.weight"  # where the head is not the table
KINDS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # numbers by their name in the header; a bfloat16 as its two bytes


class StoredTensors:
    """The tensors of a checkpoint folder by name, those of its model or of other ``files``. Raises ``CheckpointError``
    when a file of them is damaged."""

    def __init__(self, folder: Path, *files: str):
        self.folder = folder
        self.found: dict[str, NDArray[Any]] = {}  # mapped, as they are stored
        for name in files or weight_files(folder):
            self.found |= mapped(folder / name)

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The whole tensor in float32, a copy."""
        return widened(self.stored(name))

    def rows(self, name: str, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Rows of a tensor in float32: [rows, ...]. Raises ``IndexError`` for a row that is not there."""
        return widened(self.stored(name)[numbers])

    def head(self) -> NDArray[np.float32]:
        """The language model's output head: its own, or the table of embeddings."""
        return self[HEAD if HEAD in self else TABLE]

    def stored(self, name: str) -> NDArray[Any]:
        """The tensor as it is stored."""
        if name not in self.found:
            raise CheckpointError(f"the weights in {self.folder} have no tensor {name}; fetch or save the checkpoint "
                                  "again")  # fmt: skip
        return self.found[name]


def mapped(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of one file, mapped into memory."""
    try:
        whole = np.asarray(np.memmap(path, np.uint8, mode="r"))  # as a plain array: rows are taken from it faster
        start = 8 + int.from_bytes(whole[:8].tobytes(), "little")
        if start > len(whole):
            raise ValueError("its header is cut off")
        header = json.loads(whole[8:start].tobytes())
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            first, last = (start + at for at in entry["data_offsets"])
            kind = np.dtype(KINDS[entry["dtype"]])
            tensors[name] = whole[first:last].view(kind).reshape(entry["shape"])
        return tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the weights {path} cannot be read ({error}); fetch or save the checkpoint again"
                              ) from error  # fmt: skip


def widened(values: NDArray[Any]) -> NDArray[np.float32]:
    """Stored numbers in float32, in memory of their own."""
    if values.dtype == np.uint16:  # bfloat16 is float32 without its last two bytes
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)
