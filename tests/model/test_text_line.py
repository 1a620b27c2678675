"""PP-OCRv6's encoder in PyTorch: the published graph's weights, and its readings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from chatspot.images.sheet import LINE_HEIGHT
from chatspot.model.text_line import FEATURES, STEP_PIXELS, TextLineEncoder, read_classifier, text_line_state_dict
from chatspot.model.weights import line_weights


@pytest.fixture(scope="module")
def encoder() -> TextLineEncoder:
    """The encoder with its published weights."""
    model = TextLineEncoder().eval()
    model.load_state_dict(text_line_state_dict(line_weights()))  # strict: no weight is missing and none is left over
    return model


def line(text: str) -> torch.Tensor:
    """Black text on white, [1, 3, 48, 256] in [-1, 1]."""
    image = Image.new("RGB", (256, LINE_HEIGHT), "white")
    ImageDraw.Draw(image).text((6, 6), text, fill="black", font=ImageFont.load_default(size=32))
    return torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1)[None].copy()) / 127.5 - 1


def reading(encoder: TextLineEncoder, pixels: torch.Tensor) -> str:
    """What the published classifier makes of the encoder's features (greedy CTC)."""
    weight, bias, characters = read_classifier(line_weights())
    with torch.inference_mode():
        best = (encoder(pixels)[0] @ weight.T + bias).argmax(dim=1).tolist()
    return "".join(characters[c] for i, c in enumerate(best) if c and (i == 0 or best[i - 1] != c))


@pytest.mark.parametrize("text", ["EXIT", "harbour", "KX51 BVC", "Nr. 7", "+$@#"])
def test_it_reads(text: str, encoder: TextLineEncoder) -> None:
    assert reading(encoder, line(text)).replace(" ", "") == text.replace(" ", "")


def test_an_empty_line_holds_nothing(encoder: TextLineEncoder) -> None:
    assert reading(encoder, torch.zeros(1, 3, LINE_HEIGHT, 256)) == ""


def test_a_feature_vector_stands_for_eight_pixels(encoder: TextLineEncoder) -> None:
    for width in (16, 80, 256):
        assert encoder(torch.zeros(2, 3, LINE_HEIGHT, width)).shape == (2, width // STEP_PIXELS, FEATURES)


def test_red_and_blue_are_not_swapped_twice(encoder: TextLineEncoder) -> None:
    pixels = line("EXIT")
    pixels[:, 2] = 1.0  # yellow on white reads differently from blue on white
    assert not torch.allclose(encoder(pixels), encoder(pixels.flip(1)))
