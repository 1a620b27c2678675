"""ChatSpot: point at a part of a picture and talk about exactly that part.

::

    from chatspot import Box, ChatSpot

    spot = ChatSpot.from_pretrained()
    print(spot.ask("photo.jpg", "What is this?", Box.from_pixels(10, 20, 300, 200, size=(640, 480))))

Names are loaded when they are first used: importing the package loads no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatspot.errors import (
        ChatSpotError,
        CheckpointError,
        DataError,
        EngineError,
        ImageError,
        MessageError,
        RecipeError,
        RegionError,
        ServeError,
        TrainingError,
    )
    from chatspot.images import draw_regions, focal_view, open_image
    from chatspot.messages import Conversation, ImagePart, Message, RegionPart, TextPart
    from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble, region_from_json
    from chatspot.spot import Answer, Chat, ChatSpot

    __version__: str

ORIGIN = {
    "errors": (
        "ChatSpotError",
        "CheckpointError",
        "DataError",
        "EngineError",
        "ImageError",
        "MessageError",
        "RecipeError",
        "RegionError",
        "ServeError",
        "TrainingError",
    ),
    "images": ("draw_regions", "focal_view", "open_image"),
    "messages": ("Conversation", "ImagePart", "Message", "RegionPart", "TextPart"),
    "regions": ("Box", "Mask", "Point", "Polygon", "Region", "Scribble", "region_from_json"),
    "spot": ("Answer", "Chat", "ChatSpot"),
}
"""Which module each public name comes from."""

__all__ = [
    "Answer",
    "Box",
    "Chat",
    "ChatSpot",
    "ChatSpotError",
    "CheckpointError",
    "Conversation",
    "DataError",
    "EngineError",
    "ImageError",
    "ImagePart",
    "Mask",
    "Message",
    "MessageError",
    "Point",
    "Polygon",
    "RecipeError",
    "Region",
    "RegionError",
    "RegionPart",
    "Scribble",
    "ServeError",
    "TextPart",
    "TrainingError",
    "draw_regions",
    "focal_view",
    "open_image",
    "region_from_json",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("chatspot")
    for module, names in ORIGIN.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"chatspot.{module}"), name)
    raise AttributeError(f"module 'chatspot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
