"""What an engine is asked while it is measured: pictures that nobody has seen before, and boxes on them."""

from __future__ import annotations

import random

from PIL import Image

from chatspot.engine.interface import Request
from chatspot.engine.kept import KeptBeginnings, KeptViews
from chatspot.engine.local_engine import LocalEngine
from chatspot.messages import Conversation, ask
from chatspot.regions import Box

SIZE = (640, 480)  # pixels; the usual size of COCO's photos
QUESTION = "What can you see in this region?"


def noise(number: int, size_wh: tuple[int, int] = SIZE) -> Image.Image:
    """A picture of its own for each number: blurred noise in colour."""
    coarse = Image.frombytes("RGB", (40, 30), random.Random(number).randbytes(3600))
    return coarse.resize(size_wh, Image.Resampling.BICUBIC)


def box(number: int) -> Box:
    """A box of its own for each number."""
    rng = random.Random(number)
    x, y = rng.uniform(0, 0.6), rng.uniform(0, 0.6)
    return Box.from_normalized(x, y, x + rng.uniform(0.1, 0.4), y + rng.uniform(0.1, 0.4))


def question(image: Image.Image, number: int, max_new_tokens: int) -> Request:
    """A question about box ``number`` of a picture."""
    return Request(Conversation((ask(QUESTION, box(number), style="short"),)), (image,), max_new_tokens)


def forget(engine: LocalEngine) -> None:
    """Let an engine keep nothing of what it was asked."""
    engine.kept, engine.beginnings = KeptViews(engine.kept.most_bytes), KeptBeginnings(engine.beginnings.most_bytes)
