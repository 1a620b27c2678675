"""ms-swift's ``objects``: the list that stands beside a text with ``<bbox>`` and ``<ref-object>``."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from typing import Any

from chatspot.dialects.mentions import Mention
from chatspot.errors import MessageError, RegionError
from chatspot.regions import Box, Point
from chatspot.regions.coordinates import Size

REFERENCE = re.compile("<ref-object>")


def swift_objects(beside: Sequence[Mention], size: Size) -> dict[str, Any]:
    """``{"ref": [], "bbox": [[...]], "bbox_type": "real"}``: boxes of four and points of two pixel numbers."""
    lists = []
    for mention in beside:
        for region in mention.regions:
            if not isinstance(region, (Box, Point)):
                raise RegionError(f"ms-swift holds boxes and points, got a {type(region).__name__.lower()}")
            lists.append(list(region.to_pixels(size)))
    return {"ref": [], "bbox": lists, "bbox_type": "real"}


def read_swift_objects(text: str, objects: Any, size: Size) -> tuple[str, tuple[Mention, ...]]:
    """The text with the names in the places of ``<ref-object>``, and the regions that stand beside it."""
    if not isinstance(objects, dict) or not isinstance(objects.get("bbox", []), list):
        raise MessageError(f'"objects" is a mapping with the list "bbox", got {reprlib.repr(objects)}')
    names, kind = objects.get("ref", []), objects.get("bbox_type", "real")
    if kind not in ("real", "norm1"):
        raise MessageError(f'"bbox_type" is "real" or "norm1", got {reprlib.repr(kind)}')
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MessageError(f'"ref" is a list of names, got {reprlib.repr(names)}')
    if len(REFERENCE.findall(text)) != len(names):
        raise MessageError(f"the text has {len(REFERENCE.findall(text))} <ref-object> for {len(names)} names")
    rest = iter(names)
    mentions = []
    for numbers in objects.get("bbox", []):
        if not isinstance(numbers, list) or len(numbers) not in (2, 4):
            raise RegionError(f"a bbox has four numbers, or two for a point, got {reprlib.repr(numbers)}")
        shape: Any = Box if len(numbers) == 4 else Point
        region = shape.from_normalized(*numbers) if kind == "norm1" else shape.from_pixels(*numbers, size=size)
        mentions.append(Mention((region,)))
    return REFERENCE.sub(lambda _: next(rest), text), tuple(mentions)
