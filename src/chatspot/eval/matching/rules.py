"""When is an answer right? One stated rule for each task.

============  =====================================================================================================
objects       The answer in lower case without punctuation, quotes and articles is the name of a COCO class, one of
              its synonyms or a plural (``coco.known_names``); or else the longest such name that it contains as whole
              words (of two equally long ones, the first). The class must be the annotated one. An answer without any
              name is unmatched, which is wrong.
words         The answer contains the word: both in lower case, each run of white space as one blank (the paper's rule).
names         The answer is the annotated name, whatever names there are: both in lower case, without punctuation,
              quotes and articles. (For one's own data; no synonym is known, so this is the strictest rule.)
plates        The answer is the plate's characters: both without quotes, blanks and dashes, and in lower case.
============  =====================================================================================================

*Deviation*: the paper maps the answer to the nearest of the 80 class names by the similarity of CLIP text embeddings.
``nearest`` has that rule too, and says which is the default.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from chatspot.eval.coco import known_names

ARTICLES = frozenset({"a", "an", "the"})
NOT_WORD = re.compile(r"[\W_]+")
PLATE_NOISE = re.compile(r"[\s\"'`\u00ab\u00bb\u2018-\u201f\-\u2010-\u2015\u2212]+")  # blanks, quotes and dashes


def coco_class(answer: str) -> str | None:
    """The COCO class that an answer names, or None where it names none.

    >>> coco_class("A black dog.")
    'dog'
    """
    whole = read_name(answer) or ""
    words = whole.split()
    names, most_words = names_and_most_words()
    if whole in names:
        return names[whole]
    phrases = (" ".join(words[at : at + count]) for at in range(len(words)) for count in range(1, most_words + 1))
    found = [phrase for phrase in phrases if phrase in names]
    return names[max(found, key=len)] if found else None  # max gives the first of the longest


def read_name(answer: str) -> str | None:
    """The answer as the names task compares it, or None where it names nothing.

    >>> read_name('"The oat-milk."')
    'oat milk'
    """
    return " ".join(word for word in NOT_WORD.split(folded(answer)) if word and word not in ARTICLES) or None


@cache
def names_and_most_words() -> tuple[dict[str, str], int]:
    """``known_names`` and how many words the longest of them has."""
    names = known_names()
    return names, max(len(name.split()) for name in names)


def read_words(answer: str) -> str | None:
    """The answer as the words task compares it, or None where it is blank."""
    return " ".join(folded(answer).split()) or None


def read_plate(answer: str) -> str | None:
    """The answer's plate characters, or None where there are none.

    >>> read_plate('"RK-376 AF"')
    'rk376af'
    """
    return PLATE_NOISE.sub("", folded(answer)) or None


def folded(text: str) -> str:
    """The text without differences of case and of Unicode spelling (NFKC)."""
    return unicodedata.normalize("NFKC", text).casefold()
