"""The colour of a region: one of the eleven basic terms, where annotators name one or the pixels inside an outline
agree (``data.dialogues.colours``)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatspot.data.dialogues.colours import BASIC_TERMS
from chatspot.data.dialogues.names import has_colour
from chatspot.data.dialogues.region_turns import basic_colour, known_colour, named
from chatspot.data.dialogues.scene import Scene
from chatspot.data.dialogues.settings import DialogueSettings
from chatspot.data.records import Record
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.task import Draw, Form, Judged, Question, Task, about_region, judge_by, pointed_at
from chatspot.eval.tasks.vqa import plain_words

LEAST_COLOUR_AREA = 400.0  # square pixels; of smaller things even people see the colour of what is around (our choice)
SAYING = frozenset({"the", "masked", "object", "it", "is", "its", "color", "colour"})
BACKGROUNDS = {True: "complex background", False: "plain background"}
TERM = re.compile(rf"\b({'|'.join(BASIC_TERMS)}|grey)\b")


def ask_colours(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """Every named region whose one basic colour is known: from a question about its colour that came with the picture,
    else, from LEAST_COLOUR_AREA on, from its attributes or pixels."""
    scene, told = Scene(record, DialogueSettings(), 0), told_colours(record)
    for number, label in named(scene):
        region = record.regions[number]
        measurable = region.area_px >= LEAST_COLOUR_AREA and has_colour(label)
        place = pointed_at(record, number, form, draw) if number in told or measurable else None
        if place is None:
            continue
        known = (told[number], None) if number in told else known_colour(scene, number)
        if known is not None:
            words = f"What colour is this {label}?"
            background = {} if known[1] is None else {"complex": known[1]}
            yield about_region("colour", record, number, words, place, known[0], form, draw, **background)


def told_colours(record: Record) -> dict[int, str]:
    """The colours of regions by their numbers, from questions of the kind "color" about one region whose answer says
    one basic colour and nothing else ("Silver." and "It has white text." are none)."""
    found = {}
    for asked in record.questions:
        if asked.kind == "color" and len(asked.regions) == 1:
            words = [word for word in plain_words(asked.answers[0]).split() if word not in SAYING]
            term = basic_colour(words[0]) if len(words) == 1 else None
            if term is not None:
                found[asked.regions[0]] = term
    return found


def read_colour(text: str) -> str | None:
    """The first basic colour term in a text, "grey" as "gray"; None where there is none."""
    found = TERM.search(text.casefold())
    return found[1].replace("grey", "gray") if found else None


def judge_colour(prediction: Prediction) -> Judged:
    """Right when the first basic colour term of the answer is the truth. Measured things before a plain
    background and before one of many colours are groups."""
    judged = judge_by(read_colour, str.__eq__)(prediction)
    group = BACKGROUNDS[prediction.extra["complex"]] if "complex" in prediction.extra else ""
    return Judged(judged.picture, judged.truth, judged.read, judged.points, group)


COLOUR = Task(
    "colour", "tell the colour", "coco", ("coco_val", "visual_genome", "gar_bench", "coco", "coco_json"),
    ("box", "point", "polygon", "mask", "scribble"), ask_colours, judge_colour, 16, by_class=True,
)  # fmt: skip
