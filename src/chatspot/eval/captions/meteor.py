"""METEOR 1.5: words matched exactly, by stem, as synonyms and as paraphrases, and how broken up the matches are.

Denkowski and Lavie, "Meteor Universal", 2014. The measure is its authors' program, as coco-caption runs it
(``pycocoevalcap/meteor/meteor.py``: English, ``-norm``), with its table of paraphrases; both are fetched when they are
first needed (68 MB, LGPL). It is written in Java, so METEOR is measured only where there is a ``java``.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import add

from chatspot.errors import DataError

Words = Sequence[str]

# The parameters for English ("rank") in the program's own constants
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
WEIGHTS = (1.0, 0.6, 0.8, 0.6)  # of exact, stem, synonym and paraphrase matches
NUMBERS = 4 + 4 * len(WEIGHTS) + 3


@dataclass(frozen=True)
class Matched:
    """What METEOR counts of a caption beside its best reference: the 23 numbers of the program's SCORE line.

    They add up over captions, but for the one chunk of a caption that is all right: a corpus' METEOR is its sum's.
    """

    numbers: tuple[float, ...]

    @property
    def in_one_piece(self) -> bool:
        """Whether all words of both were matched, in the same order."""
        return self.numbers[-3:] == (1, self.numbers[0], self.numbers[1])

    def __add__(self, other: Matched) -> Matched:
        unbroken = [(*each.numbers[:-3], 0.0 if each.in_one_piece else each.numbers[-3], *each.numbers[-2:])
                    for each in (self, other)]  # fmt: skip
        return Matched(tuple(a + b for a, b in zip(*unbroken, strict=True)))

    @property
    def score(self) -> float:
        """METEOR, 0 to 1; published tables print it a hundredfold."""
        length, their_length, function, their_function = self.numbers[:4]
        found = their_found = 0.0
        for at, weight in enumerate(WEIGHTS):
            content, their_content, functions, their_functions = self.numbers[4 + 4 * at : 8 + 4 * at]
            found += weight * (DELTA * content + (1 - DELTA) * functions)
            their_found += weight * (DELTA * their_content + (1 - DELTA) * their_functions)
        whole = DELTA * (length - function) + (1 - DELTA) * function
        their_whole = DELTA * (their_length - their_function) + (1 - DELTA) * their_function
        chunks, words, their_words = self.numbers[-3:]
        if not found or not their_found or not whole or not their_whole:
            return 0.0
        precision, recall = found / whole, their_found / their_whole
        f_mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
        broken = 0.0 if self.in_one_piece else chunks / ((words + their_words) / 2)
        return f_mean * (1 - GAMMA * broken**BETA)


def why_no_meteor() -> str | None:
    """Why METEOR cannot be measured on this machine, or None where it can."""
    return None if shutil.which("java") else "METEOR's program needs Java, and there is no 'java' here"


class Meteor:
    """The running program. It takes ten seconds to start, so ``running`` keeps one until this process ends."""

    def __init__(self) -> None:
        """Raises ``DataError`` without Java."""
        from chatspot.model.weights import meteor_program

        if reason := why_no_meteor():
            raise DataError(f"{reason}; install a Java runtime (such as Debian's default-jre-headless)")
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed by ``close``)
        command = ["java", "-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
        self.program = subprocess.Popen(command, cwd=meteor_program(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.complaints, text=True, encoding="utf-8")  # fmt: skip
        self.known: dict[str, Matched] = {}

    def matched(self, caption: Words, references: Sequence[Words]) -> Matched:
        """What METEOR counts of a caption beside its references, all as words (``caption_tokens``).

        Raises ``DataError`` without references, and when the program has ended.
        """
        if not references:
            raise DataError("METEOR needs references for each caption, got a caption without any")
        parts = [*(" ".join(text) for text in references), " ".join(caption)]
        line = " ||| ".join(["SCORE", *(part.replace("|||", "") for part in parts)])
        if line not in self.known:
            numbers = self.said(line).split()
            if len(numbers) != NUMBERS:
                self.complaints.seek(0)
                last = (self.complaints.read().decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
                raise DataError(f"METEOR's program gave no counts for {line[:100]!r}; it said {last[:300]}")
            self.known[line] = Matched(tuple(float(number) for number in numbers))
        return self.known[line]

    def said(self, line: str) -> str:
        """What the program answers to a line; "" when it has ended."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        try:
            self.program.stdin.write(line + "\n")
            self.program.stdin.flush()
        except OSError:
            return ""
        return self.program.stdout.readline()

    def close(self) -> None:
        """End the program."""
        self.program.communicate()
        self.complaints.close()


@cache
def running() -> Meteor:
    """The one program of this process."""
    program = Meteor()
    atexit.register(program.close)
    return program


def matched(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[Matched]:
    """What METEOR counts of each caption beside its references. Raises ``DataError`` as ``Meteor`` does."""
    return [running().matched(caption, texts) for caption, texts in zip(captions, references, strict=True)]


def meteor(found: Sequence[Matched]) -> float:
    """METEOR of a corpus; 0 without captions."""
    return reduce(add, found).score if found else 0.0
