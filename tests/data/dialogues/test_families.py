"""Families of phrasings: every source has its own, long enough, and each line can be filled."""

from __future__ import annotations

import random
from importlib import resources

import pytest

from chatspot.data.dialogues import families
from chatspot.data.dialogues.families import GENERAL, OTHERS, PLACES, SAME_FAMILY, family, parse_family, phrasing
from chatspot.data.dialogues.wording import parts_of
from chatspot.data.questions import CAPTION_QUESTIONS, NAME_QUESTIONS, PLATE_QUESTIONS, TEXT_QUESTIONS
from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError
from chatspot.eval.tasks.captions import REGION_QUESTION
from chatspot.eval.tasks.counting import COUNT_QUESTION
from chatspot.eval.tasks.ground import WHERE_QUESTION
from chatspot.regions import Point

FILES = sorted(file.name for file in (resources.files(families.__package__) / "families").iterdir())
OWN = [name.removesuffix(".txt") for name in FILES if name != f"{GENERAL}.txt"]
LEAST = 20  # phrasings of a family (issue Data)


def test_every_source_has_a_family_of_its_own() -> None:
    assert sorted(set(SOURCES) - set(SAME_FAMILY)) == sorted(OWN)
    assert set(SAME_FAMILY.values()) <= set(OWN)
    assert family("coco_val") == family("coco")


@pytest.mark.parametrize("name", [*OWN, GENERAL])
def test_a_family_is_long_enough_and_every_line_can_be_filled(name: str) -> None:
    sections = family(name)
    assert sections
    for section, lines in sections.items():
        least = LEAST if not section.endswith(("answer", "yes", "no")) else 5
        assert len(lines) >= least, section
        values = {place: f"<{place}>" for place in PLACES[section][0]}
        for line in lines:
            assert parts_of(line, values), line


def test_no_two_families_share_a_phrasing() -> None:
    """But the bare ``{question}`` and the paper's own evaluation questions, which stand first."""
    seen: dict[tuple[str, str], str] = {}
    for name in [*OWN, GENERAL]:
        for section, lines in family(name).items():
            for line in lines[1:]:
                assert seen.setdefault((section, line), name) == name, line


def test_the_general_family_has_every_section() -> None:
    assert set(family(GENERAL)) == set(PLACES)


@pytest.mark.parametrize("name", [GENERAL, "coco", OTHERS])
@pytest.mark.parametrize(
    ("section", "bench"),
    [
        ("name", NAME_QUESTIONS[0]),
        ("text", TEXT_QUESTIONS[0]),
        ("plate", PLATE_QUESTIONS[0]),
        ("caption", CAPTION_QUESTIONS[0]),
        ("presence", "Is there {a_name} in this region?"),
        ("colour", "What colour is this {name}?"),
        ("count here", COUNT_QUESTION),
        ("ground", WHERE_QUESTION),
        ("describe", REGION_QUESTION),
    ],
)
def test_the_bench_asks_in_the_words_that_stand_first(name: str, section: str, bench: str) -> None:
    """So that ``first_share`` sets how often training asks in just these."""
    assert phrasing(name, section, 1.0, random.Random(0)) == bench


@pytest.mark.parametrize("name", ["", "unheard_of", "../general", "general.txt", "COCO", "a/b", "é"])
def test_a_folder_of_region_lines_gets_their_family(name: str) -> None:
    assert family(name) == family(OTHERS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("What?", r"x\.txt:1: a phrasing before the first"),
        ("\n[what]", r"x\.txt:2: there is no section \[what\]"),
        ("[name]\nWhat is {name}?", r"x\.txt:2: \[name\] may hold \['region'\]"),
        ("[name]\n{region} or {region}?", "once each"),
        ("[presence]\nIs it there?", r"must hold \['a_name'\]"),
        ("[name]\nWhat is {region?", "may hold"),
        ("[name]\nWhat is }?", "may hold"),
        ("[name]\nWhat?\n# again\nWhat?", r"x\.txt:4: this phrasing stands twice"),
    ],
)
def test_a_family_that_cannot_be_used_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_family(text, "x.txt")


@pytest.mark.parametrize(("share", "kinds"), [(1.0, 1), (0.0, 22)])
def test_the_first_phrasing_has_its_share(share: float, kinds: int) -> None:
    rng = random.Random(0)
    drawn = {phrasing("coco", "name", share, rng) for _ in range(600)}
    assert len(drawn) == kinds
    assert "What can you see in this region?" in drawn


def test_what_is_filled_in_is_never_searched_for_places() -> None:
    (text,) = parts_of("Find {name}.", {"name": "a {region} {name} <box>"})
    assert text.to_json() == {"type": "text", "text": "Find a {region} {name} <box>."}


def test_a_region_without_a_place_follows_the_text() -> None:
    parts = parts_of("What is this?", {"region": Point.from_normalized(0.5, 0.5)})
    assert [part.to_json()["type"] for part in parts] == ["text", "region"]


def test_a_place_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        parts_of("What is {name}?", {})
