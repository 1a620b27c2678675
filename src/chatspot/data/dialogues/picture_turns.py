"""Questions about the whole picture or several regions: captions, questions that came with it, relations."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

from chatspot.data.dialogues.choices import dealt_choices
from chatspot.data.dialogues.names import plain_name
from chatspot.data.dialogues.scene import Scene, Turn, facts, shown, style_of
from chatspot.data.dialogues.wording import as_parts, clean_text, region_numbers, sayable, with_regions
from chatspot.data.records import Question
from chatspot.messages import TextPart
from chatspot.messages.conversation import Part
from chatspot.regions import Region

VERBATIM = frozenset(("llava_json",))  # whose questions are dialogues of their own already
VERBS = frozenset(
    [
        "has",
        "have",
        "had",
        "can",
        "wears",
        "holds",
        "rides",
        "eats",
        "hits",
        "plays",
        "shows",
        "covers",
        "carries",
        "pulls",
        "faces",
        "says",
    ]
)


def caption_turns(scene: Scene) -> Iterator[Turn]:
    """Describe the picture."""
    captions = [text for text in map(clean_text, scene.record.captions) if text]
    scene.rng("captions").shuffle(captions)
    for number, caption in enumerate(captions[: scene.settings.captions]):
        if scene.wanted("caption", number):
            question = scene.phrase("caption", scene.rng("caption", number))
            yield Turn("caption", question, (TextPart(caption),), style_of(caption), frozenset({"caption"}),
                       frozenset({"caption"}))  # fmt: skip


def question_turns(scene: Scene) -> Iterator[Turn]:
    """The questions that came with the picture, with their best answer. A question that names no region is followed
    by those it is about, in a form drawn as for any other. Those about a region that cannot be used are left out.
    Lettered choices are dealt anew, and the answer is one of them."""
    if scene.source in VERBATIM:
        return  # ``kept_dialogue`` keeps them in their order
    for at, asked in enumerate(scene.record.questions):
        if not scene.wanted("vqa", at):
            continue
        rng = scene.rng("vqa", at)
        dealt = dealt_choices(asked, rng)
        said, best = dealt or (asked.question, asked.answers[0] if asked.answers else None)
        text, answer = clean_text(said, lines=True), clean_text(best, lines=True)
        numbers = used_regions(asked)
        if text is None or answer is None or not all(map(scene.can_ask, numbers)):
            continue
        places = {number: scene.place(number, rng) for number in numbers}
        unnamed = [] if region_numbers(text) else [places[number] for number in dict.fromkeys(asked.regions)]
        question = worded(scene, with_regions(text, places), unnamed, rng)
        exact = {number: scene.record.regions[number].region for number in numbers}
        asks = facts("answer", plain_name(text), *numbers) | frozenset({f"question {at}"})
        style = "short" if dealt else style_of(answer)
        yield Turn("vqa", question, with_regions(answer, exact), style, asks, asks | shown(places))


def kept_dialogue(scene: Scene) -> tuple[Turn, ...]:
    """The questions of a source that are one dialogue: word for word and in their order, as later ones lean on earlier
    ones, up to the first that cannot be said. Empty for other sources, and where "vqa" is not asked."""
    if scene.source not in VERBATIM or not scene.wanted("vqa"):
        return ()
    turns: list[Turn] = []
    for asked in scene.record.questions:
        answer = asked.answers[0].strip() if asked.answers else ""
        question = asked.question.strip()
        if not sayable(question) or not sayable(answer):
            break
        nothing: frozenset[str] = frozenset()
        turns.append(Turn("vqa", (TextPart(question),), (TextPart(answer),), style_of(answer), nothing, nothing))
    return tuple(turns)


def used_regions(asked: Question) -> list[int]:
    """The numbers of the regions that a question and its best answer need, each once: those that the question names,
    else those it is about."""
    answer = asked.answers[0] if asked.answers else ""
    return list(dict.fromkeys([*(region_numbers(asked.question) or asked.regions), *region_numbers(answer)]))


def worded(scene: Scene, question: tuple[Part, ...], unnamed: list[Region], rng: random.Random) -> tuple[Part, ...]:
    """A source's question in its family's words or in its own, followed by the regions that it does not name. One of
    several lines (its choices) keeps its own."""
    lines = any("\n" in part.text for part in question if isinstance(part, TextPart))
    wrapped = not lines and rng.random() < scene.settings.wrapped_share
    if wrapped and len(unnamed) == 1:
        return scene.phrase("question region", rng, question=question, region=unnamed[0])
    if wrapped and not unnamed:
        return scene.phrase("question", rng, question=question)
    return (*question, *(part for region in unnamed for part in (TextPart(" "), *as_parts(region))))


def relation_turns(scene: Scene) -> Iterator[Turn]:
    """How do two regions stand to each other, and what does a region stand in a relation to?"""
    objects = defaultdict(set)
    for relation in scene.record.relations:
        objects[relation.subject, plain_name(relation.predicate)].add(relation.object)
    done = set()
    for relation in scene.record.relations:
        pair = (relation.subject, relation.object)
        predicate = clean_text(relation.predicate)
        if pair in done or predicate is None or pair[0] == pair[1] or not all(map(scene.can_ask, pair)):
            continue
        done.add(pair)
        if not scene.wanted("relation", *pair):
            continue
        rng = scene.rng("relation", *pair)
        predicate = plain_name(predicate)
        subject, object_ = scene.labels[pair[0]], scene.labels[pair[1]]
        verb = with_verb(predicate)
        if subject and object_ and len(objects[pair[0], predicate]) == 1 and rng.random() < 1 / 3:
            places = {pair[0]: scene.place(pair[0], rng)}
            question = scene.phrase("relation object", rng, region=places[pair[0]], name=subject, verb=verb)
            tells = facts("name", *pair) | shown(places)
            yield Turn("relation", question, (TextPart(object_),), "short", facts("name", pair[1]), tells)
            continue
        places = {number: scene.place(number, rng) for number in pair}
        question = scene.phrase("relation", rng, subject=places[pair[0]], object=places[pair[1]])
        style = scene.style(rng) if subject and object_ else "short"
        answer = predicate if style == "short" else f"The {subject} {verb} the {object_}."
        asks = frozenset({f"relation {min(pair)} {max(pair)}"})
        tells = asks | shown(places) | (facts("name", *pair) if style == "long" else frozenset())
        yield Turn("relation", question, (TextPart(answer),), style, asks, tells)


def with_verb(predicate: str) -> str:
    """A predicate as it follows its subject: "on" becomes "is on", "has" stays."""
    first = predicate.split()[0]
    return predicate if first in VERBS or first in ("is", "are") else f"is {predicate}"
