"""``chatspot train --plan``: the plan of a run, from its recipe, its model, its data and a short probe.

What is not there is left out of the plan: without the model's weights there is no probe, without data no workload.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

import torch
from torch import nn
from transformers import LlavaConfig

from chatspot.errors import RecipeError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.train.parallel import World
from chatspot.train.planning.memory import CONTEXT, Kind
from chatspot.train.planning.plan import Plan, available_bytes, config_of, paper_config, plan, refuse
from chatspot.train.planning.workload import count_workload, probe
from chatspot.train.recipe import Recipe
from chatspot.train.run import Places, StepStream
from chatspot.train.step import RegionLoss, collate
from chatspot.train.stream.examples import open_examples
from chatspot.train.stream.packing import Position, Step, steps
from chatspot.train.stream.skipped import Skipped
from chatspot.train.trainable import choose_trainable

PAPER = "chatspot-7b"  # as the start: the paper's model in full size, planned without its weights
PROBED = 3  # steps whose first pass is measured


def plan_training(
    recipe: Recipe,
    places: Places,
    *,
    processes: int = 1,
    gpu_gb: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Plan:
    """The plan of a run on ``processes`` devices: GPUs of ``gpu_gb`` GB, or (None) what this machine has.

    ``places.start`` may be PAPER where there is no such folder. ``say`` is told what could not be counted or measured.
    Raises ``RecipeError`` that names the nearest possible where the run cannot fit.
    """
    here: Kind = "cuda" if torch.cuda.is_available() else "cpu"
    kind: Kind = here if gpu_gb is None else "cuda"
    program = CONTEXT if kind == "cuda" else None
    available = gpu_gb * 1e9 if gpu_gb else available_bytes(kind) / (processes if kind == "cpu" else 1)
    on_paper = places.start is not None and places.start.name == PAPER and not places.start.exists()
    config = paper_config() if on_paper else config_of(places.start_folder())
    bare = plan(recipe, config, processes=processes, kind=kind, program=program)
    refuse(bare, available)
    if on_paper:
        say(f"there is no folder {places.start}: the paper's model is planned by its published sizes, and nothing is "
            "counted or measured")  # fmt: skip
        return bare
    return filled_in(bare, recipe, places, config, say, measured=kind == here)


def filled_in(
    bare: Plan, recipe: Recipe, places: Places, config: LlavaConfig, say: Callable[[str], None], *, measured: bool
) -> Plan:
    """``bare`` with the workload that the data give and, with ``measured``, the pace of this machine."""
    try:
        examples = open_examples(recipe, places.data)
    except RecipeError as error:
        say(f"nothing is counted or measured: {error}")
        return bare
    checkpoint = load_checkpoint(places.start_folder())
    world = World(device=torch.device("cuda" if bare.kind == "cuda" and measured else "cpu"))
    rates = choose_trainable(checkpoint, recipe)
    stream = StepStream(recipe, places, examples, checkpoint, world, say)
    todo = steps(examples, stream.encoder, recipe, Position(), Skipped(None, recipe.most_skipped))
    first: list[Step] = list(islice(todo, PROBED))
    workload = count_workload(chain(first, todo), recipe, bare.processes)
    pace = None
    if measured:
        nn.Module.to(checkpoint.model, world.device)
        rows = [step.rows[: recipe.micro_rows] for step in first]
        stream.vision.prepare([view for some in rows for row in some for view in row.views])
        batches = [collate(some, stream.pad_id, stream.vision.read).to(world.device) for some in rows]
        parameters = dict(checkpoint.model.named_parameters())
        loss = RegionLoss(checkpoint.model, recipe.attention)
        pace = probe(loss, batches, [parameters[name] for name in rates])
    return plan(recipe, config, processes=bare.processes, kind=bare.kind, program=bare.program, workload=workload,
                tokens_per_second=pace)  # fmt: skip
