"""Numbers in boxes: medians, read off digit by digit."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from chatspot.engine.coordinates import Coordinates, CoordinateTokens
from chatspot.prompts import Tokens

WORDS = [*"0123456789", ".", ",", "<box>", "</box>", "cat"]
POINT, COMMA, BOX, END_BOX, CAT = range(10, 15)


def tokens(words: list[str]) -> CoordinateTokens:
    return CoordinateTokens(Tokens(Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, "cat")), {}))


def logs(chances: np.ndarray | list[float]) -> list[float]:
    return [log(chance) if chance > 0 else -inf for chance in chances]


def written(belief: np.ndarray, reading: Coordinates) -> float:
    """A number of 0.000 to 1.000 as it is said where the model believes ``belief`` [1001]."""
    texts = [f"{number / 1000:.3f}" for number in range(1001)]
    said = ""
    while len(said) < 5:
        after = np.zeros(10)
        for text, chance in zip(texts, belief, strict=True):
            if text.startswith(said) and text[len(said)] != ".":
                after[int(text[len(said)])] += chance
        if not after.any():
            said += "."
            reading.read(POINT)
            continue
        digit = reading.median(int(after.argmax()), logs(after / belief.sum()))
        assert digit is not None
        said += str(digit)
        reading.read(digit)
    return float(said)


@pytest.fixture
def reading() -> Coordinates:
    found = Coordinates(tokens(WORDS))
    found.read(BOX)
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    peaks=st.integers(1, 5),
    spread=st.floats(0.3, 300),
    floor=st.sampled_from([0, 1e-6]),
)
@settings(deadline=None, max_examples=60)
def test_a_number_is_the_median_of_what_is_believed(seed: int, peaks: int, spread: float, floor: float):
    rng = np.random.default_rng(seed)
    places, heights = rng.uniform(-100, 1100, peaks), rng.uniform(0.1, 1, peaks)
    numbers = np.arange(1001)[:, None]
    belief = (heights * np.exp(-0.5 * ((numbers - places.clip(0, 1000)) / spread) ** 2)).sum(axis=1) + floor
    belief /= belief.sum()
    fresh = Coordinates(tokens(WORDS))
    fresh.read(BOX)
    for _ in range(2):  # the second number begins anew
        at = round(written(belief, fresh) * 1000)
        assert belief[:at].sum() <= 0.5 + 1e-6
        assert belief[: at + 1].sum() >= 0.5 - 1e-6
        fresh.read(COMMA)


def test_where_edges_are_common_the_likeliest_number_is_no_median(reading: Coordinates):
    belief = np.full(1001, 0.6 / 1001)
    belief[0] += 0.2
    belief[1000] += 0.2
    assert written(belief, reading) == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize(
    ("before", "likeliest"),
    [
        ([], 3), ([CAT], 3), ([BOX, END_BOX], 3), ([BOX, 1, END_BOX, CAT], 3),  # outside boxes
        ([BOX], POINT), ([BOX, 0, POINT], COMMA), ([BOX], END_BOX), ([BOX], CAT),  # no digit is to be said
    ],
)  # fmt: skip
def test_elsewhere_the_likeliest_token_is_said(before: list[int], likeliest: int):
    fresh = Coordinates(tokens(WORDS))
    for token in before:
        fresh.read(token)
    assert fresh.median(likeliest, logs([0.1] * 10)) is None


@pytest.mark.parametrize("digit", range(10))
def test_a_model_that_is_sure_is_believed(reading: Coordinates, digit: int):
    for chance in (1.0, 0.9, 1e-9):  # also where nearly all of the probability is elsewhere than on digits
        chances = [0.0] * 10
        chances[digit] = chance
        assert reading.median(digit, logs(chances)) == digit
        reading.read(digit)


def test_a_tokenizer_without_single_digits_says_the_likeliest():
    fresh = Coordinates(tokens([word for word in WORDS if word != "7"]))
    fresh.read(11)  # <box>
    assert fresh.tokens.digits == ()
    assert fresh.median(3, []) is None
