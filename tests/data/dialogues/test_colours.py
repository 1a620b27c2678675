"""Colours: the published table, the measurement, and what is dropped."""

from __future__ import annotations

import random
from importlib import resources

import numpy as np
import pytest

from chatspot.data.dialogues import colours
from chatspot.data.dialogues.colours import (
    BASIC_TERMS,
    basic_term,
    colour_table,
    has_colours,
    lab_of,
    measured_colour,
    names_of_pixels,
)
from chatspot.regions import Box, Polygon


def test_the_table_is_the_published_one() -> None:
    published = pytest.importorskip("matplotlib.colors").XKCD_COLORS
    lines = (resources.files(colours.__package__) / "colour_names.txt").read_text(encoding="utf-8").splitlines()
    rows = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert len(rows) == 250
    assert {name: published[f"xkcd:{name}"] for name in rows} == rows
    assert {term for term in colour_table()[1] if term} == set(BASIC_TERMS)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [((0, 0, 0), (0, 0, 0)), ((255, 255, 255), (100, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.2)),
     ((0, 0, 255), (32.3, 79.19, -107.86)), ((119, 119, 119), (50.03, 0, 0))],
)  # fmt: skip
def test_lab_values_are_those_of_the_standard(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    assert lab_of(np.array(rgb)).tolist() == pytest.approx(lab, abs=0.05)


@pytest.mark.parametrize(
    ("name", "term"),
    [("sky blue", "blue"), ("dark grey", "gray"), ("white", "white"), ("teal", None), ("blue green", None),
     ("reddish brown", None), ("purplish blue", None), ("orange brown", None), ("blueberry", None)],
)  # fmt: skip
def test_the_term_of_a_name(name: str, term: str | None) -> None:
    assert basic_term(name) == term


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((0, 0, 0), "black"), ((255, 255, 255), "white"), ((128, 128, 128), "gray"), ((220, 20, 20), "red"),
     ((20, 160, 40), "green"), ((250, 240, 40), "yellow"), ((20, 60, 220), "blue"), ((100, 55, 10), "brown"),
     ((250, 120, 10), "orange"), ((255, 130, 190), "pink"), ((125, 30, 155), "purple"),
     ((70, 70, 72), None), ((40, 40, 42), "black"), ((200, 200, 200), None), ((0, 140, 130), None),
     ((210, 180, 140), None)],
)  # fmt: skip
def test_a_pixel_has_a_name_or_is_between_two(rgb: tuple[int, ...], name: str | None) -> None:
    assert names_of_pixels(np.array([rgb], dtype=np.uint8)) == {name: 1}


def picture(ground: tuple[int, ...], thing: tuple[int, ...]) -> np.ndarray:
    """A thing of 40 x 40 pixels in the middle of 100 x 100."""
    pixels = np.empty((100, 100, 3), dtype=np.uint8)
    pixels[:] = ground
    pixels[30:70, 30:70] = thing
    return pixels


SQUARE = Polygon.from_pixels([(30, 30), (70, 30), (70, 70), (30, 70)], size=(100, 100))
RED, GREEN, TEAL, DARK = (220, 20, 20), (20, 160, 40), (0, 140, 130), (70, 70, 72)


def test_the_colour_is_the_things_and_not_its_grounds() -> None:
    found = measured_colour(picture(GREEN, RED), SQUARE)
    assert found is not None
    assert (found.name, found.share, found.complex_background) == ("red", 1.0, False)


def test_a_speckled_background_is_complex() -> None:
    pixels = picture(GREEN, RED)
    noise = np.random.default_rng(0).integers(0, 256, size=(100, 100, 3), dtype=np.uint8)
    noise[30:70, 30:70] = pixels[30:70, 30:70]
    found = measured_colour(noise, SQUARE)
    assert found is not None
    assert (found.name, found.complex_background) == ("red", True)


def half(first: tuple[int, ...], second: tuple[int, ...]) -> np.ndarray:
    """The thing in two colours."""
    pixels = picture(GREEN, first)
    pixels[30:70, 50:70] = second
    return pixels


@pytest.mark.parametrize(
    "pixels",
    [picture(GREEN, TEAL), picture(GREEN, DARK), half(RED, (250, 240, 40)), half(RED, TEAL)],
    ids=["between two", "gray or black", "two colours", "half unnamed"],
)
def test_what_people_would_argue_about_is_dropped(pixels: np.ndarray) -> None:
    assert measured_colour(pixels, SQUARE) is None


@pytest.mark.parametrize("size", [(1, 1), (9, 9), (3, 100)])
def test_too_few_pixels_have_no_colour(size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    assert measured_colour(pixels, Box.from_normalized(0, 0, 1, 1)) is None


def test_a_region_that_is_the_whole_picture_has_no_background() -> None:
    found = measured_colour(picture(RED, RED), Box.from_normalized(0, 0, 1, 1))
    assert found is not None
    assert (found.name, found.complex_background) == ("red", False)


WHITE, SNOW, BLACK, NIGHT = (255, 255, 255), (246, 246, 246), (30, 30, 32), (2, 2, 2)


@pytest.mark.parametrize(
    ("ground", "thing", "name"),
    [
        (SNOW, BLACK, "black"),
        (DARK, BLACK, None),  # nothing around is lit
        (SNOW, NIGHT, None),  # a silhouette
        (BLACK, SNOW, "white"),
        (BLACK, WHITE, None),  # blown out
        (RED, (222, 25, 22), None),  # the same all around: the outline may be wrong
    ],
)
def test_black_and_white_may_be_the_lights(ground: tuple[int, ...], thing: tuple[int, ...], name: str | None) -> None:
    found = measured_colour(picture(ground, thing), SQUARE)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("pixels", "colours_there"),
    [(picture(WHITE, NIGHT), False), (picture((128, 120, 112), (90, 84, 78)), False), (picture(WHITE, RED), True)],
    ids=["black and white", "sepia", "red"],
)
def test_a_picture_in_black_and_white_has_no_colours(pixels: np.ndarray, colours_there: bool) -> None:
    assert has_colours(pixels) is colours_there


def test_looking_up_is_comparing_with_the_whole_table() -> None:
    """But for the rounding to 5 bits a channel, which moves what lies between two names."""
    rng = random.Random(0)
    pixels = np.array([[rng.randrange(256) for _ in range(3)] for _ in range(2000)], dtype=np.uint8)
    middles = (pixels // 8) * 8 + 3.5
    table, terms = colour_table()
    nearest = ((lab_of(middles)[:, None] - table[None]) ** 2).sum(-1).argmin(1)
    lightness = lab_of(middles)[:, 0]
    expected = [terms[entry] for entry in nearest]
    black, low, high = colours.GRAY_LIGHTNESS

    def term_of_gray(value: float) -> str | None:
        return "black" if value < black else "gray" if low <= value <= high else None

    expected = [term_of_gray(v) if t == "gray" else t for t, v in zip(expected, lightness, strict=True)]
    assert [next(iter(names_of_pixels(pixel[None]))) for pixel in pixels] == expected
