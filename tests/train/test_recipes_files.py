"""The recipes in configs/ are recipes, say how they are run and what to expect, and hold the paper's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatspot.train.boxes.recipe import load_box_recipe
from chatspot.train.recipe import load_recipe
from chatspot.train.tower.recipe import load_tower_recipe

CONFIGS = Path(__file__).parents[2] / "configs"
# no stages of the paper's: they have recipes of their own kinds
TOWER, BOXES = CONFIGS / "chatspot-nano" / "tower.yaml", CONFIGS / "chatspot-nano" / "boxes.yaml"
RECIPES = sorted(file for file in CONFIGS.glob("*/*.yaml") if file.parent.name != "data" and file not in (TOWER, BOXES))
PAPER = {"align": 2e-3, "instruct": 2e-5}  # learning rates, section 4.1


def test_all_of_them_are_looked_at() -> None:
    assert {file.parent.name for file in RECIPES} == {"chatspot-7b", "chatspot-nano", "tiny"}
    assert len(RECIPES) == 10


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_opens_with_its_command_and_what_to_expect(file: Path) -> None:
    recipe = load_recipe(file)
    says_how(file, recipe.stage)
    assert recipe.low_rank.quantised == (file.name == "qlora.yaml")


def test_the_towers_too() -> None:
    says_how(TOWER, "tower")
    assert load_tower_recipe(TOWER).teacher > 0


def test_the_box_heads_too() -> None:
    says_how(BOXES, "boxes")
    assert load_box_recipe(BOXES).epochs > 0


def says_how(file: Path, stage: str) -> None:
    """Check that a recipe's first lines are its command and what to expect."""
    head = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("# "):
            break
        head.append(line.removeprefix("# "))
    assert head[0].startswith(f"chatspot train {stage} {file.relative_to(CONFIGS.parent)} --data ")
    assert " --out " in head[0]
    assert len(" ".join(head[1:]).split()) >= 15


@pytest.mark.parametrize("stage", PAPER)
def test_the_papers_stages_to_the_letter(stage: str) -> None:
    recipe = load_recipe(CONFIGS / "chatspot-7b" / f"{stage}.yaml")
    assert recipe.stage == stage
    assert (recipe.learning_rate, recipe.batch_dialogues, recipe.epochs) == (PAPER[stage], 128, 3)
    assert (recipe.row_tokens, recipe.warmup_share) == (2048, 0.03)
    assert recipe.low_rank.rank == 0  # all weights of the language model in stage 2
    assert recipe.projector_learning_rate is None


@pytest.mark.parametrize("file", sorted((CONFIGS / "chatspot-7b").glob("*.yaml")), ids=lambda file: file.name)
def test_each_number_has_its_source(file: Path) -> None:
    fields = [line for line in file.read_text("utf-8").splitlines() if line[:1].isalpha() and line != "sources:"]
    bare = [line for line in fields if not any(word in line for word in ("paper", "LLaVA", "QLoRA", "our choice"))]
    assert bare in ([], ["stage: instruct"])
