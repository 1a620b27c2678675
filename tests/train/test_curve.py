"""Curves: what they show of hostile metrics, several runs, and a page that loads nothing."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chatspot.errors import DataError
from chatspot.pages.charts import Frame, short, ticks
from chatspot.train.looking.curve import (
    CHARTS,
    MOST_POINTS,
    curve_of,
    draw_curve,
    draw_curves,
    frame_of,
    smoothed,
    thinned,
)

LOSS = CHARTS[0]


def metrics(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": 3 / step, "norm": 1.0, "rate_share": 0.5, "done": step / 10, "dialogues": 4,
            "tokens": 9, "supervised": 5, "tokens_per_second": 50.0, "skipped": 0, "peak_mb": 1200, **more}  # fmt: skip


def make_run(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_before_the_first_step_there_is_nothing_to_draw(tmp_path: Path) -> None:
    assert draw_curve(tmp_path) is None
    make_run(tmp_path, [])
    assert draw_curves([tmp_path], tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_a_run_gives_a_picture_and_a_page_that_loads_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "<b>run & $x$", [metrics(step) for step in range(1, 40)])
    page = draw_curve(run)
    assert page == run / "curve.html"
    assert sorted(file.name for file in run.iterdir()) == ["curve.html", "curve.png", "metrics.jsonl"]
    with Image.open(run / "curve.png") as picture:
        assert picture.size[0] > 1000
    html = page.read_text("utf-8")
    read = Page(html)
    assert {"script", "link", "img", "iframe", "b"}.isdisjoint(tag for tag, _ in read.tags)
    assert not re.search(r"(?:src|href|url)\s*[=(]", html)
    assert "prefers-color-scheme: dark" in html
    assert "<b>run & $x$" in read.texts  # the name stands there as text
    assert sum(tag == "polyline" for tag, _ in read.tags) == 2 * len(CHARTS)
    assert "1.20 GB" in read.texts


def test_several_runs_are_told_apart(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a" / "run", [metrics(step) for step in range(1, 9)])
    second = make_run(tmp_path / "b" / "run", [metrics(step, loss=1.0) for step in range(1, 5)])
    empty = make_run(tmp_path / "c" / "new", [])
    page = draw_curves([first, second, empty], tmp_path / "both")
    assert page is not None
    texts = [text.strip() for text in Page(page.read_text("utf-8")).texts]
    assert texts.count("a/run") == texts.count("b/run") == 2  # legend and table
    assert "new" not in texts


@pytest.mark.parametrize(
    "lines",
    [
        [metrics(1)],  # one step is no line yet
        [metrics(step, loss=2.0) for step in range(1, 5)],  # flat
        [metrics(step, loss=0.0, norm=0.0) for step in range(1, 3)],
        [metrics(step, loss=math.nan if step == 2 else 1.0) for step in range(1, 4)],
        [{"step": 1, "loss": 1.0, "tokens": 5}],  # an older run's keys
        [metrics(1, loss=1e-30), metrics(2, loss=1e30)],
    ],
    ids=["one", "flat", "zero", "nan", "old", "huge"],
)
def test_hostile_metrics_are_drawn(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    page = draw_curve(make_run(tmp_path, lines))
    assert page is not None
    html = page.read_text("utf-8")
    points = re.findall(r'points="([^"]+)"', html)
    assert points
    assert all(math.isfinite(float(n)) for line in points for pair in line.split() for n in pair.split(","))
    assert "nan" not in html.lower()


def test_an_edited_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("{oops\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl holds a line that is no JSON"):
        draw_curve(tmp_path)


def test_a_mean_for_the_loss_a_median_for_what_has_spikes() -> None:
    points = [(step, 100.0 if step == 3 else 1.0) for step in range(1, 6)]
    assert smoothed([], "mean") == []
    assert [value for _, value in smoothed(points, "mean")] == pytest.approx([1, 1, 34, 25.75, 20.8])
    assert [value for _, value in smoothed(points, "median")] == [1, 1, 1, 1, 1]
    assert smoothed(points, "none") == points


def test_the_smoothed_curve_ends_at_the_last_step_however_long_the_run() -> None:
    points = [(step, float(step)) for step in range(1, 10_001)]
    line = smoothed(points, "mean")
    assert len(line) <= MOST_POINTS + 1
    assert line[-1] == (10_000, pytest.approx(10_000 - 199 / 2))  # over 2 % of the run: the last 200 steps


def test_no_spike_is_lost_in_a_long_run() -> None:
    points = [(step, 1.0) for step in range(5000)]
    points[1234], points[4321] = (1234, 9.0), (4321, -9.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert {(1234, 9.0), (4321, -9.0)} <= set(kept)
    assert kept == sorted(kept)


def test_one_spike_does_not_flatten_the_curve() -> None:
    lines = [metrics(step, norm=1e6 if step == 500 else 1.0 + step / 1000) for step in range(1, 1001)]
    frame = frame_of([curve_of(lines, CHARTS[1])])
    assert frame is not None
    assert frame.high < 3


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)
    steps = [b - a for a, b in pairwise(found)]
    assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.25, "0.25"), (1234.0, "1.234k"), (20_000, "20k")])
def test_numbers_on_an_axis_are_short(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize("up", [1.0, 1 + 1e-9, 1 - 1e-9])
def test_a_line_on_the_edge_is_written_one_way(up: float) -> None:
    """A machine that rounds 1 up and one that rounds it down draw the same page."""
    assert Frame(0, 1, 0, 1).line([(-1e-9, up), (1, 0)]) == "0.0,0.0 1000.0,1000.0"
