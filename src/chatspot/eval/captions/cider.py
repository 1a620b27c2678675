"""CIDEr-D: how much a caption says what people said, weighing words by how telling they are.

The measure of Vedantam et al. ("CIDEr: Consensus-based Image Description Evaluation", 2015) in the form that everybody
reports as CIDEr: coco-caption's ``cider_scorer.py`` (in pycocoevalcap 1.2), with n-grams of one to four words and
sigma 6. It is written out here because the package that holds it is 100 MB, for the sake of METEOR's and SPICE's data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chatspot.errors import DataError

LONGEST = 4  # words of an n-gram
SIGMA = 6.0  # of the penalty for a wrong length
SCALE = 10.0

Words = Sequence[str]
Ngram = tuple[str, ...]


@dataclass(frozen=True)
class Weighed:
    """A caption's n-grams by length with their tf-idf weights, the weights' norms, and its length as the reference
    counts it: in pairs of words."""

    weights: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    pairs: int


def cider(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr-D of each caption against its references, all as words (``caption_tokens``): 0 to 10. A caption of at
    least four words that is its only reference has 10. The corpus' value is the mean; published tables print it a
    hundredfold.

    How telling an n-gram is depends on all the references together, so the value of a caption is one within these
    captions; with a single one, nothing is telling and the value is 0.

    Raises ``DataError`` when there is not one list of references a caption, or an empty one.
    """
    if len(captions) != len(references) or not all(references):
        raise DataError(f"CIDEr needs references for each caption, got {len(captions)} captions and "
                        f"{sum(map(bool, references))} lists of references that are not empty")  # fmt: skip
    frequencies = Counter(
        ngram for texts in references for ngram in {each for text in texts for each in ngrams(text)}
    )  # fmt: skip
    rarest = math.log(len(captions)) if captions else 0.0

    def weigh(text: Words) -> Weighed:
        weights: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(LONGEST))
        for ngram, count in ngrams(text).items():
            weights[len(ngram) - 1][ngram] = count * (rarest - math.log(max(1, frequencies[ngram])))
        norms = tuple(math.sqrt(sum(weight**2 for weight in own.values())) for own in weights)
        return Weighed(weights, norms, max(len(text) - 1, 0))

    scores = []
    for caption, texts in zip(captions, references, strict=True):
        own = weigh(caption)
        scores.append(SCALE * sum(similarity(own, weigh(text)) for text in texts) / len(texts))
    return scores


def ngrams(words: Words) -> Counter[Ngram]:
    """How often each run of one to LONGEST words stands in the text."""
    return Counter(
        tuple(words[at : at + length]) for length in range(1, LONGEST + 1) for at in range(len(words) - length + 1)
    )


def similarity(caption: Weighed, reference: Weighed) -> float:
    """The mean over the lengths of n-grams of the clipped cosine, times the penalty for a difference in length."""
    total = 0.0
    lengths = zip(caption.weights, reference.weights, caption.norms, reference.norms, strict=True)
    for own, theirs, own_norm, their_norm in lengths:
        if own_norm and their_norm:
            shared = sum(min(weight, theirs.get(ngram, 0.0)) * theirs.get(ngram, 0.0) for ngram, weight in own.items())
            total += shared / (own_norm * their_norm)
    return total / LONGEST * math.exp(-((caption.pairs - reference.pairs) ** 2) / (2 * SIGMA**2))
