"""Bugs of peers' converters, one test each: they cannot happen here."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.dialects import DIALECTS, Frame, Mention, convert_text, find_dialect, read_text, write_text
from chatspot.errors import ChatSpotError, RegionError
from chatspot.regions import Box, Point, Polygon

SIZE = (640, 480)
SQUARE = (1000, 1000)
quick = settings(deadline=None, max_examples=100)
MARKUP = [
    *("[", "]", "<box>", "</box>", "{", "}", "(", ")", ",", ";", " ", "0.5", "1", "999", "nan", "1e999", "-", "<loc_"),
    *(">", "<loc0001>", '"bbox_2d": ', "<p>", "</p>", "<patch_index_0001>", "<object>", "</object>", "\n", "x", '"'),
    *("<point ", 'x="', "<bin_1>", "<b_st>", "<b_ed>", "\\", "\uff11", "\uff0c"),
]


def read(name: str, text: str, size: tuple[int, int] = SQUARE) -> tuple[Any, ...]:
    return read_text(text, find_dialect(name), size=size)


def write(name: str, *pieces: Any, size: tuple[int, int] = SQUARE) -> str:
    return write_text(pieces, find_dialect(name), size=size).text


def test_florence_has_no_loc_1000() -> None:
    """maestro and ms-swift write it for a box that touches the right edge; maestro's own tests want it."""
    assert write("florence-2", Mention((Box.from_normalized(0, 0, 1, 1),))) == "<loc_0><loc_0><loc_999><loc_999>"
    with pytest.raises(RegionError, match="from 0 to 999"):
        read("florence-2", "<loc_0><loc_0><loc_1000><loc_999>")


@pytest.mark.parametrize(
    ("name", "peer", "errs"),
    [
        ("paligemma", lambda mark: mark / 1024, 1.46),  # supervision divides by 1024, big_vision multiplied by 1023
        ("florence-2", lambda mark: mark / 1000, 1.0),  # and it forgets the half of a bin
    ],
)
def test_supervisions_reading_errs_by_more_than_ours(name: str, peer: Any, errs: float) -> None:
    grid: Any = find_dialect(name).grid
    places = [at / 50_000 for at in range(50_001)]
    marks = [grid.mark(place, 1) for place in places]
    theirs = max(abs(peer(mark) - place) for mark, place in zip(marks, places, strict=True))
    ours = max(abs((mark + grid.shift) / grid.marks(1) - place) for mark, place in zip(marks, places, strict=True))
    assert theirs * 1000 == pytest.approx(errs, abs=0.02)
    assert ours * 1000 <= 0.5 + 1e-6


def test_braces_in_a_question_are_words() -> None:
    """Shikra fills placeholders with str.format: any {x} in the sentence raises KeyError."""
    text = "Is {x} of {0} {} in [0.100,0.200,0.300,0.400]?"
    for name in ("shikra", "qwen2-vl", "molmo", "qwen3-vl"):
        to = convert_text(text, find_dialect("shikra"), find_dialect(name), size=SQUARE, approximate=True)
        assert to.text.startswith("Is {x} of {0} {} in ")


def test_points_in_tokens_are_read_as_they_are_written() -> None:
    """Shikra's pattern of a point lacks the blank that its writer puts between the tokens."""
    mention = Mention((Point.from_normalized(0.5, 0.25), Point.from_normalized(0.125, 1.0)))
    text = write("shikra-tokens", mention)
    assert text == "<p_st><bin_500> <bin_250><p_sep><bin_125> <bin_1000><p_ed>"
    assert read("shikra-tokens", text) == (Mention(mention.regions[:2]),)


def test_points_and_boxes_of_one_mention_stay_apart() -> None:
    """Shikra's path for several pictures fills points from the boxes."""
    box, point = Box.from_normalized(0.1, 0.2, 0.3, 0.4), Point.from_normalized(0.5, 0.6)
    assert write("shikra", Mention((box, point))) == "[0.100,0.200,0.300,0.400][0.500,0.600]"


def test_numbers_without_a_zero_with_a_sign_or_with_blanks_are_seen() -> None:
    """Shikra's reader finds nothing in these; a number off the scale must not pass as words."""
    assert read("shikra", "[.5,0.1,0.6,0.3]") == read("shikra", "[0.5, 0.1, 0.6, 0.3]")
    with pytest.raises(RegionError, match="not on this scale"):
        read("shikra", "[-0.01,0.1,0.2,0.3]")


