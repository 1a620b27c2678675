"""The canvas in a notebook: what is drawn on the picture is there in Python.

::

    picker = RegionPicker("coffee.jpg")
    picker                              # shows the picture
    picker.regions                      # in a later cell: what was drawn on it
    picker.ask("What is this?").text
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import anywidget
import traitlets
from PIL import Image

from chatspot.canvas import module_text
from chatspot.errors import MessageError
from chatspot.images import open_image
from chatspot.images.load import ImageSource
from chatspot.regions import Region, region_from_json
from chatspot.spot import Answer, ChatSpot

SHOWN_SIDE = 4096  # pixels of the longer side that are sent to the browser (our choice); regions are fractions anyway
JPEG_QUALITY = 92


class RegionPicker(anywidget.AnyWidget):
    """A picture with tools to point at its parts, for Jupyter, VS Code, Colab and marimo.

    ``image`` is a path, the bytes of an image file or a PIL image; ``regions`` are drawn on it to begin with. ``spot``
    answers questions; None opens chatspot-nano with the first one. Raises ``ImageError`` when the picture cannot be
    opened, ``MessageError`` for a region that is none.

    ``entries`` is what the notebook keeps in step, to be observed: a list of ``{"id", "number", "name", "colour",
    "region"}``. ``selected`` is the id of the selected one, or None.
    """

    _esm = module_text(Path(__file__).with_name("picker.js"))
    _picture = traitlets.Bytes().tag(sync=True)
    entries = traitlets.List(traitlets.Dict()).tag(sync=True)
    selected = traitlets.Unicode(None, allow_none=True).tag(sync=True)

    def __init__(self, image: ImageSource, regions: Iterable[Region] = (), spot: ChatSpot | None = None):
        self.image = open_image(image)
        self._spot = spot
        super().__init__(_picture=picture_bytes(self.image), entries=entries_of(regions))

    @property
    def regions(self) -> list[Region]:
        """What is on the picture, in the order of the numbers that it was drawn with; set: it is drawn anew."""
        return [region_from_json(entry["region"]) for entry in self.entries]

    @regions.setter
    def regions(self, regions: Iterable[Region]) -> None:
        self.selected = None
        self.entries = entries_of(regions)

    @property
    def names(self) -> list[str]:
        """The regions' names, "" where none was given."""
        return [entry.get("name", "") for entry in self.entries]

    def ask(self, question: str) -> Answer:
        """The answer to a question about the selected region; about all of them where none is selected, and about the
        whole picture where there is none. Errors are those of ``ChatSpot.ask``."""
        asked = [entry for entry in self.entries if self.selected in (None, entry["id"])]
        self._spot = self._spot or ChatSpot.from_pretrained()
        return self._spot.ask(self.image, question, *(region_from_json(entry["region"]) for entry in asked))


def entries_of(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """Regions as the canvas takes them, numbered from 1; it chooses the colours."""
    given: Sequence[Region] = list(regions)
    for region in given:
        if not isinstance(region, get_args(Region)):
            raise MessageError(f"a region is a Box, Point, Polygon, Mask or Scribble, got {region!r}"[:160])
    return [
        {"id": f"r{number}", "number": number, "name": "", "region": region.to_json()}
        for number, region in enumerate(given, 1)
    ]


def picture_bytes(image: Image.Image) -> bytes:
    """The upright picture as a JPEG file of at most ``SHOWN_SIDE`` pixels a side."""
    shown = image.copy()
    shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()
