"""Configurations in: what is refused, with the file, the key and the nearest name; what the committed ones name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chatspot.data.build.config import find_folder, load_config, parse_config
from chatspot.data.build.run import default_split
from chatspot.data.dialogues.settings import DEFAULT_TASKS
from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError

CONFIGS = Path(__file__).parents[3] / "configs" / "data"
SOURCE = {"name": "region_lines", "folder": "coco"}


def config(**changes: Any) -> dict[str, Any]:
    """A configuration of one source, changed."""
    return {"name": "mine", "sources": [SOURCE], **changes}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (None, "the file: "),
        ([], "the file: "),
        ({}, "name: Field required"),
        (config(sources=[]), "sources: "),
        (config(sources=[{"name": "coco"}]), r"sources\.0\.folder: Field required"),
        (config(sorces=[SOURCE]), "did you mean 'sources'"),
        (config(sources=[{**SOURCE, "wieght": 1}]), "did you mean 'weight'"),
        (config(sources=[{**SOURCE, "dialogues": {"jiter": 0}}]), "did you mean 'jitter'"),
        (config(sources=[{**SOURCE, "dialogues": {"jitter": 7}}]), "jitter lies in"),
        (config(sources=[{**SOURCE, "dialogues": {"tasks": {"nmae": 1}}}]), "did you mean name"),
        (config(sources=[{**SOURCE, "weight": 0}]), r"sources\.0\.weight"),
        (config(sources=[{**SOURCE, "weight": float("nan")}]), r"sources\.0\.weight"),
        (config(sources=[{**SOURCE, "limit": 0}]), r"sources\.0\.limit"),
        (config(sources=[{**SOURCE, "stages": []}]), r"sources\.0\.stages"),
        (config(sources=[{**SOURCE, "stages": ["pretrain"]}]), r"sources\.0\.stages\.0"),
        (config(duplicates="perhaps"), "duplicates"),
        (config(shard_pictures=0), "shard_pictures"),
        (config(evaluation=[{**SOURCE, "weight": 2}]), r"evaluation\.0\.weight"),
    ],
)
def test_what_cannot_be_built_is_named(values: object, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        parse_config(values, "here.yaml")
    assert str(caught.value).startswith("here.yaml: ")


@pytest.mark.parametrize(("text", "says"), [("a: [", "is no YAML"), ("", "the file: "), ("\x00", "is no YAML")])
def test_files_that_are_no_configuration(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DataError, match=says):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(DataError, match="there is no configuration"):
        load_config(tmp_path / "none.yaml")


def test_the_hash_covers_settings_that_are_not_written_out() -> None:
    assert parse_config(config(seed=0), "x").sha256 == parse_config(config(), "x").sha256
    assert parse_config(config(seed=1), "x").sha256 != parse_config(config(), "x").sha256


def test_folders_are_looked_for_below_the_data_folders(tmp_path: Path) -> None:
    (tmp_path / "b" / "coco").mkdir(parents=True)
    assert find_folder("coco", [tmp_path / "a", tmp_path / "b"]) == tmp_path / "b" / "coco"
    assert find_folder(str(tmp_path / "b"), []) == tmp_path / "b"
    with pytest.raises(DataError, match="pass --data FOLDER"):
        find_folder("voc", [tmp_path / "b"])


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_committed_configurations_name_sources_that_exist(file: Path) -> None:
    parsed = load_config(file)
    for source in parsed.sources:
        assert SOURCES[source.name].role != "evaluation"
    for source in (*parsed.sources, *parsed.evaluation):
        assert (source.split or default_split(SOURCES[source.name])) in SOURCES[source.name].files


def test_nano_is_asked_for_every_ability_and_what_is_measured_stays_out() -> None:
    """Each task is asked in stage 2, and beside each folder of photos stands its held-out part."""
    nano = load_config(CONFIGS / "nano.yaml")
    asked = {task for s in nano.sources if "instruct" in s.stages for task, share in s.dialogues.tasks.items() if share}
    assert asked == set(DEFAULT_TASKS)
    photos = {source.folder for source in nano.sources} - {"words", "plates", "cutouts"}  # these are drawn
    left_out = {source.folder for source in nano.evaluation}
    kept = {folder for folder in left_out if folder.startswith("KEPT/")}
    assert kept
    assert left_out - kept == {f"../heldout/{folder}" for folder in photos}
    for later in ("nano-more.yaml", "nano-gaps.yaml"):
        more = load_config(CONFIGS / later)
        assert more.evaluation == nano.evaluation
        assert {source.folder for source in more.sources} <= {source.folder for source in nano.sources} | {"colours"}
