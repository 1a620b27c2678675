"""What the data give a step, counted on their first window; and how fast a device takes it, measured by real passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from chatspot.errors import RecipeError
from chatspot.train.parallel import World, own_passes
from chatspot.train.planning.memory import Pass
from chatspot.train.recipe import Recipe
from chatspot.train.spans import lay_out
from chatspot.train.step import Batch
from chatspot.train.stream.packing import Step

MOST_STEPS = 50  # steps that are counted (our choice)
WARM_UP, MEASURED = 1, 3  # passes of a probe: the first is slower, and not counted (our choice)


@dataclass(frozen=True)
class Workload:
    """What the data give, counted on its first steps: an epoch's ``steps``, ``dialogues``, ``tokens``, ``supervised``
    tokens and different ``views``, and the fullest ``load`` of a process."""

    steps: float
    dialogues: float
    tokens: float
    supervised: float
    views: float
    load: Pass


def count_workload(steps: Iterable[Step], recipe: Recipe, processes: int = 1) -> Workload:
    """Count what the first steps hold, of at most one window; ``RecipeError`` when there are none."""
    seen = list(first_window(islice(steps, MOST_STEPS)))
    if not seen:
        raise RecipeError("the recipe's sources give no step, so there is nothing to plan")
    share = seen[-1].done  # of an epoch, as the first step begins it
    worlds = [World(rank, processes) for rank in range(processes)]
    passes = [
        one for step in seen for world in worlds for one in own_passes(step.rows, world, recipe.micro_rows) if one
    ]
    fullest = max(passes, key=lambda rows: len(rows) * max(len(row.input_ids) for row in rows))
    longest = max(len(row.input_ids) for row in fullest)
    load = Pass(
        rows=len(fullest),
        tokens=longest,
        supervised=max(sum(row.supervised for row in rows) for rows in passes),
        views=max(sum(len(row.views) for row in rows) for rows in passes),
        step_views=-(-max(sum(len(row.views) for row in step.rows) for step in seen) // processes),
        spans=lay_out(fullest, longest).sizes,
        alone=all(len(step.rows) <= processes * recipe.micro_rows for step in seen),
    )
    views = {view for step in seen for row in step.rows for view in row.views}
    return Workload(
        steps=len(seen) / share,
        dialogues=sum(step.dialogues for step in seen) / share,
        tokens=sum(len(row.input_ids) for step in seen for row in step.rows) / share,
        supervised=sum(step.supervised for step in seen) / share,
        views=len(views) / share,
        load=load,
    )


def first_window(steps: Iterator[Step]) -> Iterator[Step]:
    """The steps up to the end of the first window."""
    for step in steps:
        yield step
        if step.position.step == 0:  # the next one begins another window
            return


def probe(loss_of: Callable[[Batch], Tensor], batches: Sequence[Batch], parameters: Iterable[nn.Parameter]) -> float:
    """Tokens a second (padding not counted) of real passes forward and back, on the device that ``batches`` are on.

    The gradients are dropped again. Raises ``RecipeError`` when there is no batch.
    """
    if not batches:
        raise RecipeError("there is no batch to measure")
    trained = list(parameters)
    tokens, began = 0, time.perf_counter()
    for number in range(WARM_UP + MEASURED):
        if number == WARM_UP:
            settle(batches[0])
            tokens, began = 0, time.perf_counter()
        batch = batches[number % len(batches)]
        loss_of(batch).backward()
        for parameter in trained:
            parameter.grad = None
        tokens += int((batch.groups >= 0).sum())
    settle(batches[0])
    return tokens / (time.perf_counter() - began)


def settle(batch: Batch) -> None:
    """Wait until the batch's device has done what it was given."""
    if batch.input_ids.is_cuda:
        torch.cuda.synchronize(batch.input_ids.device)
