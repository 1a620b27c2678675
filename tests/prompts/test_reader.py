"""From text back to regions."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chatspot.errors import RegionError
from chatspot.messages import Conversation, RegionPart, TextPart, ask
from chatspot.prompts import PromptSettings, read_answer, read_regions, render
from chatspot.prompts.reader import LONGEST
from chatspot.prompts.written import STEP
from chatspot.regions import Box, Point, Polygon, Region, region_from_json
from strategies import boxes, pairs, points, polygons, regions

quick = settings(deadline=None, max_examples=60)
HALF = STEP / 2 + 1e-9

SPOT = Point.from_normalized(0.5, 0.25)
BOX = Box.from_normalized(0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    "inside",
    [
        "",
        " ",
        ",",
        "[,,,]",
        "[[[]]]",
        "{x}",
        "x",
        "0.5",
        "0.5,",
        "0.1, 0.2, 0.3",
        "0.1, 0.2, 0.3, 0.4, 0.5",
        "0.5, y",
        "0.5 and 0.25",
        "0.5, 0.25 px",
        "50%, 25%",
        "-0.1, 0.5",
        "0.5, 1.1",
        "1.0004, 1.0004, 1.0004, 1.0004",
        "-0.0004, 0.1, -0.0004, 0.2",
        "320, 240",
        "100, 100, 200, 200",
        "0.5, 0.2, 0.1, 0.4",  # reversed
        "0.1, 0.4, 0.5, 0.2",
        "0.1, 0.1, 0.2, 0.2, 0.3, 0.3",  # no area
        "nan, nan",
        "inf, 0",
        "1e999, 0.5",
        "1e, 0.5",
        "0x1, 0x1",
        "0.5.5, 0.2",
        "0.1.0.2",
        "½, ½",
        "0.5, 0.5</bbox>",
        "9" * 3000 + ", 0.5",
        "0.5, " * 10**5,
        "0.001, 0.002, " * (LONGEST // 14 + 1),
    ],
    ids=lambda text: text[:40],
)
def test_what_names_no_region_stays_text(inside: str) -> None:
    for text in (f"At <box>{inside}</box>!", f"At <box>{inside}"):
        assert read_answer(text) == (TextPart(text),)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("0.5, 0.25", SPOT),
        ("0.500, 0.250", SPOT),
        (" 0.5,0.25 ", SPOT),
        ("\n0.5\t0.25\n", SPOT),
        ("[0.5, 0.25]", SPOT),
        ("(0.5; 0.25)", SPOT),
        ("{0.5|0.25}", SPOT),
        (".5, .25", SPOT),
        ("+.5, 25e-2", SPOT),
        ("5E-1,2.5e-1", SPOT),
        ("０．５，０．２５", SPOT),  # noqa: RUF001 (full-width)
        ("0.5、0.25", SPOT),
        ("٠.٥, ٠.٢٥", SPOT),  # noqa: RUF001 (Arabic digits)
        ("0, 1", Point.from_normalized(0, 1)),
        ("-0, -0.000", Point.from_normalized(0, 0)),
        ("1., 0.", Point.from_normalized(1, 0)),
        ("1e-3, 1e-3", Point.from_normalized(0.001, 0.001)),
        ("0.1, 0.2, 0.3, 0.4", BOX),
        ("[[0.1, 0.2], [0.3, 0.4]]", BOX),
        ("(0.1 0.2) (0.3 0.4)", BOX),
        ("0.2, 0.2, 0.2, 0.4", Box.from_normalized(0.1995, 0.2, 0.2005, 0.4)),  # rounding had closed it
        ("0, 0, 0, 1", Box.from_normalized(0, 0, 0.0005, 1)),
        ("1, 1, 1, 1", Box.from_normalized(0.9995, 0.9995, 1, 1)),
        ("0, 0, 1, 0, 1, 1", Polygon.from_normalized([(0, 0), (1, 0), (1, 1)])),
        ("0, 0, 1, 0, 1, 1, 0, 0", Polygon.from_normalized([(0, 0), (1, 0), (1, 1)])),  # closed
    ],
)
def test_what_careless_models_write_is_read(inside: str, expected: Region) -> None:
    assert read_answer(f"At <box>{inside}</box>!", image=2) == (
        TextPart("At "),
        RegionPart(expected, 2),
        TextPart("!"),
    )
    assert read_regions(f"<BOX>{inside}< / box >") == (expected,)
    assert read_regions(f"At <box>{inside}") == (expected,)  # the end tag is missing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("A dog.", (TextPart("A dog."),)),
        ("0.5, 0.25", (TextPart("0.5, 0.25"),)),
        ("</box>", (TextPart("</box>"),)),
        ("<box>", (TextPart("<box>"),)),
        ("<box></box>", (TextPart("<box></box>"),)),
        ("<box>x<box>0.5, 0.25</box>", (TextPart("<box>x"), RegionPart(SPOT))),
        ("<box>0.5, 0.25<box>0.1 0.2 0.3 0.4", (RegionPart(SPOT), RegionPart(BOX))),
        ("<box>0.5, 0.25</box><box>0.1 0.2 0.3 0.4</box>", (RegionPart(SPOT), RegionPart(BOX))),
        ("<box>a</box> <box>0.5, 0.25</box>", (TextPart("<box>a</box> "), RegionPart(SPOT))),
        ("<box>0.5, 0.25\n", (RegionPart(SPOT), TextPart("\n"))),
        ("<box>0.5, 0.25</box></box>", (RegionPart(SPOT), TextPart("</box>"))),
    ],
)
def test_text_and_regions_stand_in_their_order(text: str, expected: tuple[object, ...]) -> None:
    assert read_answer(text) == expected


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(["<box>", "</box>", "< box", "/", ">", "0.5", ".25", ", ", "1e", "-", "[", "]", "\n", "½"])
        | st.floats().map(str)
        | st.text(max_size=4),
        max_size=20,
    ).map("".join)
)
def test_any_text_can_be_read_and_none_of_it_is_lost(text: str) -> None:
    parts = read_answer(text)
    rest = text
    for part in parts:
        if isinstance(part, TextPart):
            assert part.text in rest
            rest = rest[rest.index(part.text) + len(part.text) :]
    if all(isinstance(part, TextPart) for part in parts):
        assert "".join(part.text for part in parts) == text
    assert len(read_regions(text)) == sum(isinstance(part, RegionPart) for part in parts)


@pytest.mark.timeout(20)  # milliseconds when read in one pass, minutes when not
@pytest.mark.parametrize("text", ["<box>" * 10**5, "<box>" + "< " * 10**5, "<" + " " * 10**5, "<box>" + " " * 10**6])
def test_long_text_is_read_in_one_pass(text: str) -> None:
    assert read_answer(text) == (TextPart(text),)


def written(region: Region) -> str:
    """The prompt of a question about ``region``."""
    segments = render(Conversation((ask("What is this?", region),)), PromptSettings())
    return "".join(segment.text for segment in segments)


@quick
@given(points)
def test_a_point_comes_back_from_text_within_half_a_step(point: Point) -> None:
    (found,) = read_regions(written(point))
    assert isinstance(found, Point)
    assert (found.x, found.y) == pytest.approx((point.x, point.y), abs=HALF)


@quick
@given(boxes(least=STEP))
def test_a_box_comes_back_from_text_within_half_a_step(box: Box) -> None:
    (found,) = read_regions(written(box))
    assert isinstance(found, Box)
    assert found.bounds_xyxy == pytest.approx(box.bounds_xyxy, abs=HALF)


@pytest.mark.parametrize("low", [0.0, 0.0005, 0.0015, 0.0035, 0.0045, 0.1235, 0.5, 0.9985, 0.999])
def test_a_box_of_one_step_comes_back(low: float) -> None:
    box = Box.from_normalized(low, 0.2, low + STEP, 0.3)
    (found,) = read_regions(written(box))
    assert found.bounds_xyxy == pytest.approx(box.bounds_xyxy, abs=HALF)


@quick
@given(polygons())
def test_a_polygon_comes_back_from_text_within_half_a_step(polygon: Polygon) -> None:
    try:
        rounded = Polygon.from_normalized([(round(x, 3), round(y, 3)) for x, y in polygon.points])
    except RegionError:
        rounded = None
    assume(rounded is not None and len(rounded.points) == len(polygon.points))  # else rounding closed it
    (found,) = read_regions(written(polygon))
    assert isinstance(found, Polygon)
    for read, corner in zip(found.points, polygon.points, strict=True):
        assert read == pytest.approx(corner, abs=HALF)


@quick
@given(regions, st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_reading_the_models_own_text_twice_changes_nothing(region: Region, size: tuple[int, int]) -> None:
    for found in read_regions(written(region)):
        again = read_regions(written(found))
        assert again == (found,) or found.bounding_box().area < 2 * STEP  # opened by half a step, closed again
        assert region_from_json(found.to_json()).to_pixels(size) == found.to_pixels(size)


@quick
@given(st.lists(pairs, min_size=1, max_size=300))
def test_many_numbers_are_a_region_or_text(corners: list[tuple[float, float]]) -> None:
    text = "<box>" + ", ".join(f"{x:.3f}, {y:.3f}" for x, y in corners) + "</box>"
    (part,) = read_answer(text)
    assert isinstance(part, RegionPart) or part == TextPart(text)
