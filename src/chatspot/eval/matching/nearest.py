"""Which class does an answer name? Four rules, the same interface.

==============  =======================================================================================================
words           The rule on words of ``rules``: a class's name, a synonym or a plural, or the longest of them in the
                answer. An answer that names none is left unread. It can be repeated by hand and needs nothing.
sentence        The class whose name is nearest by the cosine of sentence embeddings (``sentences``). Finds a class for
                any words.
words+sentence  The rule on words, and where it finds none the nearest class. The default.
clip            The class that is nearest by the cosine of CLIP's text embeddings (``clip_texts``): the paper's rule
                (its section 4). Finds a class for any words. Its model comes from the hub or from a folder.
==============  =======================================================================================================

Why that default: of 578 phrases in which people spoke of a COCO object (``caption_phrases`` of our COCO photos), the
rule on words finds the class of 93.8 %, embeddings of 90.0 % ("little girl" is nearest to "bird"), both together of
95.3 %; of 198 longer descriptions 62.1, 59.1 and 65.2 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from chatspot.errors import DataError
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.matching import clip_texts
from chatspot.eval.matching.rules import coco_class, read_name
from chatspot.eval.matching.sentences import embed_sentences

if TYPE_CHECKING:
    import numpy as np

Finder: TypeAlias = Callable[[str], str | None]
"""From an answer to the class that it names, or None."""
Embed: TypeAlias = "Callable[[Sequence[str]], np.ndarray]"

RULES = ("words+sentence", "words", "sentence", "clip")
DEFAULT_RULE = RULES[0]
SENTENCE_TEMPLATE = "a {}"  # of the plain name, "a NAME" and "a photo of a NAME." the one that agrees best with people


def class_finder(
    rule: str, answers: Sequence[str] = (), classes: Sequence[str] = COCO_CLASSES, *, clip: str = clip_texts.NAME
) -> Finder:
    """The finder of that rule. ``answers`` are looked up together beforehand, which is much faster than one by one;
    others may still be asked for. ``clip`` is a hub id or a folder.

    Raises ``DataError`` for an unknown rule, and for rules on words with other classes than COCO's.
    """
    if rule.startswith("words") and tuple(classes) != COCO_CLASSES:
        raise DataError("the rule on words knows the synonyms of COCO's 80 classes only; use rule sentence")
    if rule == "words":
        return coco_class
    if rule == "sentence":
        return Nearest(embed_sentences, classes, answers, SENTENCE_TEMPLATE)
    if rule == "words+sentence":
        return NamedOrNearest(answers)
    if rule == "clip":
        embed = partial(clip_texts.embed_clip_texts, name=clip)
        return Nearest(embed, classes, answers, clip_texts.TEMPLATE)
    raise DataError(f"there is no rule {rule!r} for matching answers to classes; known are {', '.join(RULES)}")


class Nearest:
    """The finder of the class whose embedding is nearest; of two equally near ones the first. An answer without a
    letter or digit names nothing."""

    def __init__(self, embed: Embed, classes: Sequence[str], answers: Sequence[str] = (), template: str = "{}") -> None:
        self.embed, self.classes = embed, tuple(classes)
        self.vectors = embed([template.format(name) for name in classes])
        self.found: dict[str, str | None] = {}
        self.look_up(answers)

    def look_up(self, answers: Sequence[str]) -> None:
        """Find the classes of all these answers at once."""
        new = [answer for answer in dict.fromkeys(answers) if answer not in self.found]
        named = [answer for answer in new if read_name(answer)]
        self.found |= dict.fromkeys(new)
        if named:
            nearest = (self.embed(named) @ self.vectors.T).argmax(axis=1)
            self.found |= {answer: self.classes[at] for answer, at in zip(named, nearest, strict=True)}

    def __call__(self, answer: str) -> str | None:
        self.look_up([answer])
        return self.found[answer]


class NamedOrNearest:
    """The finder of "words+sentence". The weights of the embeddings are only opened for an answer without a name."""

    def __init__(self, answers: Sequence[str] = ()) -> None:
        self.nearest: Nearest | None = None
        self.look_up([answer for answer in answers if coco_class(answer) is None])

    def look_up(self, answers: Sequence[str]) -> None:
        """Find the nearest classes of all these answers at once."""
        if any(read_name(answer) for answer in answers):
            self.nearest = self.nearest or Nearest(embed_sentences, COCO_CLASSES, (), SENTENCE_TEMPLATE)
            self.nearest.look_up(answers)

    def __call__(self, answer: str) -> str | None:
        named = coco_class(answer)
        if named is None:
            self.look_up([answer])
        return named or (self.nearest(answer) if self.nearest else None)
