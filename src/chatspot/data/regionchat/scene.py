"""What a writer of dialogues is told of a picture: facts in words, regions by placeholder, no number it could copy.

A language model that sees ``[x, y, w, h]`` copies some of them wrongly, and the paper's prompt shows them (PAPER.md,
row 11). Here region number 1 is ``<r1>``; where it lies is said in words ("upper left"). What annotators wrote is data
from outside: it is put on one line, shortened, and cannot write a placeholder of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from chatspot.data.records import Record, RegionRecord
from chatspot.regions import Box, Point

PLACEHOLDER = re.compile(r"<r([1-9][0-9]{0,2})>")
RECORD_REGION = re.compile(r"<region(\d+)?>")  # as region JSON lines name the regions of their record
LONGEST_FACT = 200  # characters of one annotated text in the prompt (our choice: two sentences)
CUT = " ..."  # ends what was shortened
LARGE, SMALL = 0.25, 0.02  # share of the picture's area (our choice)
CAPTIONS, DESCRIPTIONS, RELATIONS, QUESTIONS = 3, 2, 8, 4  # at most so many in a prompt (our choice)
APART = 0.02  # of the picture's side between two boxes that stand beside or above each other (our choice)
# Names of COCO's, CamVid's and the shops' classes that take no article (our list)
UNCOUNTED = frozenset(
    """background bread cake cereal clothing coffee dirt fish food fruit furniture gravel grass ground hair honey ice
    jam juice milk mud pasta pavement people rice sand sauce sky snow spinach sugar tea text vinegar water""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class SceneRegion:
    """A region under its placeholder. ``facts`` are what is known of it, in words; ``number`` is its place in the
    record; ``place`` is where it lies ("upper left"), ``extent`` "large", "small" or empty."""

    placeholder: str
    number: int
    known: RegionRecord
    label: str
    text: str
    attributes: tuple[str, ...]
    descriptions: tuple[str, ...]
    place: str
    extent: str

    @property
    def line(self) -> str:
        """The region as one line of a prompt."""
        facts = [", ".join(self.attributes)] if self.attributes else []
        facts += [f'the text "{self.text}" is written on it'] if self.text else []
        facts += list(self.descriptions)
        facts.append(f"{self.extent} and in the {self.place} of the picture".removeprefix(" and "))
        return f"{self.placeholder} is {with_article(self.label) if self.label else 'a region'}: {'; '.join(facts)}"


@dataclass(frozen=True)
class Scene:
    """A record as its writers see it. ``relations`` hold placeholders: (subject, predicate, object)."""

    id: str
    regions: tuple[SceneRegion, ...]
    captions: tuple[str, ...]
    relations: tuple[tuple[str, str, str], ...]
    questions: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """Everything that is known, as lines of a prompt."""
        lines = [region.line for region in self.regions]
        lines += [f"{subject} {predicate} {object_}" for subject, predicate, object_ in self.relations]
        lines += [f"In the whole picture: {count} of the kind {label}" for label, count in self.counts if count > 1]
        lines += [f"Known: {question} {answer}" for question, answer in self.questions]
        return "\n".join(lines + [f"Caption: {caption}" for caption in self.captions])

    def region(self, placeholder: str) -> SceneRegion | None:
        """The region of a placeholder such as ``<r1>``, or None where the scene has none."""
        return next((region for region in self.regions if region.placeholder == placeholder), None)


def scene_of(record: Record, *, most_regions: int = 8) -> Scene | None:
    """The scene of a record with its ``most_regions`` best known and largest regions, in the record's order; None where
    nothing is known of any region."""
    usable = [(at, r) for at, r in enumerate(record.regions) if r.askable and knows_something(r)]
    usable.sort(key=lambda pair: (-wealth(pair[1]), -pair[1].area_px, pair[0]))
    chosen = sorted(usable[:most_regions], key=lambda pair: pair[0])
    if not chosen:
        return None
    names = {number: f"<r{at}>" for at, (number, _) in enumerate(chosen, 1)}
    counted = Counter(plain(r.label) for r in record.regions if r.askable and r.label)
    crowds = {plain(r.label) for r in record.regions if r.label and not r.askable}
    kinds = dict.fromkeys(plain(r.label) for _, r in chosen if r.label)
    return Scene(
        record.id,
        tuple(scene_region(names[number], number, known) for number, known in chosen),
        tuple(dict.fromkeys(filter(None, map(plain, record.captions))))[:CAPTIONS],
        tuple(
            (names[r.subject], plain(r.predicate), names[r.object])
            for r in record.relations
            if r.subject in names and r.object in names and r.subject != r.object and plain(r.predicate)
        )[:RELATIONS],
        tuple(known_questions(record, names))[:QUESTIONS],
        tuple((kind, counted[kind]) for kind in kinds if kind and kind not in crowds),
    )


