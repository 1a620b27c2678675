"""Exports as servers open them: stock classes, other names, the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from test_preset_7b import STRANGER, messages
from transformers import AutoProcessor, LlavaForConditionalGeneration
from typer.testing import CliRunner

from chatspot.cli.main import app
from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from chatspot.model.export import EXPORT_NOTE, check_exportable, export_for_vllm
from chatspot.model.preset_7b import settings_7b
from chatspot.model.projector import read_linear, write_linear
from chatspot.prompts import PromptSettings


def names(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


def computed(folder: Path, picture: Path) -> dict[str, torch.Tensor]:
    """What stock classes compute: inputs, logits, greedy ids."""
    processor = AutoProcessor.from_pretrained(folder)
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    inputs = processor.apply_chat_template(
        [messages(picture)], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    with torch.no_grad():
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=8)
        return {**inputs, "logits": model(**inputs).logits, "ids": ids}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seen") / "picture.png"
    Image.effect_noise((90, 40), 80).convert("RGB").save(path)
    return path


@pytest.mark.parametrize("image_fit", ["stretch", "pad"])
def test_stock_classes_compute_the_same_from_the_export(small_7b, tmp_path: Path, picture: Path, image_fit: str):
    model, processor = small_7b(image_fit=image_fit)
    checkpoint = save_checkpoint(tmp_path / "checkpoint", model, processor, settings_7b(image_fit))
    ours, theirs = computed(checkpoint, picture), computed(export_for_vllm(checkpoint, tmp_path / "export"), picture)
    for name, values in ours.items():
        assert torch.equal(theirs[name], values), name


def test_a_stranger_opens_it(saved_7b: Path, tmp_path: Path, picture: Path):
    """In a process where chatspot cannot be imported."""
    export, out = export_for_vllm(saved_7b, tmp_path / "export"), tmp_path / "seen.pt"
    command = [sys.executable, "-I", "-c", STRANGER, str(export), json.dumps(messages(picture)), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(out, weights_only=True)["logits"], computed(saved_7b, picture)["logits"])


def test_its_names_are_those_that_vllm_knows(saved_7b: Path, tmp_path: Path):
    export = export_for_vllm(saved_7b, tmp_path / "deep" / "export")
    found, before = names(export), set(load_checkpoint(saved_7b).model.state_dict())
    tower = {name for name in found if "vision_tower" in name}
    assert tower
    assert all(name.startswith("model.vision_tower.vision_model.") for name in tower)
    assert {name.replace("vision_tower.vision_model.", "vision_tower.") for name in found} == before
    config = json.loads((export / "config.json").read_text())
    assert (config["projector_hidden_act"], config["model_type"]) == ("relu", "llava")
    assert config["architectures"] == ["LlavaForConditionalGeneration"]
    assert "chatspot" not in config
    assert str(tmp_path.parent) not in (export / "config.json").read_text()
    note = json.loads((export / EXPORT_NOTE).read_text())
    assert PromptSettings(**note["settings"]) == settings_7b()
    assert not list(tmp_path.glob("**/.*partial*"))


def test_an_activation_that_vllm_lacks_is_written_out(small_7b, tmp_path: Path, picture: Path):
    """One linear layer stored as the identity layout, between parts that have room for the other one."""
    model, processor = small_7b()
    weight, bias = read_linear(model.model.multi_modal_projector)
    model.config.projector_hidden_act = "linear"
    projector = type(model.model.multi_modal_projector)(model.config)
    write_linear(projector, weight, bias)
    model.model.multi_modal_projector = projector
    checkpoint = save_checkpoint(tmp_path / "checkpoint", model, processor, settings_7b())
    export = export_for_vllm(checkpoint, tmp_path / "export")
    assert json.loads((export / "config.json").read_text())["projector_hidden_act"] == "relu"
    ours, theirs = computed(checkpoint, picture), computed(export, picture)
    assert torch.allclose(ours["logits"], theirs["logits"], rtol=0, atol=1e-5)
    assert torch.equal(ours["ids"], theirs["ids"])


def test_what_cannot_be_exported(tiny_nano: Path, small_7b, saved_7b: Path, tmp_path: Path):
    model, processor = small_7b()
    focal = save_checkpoint(tmp_path / "focal", model, processor, PromptSettings("chatspot-7b", spell_quotes=False))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for source, folder, said in (
        (tiny_nano, tmp_path / "x", "its vision tower reads sheets .* chatspot serve"),
        (focal, tmp_path / "x", "focal_view.* chatspot serve"),
        (saved_7b, full, "not empty; choose another folder"),
        (tmp_path / "nowhere", tmp_path / "x", "there is no checkpoint folder"),
    ):
        with pytest.raises(CheckpointError, match=said):
            export_for_vllm(source, folder)
    assert not (tmp_path / "x").exists()
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_a_tower_that_is_too_wide_for_its_language_model(small_7b, tmp_path: Path):
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "small", *small_7b(), settings_7b()))
    checkpoint.model.config.projector_hidden_act = "linear"
    checkpoint.model.config.vision_config.hidden_size = 30
    with pytest.raises(CheckpointError, match=r"features \(30\) are wider than half the language model's \(40\)"):
        check_exportable(checkpoint)


def test_the_command(saved_7b: Path, tmp_path: Path):
    done = CliRunner().invoke(app, ["export", str(tmp_path / "out"), "--model", str(saved_7b), "--for", "vllm"])
    assert done.exit_code == 0, done.output
    assert "vllm serve" in done.output
    assert (tmp_path / "out" / "model.safetensors").is_file()
    again = CliRunner().invoke(app, ["export", str(tmp_path / "out"), "--model", str(saved_7b), "--for", "vllm"])
    assert again.exit_code == CheckpointError.exit_code
    assert (
        CliRunner().invoke(app, ["export", str(tmp_path), "--model", str(saved_7b), "--for", "ollama"]).exit_code == 2
    )
