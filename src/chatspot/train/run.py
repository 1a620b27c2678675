"""One stage of training, from recipe to checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from chatspot.errors import RecipeError
from chatspot.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from chatspot.model.freezing import freeze_for, freezing_table, part_rows
from chatspot.model.nano import nano_checkpoint
from chatspot.model.vision import raw_features, tower_identity
from chatspot.train.curve import draw_curve
from chatspot.train.dataset import TrainingSample, batches, batches_per_epoch, load_samples, prepare
from chatspot.train.features import FeatureCache, View
from chatspot.train.loop import STATE, Finished, load_state, run_steps
from chatspot.train.lora import add_lora, lora_parameters, merge_and_save_lora
from chatspot.train.optimizer import MasterAdamW
from chatspot.train.recipe import Recipe
from chatspot.train.start import start_projector
from chatspot.train.step import Batch, batch_loss, collate

PREFETCHED = 4  # batches that are read ahead


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes. ``start``: a checkpoint folder, or None for nano's published weights; ``after``: a
    finished run with the same start and the same trainable parts, whose weights and moments this one goes on from."""

    data: tuple[Path, ...]
    run: Path
    features: Path
    start: Path | None = None
    after: Path | None = None


def train(recipe: Recipe, places: Places, console: Console | None = None) -> Finished:
    """Train one stage and save its checkpoint below ``places.run``; called again, it goes on where it stopped.

    Raises ``RecipeError`` when the run folder belongs to another recipe, ``TrainingError`` when training must stop.
    """
    console = console or Console()
    claim_run(recipe, places)
    checkpoint = load_checkpoint(places.start or nano_checkpoint(trained=False))
    samples = prepare(load_samples(recipe, places.data), checkpoint.processor, checkpoint.settings, recipe,
                      checkpoint.tokens_per_image)  # fmt: skip
    cache = kept_features(checkpoint, samples, places.features, console)
    torch.manual_seed(recipe.seed)
    model = checkpoint.model
    parameters = choose_trainable(checkpoint, recipe)
    (places.run / "parts.txt").write_text(freezing_table(part_rows(model)) + "\n", "utf-8")
    console.print(freezing_table(part_rows(model)))
    if recipe.projector_start == "answers":  # on resuming too: the standardisation it measures is not in the state
        start_projector(model, checkpoint.processor, samples, cache)
    optimizer = MasterAdamW(parameters)
    steps = max(1, round(recipe.epochs * batches_per_epoch(samples, recipe.batch_tokens, recipe.seed)))
    start = load_state(places.run, optimizer)
    if places.after and start == 0:
        go_on_after(places.after, optimizer)
    console.print(
        f"{recipe.stage}: {len(samples):,} dialogues, {steps:,} steps" + (f", from step {start}" * bool(start))
    )
    stream = batch_stream(samples, recipe, cache, checkpoint, start)
    with StepProgress(console, steps, start) as report:
        finished = run_steps(
            places.run, recipe, steps, stream, lambda batch: batch_loss(model, batch), optimizer, report, start
        )
    draw_curve(places.run)
    if finished.complete:
        save_result(checkpoint, recipe, places.run)
        console.print(f"saved {places.run / 'checkpoint'}")
    else:
        console.print(f"stopped after step {finished.step}; the same command goes on from there")
    return finished


def go_on_after(run: Path, optimizer: MasterAdamW) -> None:
    """Put the weights and moments of another run into ``optimizer``; ``RecipeError`` where they do not fit."""
    if not (run / STATE).is_file():
        raise RecipeError(f"{run} holds no {STATE}: a run can only go on after one that has begun")
    try:
        optimizer.load_state_dict(torch.load(run / STATE, weights_only=True)["optimizer"])
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise RecipeError(f"{run / STATE} does not fit this recipe ({error}); stage, low rank and start must be the "
                          "same") from error  # fmt: skip


def claim_run(recipe: Recipe, places: Places) -> None:
    """Make the run folder, or check that it is this recipe's own."""
    places.run.mkdir(parents=True, exist_ok=True)
    resolved = recipe.model_dump_json(indent=2)
    file = places.run / "recipe.json"
    if file.is_file() and file.read_text("utf-8") != resolved:
        raise RecipeError(f"{places.run} holds a run of another recipe (see {file}); choose another --out")
    temporary = file.with_suffix(".part")
    temporary.write_text(resolved, "utf-8")
    temporary.replace(file)


