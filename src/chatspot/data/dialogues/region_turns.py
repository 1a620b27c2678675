"""Questions about one region: its name, text, description, colour, and whether it is this or that."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from chatspot.data.dialogues.colours import BASIC_TERMS, measured_colour
from chatspot.data.dialogues.names import COCO_NAMES, could_be_one, has_colour, plain_name
from chatspot.data.dialogues.scene import Scene, Turn, facts, style_of
from chatspot.data.dialogues.wording import clean_text, with_article
from chatspot.data.records import PLATE_LABEL, RegionRecord
from chatspot.messages import TextPart
from chatspot.messages.conversation import Part

NEIGHBOUR_SHARE = 0.5  # of the names that are asked for in vain, taken from the same picture: the harder ones
MOST_ATTRIBUTES = 5
MOST_COVERED = 0.15  # of a region that other things may lie on before its colour is not measured (our choice)
SYMBOLS = frozenset("#%&@*+=<>|~^/\\_[]{}°§")  # with all signs of currency and mathematics: read wrongly most often


def name_turns(scene: Scene) -> Iterator[Turn]:
    """What is this?"""
    for number, label in named(scene):
        if not scene.wanted("name", number, name=label):
            continue
        rng = scene.rng("name", number)
        question = scene.phrase("name", rng, region=scene.place(number, rng))
        style = scene.style(rng)
        answer: tuple[Part, ...] = (TextPart(label),)
        if style == "long":
            said = described_name(label, scene.record.regions[number])
            answer = scene.phrase("name answer", rng, a_name=said)
        yield Turn(
            "name", question, answer, style, facts("name", number), facts("name", number) | facts("place", number)
        )


def text_turns(scene: Scene) -> Iterator[Turn]:
    """What does it say? Plates and texts with special symbols are hard cases."""
    for number, region in scene.regions:
        text = clean_text(region.text)
        if text is None:
            continue
        plate = plain_name(region.label or "") == PLATE_LABEL
        section = "plate" if plate else "symbols" if has_symbols(text) else "text"
        for time in scene.times("text", number, hard=section != "text"):
            rng = scene.rng("text", number, time)
            question = scene.phrase(section, rng, region=scene.place(number, rng))
            style = scene.style(rng)
            answer: tuple[Part, ...] = (TextPart(f'"{text}"'),)
            if style == "long":
                spelled = ", ".join(text.replace(" ", ""))
                values = {"text": f'"{text}"', **({"spelled": spelled} if plate else {})}
                answer = scene.phrase("plate answer" if plate else "text answer", rng, **values)
            yield Turn(
                "text", question, answer, style, facts("text", number), facts("text", number) | facts("place", number)
            )


def describe_turns(scene: Scene) -> Iterator[Turn]:
    """What is it like? One of its descriptions, or its attributes."""
    for number, region in scene.regions:
        tells = facts("name", number) | facts("place", number) | facts("describe", number) | facts("colour", number)
        rng = scene.rng("describe", number)
        descriptions = [text for text in map(clean_text, region.descriptions) if text]
        if descriptions and scene.wanted("describe", number):
            answer = rng.choice(descriptions)
            question = scene.phrase("describe", rng, region=scene.place(number, rng))
            yield Turn("describe", question, (TextPart(answer),), style_of(answer), facts("describe", number), tells)
        label = scene.labels[number]
        attributes = [text for text in map(clean_text, region.attributes) if text][:MOST_ATTRIBUTES]
        if attributes and label and scene.wanted("describe", number, "attributes"):
            rng = scene.rng("attributes", number)
            question = scene.phrase("attributes", rng, region=scene.place(number, rng), name=label)
            answer = ", ".join(dict.fromkeys(attributes))
            yield Turn("describe", question, (TextPart(answer),), "short", facts("describe", number), tells)


def presence_turns(scene: Scene) -> Iterator[Turn]:
    """Is this a dog? Answers alternate between yes and no over a record's regions, so they are balanced.

    Only where every object is annotated it is asked whether something is *in* a region; elsewhere whether the region
    *is* something, as an unnamed thing may lie inside. A name for "no" never suits the region or one that overlaps it.
    """
    asked = [(number, label) for number, label in named(scene) if scene.wanted("presence", number, name=label)]
    truth = scene.rng("presence").random() < 0.5
    for number, label in asked:
        rng = scene.rng("presence", number)
        name = label if truth else absent_name(scene, number)
        if name is None:
            continue
        section = "presence" if scene.exhaustive and rng.random() < 0.5 else "identity"
        question = scene.phrase(section, rng, region=scene.place(number, rng), a_name=with_article(name))
        style = scene.style(rng)
        if style == "short":
            answer: tuple[Part, ...] = (TextPart("yes" if truth else "no"),)
        else:
            values = {"a_name": with_article(name)}
            if section == "identity" and not truth:
                values["true_name"] = with_article(label)
            answer = scene.phrase(f"{section} {'yes' if truth else 'no'}", rng, **values)
        tells = facts("name", number) | facts("place", number)
        yield Turn("presence", question, answer, style, facts("name", number), tells)
        truth = not truth


def colour_turns(scene: Scene) -> Iterator[Turn]:
    """What colour is it? By its attributes where annotators named one basic colour, else measured inside its outline;
    dropped where the two disagree or the pixels do. Things before a complex background are hard cases."""
    for number, label in named(scene):
        if not scene.settings.tasks.get("colour") or not has_colour(label):
            continue
        known = known_colour(scene, number)
        if known is None:
            continue
        colour, hard = known
        for time in scene.times("colour", number, hard=hard, name=label, repeats=scene.settings.colour_repeats):
            rng = scene.rng("colour", number, time)
            question = scene.phrase("colour", rng, region=scene.place(number, rng), name=label)
            style = scene.style(rng)
            answer: tuple[Part, ...] = (TextPart(colour),)
            if style == "long":
                answer = scene.phrase("colour answer", rng, name=label, colour=colour)
            tells = facts("colour", number) | facts("name", number) | facts("place", number)
            yield Turn("colour", question, answer, style, facts("colour", number), tells)


def known_colour(scene: Scene, number: int) -> tuple[str, bool] | None:
    """The one basic colour of region ``number``, and whether its background is complex; None where it is not known."""
    region = scene.record.regions[number]
    said = {term for text in region.attributes for term in [basic_colour(text)] if term}
    shape = None if covered(scene, number) else region.mask or region.polygon
    seen = measured_colour(scene.pixels, shape) if shape and scene.pixels is not None else None
    colours = said | ({seen.name} if seen else set())
    if len(colours) != 1:
        return None
    return next(iter(colours)), bool(seen and seen.complex_background)


def named(scene: Scene) -> Iterator[tuple[int, str]]:
    """The regions that may be asked about and have a name, with their numbers; plates and texts count as text."""
    for number, region in scene.regions:
        label = scene.labels[number]
        if label and not (clean_text(region.text) and plain_name(label) == PLATE_LABEL):
            yield number, label


def absent_name(scene: Scene, number: int) -> str | None:
    """A name that region ``number`` does not bear, nor anything that overlaps it; one of the same picture's where the
    draw says so and one suits. None when no name suits."""
    here = scene.record.regions[number]
    borne = [
        label
        for at, (label, region) in enumerate(zip(scene.labels, scene.record.regions, strict=True))
        if label and (at == number or overlap(here, region))
    ]
    there = dict.fromkeys(name for name in scene.labels if name)  # each once, or common ones were denied most
    suits = [name for name in there if not any(could_be_one(name, other) for other in borne)]
    rng = scene.rng("absent", number)
    if suits and rng.random() < NEIGHBOUR_SHARE:
        return rng.choice(suits)
    others = [
        name for name in scene.settings.names or COCO_NAMES if not any(could_be_one(name, other) for other in borne)
    ]
    chosen = others or suits
    return rng.choice(chosen) if chosen else None


def overlap(first: RegionRecord, second: RegionRecord) -> bool:
    """Whether two regions share a place."""
    a, b = first.region.bounds_xyxy, second.region.bounds_xyxy
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def covered(scene: Scene, number: int) -> bool:
    """Whether smaller regions lie on much of region ``number``, as plates do on a table: outlines leave no holes for
    them, so its pixels are not all its own."""
    x1, y1, x2, y2 = scene.record.regions[number].region.bounds_xyxy
    area, hidden = (x2 - x1) * (y2 - y1), 0.0
    for at, other in enumerate(scene.record.regions):
        a1, b1, a2, b2 = other.region.bounds_xyxy
        if at != number and (a2 - a1) * (b2 - b1) < area:
            hidden += max(min(x2, a2) - max(x1, a1), 0.0) * max(min(y2, b2) - max(y1, b1), 0.0)
    return hidden > MOST_COVERED * area


def described_name(label: str, region: RegionRecord) -> str:
    """The label with its article and, where annotators gave one of a single word, its first attribute."""
    attribute = next((text for text in map(clean_text, region.attributes) if text and " " not in text), None)
    return with_article(f"{attribute} {label}" if attribute and attribute not in label else label)


def has_symbols(text: str) -> bool:
    """Whether a text holds a sign that is neither a letter, a digit nor ordinary punctuation."""
    return any(sign in SYMBOLS or unicodedata.category(sign) in ("Sc", "Sm", "So", "Sk") for sign in text)


def basic_colour(attribute: str) -> str | None:
    """The basic colour term that an attribute is, "grey" read as "gray"; None for anything else."""
    word = plain_name(attribute).replace("grey", "gray")
    return word if word in BASIC_TERMS else None
