"""Trackers: absent packages cost nothing, those asked for by name are needed, TensorBoard is read back."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from chatspot.errors import RecipeError
from chatspot.train.looking.trackers import WRITERS, Trackers, installed

LINE = {"step": 1, "loss": 2.5, "tokens": 100, "norm": math.nan, "note": "text"}


@pytest.mark.skipif(bool(installed()), reason="a tracker's package is installed here")
def test_absent_packages_cost_nothing_and_say_nothing(tmp_path: Path) -> None:
    """In a fresh process: nothing is said, nothing of torch is imported, nothing is written."""
    program = (
        "import pathlib, sys\n"
        "from chatspot.train.looking.trackers import Trackers\n"
        "said = []\n"
        f"with Trackers(pathlib.Path({str(tmp_path)!r}), {{}}, said.append) as write:\n"
        "    write({'step': 1, 'loss': 1.0})\n"
        "assert not said, said\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_opened_where_none_is_asked_for(tmp_path: Path) -> None:
    with Trackers(tmp_path, {}, pytest.fail, asked=[]) as write:
        write(LINE)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_none_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no tracker 'tensorbord'; known are tensorboard, wandb"):
        Trackers(tmp_path, {}, pytest.fail, asked=["tensorbord"])


@pytest.mark.parametrize("name", WRITERS)
def test_one_asked_for_by_name_is_needed(name: str, tmp_path: Path) -> None:
    if name in installed():
        pytest.skip(f"{name} is installed here")
    with pytest.raises(RecipeError, match=f"pip install {name}"):
        Trackers(tmp_path, {}, pytest.fail, asked=[name])


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard and what it imports
def test_tensorboard_holds_each_step_once_when_a_run_goes_on(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps, loss in ((0, (1, 2, 3), 5.0), (2, (3, 4), 7.0)):  # stopped after 3, the state was that of 2
        with Trackers(tmp_path, {"stage": "align"}, pytest.fail, asked=["tensorboard"], start=start) as write:
            for step in steps:
                write({**LINE, "step": step, "loss": loss + step})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 6), (2, 7), (3, 10), (4, 11)]
    assert set(events.Tags()["scalars"]) == {"loss", "tokens"}  # what is finite, without the step itself


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_tracker_that_cannot_write_is_named_and_left(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    said: list[str] = []
    with Trackers(tmp_path, {}, said.append) as write:
        write(LINE)
    assert any("tensorboard is installed but cannot be opened" in text for text in said)
    with pytest.raises(RecipeError, match="tensorboard cannot be opened"):
        Trackers(tmp_path, {}, said.append, asked=["tensorboard"])
