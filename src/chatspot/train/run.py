"""One stage of training, from recipe to checkpoint.

A run folder holds::

    recipe.json          the recipe as it was resolved
    parts.txt            what trains and what is frozen
    first_sample.html    the first row of the run: what is learnt of it, its pictures, who looks at whom
    metrics.jsonl        a line a step (``loop``); curve.png and curve.html draw them
    skipped.jsonl        samples that could not be used, and why
    abilities.json       what the model could do without pictures before and after (``abilities``)
    state/               what the run needs to go on (``state``)
    checkpoint/          the result, a stock checkpoint folder
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from chatspot.data.saving import write_whole
from chatspot.data.strict import Strict
from chatspot.errors import RecipeError
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.model.freezing import freezing_table, part_rows
from chatspot.model.nano import nano_checkpoint
from chatspot.train.abilities.retention import Abilities, abilities_table, keep_abilities, kept_abilities, measure
from chatspot.train.looking.curve import draw_curve
from chatspot.train.looking.first_sample import decoded, first_sample_text
from chatspot.train.looking.first_sample_page import write_first_sample
from chatspot.train.looking.progress import StepProgress
from chatspot.train.looking.trackers import Trackers
from chatspot.train.loop import Finished, loads, run_steps
from chatspot.train.lora import load_lora
from chatspot.train.optimizer import MasterAdamW
from chatspot.train.parallel import Trainee, World, consolidated, open_world, spread
from chatspot.train.planning.memory import Kind
from chatspot.train.planning.plan import available_bytes, config_of, plan, refuse
from chatspot.train.recipe import Recipe
from chatspot.train.start import start_projector
from chatspot.train.state import Reached, go_on_after, load_state
from chatspot.train.stream.encoding import Branch, Encoder
from chatspot.train.stream.examples import Examples, open_examples
from chatspot.train.stream.packing import Position, Step, steps, usable
from chatspot.train.stream.skipped import Skipped
from chatspot.train.stream.vision import KeptFeatures, Pixels
from chatspot.train.trainable import choose_trainable, save_trained


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes. ``start``: a checkpoint folder, or None for nano's published weights; ``after``: a
    finished run with the same start and the same trainable parts, whose weights and moments this one goes on from;
    ``update``: or the file of a low-rank update of the start, such as nano's, from which this one goes on."""

    data: tuple[Path, ...]
    run: Path
    features: Path
    start: Path | None = None
    after: Path | None = None
    update: Path | None = None

    def start_folder(self) -> Path:
        """The checkpoint that training starts from."""
        return self.start or nano_checkpoint(trained=False)


def train(
    recipe: Recipe, places: Places, console: Console | None = None, trackers: Sequence[str] | None = None
) -> Finished:
    """Train one stage and save its checkpoint below ``places.run``; called again, it goes on where it stopped.

    Under torchrun every process calls it. ``trackers``: names of those to write to, None for all that are installed.

    Raises ``RecipeError`` when the run folder belongs to another recipe or the model cannot fit into memory,
    ``TrainingError`` when training must stop.
    """
    with open_world() as world:
        console = (console or Console()) if world.first else Console(quiet=True)
        claim_run(recipe, places, world)
        refuse_the_impossible(recipe, places, world)
        examples = open_examples(recipe, places.data)
        trainee = spread(world, lambda: prepared(recipe, places, examples, world, console), recipe.attention,
                         recipe.recompute)  # fmt: skip
        optimizer = MasterAdamW(trainee.parameters, trainee.rates)
        reached = begun(places, optimizer, world, console)
        stream = StepStream(recipe, places, examples, trainee.checkpoint, world, console.print)
        show_first_sample(stream, places, trainee.checkpoint, world, console)
        finished = run_all(recipe, places, world, trainee, optimizer, stream, reached, console, trackers)
        conclude(finished, recipe, places, trainee, world, console)
    return finished


