"""The free writer: dialogues from the annotation alone, by rules, without any endpoint.

It hands in the same form as a language model and passes the same checks. What it says is as true as the annotation:
attributes, colours among them, counts, relations, spatial order, text, yes and no in equal shares.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from chatspot.data.regionchat.dialogue import Dialogue, Turn
from chatspot.data.regionchat.scene import CUT, Scene, SceneRegion, beside, middle_of, with_article

MODEL = "rules"
# The eleven basic colour terms of English (Berlin and Kay, Basic Color Terms, 1969), and both spellings of grey.
COLOURS = frozenset(
    ["black", "white", "red", "green", "yellow", "blue", "brown", "orange", "pink", "purple", "grey", "gray"]
)
COUNTED = ("two", "three", "four", "five", "six", "seven", "eight")

NAME = ("What is {r}?", "What can you see at {r}?", "Which thing is {r}?", "Name what is shown at {r}.")
NAME_ANSWERS = ("{A}.", "It is {a}.", "This is {a}.")
COLOUR = ("What colour is {r}?", "Which colour does {r} have?", "What is the colour of the {label} at {r}?")
ATTRIBUTE = ("What is special about {r}?", "How does the {label} at {r} look?", "What is {r} like?")
TEXT = ("What is written at {r}?", "Read the text at {r}.", "What does {r} say?", "Which words stand at {r}?")
PLATE = ("What is the number on the plate {r}?", "Read the license plate at {r}.")
COUNT = ("How many of the kind {label} are in the picture, {r} among them?",
         "Counting {r}, how many of the kind {label} does the picture show?")  # fmt: skip
DESCRIBE = ("Describe {r}.", "What can you tell about {r}?", "Say in a few words what {r} shows.")
RELATION = ("How are {r} and {s} related?", "What does {r} have to do with {s}?", "What joins {r} and {s}?")
BESIDE = ("Where is {r}, seen from {s}?", "On which side of {s} is {r}?", "Where does {r} lie compared with {s}?")
LEFTMOST = ("Which one is further to the left, {r} or {s}?", "Is {r} or {s} more to the left?")
HIGHEST = ("Which one is higher up in the picture, {r} or {s}?", "Is {r} or {s} nearer to the top?")
PLACE = ("In which part of the picture is {r}?", "Whereabouts in the picture is {r}?")
WHERE = ("Where is the {label}?", "Point at the {label}.", "Show me where the {label} is.")
PRESENT = ("Is {r} {a}?", "Is there {a} at {r}?", "Can you see {a} at {r}?")

Phrases = Sequence[str]


def rules_dialogues(scene: Scene, *, count: int = 1, turns: int = 4, seed: int = 0) -> list[Dialogue]:
    """Up to ``count`` different dialogues about a scene, of 2 to ``turns`` turns; fewer where less is known. The same
    scene and seed give the same ones."""
    rng = random.Random(f"{seed}/{scene.id}/rules")
    made = all_turns(scene, rng)
    rng.shuffle(made)
    made = varied(made)
    chosen = [made[at : at + turns] for at in range(0, min(len(made), count * turns), turns)]
    return [Dialogue(turns=tuple(turn for _, turn in some)) for some in chosen if len(some) >= 2]


def varied(made: list[tuple[str, Turn]]) -> list[tuple[str, Turn]]:
    """The turns in an order in which kinds take turns and no question comes twice."""
    waiting: dict[str, list[Turn]] = {}
    asked = set()
    for kind, turn in made:
        if turn.question not in asked:
            asked.add(turn.question)
            waiting.setdefault(kind, []).append(turn)
    out = []
    while waiting:
        for kind in list(waiting):
            out.append((kind, waiting[kind].pop()))
            if not waiting[kind]:
                del waiting[kind]
    return out


def all_turns(scene: Scene, rng: random.Random) -> list[tuple[str, Turn]]:
    """Every turn that the scene supports, each in one phrasing."""
    made: list[tuple[str, Turn]] = []

    def add(kind: str, questions: Phrases, answer: str, r: SceneRegion, s: SceneRegion | None = None) -> None:
        fill = {"r": r.placeholder, "label": r.label, "s": s.placeholder if s else ""}
        usable = [q for q in questions if r.label or "{label}" not in q]
        if usable:
            made.append((kind, Turn(question=rng.choice(usable).format(**fill), answer=answer)))

    for region in scene.regions:
        about_one(scene, region, add, rng)
    for kind in {r.label for r in scene.regions if r.label}:
        alike = [r for r in scene.regions if r.label == kind]
        if len(alike) == 1 and dict(scene.counts).get(kind) == 1:
            add("where", WHERE, f"{alike[0].placeholder}.", alike[0])
    for subject, predicate, object_ in scene.relations:
        one, other = scene.region(subject), scene.region(object_)
        if one and other and one.label and other.label:
            add("relation", RELATION, f"The {one.label} {subject} is {predicate} the {other.label} {object_}."
                if predicate.split()[0].endswith("ing") or predicate in ("on", "in", "under", "above", "below", "near")
                else f"The {one.label} {subject} {predicate} the {other.label} {object_}.", one, other)  # fmt: skip
    about_pairs(scene, add)
    made += yes_and_no(scene, rng)
    made.sort(key=lambda pair: (pair[0], pair[1].question, pair[1].answer))  # sets above have no order
    return made


def about_one(scene: Scene, region: SceneRegion, add: Callable[..., None], rng: random.Random) -> None:
    """What one region alone supports."""
    if region.label and not region.text:
        named = with_article(region.label)
        add("name", NAME, rng.choice(NAME_ANSWERS).format(a=named, A=named[0].upper() + named[1:]), region)
    if region.text and '"' not in region.text and len(region.text.split()) <= 20:
        add("text", PLATE if "plate" in region.label else TEXT, f'"{region.text}"', region)
    colours = [a.lower() for a in region.attributes if a.lower() in COLOURS]
    if len(colours) == 1:
        add("colour", COLOUR, f"{colours[0].capitalize()}.", region)
    others = [a for a in region.attributes if a.lower() not in COLOURS]
    if others and region.label:
        add("attribute", ATTRIBUTE, f"The {region.label} is {' and '.join(others[:2])}.", region)
    whole = [d for d in region.descriptions if not d.endswith(CUT)]
    if whole:
        told = whole[0].rstrip(". ")
        add("describe", DESCRIBE, f"{told[0].upper() + told[1:]}.", region)
    many = dict(scene.counts).get(region.label, 0)
    if region.label and 2 <= many <= len(COUNTED) + 1:
        add("count", COUNT, f"{COUNTED[many - 2].capitalize()}.", region)
    add("place", PLACE, f"In the {region.place}.", region)


def about_pairs(scene: Scene, add: Callable[..., None]) -> None:
    """Spatial order of regions that stand clearly apart."""
    for one in scene.regions:
        for other in scene.regions:
            if one is other or one.known.box is None or other.known.box is None:
                continue
            side = beside(one.known.box, other.known.box)
            if side:
                add("beside", BESIDE, f"{one.placeholder} is {side} {other.placeholder}.", one, other)
            if side == "to the left of":
                add("order", LEFTMOST, f"{one.placeholder} is further to the left.", one, other)
            elif side == "above" and middle_of(one.known).y < middle_of(other.known).y:
                add("order", HIGHEST, f"{one.placeholder} is higher up.", one, other)


def yes_and_no(scene: Scene, rng: random.Random) -> list[tuple[str, Turn]]:
    """A yes and a no in equal number: the no names a kind that the picture shows elsewhere."""
    made = []
    labelled = [r for r in scene.regions if r.label and not r.text]
    for region in labelled:
        others = sorted({r.label for r in labelled if different(r.label, region.label)})
        if not others:
            continue
        for name, answer in ((region.label, "Yes"), (rng.choice(others), "No")):
            named = with_article(name)
            question = rng.choice(PRESENT).format(r=region.placeholder, a=named)
            told = f"Yes, it is {named}." if answer == "Yes" else f"No, it is {with_article(region.label)}."
            made.append((answer, Turn(question=question, answer=told)))
    return made


def different(one: str, other: str) -> bool:
    """Whether two names surely name different things: none of their words is shared ("man", "young man")."""
    return not set(one.lower().split()) & set(other.lower().split())
