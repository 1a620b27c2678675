"""From annotated pictures to dialogues: which region is asked about, in which form, in which words.

Every choice is drawn from a generator seeded by the record's id, so the same folder and settings give the same samples.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chatspot.data.records import PLATE_LABEL, Record, RegionRecord
from chatspot.data.samples import Sample
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.regions import Box, Point, Region, Scribble, jitter

NAME_QUESTIONS = (
    "What can you see in this region?",  # the paper's evaluation question (section 4)
    "What is this?",
    "What is in this region?",
    "What is the object here?",
    "Name the object in {region}.",
    "What is at {region}?",
)
TEXT_QUESTIONS = (
    "What text can you see in this region?",  # the paper's evaluation question (section 4)
    "What is written here?",
    "What does it say in {region}?",
    "Read the text in this region.",
)
PLATE_QUESTIONS = (
    "What is the number on this license plate?",
    "Read this license plate.",
    "What is written on the plate in {region}?",
)
CAPTION_QUESTIONS = ("Describe the image.", "What is shown in this picture?", "Describe the whole image in short.")
PRESENCE_QUESTIONS = ("Is there {article} {name} in this region?", "Is this {article} {name}?")


@dataclass(frozen=True)
class QuestionSettings:
    """How dialogues are made. Shares are of the questions about a region.

    ``repeats``: passes over a record's regions, each with its own choices. ``turns``: questions in a dialogue.
    ``point_share`` and ``outline_share`` (polygon where annotated, else a scribble inside the box): forms other than a
    box. ``jitter``: largest noise of a box in training (the paper's s). ``presence_share``: yes/no questions, balanced.
    ``balance``: how far common names are thinned out: a name that is n times as common as the median name is asked
    n ** -balance times as often; 0 asks as the pictures come.
    ``least_area``: smaller regions (px²) are not asked about. ``paper_question_share``: share of the first phrasing.
    """

    repeats: int = 1
    turns: int = 5
    point_share: float = 0.2
    outline_share: float = 0.1
    jitter: float = 0.1
    presence_share: float = 0.0
    balance: float = 0.0
    captions: int = 0
    least_area: float = 100.0
    paper_question_share: float = 0.5
    seed: int = 0


def samples_of(records: Iterable[Record], settings: QuestionSettings) -> Iterator[Sample]:
    """The dialogues about each record, record by record."""
    records = list(records)
    counts = Counter(r.label for record in records for r in record.regions if r.label and r.askable)
    names, shares = sorted(counts), kept_shares(counts, settings.balance)
    for record in records:
        for round_ in range(settings.repeats):
            yield from record_samples(record, names, settings, round_, shares)


def kept_shares(counts: Mapping[str, int], balance: float) -> dict[str, float]:
    """The share of its questions that each name keeps."""
    median = statistics.median(counts.values()) if counts else 1
    return {name: min(1.0, (median / count) ** balance) for name, count in counts.items()}


def record_samples(
    record: Record, names: Sequence[str], settings: QuestionSettings, round_: int, shares: Mapping[str, float]
) -> Iterator[Sample]:
    """The dialogues of one pass over a record's regions and captions."""
    rng = random.Random(f"{settings.seed}/{record.id}/{round_}")
    thinning = random.Random(f"{settings.seed}/{record.id}/{round_}/balance")  # leaves the other draws as they are
    turns = [
        turn
        for region in record.regions
        if region.askable and region.area_px >= settings.least_area
        for turn in [region_turn(record, region, names, settings, rng)]
        if turn and thinning.random() < shares.get(region.label or "", 1.0)
    ]
    rng.shuffle(turns)
    if settings.captions and record.captions and round_ < settings.captions:
        turns.insert(0, caption_turn(record, rng))
    for number, start in enumerate(range(0, len(turns), settings.turns)):
        chosen = turns[start : start + settings.turns]
        messages = [message for at, turn in enumerate(chosen) for message in with_picture(turn, first=at == 0)]
        yield Sample(f"{record.id}#{round_}.{number}", record.source, (record.image,), Conversation(tuple(messages)))


Turn = tuple[Message, Message]


def with_picture(turn: Turn, *, first: bool) -> Turn:
    """The turn with the picture in its question, if it is the first of its dialogue."""
    question, answer = turn
    return turn if first else (replace(question, parts=question.parts[1:]), answer)


def question_and_answer(question: str, regions: Sequence[Region], answer: str) -> Turn:
    """A turn that asks for a short answer."""
    return ask(question, *regions, style="short"), Message("assistant", (TextPart(answer),))


def region_turn(
    record: Record, region: RegionRecord, names: Sequence[str], settings: QuestionSettings, rng: random.Random
) -> Turn | None:
    """A question about a region, or None when nothing is known of it that can be asked."""
    place = asked_form(record, region, settings, rng)
    if region.text and region.label == PLATE_LABEL:
        return question_and_answer(phrasing(PLATE_QUESTIONS, settings, rng), [place], f'"{region.text}"')
    if region.text:
        return question_and_answer(phrasing(TEXT_QUESTIONS, settings, rng), [place], f'"{region.text}"')
    if not region.label:
        return None
    if len(names) > 1 and rng.random() < settings.presence_share:
        truth = rng.random() < 0.5
        name = region.label if truth else rng.choice([n for n in names if n != region.label])
        question = rng.choice(PRESENCE_QUESTIONS).format(article=article(name), name=name)
        return question_and_answer(question, [place], "yes" if truth else "no")
    return question_and_answer(phrasing(NAME_QUESTIONS, settings, rng), [place], region.label)


def caption_turn(record: Record, rng: random.Random) -> Turn:
    """A question about the whole picture, answered by one of its captions."""
    return question_and_answer(rng.choice(CAPTION_QUESTIONS), [], rng.choice(record.captions))


def phrasing(family: Sequence[str], settings: QuestionSettings, rng: random.Random) -> str:
    """A question of the family, the first one with the settings' share."""
    return family[0] if rng.random() < settings.paper_question_share else rng.choice(family)


def article(name: str) -> str:
    """The indefinite article before ``name``."""
    return "an" if name[:1].lower() in "aeiou" else "a"


def asked_form(record: Record, region: RegionRecord, settings: QuestionSettings, rng: random.Random) -> Region:
    """The form in which the region is pointed at: a noisy box, a point inside, or its outline."""
    if region.box is None:
        return region.region
    draw = rng.random()
    if draw < settings.point_share:
        return inner_point(region, rng)
    if draw < settings.point_share + settings.outline_share:
        return region.polygon or inner_scribble(region.box, rng)
    scale = rng.uniform(0, settings.jitter)
    return jitter(region.box, scale, size=record.size, rng=rng)


def inner_point(region: RegionRecord, rng: random.Random) -> Point:
    """A point inside the region: within its outline where one is known, in the middle of its box as a last resort."""
    assert region.box is not None
    box = region.box
    for _ in range(20):
        x = rng.uniform(box.x1 + 0.25 * (box.x2 - box.x1), box.x2 - 0.25 * (box.x2 - box.x1))
        y = rng.uniform(box.y1 + 0.25 * (box.y2 - box.y1), box.y2 - 0.25 * (box.y2 - box.y1))
        point = Point.from_normalized(x, y)
        if region.polygon is None or region.polygon.contains(point):
            return point
    return box.center


def inner_scribble(box: Box, rng: random.Random) -> Scribble:
    """A freehand stroke of 3 to 6 points over the box."""
    points = [(rng.uniform(box.x1, box.x2), rng.uniform(box.y1, box.y2)) for _ in range(rng.randint(3, 6))]
    pen = (max((box.x2 - box.x1) / 4, 1e-3), max((box.y2 - box.y1) / 4, 1e-3))
    return Scribble.from_normalized(points, pen_wh=pen)
