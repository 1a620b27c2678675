"""States are whole or not there: written aside, checked before they are read, the one before kept."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from chatspot.errors import RecipeError, TrainingError
from chatspot.train.optimizer import MasterAdamW
from chatspot.train.parallel import World
from chatspot.train.state import FACTS, STATES, Reached, go_on_after, load_state, save_state
from chatspot.train.stream.packing import Position

RATES = {"a": 0.1, "b": 0.01}


def made(dtype: torch.dtype = torch.float32, **sizes: int) -> MasterAdamW:
    """An optimiser over random weights, two steps into its training."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (4, 3), "b": (5,), **{name: (size,) for name, size in sizes.items()}}
    values = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    optimizer = MasterAdamW({name: nn.Parameter(value) for name, value in values.items()}, RATES)
    for _ in range(2):
        taken(optimizer)
    return optimizer


def taken(optimizer: MasterAdamW) -> None:
    """A step."""
    for parameter in optimizer.parameters.values():
        parameter.grad = parameter.detach() * 0.5 + 0.1
    optimizer.step(1.0, clip_norm=1.0)


def weights(optimizer: MasterAdamW) -> list[list[float]]:
    return [parameter.flatten().tolist() for parameter in optimizer.parameters.values()]


def at(step: int) -> Reached:
    return Reached(step, step / 10, Position(1, 2, step))


def silent(warning: str) -> None:
    raise AssertionError(warning)


def test_there_is_no_state_at_first(tmp_path: Path) -> None:
    assert load_state(tmp_path, made(), World(), silent) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_comes_back_and_the_next_step_is_the_same(dtype: torch.dtype, tmp_path: Path) -> None:
    optimizer = made(dtype)
    save_state(tmp_path, at(2), optimizer, World())
    taken(optimizer)
    other = made(dtype)
    for _ in range(3):  # elsewhere
        taken(other)
    assert load_state(tmp_path, other, World(), silent) == at(2)
    assert [p.dtype for p in other.parameters.values()] == [dtype] * 2
    taken(other)
    assert weights(other) == weights(optimizer)


def test_two_states_are_kept_and_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    for step in (0, 2, 4, 6):
        (tmp_path / STATES / f"step-{step + 1:08d}.part").mkdir(parents=True, exist_ok=True)
        save_state(tmp_path, at(step), made(), World())
    assert sorted(path.name for path in (tmp_path / STATES).iterdir()) == ["step-00000004", "step-00000006"]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "tensors cut short": lambda state: tensors(state).write_bytes(tensors(state).read_bytes()[:100]),
    "a bit of the tensors": lambda state: flip(tensors(state)),
    "no tensors": lambda state: tensors(state).unlink(),
    "no index": lambda state: (state / ".metadata").unlink(),
    "an index of nothing": lambda state: (state / ".metadata").write_bytes(b""),
    "no facts": lambda state: (state / FACTS).unlink(),
    "facts cut short": lambda state: (state / FACTS).write_text((state / FACTS).read_text()[:50]),
    "facts of another kind": lambda state: (state / FACTS).write_text("[]"),
    "facts without files": lambda state: (state / FACTS).write_text(json.dumps({"step": 4})),
}


def tensors(state: Path) -> Path:
    return next(state.glob("*.distcp"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_passed_over_with_a_warning(damage: str, tmp_path: Path) -> None:
    optimizer = made()
    save_state(tmp_path, at(2), optimizer, World())
    expected = weights(optimizer)
    taken(optimizer)
    save_state(tmp_path, at(4), optimizer, World())
    newest = tmp_path / STATES / "step-00000004"
    DAMAGES[damage](newest)
    warnings: list[str] = []
    other = made()
    assert load_state(tmp_path, other, World(), warnings.append) == at(2)
    assert weights(other) == expected
    assert len(warnings) == 1
    assert str(newest) in warnings[0]
    save_state(tmp_path, at(4), other, World())  # the run comes by there again
    assert load_state(tmp_path, other, World(), silent) == at(4)


def test_only_damaged_states_are_an_error(tmp_path: Path) -> None:
    save_state(tmp_path, at(2), made(), World())
    flip(tensors(tmp_path / STATES / "step-00000002"))
    with pytest.raises(TrainingError, match="delete that folder"):
        load_state(tmp_path, made(), World(), lambda warning: None)


def test_a_full_disk_is_told_and_leaves_the_last_state_whole(tmp_path: Path) -> None:
    optimizer = made()
    save_state(tmp_path, at(2), optimizer, World())
    expected = weights(optimizer)
    taken(optimizer)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may grow beyond so many bytes
    try:
        with pytest.raises(TrainingError, match="after step 4 could not be saved"):
            save_state(tmp_path, at(4), optimizer, World())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / STATES).iterdir()] == ["step-00000002"]
    other = made()
    assert load_state(tmp_path, other, World(), silent) == at(2)
    assert weights(other) == expected


def test_a_run_goes_on_after_another_with_rates_of_its_own(tmp_path: Path) -> None:
    optimizer = made()
    save_state(tmp_path, at(2), optimizer, World())
    parameters = {name: nn.Parameter(torch.zeros_like(p)) for name, p in optimizer.parameters.items()}
    other = MasterAdamW(parameters, dict.fromkeys(RATES, 1e-30))
    go_on_after(tmp_path, other, World())
    taken(other)
    assert weights(other) == weights(optimizer)


def test_a_run_cannot_go_on_after_one_that_trains_other_parts(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no state"):
        go_on_after(tmp_path, made(), World())
    save_state(tmp_path, at(2), made(), World())
    with pytest.raises(RecipeError, match="does not fit this recipe"):
        go_on_after(tmp_path, made(b=6), World())  # another size
    more = MasterAdamW({name: nn.Parameter(torch.zeros(5)) for name in ("b", "c")}, {"b": 1, "c": 1})
    with pytest.raises(RecipeError, match="does not fit this recipe"):
        go_on_after(tmp_path, more, World())
    flip(tensors(tmp_path / STATES / "step-00000002"))
    with pytest.raises(RecipeError, match="is damaged"):
        go_on_after(tmp_path, made(), World())
