"""``chatspot train``: the two stages, and that of nano's tower before them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatspot.cli.options import MaxNewTokens

if TYPE_CHECKING:
    from chatspot.train.recipe import Recipe

train_app = typer.Typer(name="train", no_args_is_help=True, help="Train a stage from a recipe, or on your own regions.")

RecipeFile = Annotated[Path, typer.Argument(help="The stage's recipe (YAML).")]
RecipeOrOwn = Annotated[
    Path | None, typer.Argument(help="The stage's recipe (YAML); without it, nano is fine-tuned on --data.")
]
DataFolders = Annotated[
    list[Path],
    typer.Option("--data", help="Folder above the recipe's sources; without a recipe, your own: a .jsonl file, a "
                 "folder of region JSON lines, or a build of shards. May be given again."),
]  # fmt: skip
RunFolder = Annotated[Path, typer.Option("--out", help="The run's folder; an interrupted run goes on.")]
StartFolder = Annotated[
    Path | None,
    typer.Option("--start", help="Checkpoint to start from; default: nano, trained where no recipe is named."),
]
FeatureFolder = Annotated[Path | None, typer.Option("--features", help="Where vision features are kept.")]
AfterFolder = Annotated[
    Path | None,
    typer.Option(
        "--after",
        help="Finished run of the same stage and start to go on from; 'nano', if no folder: nano as it ships.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change the recipe: key=value, such as epochs=2 or sources.0.limit=100. May be given again."
    ),
]
Plan = Annotated[bool, typer.Option("--plan", help="Say what the run needs and how long it takes; train nothing.")]
Processes = Annotated[int, typer.Option("--processes", min=1, help="With --plan: on so many processes (GPUs).")]
GpuMemory = Annotated[
    float | None,
    typer.Option("--gpu-gb", min=0.1, help="With --plan: on GPUs of so many GB, whatever this machine has."),
]
Mean = Annotated[bool, typer.Option("--mean", help="With --after and --ship: ship the mean of both runs' weights.")]
Share = Annotated[Path | None, typer.Option("--ship", help="Also write nano's three shipped files into this folder.")]
TowerStart = Annotated[Path | None, typer.Option("--start", help="Checkpoint with nano's tower; default: published.")]
Checkpoint = Annotated[Path | None, typer.Option("--start", help="Checkpoint that answers; default: nano as it ships.")]


@train_app.command()
def tower(
    recipe: RecipeFile, data: DataFolders, out: RunFolder,
    start: TowerStart = None, features: FeatureFolder = None,
) -> None:  # fmt: skip
    """Nano's stage before both: the late layers of its picture encoder learn what regions are."""
    require_training()
    from chatspot.train.part_stage import PartPlaces
    from chatspot.train.tower.recipe import load_tower_recipe
    from chatspot.train.tower.stage import train_tower

    chosen = load_tower_recipe(recipe)
    require_folders(data)
    found = train_tower(chosen, PartPlaces(tuple(data), out, features or out.parent / "early-maps", start))
    typer.echo(f"{out / 'checkpoint'}: " + ", ".join(f"{what} {100 * share:.1f} %" for what, share in found.items()))


@train_app.command()
def boxes(
    recipe: RecipeFile, data: DataFolders, out: RunFolder,
    start: Checkpoint = None, features: FeatureFolder = None,
) -> None:  # fmt: skip
    """Nano's stage after both: its box head learns where things lie that questions name."""
    require_training()
    from chatspot.model.nano import SHIPPED_HEAD
    from chatspot.train.boxes.recipe import load_box_recipe
    from chatspot.train.boxes.stage import train_boxes
    from chatspot.train.part_stage import PartPlaces

    chosen = load_box_recipe(recipe)
    require_folders(data)
    found = train_boxes(chosen, PartPlaces(tuple(data), out, features or out.parent / "box-maps", start))
    typer.echo(f"{out / SHIPPED_HEAD}: " + ", ".join(f"{what} {100 * share:.1f} %" for what, share in found.items()))


@train_app.command()
def align(
    recipe: RecipeFile, data: DataFolders, out: RunFolder, start: StartFolder = None, features: FeatureFolder = None,
    changes: Changes = None, plan: Plan = False, processes: Processes = 1, gpu_gb: GpuMemory = None,
) -> None:  # fmt: skip
    """Stage 1: the projector alone learns."""
    require_training()
    chosen = named_recipe("align", recipe, data, changes or [])
    run_stage(chosen, data, out, start, features, plan=plan, processes=processes, gpu_gb=gpu_gb)