def kept_features(
    checkpoint: Checkpoint, samples: Sequence[TrainingSample], folder: Path, console: Console
) -> FeatureCache:
    """The cache with the features of every view of the samples, computing those it lacks."""
    model, config = checkpoint.model, checkpoint.model.config
    model.model.vision_tower.float().to(memory_format=torch.channels_last)  # in place; the faster layout on CPUs
    shape = (config.image_seq_length, config.vision_config.hidden_size)
    cache = FeatureCache(folder, shape, tower_identity(model), checkpoint.settings.image_fit)
    views: dict[View, None] = {view: None for sample in samples for view in sample.views}

    def pixels(pictures: list[Image.Image]) -> torch.Tensor:
        return checkpoint.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]

    with Progress(*columns("vision features"), console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        cache.fill(views, lambda batch: raw_features(model, batch), pixels,
                   lambda done, total: progress.update(task, completed=done, total=total))  # fmt: skip
    return cache


def choose_trainable(checkpoint: Checkpoint, recipe: Recipe) -> list[tuple[list[nn.Parameter], float]]:
    """Freeze what the stage freezes and return what trains, with its learning rate.

    The projector computes in float32, whatever the language model's precision.
    """
    model = checkpoint.model
    low_rank = recipe.stage == "instruct" and recipe.lora_rank > 0
    freeze_for(model, "align" if low_rank else recipe.stage)
    projector = model.model.multi_modal_projector.float()
    groups = [
        ([p for p in projector.parameters() if p.requires_grad], recipe.projector_learning_rate or recipe.learning_rate)
    ]
    if low_rank:
        add_lora(model.model.language_model, recipe.lora_rank, recipe.lora_alpha)
        groups.append((lora_parameters(model.model.language_model), recipe.learning_rate))
    elif recipe.stage == "instruct":
        seen = {id(p) for p in groups[0][0]}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in seen]
        groups.append((rest, recipe.learning_rate))
    return groups


def batch_stream(
    samples: Sequence[TrainingSample], recipe: Recipe, cache: FeatureCache, checkpoint: Checkpoint, start: int
) -> Iterator[Batch]:
    """The batches from step ``start`` on; which they are depends on the recipe's seed alone.

    A thread reads the features of the next few batches while the model computes: the disk is slower than memory.
    """
    pad_id = checkpoint.processor.tokenizer.pad_token_id
    chosen = islice(batches(samples, recipe.batch_tokens, recipe.seed), start, None)
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = deque(reader.submit(collate, batch, cache, pad_id) for batch in islice(chosen, PREFETCHED))
        while ahead:
            ready = ahead.popleft().result()
            ahead.extend(reader.submit(collate, batch, cache, pad_id) for batch in islice(chosen, 1))
            yield ready


def save_result(checkpoint: Checkpoint, recipe: Recipe, run: Path) -> None:
    """Write the trained checkpoint, low-rank update merged; the update itself stands beside it."""
    model = checkpoint.model
    if recipe.stage == "instruct" and recipe.lora_rank > 0:
        merge_and_save_lora(model.model.language_model, run / "lora.safetensors", recipe.lora_alpha / recipe.lora_rank)
    model.to(checkpoint.model.lm_head.weight.dtype)
    save_checkpoint(run / "checkpoint", model, checkpoint.processor, checkpoint.settings)


def columns(title: str) -> tuple[Any, ...]:
    """A progress line: title, bar, count, time left, and what the task says of itself."""
    return (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )


class StepProgress:
    """A progress bar that is also a step's ``report``; where the output is no terminal, a line every 25 steps."""

    def __init__(self, console: Console, steps: int, start: int):
        self.console, self.steps = console, steps
        self.bar = Progress(*columns("training"), console=console, transient=True)
        self.task = self.bar.add_task("", total=steps, completed=start)

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        if self.console.is_terminal:
            self.bar.start()
        return self.report

    def report(self, line: dict[str, Any]) -> None:
        """Show a step."""
        shown = f"loss {line['loss']:.3f}  {line['tokens_per_second']:.0f} tokens/s"
        self.bar.update(self.task, completed=line["step"], description=shown)
        if not self.console.is_terminal and (line["step"] % 25 == 0 or line["step"] == self.steps):
            self.console.print(f"step {line['step']}/{self.steps}  {shown}")

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
