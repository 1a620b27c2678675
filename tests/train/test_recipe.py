"""Recipes: what is refused and how it is said, changes from the command line, sources made of one's own data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatspot.errors import RecipeError
from chatspot.train.abilities.retention import packaged
from chatspot.train.own_data import REHEARSAL_SHARE, own_data_recipe
from chatspot.train.recipe import changed, load_recipe, parse_recipe

PLAIN = {"stage": "instruct", "learning_rate": 1e-4, "batch_tokens": 512, "sources": [{"folder": "a"}]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [{}]}, "exactly one of folder, shards, lines, texts; this one has none"),
        ({"sources": [{"folder": "a", "lines": "b"}]}, "has folder and lines"),
        ({"sources": [{"texts": "builtin", "questions": {"repeats": 2}}]}, "texts hold theirs already"),
        ({"sources": [{"shards": "a", "questions": {"repeats": 2}}]}, "shards hold theirs already"),
        ({"sources": [{"folder": "a", "weight": 0}]}, "sources.0.weight"),
        ({"sources": [{"folder": "a", "weight": float("nan")}]}, "sources.0.weight"),
        ({"sources": [{"folder": "a", "questions": {"repeat": 2}}]}, "did you mean 'repeats'"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"learning_rte": 1e-3}, "did you mean 'learning_rate'"),
        ({"lora_rank": 4}, "lora_rank"),
        ({"low_rank": {"rnk": 4}}, "did you mean 'rank'"),
        ({"low_rank": {"quantised": True}}, "give a rank"),
        ({"stage": "align", "low_rank": {"rank": 4}}, "trains the projector alone"),
        ({"batch_tokens": None}, "either batch_tokens or batch_dialogues"),
        ({"batch_dialogues": 128}, "either batch_tokens or batch_dialogues"),
        ({"most_skipped": 1.5}, "most_skipped"),
        ({"attention": "flash"}, "attention"),
        ({"stage": "tune"}, "stage"),
    ],
)
def test_recipes_that_cannot_run(change: dict, says: str) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml") as caught:
        parse_recipe({**PLAIN, **change}, "recipe.yaml")
    assert says in str(caught.value)


@pytest.mark.parametrize("content", ["", "7", "[1, 2]", "stage: [", "\xff"])
def test_files_that_are_no_recipe(content: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(file)
    with pytest.raises(RecipeError, match="no recipe at"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({}, "a=1", {"a": 1}),
        (None, "a=1", {"a": 1}),
        ({"a": 1}, "a=", {"a": None}),
        ({"a": 1}, "a=null", {"a": None}),
        ({"a": 1, "b": 2}, "b=[1, x]", {"a": 1, "b": [1, "x"]}),
        ({}, "a.b.c=true", {"a": {"b": {"c": True}}}),
        ({"a": {"b": 1, "c": 2}}, "a.b=5", {"a": {"b": 5, "c": 2}}),
        ({"a": [{"b": 1}, {"b": 2}]}, "a.1.b=9", {"a": [{"b": 1}, {"b": 9}]}),
        ({"a": [1, 2]}, "a.0=5", {"a": [5, 2]}),
        ({}, "a=b=c", {"a": "b=c"}),
    ],
)
def test_changes(before: dict, change: str, after: dict) -> None:
    kept = json.dumps(before)
    assert changed(before, [change]) == after
    assert json.dumps(before) == kept  # what was read is not touched


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("", "key=value"),
        ("epochs", "key=value"),
        ("=3", "key=value"),
        ("a..b=3", "key=value"),
        ("epochs=[", "no YAML"),
        ("sources.1.limit=3", "one of 1 entries by its number"),
        ("sources.first.limit=3", "by its number"),
        ("sources.-1.limit=3", "by its number"),
        ("stage.x=3", "which has no keys"),
        ("epoks=3", "did you mean 'epochs'"),
        ("low_rank.rang=3", "did you mean 'rank'"),
    ],
)
def test_changes_that_cannot_be(change: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(PLAIN))
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, [change])
    assert says in str(caught.value)


def test_changes_are_made_before_the_recipe_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(PLAIN))
    changes = ["batch_tokens=null", "batch_dialogues=128", "learning_rate=2e-3", "low_rank.rank=8", "sources.0.limit=3"]
    recipe = load_recipe(file, changes)
    assert (recipe.batch_tokens, recipe.batch_dialogues, recipe.learning_rate) == (None, 128, 2e-3)
    assert (recipe.low_rank.rank, recipe.sources[0].limit) == (8, 3)
    assert parse_recipe(json.loads(recipe.model_dump_json()), "stored") == recipe


def test_own_data_of_every_kind_becomes_sources(tmp_path: Path) -> None:
    lines = "\n".join(["{}", "", "{}"]) + "\n"
    for folder in ("one", "many/a", "many/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "annotations.jsonl").write_text(lines)
    (tmp_path / "my.jsonl").write_text(lines)
    (tmp_path / "built").mkdir()
    shards = [{"file": f"{stage}.tar", "stage": stage, "pictures": 30, "samples": 90, "bytes": 1, "sha256": ""}
              for stage in ("align", "instruct")]  # fmt: skip
    (tmp_path / "built" / "manifest.json").write_text(json.dumps({"schema": 1, "shards": shards}))
    places = [tmp_path / name for name in ("one", "many", "my.jsonl", "built")]
    recipe = own_data_recipe(places, ["epochs=1", "sources.0.limit=5"])
    kinds = [(s.folder or s.lines or s.shards or s.texts or "").removeprefix(str(tmp_path.resolve()) + "/")
             for s in recipe.sources]  # fmt: skip
    assert kinds == ["one", "many/a", "many/b", "my.jsonl", "built", "builtin"]
    assert (recipe.stage, recipe.epochs, recipe.sources[0].limit) == ("instruct", 1, 5)
    rehearsed, pictures = recipe.sources[-1].weight * len(packaged("rehearsal")), 2 * 4 + 30
    assert rehearsed / (rehearsed + pictures) == pytest.approx(REHEARSAL_SHARE, abs=0.01)


@pytest.mark.parametrize("name", ["none", "empty"])
def test_own_data_that_is_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=f"{name} is neither"):
        own_data_recipe([tmp_path / name])
