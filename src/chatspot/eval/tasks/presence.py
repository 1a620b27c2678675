"""Is there such a thing in this region? Yes/no questions, as many of each answer.

POPE (Li et al., 2023) asks such questions about whole pictures. Here they point, and half of the wrong names are those
of things elsewhere in the same picture: a model that looks past the region says yes to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatspot.data.questions import PRESENCE_QUESTIONS, article
from chatspot.data.records import Record
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.objects import OUTLINES, asked_objects
from chatspot.eval.tasks.task import ACCURACY, Draw, Form, Judged, Measure, Question, Task, about_region, pointed_at
from chatspot.regions import Box

YES, ELSEWHERE, ABSENT = "there", "elsewhere in the picture", "not in the picture"
TURNS = (YES, ELSEWHERE, YES, ABSENT)  # a picture's regions take them in turn, from a place drawn for the picture
YES_NO = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)

SAYS_YES = Measure("says_yes", "answers yes")


def ask_presence(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """One question about each object that the coco task asks about, in turn about its own class and about another.

    A class from elsewhere in the picture has no box that touches the object's; where there is none, the class is one
    that the picture has not at all.
    """
    start = draw.rng("presence", record.id).randrange(len(TURNS))
    for at, number in enumerate(asked_objects(record)):
        place = pointed_at(record, number, form, draw)
        truth = record.regions[number]
        if place is None or truth.box is None or truth.label is None:
            continue
        rng = draw.rng("presence", f"{record.id}#{number}")
        kind = TURNS[(start + at) % len(TURNS)]
        elsewhere = classes_elsewhere(record, truth.box)
        if kind == ELSEWHERE and not elsewhere:
            kind = ABSENT
        names = {YES: [truth.label], ELSEWHERE: elsewhere, ABSENT: classes_absent(record)}[kind]
        name = rng.choice(names)
        words = PRESENCE_QUESTIONS[0].format(article=article(name), name=name)
        answer = "yes" if kind == YES else "no"
        yield about_region("presence", record, number, words, place, answer, form, draw, kind=kind, name=name)


def classes_elsewhere(record: Record, box: Box) -> list[str]:
    """The classes in the picture of which no box touches this one."""
    touching: dict[str, bool] = {}
    for region in record.regions:
        if region.label in COCO_CLASSES and region.box is not None:
            touches = region.box.geometry.intersects(box.geometry)
            touching[region.label] = touching.get(region.label, False) or touches
    return sorted(name for name, touches in touching.items() if not touches)


def classes_absent(record: Record) -> list[str]:
    """The classes that the picture has not."""
    present = {region.label for region in record.regions}
    return [name for name in COCO_CLASSES if name not in present]


def read_yes_no(answer: str) -> str | None:
    """ "yes" or "no", whichever word comes first; None where neither does.

    >>> read_yes_no("No, yes would be wrong.")
    'no'
    """
    found = YES_NO.search(answer)
    return found[0].lower() if found else None


def judge_presence(prediction: Prediction) -> Judged:
    """Right when the answer says yes or no as the truth does."""
    read, truth = read_yes_no(prediction.answer or ""), prediction.truths[0]
    says_yes = None if read is None else float(read == "yes")
    points = {"accuracy": float(read == truth), "says_yes": says_yes}
    return Judged(prediction.picture, truth, read, points, prediction.extra["kind"])


PRESENCE = Task(
    "presence", "is it there? yes or no", "coco", ("coco_val", "coco"), ("box", "point", *OUTLINES), ask_presence,
    judge_presence, 8, (ACCURACY, SAYS_YES), by_class=True,
)  # fmt: skip
