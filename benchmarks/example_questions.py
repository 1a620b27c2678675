"""Ask nano a fixed list of questions about the three photos that ship with it, and draw its answers on them: what it
gets right and what it does not, on pictures that may be passed on.

    python benchmarks/example_questions.py

The questions and the right answers were written down before any answer was seen; nothing is left out. They are too few
to measure by. Writes ``docs/images/nano-NAME.png`` for each photo and ``benchmarks/results/example_questions.json``,
from which ``CHATSPOT_UPDATE_README=1 pytest tests/docs`` makes the list in ``MODEL_CARD.md``.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatspot import Answer, Box, ChatSpot, Point, Polygon, Region
from chatspot.data.saving import write_whole
from chatspot.eval.provenance import machine, nano_facts, source_commit
from chatspot.images import draw_regions, open_image

ROOT = Path(__file__).parents[1]
ASTRONAUT, COFFEE, CAT = (512, 512), (600, 400), (451, 300)
LEAST_IOU = 0.5  # of a box in an answer, as the bench's task "ground" has it


@dataclass(frozen=True)
class Asked:
    """A question, the region that it is about, and the words of which the answer must hold one; where a region is the
    right answer, ``there``."""

    question: str
    region: Region | None
    right: tuple[str, ...] = ()
    there: Region | None = None


def box(size: tuple[int, int], *xyxy: int) -> Box:
    """A box in pixels of a photo of ``size``."""
    return Box.from_pixels(*xyxy, size=size)


SPOON = Polygon.from_pixels(
    [(398, 66), (424, 70), (390, 220), (408, 262), (396, 312), (352, 327), (327, 298), (336, 252), (372, 228)],
    size=COFFEE,
)
ASKED: dict[str, tuple[Asked, ...]] = {
    "astronaut": (
        Asked("What is this?", box(ASTRONAUT, 20, 15, 362, 512), ("person", "woman", "astronaut")),
        Asked("What is this?", box(ASTRONAUT, 278, 342, 500, 512), ("helmet",)),
        Asked("What is this?", box(ASTRONAUT, 355, 0, 460, 290), ("rocket", "shuttle", "spacecraft")),
        Asked("What is this?", box(ASTRONAUT, 0, 0, 100, 512), ("flag",)),
        Asked("What is this?", Point.from_pixels(230, 130, size=ASTRONAUT), ("person", "woman", "face", "astronaut")),
        Asked("What colour is this suit?", box(ASTRONAUT, 60, 250, 130, 300), ("orange",)),
        Asked("How many people are in this region?", box(ASTRONAUT, 0, 0, 512, 512), ("1", "one")),
        Asked("Is there a dog in this region?", box(ASTRONAUT, 0, 0, 512, 512), ("no",)),
        Asked("What does the text say?", box(ASTRONAUT, 418, 209, 440, 221), ("usa",)),
        Asked("Where is the person?", None, there=box(ASTRONAUT, 20, 15, 362, 512)),
    ),
    "coffee": (
        Asked("What is this?", box(COFFEE, 172, 14, 416, 314), ("cup", "mug")),
        Asked("What is this?", SPOON, ("spoon",)),
        Asked("What is this?", box(COFFEE, 76, 60, 480, 390), ("saucer", "plate", "cup")),
        Asked("What is this?", box(COFFEE, 200, 95, 372, 193), ("coffee", "espresso", "drink")),
        Asked("What is this?", Point.from_pixels(60, 140, size=COFFEE), ("table", "wood")),
        Asked("What colour is this saucer?", box(COFFEE, 90, 190, 170, 300), ("red",)),
        Asked("How many cups are in this region?", box(COFFEE, 0, 0, 600, 400), ("1", "one")),
        Asked("Is there a spoon in this region?", box(COFFEE, 310, 60, 430, 330), ("yes",)),
        Asked("Is there a fork in this region?", box(COFFEE, 76, 60, 480, 390), ("no",)),
        Asked("Where is the cup?", None, there=box(COFFEE, 172, 14, 416, 314)),
    ),
    "cat": (
        Asked("What is this?", box(CAT, 30, 0, 370, 300), ("cat",)),
        Asked("What is this?", Point.from_pixels(260, 240, size=CAT), ("nose", "cat")),
        Asked("What is this?", box(CAT, 135, 83, 207, 148), ("eye",)),
        Asked("What is this?", box(CAT, 310, 0, 400, 75), ("ear",)),
        Asked("Is there a cat in this region?", box(CAT, 30, 0, 370, 300), ("yes",)),
        Asked("Is there a dog in this region?", box(CAT, 30, 0, 370, 300), ("no",)),
        Asked("How many cats are in this region?", box(CAT, 0, 0, 451, 300), ("1", "one")),
        Asked("Where is the cat?", None, there=box(CAT, 30, 0, 370, 300)),
    ),
}


def main() -> None:
    """Ask, draw, write down."""
    spot = ChatSpot.from_pretrained()
    rows = [row for name, asked in ASKED.items() for row in about(spot, name, asked)]
    right = sum(row["is_right"] for row in rows)
    result: dict[str, Any] = {
        "what": "a fixed list of questions about the photos that ship with the package",
        "model": nano_facts("chatspot-nano"),
        "date": datetime.date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine(),
        "n": len(rows),
        "right": right,
        "rows": rows,
    }
    file = ROOT / "benchmarks" / "results" / "example_questions.json"
    write_whole(file, json.dumps(result, indent=1) + "\n")
    print(f"{right} of {len(rows)} right")


def about(spot: ChatSpot, name: str, asked: tuple[Asked, ...]) -> list[dict[str, Any]]:
    """Ask everything about one photo and draw it; a row for each question."""
    photo = open_image(ROOT / "src" / "chatspot" / "examples" / f"{name}.jpg")
    answers = spot.ask_many(photo, [(one.question, one.region) for one in asked])
    pairs = list(zip(asked, answers, strict=True))
    drawn = [(one.region, one.question, answer) for one, answer in pairs if one.region is not None]
    drawn += [(region, one.question, answer) for one, answer in pairs for region in answer.regions[:1]]
    labels = [answer.text if not answer.regions else question for _, question, answer in drawn]
    draw_regions(photo, [region for region, _, _ in drawn], labels).save(ROOT / "docs" / "images" / f"nano-{name}.png")
    return [
        {
            "photo": name,
            "question": one.question,
            "pointed_by": type(one.region).__name__.lower() if one.region is not None else "picture",
            "answer": answer.text,
            "confidence": answer.confidence,
            "sure": answer.sure,
            "expected": list(one.right) or "a box",
            "is_right": is_right(one, answer),
        }
        for one, answer in pairs
    ]


def is_right(asked: Asked, answer: Answer) -> bool:
    """Whether the answer holds one of the right words, or a box that covers the right one."""
    if asked.there is None:
        words = answer.text.casefold().replace(".", " ").replace(",", " ").split()
        return any(word in words for word in asked.right)
    if not answer.regions:
        return False
    found, there = answer.regions[0].geometry, asked.there.geometry
    return bool(found.intersection(there).area >= LEAST_IOU * found.union(there).area)


if __name__ == "__main__":
    main()
