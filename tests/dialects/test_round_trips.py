"""How far an edge moves when it is written and read again: the bounds of the field notes, asserted."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chatspot.dialects import DIALECTS, Frame, Mention, find_dialect, read_text, write_text
from chatspot.dialects.specification import Grid
from chatspot.regions import Box, Point
from strategies import boxes, points

quick = settings(deadline=None, max_examples=60)
sizes = st.tuples(st.integers(100, 3000), st.integers(100, 3000))

STATED = {  # thousandths of the side at most; where the notes name none, what follows from the scale
    "chatspot": 0.5, "merlin": 1.0, "got-ocr2": 1.0, "llava-1.5": 5.0, "shikra": 0.5, "shikra-tokens": 0.5,
    "ferret": 1.0, "minigpt-v2": 10.0, "qwen-vl": 0.5, "qwen2-vl": 0.5, "qwen3-vl": 0.5, "internvl": 1.0, "cogvlm": 1.0,
    "kosmos-2": 31.25, "paligemma": 0.49, "florence-2": 0.5, "florence-2-ocr": 0.5, "molmo": 0.5,
    "molmo-thousandths": 1.0, "deepseek-vl2": 0.501, "gemini": 0.5, "moondream": 0.05,
}  # fmt: skip
WITH_BOXES = [n for n, d in DIALECTS.items() if any(form.shape == "box" for form in d.forms)]
WITH_POINTS = [n for n, d in DIALECTS.items() if any(form.shape == "point" for form in d.forms)]


@pytest.mark.parametrize("name", [name for name, dialect in DIALECTS.items() if dialect.grid])
def test_the_stated_bound_is_that_of_the_notes(name: str) -> None:
    grid = find_dialect(name).grid
    assert grid is not None
    if name == "qwen2.5-vl":
        assert grid.bound(640) * 640 == 1.0  # pixels: half of one, and one at the far edge, which is clamped
    else:
        assert grid.bound(640) * 1000 == pytest.approx(STATED[name], rel=3e-3)


def moved(name: str, region: Box | Point, size: tuple[int, int], kind: str) -> list[tuple[float, float]]:
    """By how much each number of a region moved, and the bound, both as shares of the frame's sides."""
    dialect, frame = find_dialect(name), Frame.of_kind(kind, size)  # type: ignore[arg-type]
    text = write_text([Mention((region,))], dialect, size=size, frame=frame).text
    (mention,) = read_text(text, dialect, size=size, frame=frame)
    assert isinstance(mention, Mention)
    assert dialect.grid is not None
    before, after = ((r.x, r.y) if isinstance(r, Point) else r.bounds_xyxy for r in (region, mention.regions[0]))
    again = write_text([mention], dialect, size=size, frame=frame).text
    assert again == text, "what was read is written as it stood"
    return [
        (abs(b - a) * frame.scale_xy[i % 2], dialect.grid.bound(frame.size_wh[i % 2]) + 1e-9)
        for i, (a, b) in enumerate(zip(before, after, strict=True))
    ]


@pytest.mark.parametrize("name", WITH_BOXES)
@quick
@given(data=st.data())
def test_boxes_come_back_within_the_bound(name: str, data: st.DataObject) -> None:
    size = data.draw(sizes)
    kind = data.draw(st.sampled_from(find_dialect(name).frames))
    box = data.draw(boxes(least=0.2))  # wide enough for every scale, also in a padded square
    assert all(by <= bound for by, bound in moved(name, box, size, kind))


@pytest.mark.parametrize("name", WITH_POINTS)
@quick
@given(data=st.data())
def test_points_come_back_within_the_bound(name: str, data: st.DataObject) -> None:
    size = data.draw(sizes)
    kind = data.draw(st.sampled_from(find_dialect(name).frames))
    assert all(by <= bound for by, bound in moved(name, data.draw(points), size, kind))


@pytest.mark.parametrize("name", WITH_BOXES)
@quick
@given(data=st.data())
def test_any_box_comes_back_as_a_box_within_a_step(name: str, data: st.DataObject) -> None:
    size = data.draw(sizes)
    dialect = find_dialect(name)
    frame = Frame.of_kind(dialect.frames[0], size)
    box = data.draw(boxes())
    (mention,) = read_text(write_text([Mention((box,))], dialect, size=size).text, dialect, size=size)
    assert isinstance(mention, Mention)
    assert dialect.grid is not None
    for at, (a, b) in enumerate(zip(box.bounds_xyxy, mention.regions[0].bounds_xyxy, strict=True)):
        step = dialect.grid.slack(frame.size_wh[at % 2])
        assert abs(a - b) * frame.scale_xy[at % 2] <= 1.5 * step + 1e-9


@pytest.mark.parametrize("name", WITH_BOXES)
def test_the_bound_is_reached(name: str) -> None:
    """A bound that nothing comes near would say nothing."""
    worst = 0.0
    for at in range(2001):
        low = at / 2001 * 0.3
        box = Box.from_normalized(low, low, min(low + 0.7, 1.0), 1.0)
        worst = max(worst, *(by / bound for by, bound in moved(name, box, (1000, 1000), find_dialect(name).frames[0])))
    assert 0.5 if name == "kosmos-2" else 0.9 < worst <= 1


def test_kosmos_errs_by_half_a_cell_between_rows_and_columns() -> None:
    for by, _ in moved("kosmos-2", Box.from_normalized(0.101, 0.203, 0.555, 0.777), (640, 480), "whole"):
        assert by <= 1 / 64


@pytest.mark.parametrize("name", WITH_BOXES)
def test_a_box_at_the_right_and_bottom_edge_stays_in_the_vocabulary(name: str) -> None:
    grid = find_dialect(name).grid
    text = write_text([Mention((Box.from_normalized(0, 0, 1, 1),))], find_dialect(name), size=(500, 500)).text
    (mention,) = read_text(text, find_dialect(name), size=(500, 500))
    assert isinstance(mention, Mention)
    if isinstance(grid, Grid) and not grid.has_end:
        assert "1000" not in text
    bound = grid.bound(504) if grid else 0.0
    assert max(mention.regions[0].bounds_xyxy) >= 1 - bound - 1e-9


@quick
@given(boxes(least=0.05), st.sampled_from(WITH_BOXES), st.sampled_from(WITH_BOXES), sizes)
def test_a_conversion_is_reading_and_writing(box: Box, source: str, target: str, size: tuple[int, int]) -> None:
    assume(max(size) < 8 * min(size))
    one, other = find_dialect(source), find_dialect(target)
    first = read_text(write_text([Mention((box,))], one, size=size).text, one, size=size)
    second = read_text(write_text(first, other, size=size).text, other, size=size)
    assert isinstance(second[0], Mention)
    steps = [
        d.grid.slack(f.size_wh[i]) / f.scale_xy[i] * 1.5
        for d in (one, other)
        for f in [Frame.of_kind(d.frames[0], size)]
        for i in (0, 1)
        if d.grid
    ]
    for a, b in zip(box.bounds_xyxy, second[0].regions[0].bounds_xyxy, strict=True):
        assert math.isclose(a, b, abs_tol=sum(steps))
