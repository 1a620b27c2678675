"""A plan as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from chatspot.model.freezing import PartRow, freezing_table
from chatspot.train.looking.progress import duration
from chatspot.train.planning.memory import number_bytes, trainable
from chatspot.train.planning.plan import Plan, device, gigabytes


def plan_table(plan: Plan) -> str:
    """Parameters, memory by term, a step, an epoch and the time, disk."""
    return "\n".join(lines_of(plan))


def lines_of(plan: Plan) -> Iterator[str]:
    """The lines."""
    recipe, where = plan.recipe, device(plan)
    count = f"{plan.processes:,} {where}{'s' if plan.processes > 1 and where == 'GPU' else ''}"
    count += "es" if plan.processes > 1 and where == "process" else ""
    precision = {2: "bfloat16", 4: "float32"}[number_bytes(recipe, plan.shape)]
    yield f"plan: {recipe.stage} on {count}, {precision}"
    yield ""
    yield freezing_table(part_rows(plan))
    yield ""
    yield f"{f'memory of one {where}':<32}{'GB':>10}"
    for term in plan.terms:
        if term.size >= 5e5:
            held = {"always": "", "pass": " (in a pass)", "step": " (in the optimiser's step)"}[term.when]
            yield f"{term.name:<32}{term.size / 1e9:>10.3f}   {term.made_of}{held}"
    yield f"{'at once':<32}{plan.bytes / 1e9:>10.3f}   a pass and the optimiser's step follow one another"
    yield ""
    if plan.processes > 1 or plan.kind == "cuda":
        whole = number_bytes(recipe, plan.shape) * (plan.shape.vision + plan.shape.language)
        yield f"host: {gigabytes(whole)} of RAM beside it, where the first process opens the model and puts it together"
    yield from work_lines(plan)
    yield "disk: " + ", ".join(f"{name} {gigabytes(size)}" for name, size in plan.disk)


def part_rows(plan: Plan) -> list[PartRow]:
    """The model's parts, as ``freezing.part_rows`` counts them of a model that is there."""
    shape = plan.shape
    projector, rest = trainable(plan.recipe, shape)
    added = rest if plan.recipe.low_rank.rank else 0
    return [
        PartRow("vision tower", shape.vision, 0),
        PartRow("projector", shape.projector + shape.fixed_projector, projector),
        PartRow("language model", shape.language + added, rest),
    ]


def work_lines(plan: Plan) -> Iterator[str]:
    """A pass, a step, an epoch and the time for it."""
    load, work, recipe = plan.load, plan.workload, plan.recipe
    yield f"a pass: {load.rows} rows of {load.tokens} tokens on each {device(plan)}" + (
        "" if work else " at most (no data to count)"
    )
    if work is None:
        size = f"{recipe.batch_tokens:,} tokens" if recipe.batch_tokens else f"{recipe.batch_dialogues:,} dialogues"
        yield f"a step: {size}"
        return
    yield (f"a step: {work.tokens / work.steps:,.0f} tokens, {work.supervised / work.steps:,.0f} of them learnt, in "
           f"{work.dialogues / work.steps:,.1f} dialogues")  # fmt: skip
    yield (f"an epoch: about {work.steps:,.0f} steps, {work.dialogues:,.0f} dialogues, {work.tokens:,.0f} tokens; "
           f"{recipe.epochs:g} of them are trained")  # fmt: skip
    if plan.seconds is None or plan.tokens_per_second is None:
        yield "time: not measured"
        return
    yield (f"time: {duration(plan.seconds / recipe.epochs)} an epoch, {duration(plan.seconds)} in all, at "
           f"{plan.tokens_per_second:,.0f} tokens/s on each {device(plan)} as measured, without the time for "
           "vision features" + (" and for processes to wait for each other" if plan.processes > 1 else ""))  # fmt: skip
