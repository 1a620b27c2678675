"""``--plan``: what a run will need and how long it will take, said before anything long starts.

Parameters, memory and disk follow from the recipe and the model's configuration alone (see ``memory``). What a step
holds is counted on the first window of the data, and how fast it goes is measured by a few real passes; without data or
model, these lines say so.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import LlavaConfig

from chatspot.errors import RecipeError
from chatspot.model.checkpoint import check_folder
from chatspot.model.folder import local_folder
from chatspot.model.preset_7b import full_size_7b_configs, llava_config, settings_7b
from chatspot.train.planning.memory import (
    CONTEXT,
    Kind,
    Pass,
    Term,
    fullest_pass,
    memory_terms,
    number_bytes,
    peak,
    trainable,
)
from chatspot.train.planning.workload import Workload
from chatspot.train.recipe import LowRank, Recipe
from chatspot.train.shape import Shape, shape_of
from chatspot.train.spans import SpanSizes

HEADROOM = 0.05  # share of a device's memory that a plan leaves free, for what its allocator wastes (our choice)
KEPT_STATES = 2  # the newest state and the one before it (``state``)
RANK = 64  # proposed where a low-rank update would fit: QLoRA's in its main experiments (arXiv 2305.14314, appendix B)
MOST_PROCESSES = 1024  # that are proposed


@dataclass(frozen=True)
class Plan:
    """What a run of ``recipe`` needs on each of ``processes`` devices of a ``kind``. ``program``: bytes that a process
    holds before it opens a model; ``tokens_per_second``: measured on one device, or None."""

    recipe: Recipe
    shape: Shape
    processes: int
    kind: Kind
    program: float
    workload: Workload | None = None
    tokens_per_second: float | None = None

    @property
    def load(self) -> Pass:
        """What a pass holds: counted, or the most that the recipe allows."""
        return self.workload.load if self.workload else fullest_pass(self.recipe, self.shape)

    @property
    def terms(self) -> list[Term]:
        """The memory of one device, term by term."""
        return memory_terms(self.recipe, self.shape, self.load, self.processes, self.kind, self.program)

    @property
    def bytes(self) -> float:
        """The most memory that one device needs."""
        return peak(self.terms)

    @property
    def disk(self) -> list[tuple[str, float]]:
        """What the run writes, in bytes: kept features (where there is data to count them), states, the result."""
        b, trained = number_bytes(self.recipe, self.shape), sum(trainable(self.recipe, self.shape))
        whole = b * (self.shape.vision + self.shape.language + self.shape.projector + self.shape.fixed_projector)
        found = [("states", 12.0 * KEPT_STATES * trained), ("checkpoint", float(whole))]
        if self.workload and self.recipe.keep_features:
            view = 2 * self.shape.image_tokens * self.shape.features
            return [("vision features", view * self.workload.views), *found]
        return found

    @property
    def seconds(self) -> float | None:
        """Seconds for all epochs: the measured pace on every process, without the time they wait for each other."""
        if not self.workload or not self.tokens_per_second:
            return None
        return self.recipe.epochs * self.workload.tokens / (self.tokens_per_second * self.processes)

    def table(self) -> str:
        """The plan as lines of text, numbers in columns."""
        from chatspot.train.planning.plan_table import plan_table

        return plan_table(self)


def plan(
    recipe: Recipe, config: LlavaConfig, *, processes: int = 1, kind: Kind = "cpu", program: float | None = None,
    workload: Workload | None = None, tokens_per_second: float | None = None,
) -> Plan:  # fmt: skip
    """The plan of a run. ``program`` None: on a CPU what this process holds now, on a GPU what CUDA takes.

    Raises ``RecipeError`` for 4-bit weights on several processes.
    """
    if recipe.low_rank.quantised and processes > 1:
        raise RecipeError("4-bit weights train on one process; set low_rank.quantised=false to use several")
    if program is None:
        program = resident_bytes() if kind == "cpu" else CONTEXT
    return Plan(recipe, shape_of(config), processes, kind, program, workload, tokens_per_second)


def config_of(start: Path) -> LlavaConfig:
    """The configuration of a checkpoint folder; its weights are not opened. ``CheckpointError`` when it is none."""
    return check_folder(local_folder(start))[0]


def paper_config() -> LlavaConfig:
    """The configuration of the paper's model in full size, by the published sizes of its parts: no file is needed."""
    vision, text = full_size_7b_configs()
    image_token = text.vocab_size
    text.vocab_size += 3  # <image>, <box> and </box> (preset_7b.add_region_tokens)
    config = llava_config(vision, text, image_token, settings_7b())
    config.dtype = torch.bfloat16  # as assemble_7b makes it
    return config


