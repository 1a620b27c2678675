"""How many are there? In the whole picture, and in a box around neighbouring objects of one class."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from chatspot.data.dialogues.names import COCO_NAMES, could_be_one, plain_name
from chatspot.data.dialogues.scene import Scene, Turn, facts
from chatspot.data.dialogues.wording import is_plural, plural
from chatspot.data.records import RegionRecord
from chatspot.messages import TextPart
from chatspot.messages.conversation import Part
from chatspot.regions import Box, jitter

MOST_COUNTED = 10  # in a picture; larger numbers are estimates, for people too (our choice)
NONE_SHARE = 0.2  # of pictures whose count questions ask for what is not there
MOST = 7  # in a region: people tell up to about so many at a glance; beyond, annotators disagree (our choice)
OUTSIDE = 0.1  # an object of which less than this share lies inside the region counts as outside (our choice)
INSIDE = 0.75  # of a counted object that noise of the box leaves inside (our choice)
NOISE = 0.1  # largest noise of such a box, as ``jitter`` has it (our choice)
SINGLES = 0.25  # share of the classes with a single object that are asked: else most answers were 1 (our choice)
NONE_HERE = 0.1  # of boxes around objects of one class that are asked about another, which is not there (our choice)


def count_turns(scene: Scene) -> Iterator[Turn]:
    """How many are in the picture? Only where every object is annotated; a class with a crowd is never counted."""
    if not scene.exhaustive:
        return
    bearers = numbers_by_name(scene)
    for name, numbers in bearers.items():
        whole = all(scene.record.regions[number].askable for number in numbers)
        if not scene.countable(name) or not whole or len(numbers) > MOST_COUNTED or not scene.wanted("count", name):
            continue
        rng = scene.rng("count", name)
        pointable = [number for number in numbers if scene.can_ask(number) and scene.record.regions[number].box]
        if pointable and rng.random() < 0.25:
            number = rng.choice(pointable)
            question = scene.phrase("count like", rng, region=scene.place(number, rng))
            tells = facts("count", name) | facts("place", number)
        else:
            question, tells = scene.phrase("count", rng, names=plural(name)), facts("count", name)
        yield counted(scene, "count", name, len(numbers), question, facts("count", name), tells, rng)
    rng = scene.rng("count none")
    vain = names_in_vain(scene, bearers)
    if bearers and vain and rng.random() < NONE_SHARE and scene.wanted("count", ""):
        name = rng.choice(vain)
        question = scene.phrase("count", rng, names=plural(name))
        yield counted(scene, "count", name, 0, question, facts("count", name), facts("count", name), rng)


def count_here_turns(scene: Scene) -> Iterator[Turn]:
    """How many are in this region? A box around 1 to MOST neighbouring objects of a class, such that every other object
    of that class lies outside. Only where every object is annotated; never of a class of which one is a crowd or too
    small to be asked about.

    For each class up to ``hard_repeats`` boxes of different counts, every possible count as likely as another.
    NONE_HERE of the boxes are also asked about a class that has no object in them: one from elsewhere in the picture,
    or none of the picture's.
    """
    if not scene.exhaustive:
        return
    bearers = numbers_by_name(scene)
    for name, numbers in bearers.items():
        if not scene.countable(name) or not all(map(scene.can_ask, numbers)) or not scene.wanted("count_here", name):
            continue
        rng = scene.rng("count here", name)
        if len(numbers) == 1 and rng.random() >= SINGLES:
            continue
        objects = [scene.record.regions[number] for number in numbers]
        if any(region.box is None for region in objects):
            continue
        windows = countable(objects)
        counts = sorted(windows)
        rng.shuffle(counts)
        for count in counts[: scene.settings.hard_repeats]:
            window = shaken(scene, rng.choice(windows[count]), objects, rng)
            held = [n for n, region in zip(numbers, objects, strict=True) if region.box and inside(region.box, window)]
            tells = facts("name", *held) | facts("place", *held)
            if count == len(numbers):
                tells |= facts("count", name)  # those in the picture, if one takes it so
            question = scene.phrase("count here", rng, names=plural(name), region=window)
            asks = facts("count here", f"{name} {count}")
            yield counted(scene, "count_here", name, count, question, asks, asks | tells, rng)
            if rng.random() < NONE_HERE:
                yield from none_here(scene, window, bearers, f"{name} {count}", rng)


def none_here(scene: Scene, window: Box, bearers: dict[str, list[int]], key: str, rng: random.Random) -> Iterator[Turn]:
    """The question for a class that has no object in the window; nothing where no class suits."""
    regions = scene.record.regions
    here = [
        name for name, numbers in bearers.items()
        if any((box := regions[number].box) is None or inside(box, window) for number in numbers)
    ]  # fmt: skip
    elsewhere = [
        name for name in bearers
        if scene.countable(name) and not any(could_be_one(name, other) for other in here)
    ]  # fmt: skip
    absent = names_in_vain(scene, bearers)
    chosen = elsewhere if elsewhere and rng.random() < 0.5 else absent
    if chosen:
        name = rng.choice(chosen)
        question = scene.phrase("count here", rng, names=plural(name), region=window)
        asks = facts("count here", f"{name} none {key}")
        yield counted(scene, "count_here", name, 0, question, asks, asks, rng)


def numbers_by_name(scene: Scene) -> dict[str, list[int]]:
    """The regions of each name, crowds and small ones among them."""
    found: dict[str, list[int]] = defaultdict(list)
    for number, label in enumerate(scene.labels):
        if label:
            found[plain_name(label)].append(number)
    return dict(found)


def names_in_vain(scene: Scene, bearers: dict[str, list[int]]) -> list[str]:
    """The names that nothing in the picture could bear."""
    names = scene.settings.names or COCO_NAMES
    return [name for name in names if not any(could_be_one(name, other) for other in bearers)]


def counted(
    scene: Scene,
    task: str,
    name: str,
    count: int,
    question: tuple[Part, ...],
    asks: frozenset[str],
    tells: frozenset[str],
    rng: random.Random,
) -> Turn:
    """The turn whose answer is a count of ``name``."""
    style = scene.style(rng)
    answer = str(count)
    if style == "long":
        one = count == 1 and not is_plural(name)
        where = "in this region" if task == "count_here" else "in the picture"
        answer = f"There {'is' if one else 'are'} {count or 'no'} {name if one else plural(name)} {where}."
    return Turn(task, question, (TextPart(answer),), style, asks, tells)


def countable(objects: Sequence[RegionRecord]) -> dict[int, list[Box]]:
    """By count, the boxes around objects that follow each other from left to right or from top to bottom, with every
    other object outside."""
    boxes = [region.box for region in objects if region.box is not None]
    across = sorted(boxes, key=lambda box: (box.center.x, box.center.y))
    down = sorted(boxes, key=lambda box: (box.center.y, box.center.x))
    found: dict[int, list[Box]] = {}
    for row in (across, down):
        for first in range(len(row)):
            for last in range(first + 1, min(first + MOST, len(row)) + 1):
                window = around(row[first:last])
                others = chain(row[:first], row[last:])
                if all(inside(other, window) < OUTSIDE for other in others):
                    found.setdefault(last - first, []).append(window)
    return found


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    return Box.from_normalized(
        min(box.x1 for box in boxes),
        min(box.y1 for box in boxes),
        max(box.x2 for box in boxes),
        max(box.y2 for box in boxes),
    )


def inside(box: Box, window: Box) -> float:
    """The share of the box that lies in the window."""
    width = min(box.x2, window.x2) - max(box.x1, window.x1)
    height = min(box.y2, window.y2) - max(box.y1, window.y1)
    return max(width, 0.0) * max(height, 0.0) / box.area


def shaken(scene: Scene, window: Box, objects: Sequence[RegionRecord], rng: random.Random) -> Box:
    """The window with noise, at most NOISE and the settings' own; as it is where noise would change the count."""
    scale = rng.uniform(0, min(scene.settings.jitter, NOISE))
    noisy = jitter(window, scale, size=scene.record.size, rng=rng)
    for box in (region.box for region in objects if region.box):
        least, most = (INSIDE, 1.1) if inside(box, window) >= OUTSIDE else (0.0, OUTSIDE)
        if not least <= inside(box, noisy) < most:
            return window
    return noisy
