"""What a run needs to go on: the masters and moments of all that trains, and where its data had got to.

::

    state/step-00000050/     a state: torch's distributed checkpoint, the same for one process and for many
        .metadata, *.distcp      tensors by name, in the shards that the processes held
        state.json               step, epochs done, position in the data; size and CRC-32 of every file beside it
    state/step-00000040/     the state before it
    state/step-00000060.part one that was being written when the run was killed

A state is written aside and renamed, and the one before it is kept. One whose files are not what ``state.json`` says
is never loaded.
"""

from __future__ import annotations

import json
import shutil
import warnings
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from chatspot.errors import RecipeError, TrainingError
from chatspot.train.optimizer import MasterAdamW
from chatspot.train.parallel import World
from chatspot.train.stream.packing import Position

STATES, FACTS = "state", "state.json"
KEPT = 2  # states
CHUNK = 2**24  # bytes that are read at once


@dataclass(frozen=True)
class Reached:
    """How far a run has come: steps taken, epochs done, and the position of the next step in the data."""

    step: int
    done: float
    position: Position


def save_state(run: Path, reached: Reached, optimizer: MasterAdamW, world: World) -> None:
    """Write the state aside, rename it, and remove all but the last two. Every process must call it.

    Raises ``TrainingError`` on every process when it cannot be written, with the older states as they were.
    """
    target = run / STATES / f"step-{reached.step:08d}"
    part = target.with_suffix(".part")
    try:
        together(world, lambda: clear(part), world.first)
        write_tensors(part, optimizer, world)
        files: dict[str, list[int]] = {}
        names = world.share(sorted(path.name for path in part.iterdir()) if world.first else None)
        together(world, lambda: files.update(measured(part, names[world.rank :: world.size])))
        listed = {name: facts for some in world.gather(files) for name, facts in some.items()}
        facts = {**asdict(reached), "processes": world.size, "files": listed}
        together(world, lambda: put_in_place(part, target, facts), world.first)
    except OSError as error:
        free = shutil.disk_usage(run).free / 1e6
        if world.first:
            shutil.rmtree(part, ignore_errors=True)
        raise TrainingError(
            f"the state after step {reached.step} could not be saved in {target.parent}, where {free:,.1f} MB were "
            f"free ({error}); free some disk space and start the command again: the last state is whole"
        ) from error


def load_state(run: Path, optimizer: MasterAdamW, world: World, warn: Callable[[str], None]) -> Reached | None:
    """Put back the newest whole state and say what it had reached; None where there is none. ``warn`` is told, on the
    first process, of each that is damaged. Every process must call it.

    Raises ``TrainingError`` when there are states and none is whole.
    """
    folders = world.share(newest_first(run) if world.first else None)
    for folder in folders:
        fault = damage(folder, world)
        if fault is None:
            return read_state(folder, optimizer, world)
        if world.first:
            warn(f"the state {folder} is damaged ({fault}); it is passed over, and the one before it is taken")
    if folders:
        raise TrainingError(f"no state in {run / STATES} is whole; delete that folder to train from the beginning")
    return None


def go_on_after(run: Path, optimizer: MasterAdamW, world: World) -> None:
    """Put the weights and moments of another run's newest state into ``optimizer``; ``RecipeError`` where there is
    none, or where they are of other parts than this recipe trains."""
    folders = world.share(newest_first(run) if world.first else None)
    if not folders:
        raise RecipeError(f"{run} holds no state: a run can only go on after one that has begun")
    fault = damage(folders[0], world)
    if fault is not None:
        raise RecipeError(f"the state {folders[0]} is damaged ({fault}); train that run again")
    read_state(folders[0], optimizer, world)


def newest_first(run: Path) -> list[Path]:
    """The folders of a run's states."""
    return sorted((run / STATES).glob("step-????????"), reverse=True)


def write_tensors(part: Path, optimizer: MasterAdamW, world: World) -> None:
    """Write the optimiser's tensors; ``OSError`` on every process when one could not."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*assuming the intent is to save in a single process.*")
            save(optimizer.state_dict(), checkpoint_id=part, no_dist=world.size == 1)
    except CheckpointException as error:
        raise OSError(first_failure(error)) from error


def read_state(folder: Path, optimizer: MasterAdamW, world: World) -> Reached:
    """Read a whole state into the optimiser and the model."""
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*assuming the intent is to load in a single process.*")
            load(optimizer.state_dict(), checkpoint_id=folder, no_dist=world.size == 1)
    except CheckpointException as error:
        raise RecipeError(f"{folder} does not fit this recipe ({first_failure(error)}); stage, low rank and start must "
                          "be the same") from error  # fmt: skip
    optimizer.loaded()
    return Reached(facts["step"], facts["done"], Position(**facts["position"]))


def damage(folder: Path, world: World) -> str | None:
    """What is wrong with a state, or None: its files against the sizes and sums in ``state.json``. Each process looks
    at some of the files; all get the same answer."""
    try:
        expected = json.loads((folder / FACTS).read_text("utf-8"))["files"]
        names = sorted(expected)[world.rank :: world.size]
        found = measured(folder, names)
        wrong = [name for name in names if found[name] != expected[name]]
        fault = f"{wrong[0]} is not what was written" if wrong else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        fault = f"{type(error).__name__}: {error}"
    return next((fault for fault in world.gather(fault) if fault), None)


def measured(folder: Path, names: list[str]) -> dict[str, list[int]]:
    """Size and CRC-32 of files, by name."""
    sums = {}
    for name in names:
        size = total = 0
        with (folder / name).open("rb") as file:
            while chunk := file.read(CHUNK):
                size, total = size + len(chunk), zlib.crc32(chunk, total)
        sums[name] = [size, total]
    return sums


def put_in_place(part: Path, target: Path, facts: dict[str, Any]) -> None:
    """Complete a state with its facts, rename it, and remove what is too old."""
    (part / FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
    clear(target)  # of this very step: a damaged one that was passed over
    part.rename(target)
    run = target.parent.parent
    for old in (*newest_first(run)[KEPT:], *target.parent.glob("*.part")):
        clear(old)


def clear(folder: Path) -> None:
    """Remove a folder that may be there."""
    if folder.exists():
        shutil.rmtree(folder)


def together(world: World, act: Callable[[], None], mine: bool = True) -> None:
    """Let this process ``act`` where it is its turn (``mine``), and wait for the others; ``OSError`` on every process
    when one failed."""
    fault = None
    if mine:
        try:
            act()
        except OSError as error:
            fault = str(error)
    for found in world.gather(fault):
        if found is not None:
            raise OSError(found)


def first_failure(error: CheckpointException) -> str:
    """The first line of the first process's reason."""
    reason = next(iter(error.failures.values()))[0]
    return (str(reason).strip() or type(reason).__name__).splitlines()[0]
