"""Fine-tuning without writing a recipe: what lies at ``--data`` becomes the sources of the packaged recipe.

A tenth of what an epoch shows is rehearsal: conversation without a picture, against forgetting (see ``abilities``).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from chatspot.data.records import ANNOTATIONS
from chatspot.data.shards import MANIFEST, read_manifest
from chatspot.errors import RecipeError
from chatspot.train.abilities.retention import packaged
from chatspot.train.recipe import BUILTIN, Recipe, changed, parse_recipe

REHEARSAL_SHARE = 0.1  # of the pictures and texts of an epoch; our choice, see docs/train.md


def own_data_recipe(data: Sequence[Path], changes: Sequence[str] = ()) -> Recipe:
    """The packaged instruct recipe for the pictures at ``data``, with ``changes`` made to it.

    ``data``: .jsonl files, folders of region JSON lines, builds of shards, or folders of such folders. Rehearsal comes
    last in the sources. Raises ``RecipeError`` for a place with none of these.
    """
    values = yaml.safe_load(resources.files(__package__).joinpath("defaults", "instruct.yaml").read_text("utf-8"))
    found = [entry for place in data for entry in sources_at(place)]
    pictures = sum(count for _, count in found)
    weight = REHEARSAL_SHARE / (1 - REHEARSAL_SHARE) * pictures / len(packaged("rehearsal"))
    rehearsal = {"texts": BUILTIN, "weight": min(1000.0, round(weight, 3) or 0.001)}
    values["sources"] = [*(source for source, _ in found), rehearsal]
    return parse_recipe(changed(values, changes), " with ".join(["the packaged recipe", *changes]))


def sources_at(place: Path) -> list[tuple[dict[str, Any], int]]:
    """The sources at a place, each with the number of its pictures."""
    where = str(place.resolve())
    if place.is_file():
        return [({"lines": where}, line_count(place))]
    if (place / MANIFEST).is_file():
        counts = [shard.pictures for shard in read_manifest(place).shards if shard.stage == "instruct"]
        return [({"shards": where}, sum(counts))]
    if (place / ANNOTATIONS).is_file():
        return [({"folder": where}, line_count(place / ANNOTATIONS))]
    inner = sorted(file.parent for file in place.glob(f"*/{ANNOTATIONS}"))
    if not inner:
        raise RecipeError(f"{place} is neither a .jsonl file, nor a build of shards, nor a folder with {ANNOTATIONS} "
                          "or with folders that have one; see docs/train.md for the format")  # fmt: skip
    return [found for folder in inner for found in sources_at(folder)]


def line_count(file: Path) -> int:
    """Lines that are not empty."""
    with file.open("rb") as lines:
        return sum(bool(line.strip()) for line in lines)