def scene_region(placeholder: str, number: int, known: RegionRecord) -> SceneRegion:
    """One region in words."""
    text = known.text if known.text and plain(known.text) == known.text.strip() else ""  # else it would be misquoted
    return SceneRegion(
        placeholder,
        number,
        known,
        plain(known.label or ""),
        text.strip(),
        tuple(dict.fromkeys(filter(None, map(plain, known.attributes))))[:6],
        tuple(dict.fromkeys(filter(None, map(plain, known.descriptions))))[:DESCRIPTIONS],
        place_of(known),
        extent_of(known),
    )


def knows_something(region: RegionRecord) -> bool:
    """Whether there is anything to talk about."""
    return any(map(plain, (region.label or "", region.text or "", *region.descriptions, *region.attributes)))


def wealth(region: RegionRecord) -> int:
    """How much is known of a region."""
    return bool(region.label) + bool(region.text) + len(region.descriptions[:3]) + len(region.attributes[:3])


def known_questions(record: Record, names: dict[int, str]) -> Iterable[tuple[str, str]]:
    """The record's own questions with placeholders, where every region they name is in the scene."""
    for known in record.questions:
        if known.answers:
            sides = [renamed(side, known.regions, names) for side in (known.question, known.answers[0])]
            if sides[0] and sides[1]:
                yield sides[0], sides[1]


def renamed(text: str, about: tuple[int, ...], names: dict[int, str]) -> str:
    """``text`` with ``<region3>``, or ``<region>`` for its only region, as placeholders; empty where one is unknown."""
    pieces = RECORD_REGION.split(text)
    out = plain(pieces[0])
    for number, after in zip(pieces[1::2], pieces[2::2], strict=True):
        at = int(number) if number else (about[0] if len(about) == 1 else -1)
        if at not in names:
            return ""
        rest = plain(after)
        out = f"{out} {names[at]}{rest if rest[:1] in tuple('.,?!;:') and rest else ' ' + rest}".strip()
    return out


def plain(text: str) -> str:
    """Annotated text on one line, shortened, without what looks like a placeholder or a control token."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace("<", "").replace(">", "").strip()
    return line if len(line) <= LONGEST_FACT else line[:LONGEST_FACT].rsplit(" ", 1)[0] + CUT


def place_of(region: RegionRecord) -> str:
    """Where a region's middle lies: "centre", "left", "upper right" ... by thirds of the picture."""
    middle = middle_of(region)
    column = ("left", "", "right")[min(int(middle.x * 3), 2)]
    row = ("upper", "", "lower")[min(int(middle.y * 3), 2)]
    if not row:
        return f"{column} part" if column else "centre"
    return f"{row} {column or 'middle'}"


def middle_of(region: RegionRecord) -> Point:
    """The middle of a region's box, or its point."""
    if region.box is not None:
        return region.box.center
    assert region.point is not None  # a record's region has a box or a point
    return region.point


def extent_of(region: RegionRecord) -> str:
    """ "large" or "small" by the share of the picture that its box covers, else nothing."""
    if region.box is None:
        return ""
    return "large" if region.box.area >= LARGE else "small" if region.box.area <= SMALL else ""


def beside(one: Box, other: Box) -> str:
    """ "to the left of", "to the right of", "above" or "below" where two boxes stand clearly apart in exactly one
    direction, else empty: what is both above and beside is said neither way."""
    across = "to the left of" if one.x2 + APART <= other.x1 else "to the right of" if other.x2 + APART <= one.x1 else ""
    upright = "above" if one.y2 + APART <= other.y1 else "below" if other.y2 + APART <= one.y1 else ""
    return "" if across and upright else across or upright


def with_article(name: str) -> str:
    """``name`` after its indefinite article; plurals and what cannot be counted stand without one."""
    last = name.lower().split()[-1:] or [""]
    if last[0] in UNCOUNTED or (last[0].endswith("s") and not last[0].endswith(("ss", "us", "is"))):
        return name
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
