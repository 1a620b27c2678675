"""Questions with lettered choices: GAR-Bench's. How they are read, and how training asks them."""

from __future__ import annotations

import random
import re
from string import ascii_uppercase

from chatspot.data.dialogues.wording import region_numbers
from chatspot.data.records import Question

CHOICE = re.compile(r"([A-Z])\.\s*(\S.*)")
# a choice that speaks of the others ("None of the above") keeps its place, and they theirs
OTHERS = re.compile(r"\b(?:above|both|none|neither|all of)\b", re.IGNORECASE)


def choices_of(asked: Question) -> dict[str, str]:
    """The choices of a question by their letters; none where its further lines are something else."""
    found = [CHOICE.fullmatch(line.strip()) for line in asked.question.splitlines()[1:]]
    choices = {match[1]: match[2] for match in found if match}
    return choices if len(choices) == len(found) >= 2 else {}


def dealt_choices(asked: Question, rng: random.Random) -> tuple[str, str] | None:
    """The question with its choices in a drawn order (their own where one speaks of others), and the right one with its
    letter ("B. Wood."); the letter alone where it names regions, as no answer is read by those. None where no one
    choice is the best answer."""
    choices = choices_of(asked)
    texts = list(choices.values())
    if not texts or not asked.answers or texts.count(asked.answers[0]) != 1:
        return None
    if not any(OTHERS.search(text) for text in texts):
        rng.shuffle(texts)
    lines = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, texts, strict=False)]
    right = lines[texts.index(asked.answers[0])]
    return "\n".join([asked.question.splitlines()[0], *lines]), right[0] if region_numbers(right) else right
