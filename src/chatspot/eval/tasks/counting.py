"""How many are there in this region? One to seven objects of a class, counted from COCO's boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatspot.data.dialogues.counting import SINGLES, countable
from chatspot.data.dialogues.families import GENERAL, family
from chatspot.data.dialogues.wording import plural
from chatspot.data.records import Record
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.objects import asked_objects
from chatspot.eval.tasks.task import ACCURACY, Draw, Form, Judged, Measure, Question, Task
from chatspot.messages import Conversation, ask
from chatspot.regions import jitter

COUNT_QUESTION = family(GENERAL)["count here"][0]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBER = re.compile(rf"\b(?:\d{{1,6}}|{'|'.join(WORDS)}|no|none)\b", re.IGNORECASE)

WITHIN_ONE = Measure("within_one", "off by at most one")


def ask_count(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """One question for each class of the picture: a box around 1 to 7 neighbouring objects of it, such that every other
    object of that class lies outside. How many, and which box, is drawn."""
    askable = set(asked_objects(record))
    labels = sorted({region.label for region in record.regions if region.label in COCO_CLASSES})
    for label in labels:
        own = [(at, region) for at, region in enumerate(record.regions) if region.label == label]
        if any(at not in askable for at, _ in own):  # a crowd, or too small to be counted
            continue
        rng = draw.rng("count", record.id, str(label))
        if len(own) == 1 and rng.random() >= SINGLES:
            continue
        windows = countable([region for _, region in own])
        if not windows:
            continue
        count = rng.choice(sorted(windows))
        box = rng.choice(windows[count])
        if draw.noise:
            box = jitter(box, draw.noise, size=record.size, rng=draw.rng("noise", record.id, str(label)))
        words = COUNT_QUESTION.format(names=plural(str(label)))
        extra = {"form": form, "name": label, **({"noise": draw.noise} if draw.noise else {})}
        conversation = Conversation((ask(words, box, style="short"),))
        number = f"{record.id}#{own[0][0]}"
        yield Question(number, record.image, record.size, conversation, "count", str(count), extra)


def read_count(answer: str) -> str | None:
    """The first number that the answer names, as digits; None where it names none.

    >>> read_count("There are Three dogs.")
    '3'
    """
    found = NUMBER.search(answer)
    if found is None:
        return None
    word = found[0].lower()
    if word in ("no", "none"):
        return "0"
    return str(WORDS.index(word)) if word in WORDS else str(int(word))


def judge_count(prediction: Prediction) -> Judged:
    """Right when the number is the annotated one."""
    read, truth = read_count(prediction.answer or ""), prediction.truths[0]
    near = read is not None and abs(int(read) - int(truth)) <= 1
    return Judged(prediction.picture, truth, read, {"accuracy": float(read == truth), "within_one": float(near)})


COUNT = Task(
    "count", "count in a region (1 to 7)", "coco", ("coco_val", "coco"), ("box",), ask_count, judge_count, 12,
    (ACCURACY, WITHIN_ONE), by_class=True,
)  # fmt: skip
