"""A number inside an answer's box: not the likeliest digits, but the median of what the model believes.

Digit by digit the likeliest number is a poor guess of a place: a model that has a thing's left edge "somewhere between
0.2 and 0.6" still finds 0.000 likelier than any other single number, for many things are cut by the picture's edge. The
median has the least expected distance from the truth, and it can be read off digit by digit, as an arithmetic decoder
reads its code: the first digit is the one in which half of the probability lies before; within that digit's share, the
next digit is looked for at the same place, and so on. A model that is sure of each digit says the same either way.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import exp

from chatspot.prompts import Tokens
from chatspot.prompts.tokens import BOX_TOKEN, END_BOX_TOKEN

DIGITS = "0123456789"
HALF = 0.5  # of the probability lies before a median


class CoordinateTokens:
    """The tokens that boxes are written with. ``digits`` are those of the ten digits in order; none where the tokenizer
    lacks one of them, and then every token is the likeliest."""

    def __init__(self, tokens: Tokens):
        found = [tokens.id_if_any(digit) for digit in DIGITS]
        self.digits: tuple[int, ...] = tuple(one for one in found if one is not None) if None not in found else ()
        self.point = tokens.id_if_any(".")
        self.box, self.end_box = tokens.id_of(BOX_TOKEN), tokens.id_of(END_BOX_TOKEN)


class Coordinates:
    """How far an answer is in a box and in a number. One for each answer; ``read`` is given every token in turn."""

    def __init__(self, tokens: CoordinateTokens):
        self.tokens, self.inside, self.share = tokens, False, HALF

    def median(self, likeliest: int, digits: Sequence[float]) -> int | None:
        """Which digit to say instead of the likeliest token, or None for that token itself.

        ``digits``: the natural-log probabilities of the ten digits. Outside boxes, and where the likeliest token is no
        digit, there is nothing to choose.
        """
        if not self.inside or likeliest not in self.tokens.digits:
            return None
        chances = [exp(value) for value in digits]
        bounds = list(accumulate(chances))
        sought = self.share * bounds[-1]
        digit = min(bisect_right(bounds, sought), bisect_left(bounds, bounds[-1]))  # one that has any chance
        within = (sought - bounds[digit] + chances[digit]) / chances[digit]
        self.share = min(max(within, 0.0), 1.0)
        return digit

    def read(self, token: int) -> None:
        """Go on after ``token``."""
        if token == self.tokens.box or token == self.tokens.end_box:
            self.inside = token == self.tokens.box
        if token not in self.tokens.digits and token != self.tokens.point:
            self.share = HALF