@train_app.command()
def instruct(
    data: DataFolders, out: RunFolder, recipe: RecipeOrOwn = None, start: StartFolder = None,
    features: FeatureFolder = None, changes: Changes = None, plan: Plan = False, processes: Processes = 1,
    gpu_gb: GpuMemory = None, after: AfterFolder = None, ship: Share = None, mean: Mean = False,
) -> None:  # fmt: skip
    """Stage 2: projector and language model learn, the latter whole or by a low-rank update."""
    from chatspot.errors import RecipeError

    if mean and not (after and ship):
        raise RecipeError("--mean ships the mean of two runs: give --after RUN and --ship FOLDER with it")
    if is_nano(after) and (start or mean):
        raise RecipeError("--after nano goes on from the files that ship: leave --start and --mean out")
    require_training()
    if recipe:
        chosen = named_recipe("instruct", recipe, data, changes or [])
    else:
        from chatspot.model.nano import nano_checkpoint
        from chatspot.train.own_data import own_data_recipe

        chosen = own_data_recipe(data, changes or [])
        start = start or nano_checkpoint()
    complete = run_stage(chosen, data, out, start, features, after, plan=plan, processes=processes, gpu_gb=gpu_gb)
    if ship and complete and os.environ.get("RANK", "0") == "0":  # of several processes the first one writes
        from chatspot.train.ship import ship_nano

        for file in ship_nano([after, out] if after and mean else [out], ship):
            typer.echo(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")


@train_app.command()
def rehearse(
    out: Annotated[Path, typer.Option("--out", help="The .jsonl file to write, for a recipe's source {texts: FILE}.")],
    start: Checkpoint = None,
    max_new_tokens: MaxNewTokens = 128,
    invented: Annotated[
        int | None, typer.Option(min=1, help="So many conversations whose questions too are the model's own.")
    ] = None,
) -> None:
    """Rehearsal texts against forgetting, answered by the model that a stage will start from."""
    require_training()
    from chatspot.model.checkpoint import load_checkpoint
    from chatspot.model.nano import nano_checkpoint
    from chatspot.train.abilities.rehearsal import write_invented, write_rehearsal

    opened = load_checkpoint(start or nano_checkpoint())
    if invented:
        made = write_invented(opened.model, opened.processor, opened.settings, out, invented, max_new_tokens)
        typer.echo(f"{out}: {made} invented conversations")
        return
    written, asked = write_rehearsal(opened.model, opened.processor, opened.settings, out, max_new_tokens)
    typer.echo(f"{out}: {written} of {asked} conversations")


def require_training() -> None:
    """``RecipeError`` that says what to install where a package of the extra ``train`` is missing."""
    from chatspot.errors import RecipeError

    try:
        import chatspot.train.run  # noqa: F401
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"training needs the package {error.name}; install it with pip install 'chatspot[train]'"
        ) from error


def named_recipe(stage: str, file: Path, data: list[Path], changes: list[str]) -> Recipe:
    """The recipe in a file; ``RecipeError`` when it is for the other stage, or ``data`` are no folders."""
    from chatspot.errors import RecipeError
    from chatspot.train.recipe import load_recipe

    recipe = load_recipe(file, changes)
    if recipe.stage != stage:
        raise RecipeError(f"{file} is a recipe for 'chatspot train {recipe.stage}', not for '{stage}'")
    require_folders(data)
    return recipe


def require_folders(data: list[Path]) -> None:
    """``RecipeError`` for a --data that is no folder."""
    from chatspot.errors import RecipeError

    for folder in data:
        if not folder.is_dir():
            raise RecipeError(f"--data {folder} is no folder: with a recipe, --data names folders above its sources; "
                              "leave the recipe out to train on a file of your own")  # fmt: skip


def is_nano(after: Path | None) -> bool:
    """Whether ``--after`` means the nano that ships; a run's folder of that name comes first."""
    return after == Path("nano") and not after.is_dir()


def run_stage(
    recipe: Recipe, data: list[Path], out: Path, start: Path | None, features: Path | None, after: Path | None = None,
    *, plan: bool, processes: int, gpu_gb: float | None,
) -> bool:  # fmt: skip
    """Train, or only plan; whether a trained checkpoint is there afterwards."""
    from chatspot.train.run import Places, train

    places = Places(tuple(data), out, features or out.parent / "features", start, after)
    if is_nano(after):
        from chatspot.model.nano import nano_checkpoint, shipped_file

        places = replace(places, start=nano_checkpoint(update=False), after=None, update=shipped_file("lora"))
    if plan:
        from chatspot.train.planning.forecast import plan_training

        def say(text: str) -> None:
            typer.echo(text, err=True)

        typer.echo(plan_training(recipe, places, processes=processes, gpu_gb=gpu_gb, say=say).table())
        return False
    return train(recipe, places).complete
