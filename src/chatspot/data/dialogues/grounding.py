"""Questions whose answer is a box: where is the dog, the text, the thing that these words describe?"""

from __future__ import annotations

import random
from collections.abc import Iterator

from chatspot.data.dialogues.names import could_be_one, plain_name
from chatspot.data.dialogues.picture_turns import VERBATIM, used_regions
from chatspot.data.dialogues.scene import Scene, Turn, facts
from chatspot.data.dialogues.wording import as_parts, clean_text, plural, region_numbers
from chatspot.messages import TextPart
from chatspot.messages.conversation import Part
from chatspot.regions import Box

MOST_PLACES = 5  # boxes in one answer
WHOLE_PICTURE = 0.9  # a box of more of the picture says nothing (and may be no annotation at all)
EVIDENCE = frozenset(("vizwiz_grounding",))  # sources whose questions' regions are where the answer is seen


def ground_turns(scene: Scene) -> Iterator[Turn]:
    """Boxes asked for by name, by all of one name, by text, by description, and by what answers a question.

    Asked only where one answer is right: a name that nothing else in the record could bear, a text or description that
    stands once.
    """
    yield from by_name(scene)
    yield from by_words(scene)
    yield from by_question(scene)


def by_name(scene: Scene) -> Iterator[Turn]:
    """Where is the dog? Where are all the dogs?"""
    labels = scene.labels
    for name in dict.fromkeys(plain_name(label) for label in labels if label):
        bearers = [number for number, label in enumerate(labels) if label and could_be_one(label, name)]
        exact = [number for number in bearers if plain_name(labels[number] or "") == name]
        if bearers != exact or not all(fits(scene, number) for number in exact):
            continue
        if not scene.wanted("ground", name, name=name):
            continue
        rng = scene.rng("ground", name)
        if len(exact) == 1:
            yield turn(scene, scene.phrase("ground", rng, name=name), exact, name, rng)
        elif len(exact) <= MOST_PLACES and scene.exhaustive:
            yield turn(scene, scene.phrase("ground all", rng, names=plural(name)), exact, name, rng)


def by_words(scene: Scene) -> Iterator[Turn]:
    """Where does it say so? Where is what these words describe?"""
    texts = [clean_text(region.text) for region in scene.record.regions]
    told = [[text for text in map(clean_text, region.descriptions) if text] for region in scene.record.regions]
    for number, _ in scene.regions:
        rng = scene.rng("ground words", number)
        if not fits(scene, number):
            continue
        text = texts[number]
        alone = text and sum(other.lower() == text.lower() for other in texts if other) == 1
        if text and alone and scene.wanted("ground", number, "text"):
            question = scene.phrase("ground text", rng, text=f'"{text}"')
            yield turn(scene, question, [number], None, rng, facts("text", number))
        if told[number] and scene.wanted("ground", number, "description"):
            description = rng.choice(told[number])
            if sum(description in others for others in told) == 1:
                question = scene.phrase("ground description", rng, description=description.rstrip(" ."))
                yield turn(scene, question, [number], None, rng, facts("name", number) | facts("describe", number))


def by_question(scene: Scene) -> Iterator[Turn]:
    """Where is the answer seen? Only of sources whose regions are the evidence."""
    if scene.source not in EVIDENCE or scene.source in VERBATIM:
        return
    for at, asked in enumerate(scene.record.questions):
        text, numbers = clean_text(asked.question), used_regions(asked)
        if text is None or len(numbers) != 1 or region_numbers(asked.question) or not fits(scene, numbers[0]):
            continue
        if scene.wanted("ground", at, "question"):
            rng = scene.rng("ground question", at)
            yield turn(scene, scene.phrase("ground question", rng, question=text), numbers, None, rng)


def turn(
    scene: Scene,
    question: tuple[Part, ...],
    numbers: list[int],
    name: str | None,
    rng: random.Random,
    tells: frozenset[str] = frozenset(),
) -> Turn:
    """The turn that is answered by the boxes of ``numbers``, from left to right; in a sentence where one box has a
    name and the style asks for it."""
    boxes = sorted((box_of(scene, number) for number in numbers), key=lambda box: (box.x1, box.y1))
    asks = facts("place", *numbers)
    told = asks | tells | (facts("name", *numbers) if name else frozenset())
    style = scene.style(rng) if name and len(boxes) == 1 else "short"
    if style == "long":
        answer: tuple[Part, ...] = scene.phrase("ground answer", rng, name=name or "", place=boxes[0])
    else:
        parts: list[Part] = []
        for at, box in enumerate(boxes):
            parts += [*([TextPart(", ")] if at else []), *as_parts(box)]
        answer = tuple(parts)
    return Turn("ground", question, answer, style, asks, told)


def fits(scene: Scene, number: int) -> bool:
    """Whether region ``number`` has a box that is worth asking for."""
    if not scene.can_ask(number):
        return False
    box = scene.record.regions[number].box
    return box is not None and box.area <= WHOLE_PICTURE


def box_of(scene: Scene, number: int) -> Box:
    """The annotated box, without noise: it is an answer."""
    box = scene.record.regions[number].box
    assert box is not None  # ``fits`` asked
    return box
