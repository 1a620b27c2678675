"""``chatspot train``: the two stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train_app = typer.Typer(name="train", no_args_is_help=True, help="Train a stage from a recipe.")

RecipeFile = Annotated[Path, typer.Argument(help="The stage's recipe (YAML).")]
DataFolders = Annotated[
    list[Path], typer.Option("--data", help="Folder that holds source folders; may be given again.")
]
RunFolder = Annotated[Path, typer.Option("--out", help="The run's folder; an interrupted run goes on.")]
StartFolder = Annotated[Path | None, typer.Option("--start", help="Checkpoint to start from; default: nano's weights.")]
FeatureFolder = Annotated[Path | None, typer.Option("--features", help="Where vision features are kept.")]
AfterFolder = Annotated[
    Path | None, typer.Option("--after", help="Finished run of the same stage and start to go on from.")
]
Mean = Annotated[bool, typer.Option("--mean", help="With --after and --ship: ship the mean of both runs' weights.")]
Share = Annotated[Path | None, typer.Option("--ship", help="Also write nano's two shipped files into this folder.")]


@train_app.command()
def align(
    recipe: RecipeFile, data: DataFolders, out: RunFolder, start: StartFolder = None, features: FeatureFolder = None
) -> None:
    """Stage 1: the projector alone learns."""
    run_stage("align", recipe, data, out, start, features)


@train_app.command()
def instruct(
    recipe: RecipeFile, data: DataFolders, out: RunFolder, start: StartFolder = None, features: FeatureFolder = None,
    after: AfterFolder = None, ship: Share = None, mean: Mean = False,
) -> None:  # fmt: skip
    """Stage 2: projector and language model learn, the latter whole or by a low-rank update."""
    run_stage("instruct", recipe, data, out, start, features, after)
    if ship:
        from chatspot.train.ship import ship_nano

        for file in ship_nano([after, out] if after and mean else [out], ship):
            typer.echo(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")


def run_stage(
    stage: str, recipe_file: Path, data: list[Path], out: Path, start: Path | None, features: Path | None,
    after: Path | None = None,
) -> None:  # fmt: skip
    """Read the recipe, check that it is for this stage, train."""
    from chatspot.errors import RecipeError

    try:
        from chatspot.train.recipe import load_recipe
        from chatspot.train.run import Places, train
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"training needs the package {error.name}; install it with pip install 'chatspot[train]'"
        ) from error

    recipe = load_recipe(recipe_file)
    if recipe.stage != stage:
        raise RecipeError(f"{recipe_file} is a recipe for 'chatspot train {recipe.stage}', not for '{stage}'")
    train(recipe, Places(tuple(data), out, features or out.parent / "features", start, after))
