"""chatspot-nano from its published weights: exact conversion, one build, no broken cache."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from chatspot.errors import CheckpointError
from chatspot.images import encoder_view, encoder_views, open_image
from chatspot.model import gguf, weights
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.model.nano import nano_checkpoint
from chatspot.model.nano_assembly import merge_lora, picture_state_dict
from chatspot.model.sheet_tower import LINE_FEATURES
from chatspot.model.vision import raw_features, standardised, view_features
from chatspot.regions import Box

CAT_CLASSES = range(281, 286)  # ImageNet's house cats: tabby to Egyptian cat


@pytest.fixture(scope="module")
def untrained() -> Checkpoint:
    """Nano's published weights without our training."""
    return load_checkpoint(nano_checkpoint(trained=False), dtype=torch.float32)


def test_the_language_model_answers_as_it_was_published(untrained: Checkpoint) -> None:
    tokenizer = untrained.processor.tokenizer
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    out = untrained.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
    )
    assert tokenizer.decode(out[0, ids.shape[1] :]) == "The capital of France is Paris.<|im_end|>"


def test_the_tower_sees_a_cat(untrained: Checkpoint) -> None:
    published = torch.load(weights.picture_weights(), weights_only=True)
    cat = open_image(Path(str(resources.files("chatspot").joinpath("examples", "cat.jpg"))))
    pixels = untrained.processor.image_processor([cat], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        features = raw_features(untrained.model, pixels)[0, :, :1280].mean(dim=0)
        logits = features @ published["_fc.weight"].T + published["_fc.bias"]
    assert int(logits.argmax()) in CAT_CLASSES


def test_every_token_carries_the_middle_of_the_picture(untrained: Checkpoint) -> None:
    cat = open_image(Path(str(resources.files("chatspot").joinpath("examples", "cat.jpg"))))
    pixels = untrained.processor.image_processor([cat], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        raw = raw_features(untrained.model, pixels)[0]
    channels = (raw.shape[1] - LINE_FEATURES) // 2
    seen, middle = raw[:, :channels], raw[:, channels : 2 * channels]
    torch.testing.assert_close(middle, seen[[5, 6, 9, 10]].mean(dim=0).expand_as(seen))
    assert not torch.allclose(seen[0], middle[0])


def test_a_views_features_are_the_mean_of_its_sheets(untrained: Checkpoint) -> None:
    cat = open_image(Path(str(resources.files("chatspot").joinpath("examples", "cat.jpg"))))
    views = [encoder_views(cat, Box.from_normalized(*box), "sheet") for box in ((0.1, 0, 0.9, 0.5), (0.4, 0.3, 0.6, 1))]
    sheets = [encoder_view(cat, None, "sheet"), *(sheet for view in views for sheet in view)]
    pixels = untrained.processor.image_processor(sheets, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        found = view_features(untrained.model, pixels, [1, 3, 3])
        each = raw_features(untrained.model, pixels)
    expected = torch.stack([part.mean(dim=0) for part in each.split([1, 3, 3])])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[1], found[2], atol=0.1)


def test_features_are_standardised_by_the_towers_buffers(untrained: Checkpoint) -> None:
    tower = untrained.model.model.vision_tower
    raw = torch.randn(1, 16, tower.config.hidden_size)
    assert torch.equal(standardised(untrained.model, raw), (raw - tower.feature_mean) * tower.feature_scale)


def test_folding_keeps_every_convolution() -> None:
    state = picture_state_dict(weights.picture_weights())
    assert len(state) == 2 * (2 + 3 * 21 - 1)  # stem, head and 21 blocks of three convolutions; the first block has two
    assert all(value.isfinite().all() for value in state.values())


def test_the_second_start_builds_nothing() -> None:
    folder = nano_checkpoint(trained=False)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert nano_checkpoint(trained=False) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_without_its_update_nano_is_what_training_goes_on_from(untrained: Checkpoint) -> None:
    shipped, begun = (load_checkpoint(nano_checkpoint(update=update)).model for update in (True, False))
    assert torch.equal(
        begun.model.multi_modal_projector.linear_1.weight, shipped.model.multi_modal_projector.linear_1.weight
    )
    tower, published = begun.model.vision_tower.state_dict(), untrained.model.model.vision_tower.state_dict()
    assert all(torch.equal(value, tower[name]) for name, value in shipped.model.vision_tower.state_dict().items())
    assert not torch.equal(tower["picture.head.weight"].float(), published["picture.head.weight"].bfloat16().float())
    language = untrained.model.model.language_model.state_dict()
    for name, value in begun.model.language_model.state_dict().items():
        assert torch.equal(value, language[name].bfloat16()), name
    assert not torch.equal(
        shipped.model.language_model.layers[0].mlp.up_proj.weight,
        begun.model.language_model.layers[0].mlp.up_proj.weight,
    )


@pytest.mark.parametrize("sign", ["*.lock", ".nano-*", ".nano-*/tokenizer.json", ".nano-*/model.safetensors"])
def test_a_killed_conversion_leaves_no_broken_cache(sign: str, tmp_path: Path) -> None:
    """Killed as soon as ``sign`` appears in the cache folder; the next start must build a whole checkpoint."""
    language = weights.language_weights()
    (tmp_path / language.name).symlink_to(language)  # nothing is fetched again
    environment = {**os.environ, weights.CACHE_VARIABLE: str(tmp_path)}
    code = "from chatspot.model.nano import nano_checkpoint; print(nano_checkpoint(trained=False))"
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(sign)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    for folder in tmp_path.glob("nano-*"):
        if folder.is_dir():  # what has the final name is whole
            load_checkpoint(folder)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip().splitlines()[-1])
    load_checkpoint(folder)
    assert not list(tmp_path.glob(f".{folder.name}.*")), "remains of the killed conversion are still there"


def test_a_file_is_fetched_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the user's constraints are named by a path that this folder does not have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_CONSTRAINT", "constraints/ci.txt")
    fetched = weights.fetch(weights.LINE_FILE, tmp_path / "cache" / "line.onnx")
    assert weights.sha256(fetched) == weights.LINE_FILE.sha256
    assert [path.name for path in fetched.parent.iterdir()] == ["line.onnx"]


def test_a_damaged_download_is_named(tmp_path: Path) -> None:
    file = tmp_path / weights.LANGUAGE_FILE.path
    file.write_bytes(b"GGUF and then nothing")
    with pytest.raises(CheckpointError, match="expected SHA-256 b179"):
        weights.checked(file, weights.LANGUAGE_FILE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04", "not a GGUF file"),
        (b"GGUF", "damaged or cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 5, 5), "damaged or cut short"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60), "damaged or cut short"),
    ],
)
def test_files_that_are_no_gguf(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        gguf.read_gguf(file)


def test_dequantise_by_hand() -> None:
    q4 = np.concatenate([np.array([0.5, 1.0], "<f2").view(np.uint8), np.arange(16, dtype=np.uint8) | (15 << 4)])
    values = gguf.dequantise(memoryview(q4), 0, (1, 32), gguf.Q4_1, "w")
    assert values[0, :16].tolist() == [0.5 * n + 1.0 for n in range(16)]
    assert values[0, 16:].tolist() == [0.5 * 15 + 1.0] * 16
    q8 = np.concatenate([np.array([0.25], "<f2").view(np.uint8), np.arange(-16, 16, dtype=np.int8).view(np.uint8)])
    assert gguf.dequantise(memoryview(q8), 0, (32,), gguf.Q8_0, "w").tolist() == [0.25 * n for n in range(-16, 16)]
    with pytest.raises(CheckpointError, match="block format 12"):
        gguf.dequantise(memoryview(q8), 0, (32,), 12, "w")


def test_rotary_halves_undo_the_interleaving() -> None:
    rows = np.arange(8.0).reshape(8, 1)  # two heads of four rows: pairs (0, 1) and (2, 3) in each
    assert gguf.rotary_halves(rows, heads=2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_merge_lora_adds_scaled_product(untrained: Checkpoint, tmp_path: Path) -> None:
    layer = "layers.3.self_attn.v_proj"
    weight = untrained.model.model.language_model.get_submodule(layer).weight
    before = weight.detach().clone()
    down, up = torch.randn(4, weight.shape[1]).half(), torch.randn(weight.shape[0], 4).half()
    file = tmp_path / "lora.safetensors"
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, file, metadata={"scale": "0.5"})
    merge_lora(untrained.model, file)
    assert torch.equal(weight, before + 0.5 * (up.float() @ down.float()))
    weight.data.copy_(before)


def test_the_cache_key_names_what_it_was_made_from() -> None:
    folder = nano_checkpoint(trained=False)
    stored = json.loads((folder / "config.json").read_text())
    assert stored["chatspot"]["template"] == "chatspot-nano"
    assert len(folder.name.removeprefix("nano-")) == 12
