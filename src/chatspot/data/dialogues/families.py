"""Families of phrasings: one text file for each source, and a general one for what a source has no words of its own.

A file holds sections: a line ``[task]`` and below it one phrasing a line; lines that begin with # are comments. Places
such as ``{region}`` and ``{name}`` are filled by ``wording.parts_of``. All phrasings are ours; the paper's evaluation
questions (section 4) stand first where it gives one.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from importlib import resources

from chatspot.data.dialogues.wording import PLACE
from chatspot.errors import DataError

GENERAL = "general"
OTHERS = "region_lines"  # the family of a folder of region JSON lines, whose records bear the folder's name

# sources that another's family serves: the same files in another split, or the same format
SAME_FAMILY = {
    "coco_val": "coco",
    "coco_text_val": "coco_text",
    "pointqa_test": "pointqa_looktwice",
    "refcoco": "visual_genome",
    **dict.fromkeys(("ferret_bench", "gar_bench", "dlc_bench", "mdvp_bench", "named_masks", "pope"), "region_lines"),
}

# the places that a section's phrasings may hold, and among them those that they must
PLACES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    section: (frozenset(may.split()), frozenset(must.split()))
    for section, may, must in (
        ("name", "region", ""),
        ("name answer", "a_name", "a_name"),
        ("text", "region", ""),
        ("text answer", "text", "text"),
        ("plate", "region", ""),
        ("plate answer", "text spelled", "text spelled"),
        ("symbols", "region", ""),
        ("caption", "", ""),
        ("describe", "region", ""),
        ("attributes", "region name", ""),
        ("presence", "region a_name", "a_name"),
        ("presence yes", "a_name", "a_name"),
        ("presence no", "a_name", "a_name"),
        ("identity", "region a_name", "a_name"),
        ("identity yes", "a_name", "a_name"),
        ("identity no", "a_name true_name", "a_name true_name"),
        ("colour", "region name", ""),
        ("colour answer", "name colour", "colour"),
        ("count", "names", "names"),
        ("count like", "region", ""),
        ("count here", "region names", "names"),
        ("relation", "subject object", "subject object"),
        ("relation object", "region name verb", "name verb"),
        ("ground", "name", "name"),
        ("ground answer", "name place", "name place"),
        ("ground all", "names", "names"),
        ("ground description", "description", "description"),
        ("ground text", "text", "text"),
        ("ground question", "question", "question"),
        ("question", "question", "question"),
        ("question region", "question region", "question"),
    )
}


@lru_cache(maxsize=64)
def family(name: str) -> dict[str, tuple[str, ...]]:
    """The sections of a source's family; those of OTHERS for a name that is no source's."""
    file = resources.files(__package__) / "families" / f"{SAME_FAMILY.get(name, name)}.txt"
    if not re.fullmatch(r"[a-z0-9_]+", name) or not file.is_file():
        file = resources.files(__package__) / "families" / f"{OTHERS}.txt"
    return parse_family(file.read_text(encoding="utf-8"), file.name)


def parse_family(text: str, where: str) -> dict[str, tuple[str, ...]]:
    """The sections of a family's text. Raises ``DataError`` with the line for an unknown section, a phrasing outside
    any, one that stands twice in its section, or one with a wrong or missing place."""
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            if section not in PLACES:
                raise DataError(f"{where}:{number}: there is no section [{section}]; there are {', '.join(PLACES)}")
            current = sections.setdefault(section, [])
            continue
        if current is None:
            raise DataError(f"{where}:{number}: a phrasing before the first [section]: {line}")
        may, must = PLACES[section]
        found = PLACE.findall(line)
        if (
            len(found) != len(set(found))
            or set(found) - may
            or must - set(found)
            or set("{}") & set(PLACE.sub("", line))
        ):
            raise DataError(f"{where}:{number}: [{section}] may hold {sorted(may)} once each and must hold "
                            f"{sorted(must)}, got {line}")  # fmt: skip
        if line in current:
            raise DataError(f"{where}:{number}: this phrasing stands twice in [{section}]: {line}")
        current.append(line)
    return {name: tuple(lines) for name, lines in sections.items()}


def phrasing(source: str, section: str, first_share: float, rng: random.Random) -> str:
    """A phrasing of the source's family, or of the general one where the source's has no such section; the first one
    with ``first_share`` beside its turn among all."""
    lines = family(source).get(section) or family(GENERAL)[section]
    return lines[0] if rng.random() < first_share else rng.choice(lines)