def claim_run(recipe: Recipe, places: Places, world: World) -> None:
    """Make the run folder, or check that it is this recipe's own."""
    problem = None
    if world.first:
        try:
            claim_folder(places.run, recipe)
        except RecipeError as error:
            problem = error
    world.agree(problem)


def claim_folder(run: Path, recipe: Strict) -> None:
    """Make the run folder with the recipe in it. ``RecipeError`` when it holds another's, or cannot be written."""
    resolved, file = recipe.model_dump_json(indent=2), run / "recipe.json"
    try:
        if file.is_file() and file.read_text("utf-8") != resolved:
            raise RecipeError(f"{run} holds a run of another recipe (see {file}); choose another --out")
        write_whole(file, resolved)
    except OSError as error:
        raise RecipeError(f"the run folder {run} cannot be written ({error}); choose another --out") from error


def refuse_the_impossible(recipe: Recipe, places: Places, world: World) -> None:
    """Raise ``RecipeError`` with the nearest possible recipe when the run cannot fit into this machine's memory."""
    kind: Kind = "cuda" if world.device.type == "cuda" else "cpu"
    share = 1 if kind == "cuda" else world.size  # processes on one machine share its RAM
    planned = plan(recipe, config_of(places.start_folder()), processes=world.size, kind=kind)
    refuse(planned, available_bytes(kind) / share)


def prepared(
    recipe: Recipe, places: Places, examples: Examples, world: World, console: Console
) -> tuple[Checkpoint, dict[str, float]]:
    """The start checkpoint on the CPU, ready to train, and the learning rate of each parameter that trains.

    What it can do before is measured, once a run; and the projector starts from the answers where the recipe says so
    (on resuming too: the standardisation that it measures is not in the state).
    """
    checkpoint = load_checkpoint(places.start_folder())
    if recipe.abilities and kept_abilities(places.run)[0] is None:
        keep_abilities(places.run, measured(checkpoint, recipe, places, world))
    torch.manual_seed(recipe.seed)
    rates = choose_trainable(checkpoint, recipe)
    if places.update:
        load_lora(checkpoint.model.model.language_model, places.update)
    table = freezing_table(part_rows(checkpoint.model))
    write_whole(places.run / "parts.txt", table + "\n")
    console.print(table)
    if recipe.projector_start == "answers":
        kept = KeptFeatures(checkpoint, places.features, console.print)
        dialogues = first_epoch(recipe, examples, checkpoint, kept)
        start_projector(checkpoint.model, checkpoint.processor, dialogues, kept.cache)
    return checkpoint, rates


def first_epoch(recipe: Recipe, examples: Examples, checkpoint: Checkpoint, kept: KeptFeatures) -> list[Branch]:
    """All dialogues of an epoch, encoded, with the features of their views computed."""
    encoder = encoder_of(checkpoint, recipe)
    slots, skipped = examples.epoch(0), Skipped(None, recipe.most_skipped)
    found: list[Branch] = []
    while window := list(islice(slots, recipe.window)):
        found += (one for same in usable(window, encoder, recipe, skipped, kept.prepare) for one in same)
    return found


def measured(checkpoint: Checkpoint, recipe: Recipe, places: Places, world: World) -> Abilities:
    """What the model can do now; on the GPU where there is one."""
    from chatspot.train.stream.reading import find

    held_out = Path(find(recipe.held_out, places.data)) if recipe.held_out else None
    nn.Module.to(checkpoint.model, world.device)
    found = measure(checkpoint.model, checkpoint.processor, checkpoint.settings, held_out)
    nn.Module.to(checkpoint.model, "cpu")
    return found


def begun(places: Places, optimizer: MasterAdamW, world: World, console: Console) -> Reached:
    """How far the run has come before, with its weights and moments put back; or those of the run it goes on after."""
    reached = load_state(places.run, optimizer, world, console.print)
    if reached is None:
        if places.after:
            go_on_after(places.after, optimizer, world)
        return Reached(0, 0.0, Position())
    console.print(f"going on after step {reached.step:,}, {reached.done:.2f} epochs")
    return reached


