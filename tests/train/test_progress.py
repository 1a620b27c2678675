"""What a run says of itself: pace, time left, and lines where there is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from chatspot.train.looking.progress import PACE_STEPS, Pace, StepProgress, duration


def clock(*seconds: float) -> Callable[[], float]:
    times = iter(seconds)
    return lambda: next(times)


def line(step: int, done: float, **more: object) -> dict:
    return {"step": step, "done": done, "loss": 1.25, "tokens": 2000, "dialogues": 30, **more}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (41.4, "41 s"),
        (59.6, "1 min"),  # never "60 s"
        (3569, "59 min"),
        (3599, "1 h 00 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (86_399, "1 d 00 h"),
        (52 * 3600, "2 d 04 h"),
    ],
)
def test_durations_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_no_pace_before_the_first_step() -> None:
    pace = Pace(0.0, clock(5.0))
    assert pace.rates() == (0.0, 0.0)
    assert pace.seconds_left(3.0) is None


def test_time_left_follows_what_is_done_not_how_many_steps() -> None:
    pace = Pace(0.5, clock(0.0, 10.0, 20.0))  # a run that goes on after half an epoch
    pace.note(line(51, 0.55))
    pace.note(line(52, 0.60))
    assert pace.rates() == (200.0, 3.0)
    assert pace.seconds_left(1.0) == pytest.approx(80.0)
    assert pace.seconds_left(0.6) == 0.0
    assert pace.seconds_left(0.2) == 0.0  # never negative


def test_the_pace_is_that_of_the_last_steps() -> None:
    slow, fast = [100.0 * n for n in range(1, 11)], [1000.0 + n for n in range(1, PACE_STEPS + 1)]
    pace = Pace(0.0, clock(0.0, *slow, *fast))
    for step in range(1, len(slow) + len(fast) + 1):
        pace.note(line(step, step / 100))
    assert pace.rates()[0] == pytest.approx(2000.0)


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    pace = Pace(0.0, clock(1.0, 1.0))
    pace.note(line(1, 0.1))
    assert pace.rates() == (0.0, 0.0)
    assert pace.seconds_left(1.0) is None


def test_plain_lines_are_the_first_every_25th_and_the_last() -> None:
    told = io.StringIO()
    console = Console(file=told, width=40)  # lines longer than the console are not broken
    with StepProgress(console, epochs=1.0, clock=iter(range(100)).__next__) as report:
        for step in range(1, 61):
            report(line(step, step / 60, skipped=3 if step == 60 else 0))
    lines = told.getvalue().splitlines()
    assert [text.split()[1] for text in lines] == ["1", "25", "50", "60"]
    assert lines[0] == "step 1  epoch 0.02 of 1  loss 1.250  2,000 tokens/s  30.0 dialogues/s  59 s left"
    assert lines[-1].endswith("0 s left  3 skipped")


@pytest.mark.parametrize(("waited", "told"), [(0.0, False), (0.19, False), (0.5, True)])
def test_waiting_for_data_is_told_where_it_costs(waited: float, told: bool) -> None:
    words = StepProgress(Console(quiet=True), epochs=1.0).told(line(1, 0.1, waited=waited, seconds=2.0))
    assert ("25% of it waiting for data" in words) == told


def test_on_a_terminal_a_bar_shows_the_same() -> None:
    told = io.StringIO()
    console = Console(file=told, width=140, force_terminal=True, color_system=None)
    with StepProgress(console, epochs=2.0, done=1.0) as report:
        report(line(7, 1.5))
    assert "75%" in told.getvalue()
    assert "loss 1.250" in told.getvalue()
    assert "step 7" not in told.getvalue()
