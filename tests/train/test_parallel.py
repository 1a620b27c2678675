"""Several processes train as one does: the same curve, the same weights, and nothing lost when one is killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_training import Options, in_processes, train_tiny

from chatspot.errors import RecipeError, TrainingError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.train.loop import METRICS, read_metrics
from chatspot.train.parallel import World, empty_shell, own_passes, spread
from chatspot.train.state import STATES

KINDS = {  # a training of each kind
    "align": {"stage": "align"},
    "instruct": {},
    "low rank": {"low_rank": {"rank": 4}, "recompute": True},
}


def curve(run: Path) -> list[float]:
    lines = read_metrics(run / METRICS)
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoint" / "model.safetensors")


@pytest.fixture(scope="module")
def single(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training of each kind on one process."""
    folder = tmp_path_factory.mktemp("single")
    for kind, recipe in KINDS.items():
        assert train_tiny(Options(str(tiny_nano), str(folder / kind), recipe), World()).complete
    return folder


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 5))
def test_each_row_passes_once_and_all_processes_pass_as_often(rows: int, size: int, micro_rows: int) -> None:
    passes = [own_passes(range(rows), World(rank, size), micro_rows) for rank in range(size)]
    assert len({len(own) for own in passes}) == 1
    assert all(len(some) <= micro_rows for own in passes for some in own)
    assert sorted(row for own in passes for some in own for row in some) == list(range(rows))


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_train_as_one(count: int, single: Path, tiny_nano: Path, tmp_path: Path) -> None:
    done = in_processes(count, [Options(str(tiny_nano), str(tmp_path / kind), KINDS[kind]) for kind in KINDS])
    assert done.returncode == 0, done.stderr
    before = load_file(tiny_nano / "model.safetensors")
    for kind in KINDS:
        assert curve(tmp_path / kind) == pytest.approx(curve(single / kind), abs=1e-4), kind
        expected, found = weights(single / kind), weights(tmp_path / kind)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.allclose(found[name], value, atol=1e-4), (kind, name)
            if torch.equal(value, before[name]):
                assert torch.equal(found[name], value), f"{kind}: {name} is frozen"
        load_checkpoint(tmp_path / kind / "checkpoint")


def test_a_run_goes_on_with_another_number_of_processes(single: Path, tiny_nano: Path, tmp_path: Path) -> None:
    """Two processes, of which the second is told to stop; then one; then four."""
    run = tmp_path / "run"
    done = in_processes(2, [Options(str(tiny_nano), str(run), signal_at=(1, 2, signal.SIGTERM))])
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert json.loads((run / f"said-{rank}.json").read_text()) == {"step": 3, "done": 0.75, "complete": False}
    stopped = train_tiny(Options(str(tiny_nano), str(run), signal_at=(0, 4, signal.SIGINT)), World())
    assert (stopped.step, stopped.complete) == (5, False)
    done = in_processes(4, [Options(str(tiny_nano), str(run))])
    assert done.returncode == 0, done.stderr
    assert curve(run) == pytest.approx(curve(single / "instruct"), abs=1e-4)
    assert sorted(path.name for path in (run / STATES).iterdir()) == ["step-00000006", "step-00000008"]


def test_one_of_several_killed_is_started_again_by_torchrun(single: Path, tiny_nano: Path, tmp_path: Path) -> None:
    """The second process is killed after five steps; torchrun starts all anew, which go on after the fourth."""
    run = tmp_path / "run"
    done = in_processes(2, [Options(str(tiny_nano), str(run), signal_at=(1, 5, signal.SIGKILL))], restarts=1)
    assert done.returncode == 0, done.stderr
    assert "SIGKILL" in done.stderr or "-9" in done.stderr
    assert curve(run) == pytest.approx(curve(single / "instruct"), abs=1e-4)


def test_an_error_of_one_process_ends_all_alike(tiny_nano: Path, tmp_path: Path) -> None:
    """Features that one process cannot read; a checkpoint that is not there; data that are not those of the others; a
    loss that is no number."""
    gone = Options(str(tiny_nano), str(tmp_path / "gone"), unreadable_at=(1, 3))
    missing = Options(str(tmp_path / "nowhere"), str(tmp_path / "missing"))
    other = Options(str(tiny_nano), str(tmp_path / "other"), other_data_on=1)
    wild = Options(str(tiny_nano), str(tmp_path / "wild"), {"learning_rate": 1e30, "checkpoint_every": 100})
    done = in_processes(2, [gone, missing, other, wild])
    assert done.returncode == 0, done.stderr
    for options, kind, says in [(gone, "TrainingError", "the disk is gone"), (missing, "CheckpointError", "nowhere"),
                                (other, "TrainingError", "read different data"),
                                (wild, "TrainingError", "should be finite")]:  # fmt: skip
        for rank in (0, 1):
            said = json.loads((options.folder / f"said-{rank}.json").read_text())
            assert said["error"] == kind
            assert says in said["message"]
    lines = read_metrics(wild.folder / METRICS)
    assert [path.name for path in (wild.folder / STATES).iterdir()] == [f"step-{len(lines):08d}"]


def test_an_error_of_preparing_is_raised(tiny_nano: Path) -> None:
    def prepare() -> None:
        raise RecipeError("no")

    with pytest.raises(RecipeError, match="no"):
        spread(World(), prepare)  # type: ignore[arg-type]


def test_a_problem_is_raised_and_none_is_not() -> None:
    World().agree(None)
    with pytest.raises(TrainingError, match="here"):
        World().agree(TrainingError("here"))


def test_a_shell_holds_no_weights_but_all_else(tiny_nano: Path) -> None:
    whole = load_checkpoint(tiny_nano, dtype=torch.bfloat16)
    whole.model.model.language_model.requires_grad_(False)
    shell = empty_shell(whole)
    values = dict(whole.model.named_parameters())
    for name, parameter in shell.model.named_parameters():
        assert parameter.is_meta
        assert (parameter.shape, parameter.dtype, parameter.requires_grad) == (
            values[name].shape, values[name].dtype, values[name].requires_grad,
        )  # fmt: skip
    assert shell.model.lm_head.weight is shell.model.get_input_embeddings().weight
    for (_, kept), (_, buffer) in zip(shell.model.named_buffers(), whole.model.named_buffers(), strict=True):
        assert torch.equal(kept, buffer)