def encoder_of(checkpoint: Checkpoint, recipe: Recipe) -> Encoder:
    """The encoder of the checkpoint's dialogues."""
    return Encoder(checkpoint.processor, checkpoint.settings, recipe, checkpoint.tokens_per_image)


class StepStream:
    """The run's steps from any position on, and what fills their image tokens."""

    def __init__(
        self,
        recipe: Recipe,
        places: Places,
        examples: Examples,
        checkpoint: Checkpoint,
        world: World,
        say: Callable[[str], None],
    ):
        self.recipe, self.examples, self.world = recipe, examples, world
        self.encoder = encoder_of(checkpoint, recipe)
        self.pad_id: int = checkpoint.processor.tokenizer.pad_token_id
        kept = recipe.keep_features
        self.vision = KeptFeatures(checkpoint, places.features, say) if kept else Pixels(checkpoint)
        self.skipped = Skipped(places.run / "skipped.jsonl" if world.first else None, recipe.most_skipped)

    def first(self) -> Step:
        """The run's first step; nothing is computed or counted for it."""
        return next(steps(self.examples, self.encoder, self.recipe, Position(), Skipped(None, 1.0)))

    def loads(self, start: Position) -> Iterator[Any]:
        """The steps from ``start`` on, with this process's batches of each."""
        todo = steps(self.examples, self.encoder, self.recipe, start, self.skipped, self.vision.prepare)
        return loads(todo, self.world, self.recipe, self.pad_id, self.vision.read)


def show_first_sample(
    stream: StepStream, places: Places, checkpoint: Checkpoint, world: World, console: Console
) -> None:
    """Show the run's first row, once a run: on the console what is learnt of it, and a page with its pictures."""
    file = places.run / "first_sample.html"
    if not world.first or file.is_file():
        return
    sample = decoded(stream.first().rows[-1], checkpoint.processor.tokenizer, checkpoint.model.config.image_token_id)
    console.print(first_sample_text(sample))
    write_first_sample(sample, file, checkpoint.settings.image_fit, places.run.resolve().name)


def run_all(
    recipe: Recipe,
    places: Places,
    world: World,
    trainee: Trainee,
    optimizer: MasterAdamW,
    stream: StepStream,
    reached: Reached,
    console: Console,
    trackers: Sequence[str] | None,
) -> Finished:
    """Train to the end of the recipe's epochs, or to a signal, with progress and trackers."""
    with ExitStack() as stack:
        reports: list[Callable[[dict[str, Any]], None]] = []
        if world.first:
            facts = recipe.model_dump(mode="json")
            reports = [
                stack.enter_context(StepProgress(console, recipe.epochs, reached.done)),
                stack.enter_context(Trackers(places.run, facts, console.print, trackers, reached.step)),
            ]

        def report(line: dict[str, Any]) -> None:
            for one in reports:
                one(line)

        return run_steps(places.run, recipe, world, trainee, optimizer, stream.loads(reached.position), reached, report,
                         lambda: stream.skipped.unusable)  # fmt: skip


def conclude(
    finished: Finished, recipe: Recipe, places: Places, trainee: Trainee, world: World, console: Console
) -> None:
    """Draw the curves; of a complete run, save the checkpoint and say what the model can do now."""
    if world.first:
        draw_curve(places.run)
    if not finished.complete:
        console.print(f"stopped after step {finished.step:,}; the same command goes on from there")
        return
    whole = consolidated(world, trainee)
    if whole is None:
        return
    folder = save_trained(whole, recipe, places.run)
    before = kept_abilities(places.run)[0]
    if recipe.abilities and before is not None:
        after = measured(load_checkpoint(folder), recipe, places, world)
        keep_abilities(places.run, before, after)
        console.print(abilities_table(before, after))
    console.print(f"saved {folder}")
