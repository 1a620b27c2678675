"""From the words of a command line to an engine, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatspot.errors import ChatSpotError, DataError
from chatspot.eval.opening import Chosen, open_engine


def test_a_checkpoint_of_ours_is_opened_with_focal_views_or_without(tiny_nano: Path):
    engine, facts = open_engine(Chosen(model=str(tiny_nano), device="cpu", dtype="float32"))
    assert engine.settings.focal_view
    assert facts["name"] == tiny_nano.name
    assert facts["dtype"] == "float32"
    assert all(len(digest) == 64 for digest in facts["files"].values())
    assert facts["files"]
    for way, views in (("focal", True), ("text", False), ("painted", False)):
        engine, facts = open_engine(Chosen(model=str(tiny_nano), device="cpu", way=way, name="mine"))
        assert (engine.settings.focal_view, facts["name"]) == (views, "mine")


def test_a_server_is_asked_in_a_dialect_and_its_model_named_without_a_path():
    chosen = Chosen("/models/smol", "remote", url="http://127.0.0.1:9/v1", dialect="qwen3-vl", blind=True)
    engine, facts = open_engine(chosen)
    assert facts == {"name": "smol", "files": {}, "engine": "remote", "dialect": "qwen3-vl", "frame": "blind"}
    assert engine.device == "remote"
    engine.close()


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (Chosen(engine="jax"), "no engine 'jax'"),
        (Chosen(engine="remote", dialect="shikra"), "server's address"),
        (Chosen(engine="remote", url="http://127.0.0.1:9/v1"), "needs a dialect"),
        (Chosen(engine="huggingface", model="x"), "needs a dialect"),
        (Chosen(engine="huggingface", dialect="shikra"), "needs a model"),
        (Chosen(url="http://127.0.0.1:9/v1"), "--engine remote, not chatspot"),
        (Chosen(engine="huggingface", model="x", dialect="shikra", blind=True), "--engine remote, not huggingface"),
        (Chosen(dialect="shikra"), "in its own way"),
    ],
)
def test_what_does_not_go_together_is_said(chosen: Chosen, says: str):
    with pytest.raises(DataError, match=says):
        open_engine(chosen)


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(ChatSpotError, match="no image-text model"):
        open_engine(Chosen(str(tmp_path), "huggingface", dialect="shikra", device="cpu"))