def resident_bytes() -> float:
    """The bytes of RAM that this process holds now, or has held at most where the system does not say."""
    pages = Path("/proc/self/statm")
    if pages.is_file():
        return float(int(pages.read_text("ascii").split()[1]) * resource.getpagesize())
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def available_bytes(kind: Kind) -> float:
    """The memory that this process has and can still get: of the current GPU, or of this machine or its container."""
    if kind == "cuda":
        return float(torch.cuda.mem_get_info()[0]) + CONTEXT  # what is free is counted when CUDA is there already
    free = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    table = Path("/proc/meminfo")
    if table.is_file():
        lines = table.read_text("ascii").splitlines()
        free = next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text("ascii").strip().isdecimal():
        free = min(free, float(limit.read_text("ascii")) - float(used.read_text("ascii")))
    return free + resident_bytes()


def refuse(plan: Plan, available: float) -> None:
    """Raise ``RecipeError`` when a device with ``available`` bytes cannot hold the plan. It names the nearest recipe
    that fits, the first of ``nearer``."""
    if fits(plan, available):
        return
    largest = max(plan.terms, key=lambda term: term.size)
    told = (f"this run needs {gigabytes(plan.bytes)} on each {device(plan)}, of which {gigabytes(largest.size)} are "
            f"{largest.name}; there are {gigabytes(available)}, and {HEADROOM:.0%} of them stay free")  # fmt: skip
    for changes, other in nearer(plan):
        if fits(other, available):
            advice = " ".join(f"--set {change}" for change in changes)
            if other.processes != plan.processes:
                advice = f"{other.processes} processes {'with ' + advice if advice else 'and the same recipe'}"
            raise RecipeError(f"{told}. The nearest that fits is {advice}: {gigabytes(other.bytes)}")
    least = min((other for _, other in nearer(plan)), key=lambda other: other.bytes, default=plan)
    raise RecipeError(f"{told}. Nothing near fits: the least is {gigabytes(least.bytes)}; take a larger device or a "
                      "smaller model")  # fmt: skip


def fits(plan: Plan, available: float) -> bool:
    """Whether a device with ``available`` bytes can hold the plan."""
    return plan.bytes <= available * (1 - HEADROOM)


def nearer(plan: Plan) -> Iterator[tuple[list[str], Plan]]:
    """Plans that need less, the nearest first, each with the changes to its recipe: smaller passes, then activations
    computed again (neither changes what is learnt), then a low-rank update, then 4-bit weights beneath it, then twice
    and more times as many processes."""
    yield from frugal(plan, [])
    instruct, low_rank = plan.recipe.stage == "instruct", plan.recipe.low_rank
    if instruct and not low_rank.rank:
        low_rank = LowRank(rank=RANK)
        yield from frugal(updated(plan, low_rank=low_rank), [f"low_rank.rank={RANK}"], given=True)
    if instruct and not low_rank.quantised and plan.processes == 1:
        changes = [f"low_rank.rank={low_rank.rank}"] if low_rank != plan.recipe.low_rank else []
        low_rank = LowRank(rank=low_rank.rank, alpha=low_rank.alpha, quantised=True)
        yield from frugal(updated(plan, low_rank=low_rank), [*changes, "low_rank.quantised=true"], given=True)
    processes = 2 * plan.processes
    while processes <= MOST_PROCESSES and not plan.recipe.low_rank.quantised:
        more = replace(plan, processes=processes)
        yield [], more
        yield from frugal(more, [])
        processes *= 2


def frugal(plan: Plan, changes: list[str], given: bool = False) -> Iterator[tuple[list[str], Plan]]:
    """The plan with ever smaller passes, then the same with activations computed again; ``given``: as it is, first."""
    rows = [max(1, plan.recipe.micro_rows >> by) for by in range(plan.recipe.micro_rows.bit_length())]
    for recompute in sorted({plan.recipe.recompute, True}):
        for micro_rows in rows:
            new = [f"micro_rows={micro_rows}"] * (micro_rows != plan.recipe.micro_rows)
            new += ["recompute=true"] * (recompute != plan.recipe.recompute)
            if new or given:
                yield [*changes, *new], updated(plan, micro_rows=micro_rows, recompute=recompute)


def updated(plan: Plan, **changes: object) -> Plan:
    """The plan of a changed recipe. What was counted of a pass shrinks with its rows."""
    recipe = plan.recipe.model_copy(update=changes)
    if plan.workload is None:
        return replace(plan, recipe=recipe)
    load = plan.workload.load
    rows = min(load.rows, recipe.micro_rows)

    def of(count: int) -> int:
        return -(-count * rows // load.rows)

    spans = SpanSizes(of(load.spans.queries), of(load.spans.keys), of(load.spans.pairs))
    part = Pass(
        rows, load.tokens, of(load.supervised), of(load.views), load.step_views, spans,
        load.alone and rows == load.rows,
    )  # fmt: skip
    return replace(plan, recipe=recipe, workload=replace(plan.workload, load=part))


def device(plan: Plan) -> str:
    """What a process runs on."""
    return "GPU" if plan.kind == "cuda" else "process"


def gigabytes(size: float) -> str:
    """Bytes as GB of 10^9."""
    return f"{size / 1e9:.2f} GB"
