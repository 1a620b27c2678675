"""Which pictures a conversation shows the encoder, in the order of their image tokens."""

from __future__ import annotations

from dataclasses import dataclass

from chatspot.messages import Conversation, ImagePart, RegionPart
from chatspot.prompts.render import PromptSettings
from chatspot.regions import Region


@dataclass(frozen=True)
class Picture:
    """Picture number ``image`` as a whole, or, with a ``region``, the focal view of that region."""

    image: int
    region: Region | None = None


def pictures(conversation: Conversation, settings: PromptSettings) -> list[Picture]:
    """One entry for each ``<image>`` that the template writes, in the same order."""
    shown: list[Picture] = []
    whole = 0
    for message in conversation.messages:
        for part in message.parts:
            if isinstance(part, ImagePart):
                shown.append(Picture(whole))
                whole += 1
            elif isinstance(part, RegionPart) and settings.focal_view and message.role == "user":
                shown.append(Picture(part.image, part.region))
    return shown
