"""The loop on one process: metrics, stops, kills at bad moments, and losses that are no numbers."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from handmade import Made
from tiny_training import Options, in_processes, train_tiny

from chatspot.errors import TrainingError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.train.loop import METRICS, Finished, Load, Metrics, cut_metrics, loads, read_metrics, received
from chatspot.train.parallel import World
from chatspot.train.state import STATES
from chatspot.train.stream.packing import Step

LINE = {"step", "loss", "norm", "rate_share", "done", "dialogues", "tokens", "supervised", "tokens_per_second",
        "seconds", "waited", "skipped", "peak_mb"}  # fmt: skip


def curve(run: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_metrics(run / METRICS)]


@pytest.fixture(scope="module")
def whole(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to: two epochs of four steps."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train_tiny(Options(str(tiny_nano), str(run)), World()) == Finished(8, 2.0, complete=True)
    return run


def test_a_line_of_metrics_a_step(whole: Path) -> None:
    lines = read_metrics(whole / METRICS)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert [line["done"] for line in lines] == [step / 4 for step in range(1, 9)]
    assert all(set(line) == LINE for line in lines)
    assert all(line["dialogues"] == 10 and line["supervised"] == 20 and line["peak_mb"] > 10 for line in lines)
    shares = [line["rate_share"] for line in lines]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * (15 / 16 - 0.03) / 0.97)), abs=1e-5)


def test_training_learns(tiny_nano: Path, tmp_path: Path) -> None:
    train_tiny(Options(str(tiny_nano), str(tmp_path), {"epochs": 10.0, "learning_rate": 2e-2}), World())
    losses = [loss for _, loss in curve(tmp_path)]
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])


def test_recomputed_activations_give_the_same_curve(whole: Path, tiny_nano: Path, tmp_path: Path) -> None:
    train_tiny(Options(str(tiny_nano), str(tmp_path), {"recompute": True}), World())
    assert [loss for _, loss in curve(tmp_path)] == pytest.approx([loss for _, loss in curve(whole)], abs=1e-5)


def test_a_complete_run_is_not_trained_again(whole: Path, tiny_nano: Path) -> None:
    before = curve(whole)
    assert train_tiny(Options(str(tiny_nano), str(whole)), World()).complete
    assert curve(whole) == before


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ("open", ".distcp"),  # the first state's tensors are being written
        ("open", "state.json"),  # they are complete, and not yet described
        ("os.rename", "step-00000004.part"),  # the second state is complete, and not yet in its place
        ("shutil.rmtree", "step-00000002"),  # the third state is there, and the first not yet removed
    ],
)
def test_killed_while_saving_and_resumed_gives_the_same_curve(
    event: str, path: str, whole: Path, tiny_nano: Path, tmp_path: Path
) -> None:
    options = Options(str(tiny_nano), str(tmp_path / "run"), die_at=(event, path))
    assert in_processes(0, [options]).returncode == -signal.SIGKILL
    warnings: list[str] = []
    assert train_tiny(Options(str(tiny_nano), options.run), World(), warnings).complete
    assert warnings == []
    assert curve(options.folder) == curve(whole)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_in_a_step_and_resumed_gives_the_same_curve(
    number: signal.Signals, whole: Path, tiny_nano: Path, tmp_path: Path
) -> None:
    """SIGTERM and SIGINT end the program well, with all saved: after the fourth step, as the third is done."""
    run = tmp_path / "run"
    done = in_processes(0, [Options(str(tiny_nano), str(run), signal_at=(0, 3, number))])
    assert done.returncode == (-number if number == signal.SIGKILL else 0), done.stderr
    if number != signal.SIGKILL:
        assert json.loads((run / "said-0.json").read_text()) == {"step": 4, "done": 1.0, "complete": False}
        assert (run / STATES / "step-00000004").is_dir()
    assert train_tiny(Options(str(tiny_nano), str(run)), World()).complete
    assert curve(run) == curve(whole)


@pytest.mark.parametrize("recipe", [{"learning_rate": 1e30}, {"learning_rate": 1e30, "checkpoint_every": 1}])
def test_a_loss_that_is_no_number_stops_the_run_and_loses_nothing(
    recipe: dict, tiny_nano: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="should be finite"):
        train_tiny(Options(str(tiny_nano), str(tmp_path), {"warmup_share": 0.0, **recipe}), World())
    lines = read_metrics(tmp_path / METRICS)
    assert lines
    newest = max((tmp_path / STATES).iterdir())
    assert json.loads((newest / "state.json").read_text())["step"] == len(lines)


def test_features_that_are_no_numbers_stop_the_first_step(tiny_nano: Path, tmp_path: Path) -> None:
    options = Options(str(tiny_nano), str(tmp_path), {"clip_norm": 1.0}, poisoned=True)
    with pytest.raises(TrainingError, match="step 1: loss nan"):
        train_tiny(options, World())
    assert read_metrics(tmp_path / METRICS) == []
    assert json.loads((tmp_path / STATES / "step-00000000" / "state.json").read_text())["step"] == 0


def test_the_end_of_the_data_and_a_disk_that_is_gone_are_errors_of_ours() -> None:
    with pytest.raises(TrainingError, match="the data ended"):
        received(iter(()), World())

    def broken() -> Iterator[Load]:
        raise OSError(5, "input/output error")
        yield

    with pytest.raises(TrainingError, match="input/output error"):
        received(broken(), World())


def test_metrics_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / METRICS).mkdir()  # nothing can be written there
    with pytest.raises(TrainingError, match="cannot be written"):
        Metrics(tmp_path / METRICS, 0, World())


@pytest.mark.parametrize(
    ("text", "step", "kept"),
    [
        ("", 0, []),
        ('{"step": 1}\n{"step": 2}\n{"step": 3}\n', 2, [1, 2]),
        ('{"step": 1}\n{"step": 2', 5, [1]),  # cut short by a kill
        ('{"step": 1}\n', 0, []),
    ],
)
def test_metrics_are_cut_where_the_run_goes_on(text: str, step: int, kept: list[int], tmp_path: Path) -> None:
    file = tmp_path / METRICS
    file.write_text(text)
    cut_metrics(file, step)
    assert [line["step"] for line in read_metrics(file)] == kept


def test_loads_are_made_ahead_in_order_and_no_further(tiny_nano: Path) -> None:
    made = Made(load_checkpoint(tiny_nano, dtype=torch.float32).model)
    asked = []

    def counted() -> Iterator[Step]:
        for step in made.steps():
            asked.append(step.position)
            yield step

    recipe = Options("", "", {"micro_rows": 3}).resolved()
    stream = loads(counted(), World(), recipe, 0, made.read)
    some = [next(stream) for _ in range(5)]
    stream.close()
    assert [load.step.position for load in some] == asked[:5]
    assert len(asked) <= 5 + 4
    assert [[len(batch.input_ids) for batch in load.batches] for load in some] == [[3, 2]] * 5
