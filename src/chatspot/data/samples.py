"""One training sample: pictures and the conversation about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatspot.messages import Conversation


@dataclass(frozen=True)
class Sample:
    """A conversation and the files of its pictures, in the order of its image parts. ``id`` is unique in its source.

    ``task`` says what the dialogue asks for: "name", "text", "caption", "presence", "colour", "count", "relation",
    "ground", "describe", "vqa" or "dialogue".
    """

    id: str
    source: str
    image_paths: tuple[Path, ...]
    conversation: Conversation
    task: str = ""
