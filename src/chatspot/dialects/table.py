"""Every dialect that is known, by name."""

from __future__ import annotations

import difflib

from chatspot.dialects.beside import BESIDE
from chatspot.dialects.numbers import NUMBERS
from chatspot.dialects.objects import OBJECTS
from chatspot.dialects.specification import Dialect
from chatspot.dialects.tokens import TOKENS
from chatspot.errors import RegionError

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (*NUMBERS, *TOKENS, *OBJECTS, *BESIDE)}


def find_dialect(name: str) -> Dialect:
    """The dialect of this name; ``RegionError`` with the nearest names when there is none."""
    if name in DIALECTS:
        return DIALECTS[name]
    near = difflib.get_close_matches(name[:100], DIALECTS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(DIALECTS)}"
    raise RegionError(f"there is no dialect {name[:100]!r}; {hint}")
