"""ROUGE-L: the longest run of words, with gaps, that a caption has in common with what people said.

Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, as in coco-caption's ``rouge.py`` (in pycocoevalcap
1.2): beta 1.2, and over several references the best precision and the best recall. Unlike CIDEr it looks at one caption
at a time, so answers can be compared one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from chatspot.errors import DataError

BETA = 1.2


def rouge_l(caption: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of a caption, 0 to 1, all as words (``caption_tokens``). Raises ``DataError`` without references."""
    if not references:
        raise DataError("ROUGE-L needs references for each caption, got a caption without any")
    common = [(longest_common(caption, text), len(text)) for text in references]
    precision = max(length for length, _ in common) / max(len(caption), 1)
    recall = max(length / max(words, 1) for length, words in common)
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = row
        row = [0]
        for at, other in enumerate(second):
            row.append(before[at] + 1 if word == other else max(row[-1], before[at + 1]))
    return row[-1]