def test_commas_without_numbers_are_words() -> None:
    """Merlin's pattern finds numbers in [,,,] and dies of float('')."""
    assert read("merlin", "[,,,]") == ("[,,,]",)


def test_reversed_corners_are_no_width_and_height() -> None:
    """Merlin's de_norm_box_xyxy takes x1 > x2 for width and height, silently."""
    with pytest.raises(RegionError, match="reversed"):
        read("merlin", "[600, 500, 100, 200]")


def test_two_points_are_a_box_and_three_an_outline() -> None:
    """In the paper's format a box and an outline of two points are alike: the count decides."""
    counted = [type(read("chatspot", f"<box>{numbers}</box>")[0].regions[0]) for numbers in (
        "0.1, 0.2", "0.1, 0.2, 0.3, 0.4", "0.1, 0.2, 0.3, 0.4, 0.1, 0.9")]  # fmt: skip
    assert counted == [Point, Box, Polygon]


@pytest.mark.parametrize("name", [n for n, d in DIALECTS.items() if d.grid and not n.startswith("florence-2-")])
def test_the_last_region_needs_no_line_end(name: str) -> None:
    """A peer's pattern needs a line's end, so the last region of a text is lost."""
    region = Point.from_normalized(0.1, 0.2) if name.startswith("molmo") else Box.from_normalized(0.1, 0.2, 0.6, 0.8)
    text = "\n".join(write(name, Mention((region,))) for _ in range(3))
    assert len([piece for piece in read(name, text) if isinstance(piece, Mention)]) == 3


def test_axes_first_or_last() -> None:
    """PaliGemma and Gemini put y first; whoever forgets it swaps the axes."""
    for name in ("paligemma", "gemini"):
        text = write(name, Mention((Box.from_normalized(0.1, 0.5, 0.2, 0.9),)))
        assert read(name, text)[0].regions[0].bounds_xyxy == pytest.approx((0.1, 0.5, 0.2, 0.9), abs=1e-3)
    assert write("gemini", Mention((Box.from_normalized(0.1, 0.5, 0.2, 0.9),))) == '{"box_2d": [500, 100, 900, 200]}'


def test_a_padded_box_is_not_read_as_unpadded() -> None:
    box = Box.from_normalized(0.25, 0.25, 0.5, 0.75)
    text = write("llava-1.5", Mention((box,)), size=SIZE)
    assert read("llava-1.5", text, SIZE)[0].regions[0].iou(box) > 0.95
    llava = find_dialect("llava-1.5")
    wrong: Any = read_text(text, llava, size=SIZE, frame=Frame.whole(SIZE))[0]
    assert wrong.regions[0].iou(box) < 0.8


def test_text_is_never_evaluated() -> None:
    """GOT-OCR2.0 reads its box with eval()."""
    text = "[__import__('os').getpid(), 2, 3, 4] [1+1, 2, 3, 4] [9**9**9, 1, 2, 3]"
    assert read("got-ocr2", text) == (text,)


@quick
@given(st.lists(st.sampled_from(MARKUP), max_size=40).map("".join))
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    for dialect in DIALECTS.values():
        with suppress(ChatSpotError):
            pieces = read_text(text, dialect, size=SIZE)
            if not any(isinstance(piece, Mention) for piece in pieces):
                assert "".join(map(str, pieces)) == text


@pytest.mark.parametrize("name", [n for n, d in DIALECTS.items() if any(f.shape == "polygon" for f in d.forms)])
@quick
@given(st.lists(st.floats(0.0, 0.3), min_size=8, max_size=8))
def test_outlines_come_back_within_the_bound(name: str, by: list[float]) -> None:
    corners = [(by[0], by[1]), (1 - by[2], by[3]), (1 - by[4], 1 - by[5]), (by[6], 1 - by[7])]
    outline = Polygon.from_normalized(corners)
    again: Any = read(name, write(name, Mention((outline,))))[0]
    bound = find_dialect(name).grid.bound(1000) + 1e-9  # type: ignore[union-attr]
    assert all(
        abs(a - b) <= bound
        for one, other in zip(again.regions[0].points, corners, strict=True)
        for a, b in zip(one, other, strict=True)
    )
