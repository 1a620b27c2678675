"""How far two rules for matching answers to classes agree: what a number owes to its rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from chatspot.eval.matching.nearest import Finder

EXAMPLES = 10


def agreement(answers: Sequence[str], finders: Mapping[str, Finder]) -> dict[str, Any]:
    """For each pair of rules, as "words/sentence": of how many ``answers`` they find the same class (``same``, a share
    of all; null for no answers), how many only one of them reads, and the commonest answers that they read differently.
    """
    found = {name: [finder(answer) for answer in answers] for name, finder in finders.items()}
    table = {}
    for one, other in combinations(finders, 2):
        sides = list(zip(answers, found[one], found[other], strict=True))
        apart = Counter(side for side in sides if side[1] != side[2])
        commonest = sorted(apart, key=lambda side: (-apart[side], side[0]))[:EXAMPLES]
        table[f"{one}/{other}"] = {
            "n": len(sides),
            "same": 1 - apart.total() / len(sides) if sides else None,
            f"only_{one}": sum(first is not None and second is None for _, first, second in sides),
            f"only_{other}": sum(first is None and second is not None for _, first, second in sides),
            "examples": [
                {"answer": answer, one: first, other: second, "n": apart[answer, first, second]}
                for answer, first, second in commonest
            ],
        }
    return table
