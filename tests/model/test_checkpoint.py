"""Checkpoints: what is saved opens again bit-equal, nothing is half-written, and whatever else is there is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from chatspot.model.freezing import freeze_for
from chatspot.model.preset_7b import settings_7b
from chatspot.model.projector import read_linear, write_linear
from chatspot.model.sheet_tower import TOKENS_PER_IMAGE, SheetTower, SheetTowerConfig
from chatspot.prompts import PromptSettings, template_source


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_same_weights(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    state = found.state_dict()
    assert set(state) == set(expected.state_dict())
    for name, value in expected.state_dict().items():
        assert torch.equal(state[name], value), name


def test_what_is_saved_opens_again(small_7b, tmp_path: Path):
    model, processor = small_7b()
    folder = save_checkpoint(tmp_path / "new" / "checkpoint", model, processor, settings_7b())
    opened = load_checkpoint(folder)
    assert_same_weights(opened.model, model)
    assert opened.settings == settings_7b()
    assert opened.path == folder
    assert opened.tokens_per_image == 16
    assert opened.template == template_source("chatspot-7b")
    assert opened.processor.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert not opened.model.training
    assert os.listdir(folder.parent) == ["checkpoint"]
    with pytest.raises(FrozenInstanceError):
        opened.path = tmp_path


def saved_again(folder: Path, target: Path) -> Path:
    opened = load_checkpoint(folder)
    return save_checkpoint(target, opened.model, opened.processor, opened.settings)


def test_saving_again_writes_the_same_bytes(saved_7b: Path, tmp_path: Path):
    first, second = contents(saved_7b), contents(saved_again(saved_7b, tmp_path / "second"))
    assert contents(saved_again(tmp_path / "second", tmp_path / "third")) == second
    # transformers opens every tokenizer.json with one class, whose name then stands in place of LlamaTokenizer.
    del first["tokenizer_config.json"], second["tokenizer_config.json"]
    assert first == second


def test_opening_says_nothing(saved_7b: Path, capfd: pytest.CaptureFixture[str]):
    load_checkpoint(saved_7b)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", torch.float32])
def test_dtype_and_device(saved_7b: Path, dtype):
    opened = load_checkpoint(str(saved_7b), dtype=dtype, device="cpu")
    expected = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    assert {value.dtype for value in opened.model.parameters()} == {expected}
    assert opened.model.device.type == "cpu"


def test_the_saved_dtype_is_kept(small_7b, tmp_path: Path):
    model, processor = small_7b(dtype=torch.bfloat16)
    opened = load_checkpoint(save_checkpoint(tmp_path / "half", model, processor, settings_7b()))
    assert_same_weights(opened.model, model)
    assert opened.model.dtype == torch.bfloat16


@pytest.mark.parametrize("stage", ["align", "instruct"])
def test_a_model_in_training_is_saved_in_the_stock_layout(small_7b, tmp_path: Path, stage: str):
    model, processor = small_7b()
    freeze_for(model, stage)
    linear = model.model.multi_modal_projector
    with torch.no_grad():
        linear.weight += 0.5
        linear.bias -= 0.25
    random_state = torch.get_rng_state()
    folder = save_checkpoint(tmp_path / "trained", model, processor, settings_7b())
    assert torch.equal(torch.get_rng_state(), random_state)  # saving does not change how training goes on
    opened = load_checkpoint(folder)
    weight, bias = read_linear(opened.model.model.multi_modal_projector)
    assert torch.equal(weight, linear.weight)
    assert torch.equal(bias, linear.bias)
    assert model.model.multi_modal_projector is linear  # the model trains on as it was


def test_a_checkpoint_from_before_a_setting_does_as_it_did(saved_7b: Path, tmp_path: Path):
    folder = Path(shutil.copytree(saved_7b, tmp_path / "older"))
    edit(folder / "config.json", chatspot__several_sizes=None)
    assert load_checkpoint(folder).settings == load_checkpoint(saved_7b).settings
    assert not load_checkpoint(folder).settings.several_sizes


def test_nanos_kind_of_checkpoint(small_7b, tmp_path: Path):
    """A tower that reads sheets, identity layout, tied embeddings, 16 tokens a picture."""
    _, processor = small_7b()
    tokenizer = processor.tokenizer
    config = LlavaConfig(
        vision_config=SheetTowerConfig(width=0.2, depth=0.2),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, tie_word_embeddings=True,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_act="linear",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS_PER_IMAGE,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config).eval()
    wide = config.vision_config.hidden_size
    write_linear(model.model.multi_modal_projector, torch.randn(16, wide), torch.randn(16))
    images = CLIPImageProcessorPil(size={"height": 304, "width": 256}, do_center_crop=False)
    processor = LlavaProcessor(images, tokenizer, patch_size=64, vision_feature_select_strategy="full",
                               num_additional_image_tokens=0)  # fmt: skip
    opened = load_checkpoint(save_checkpoint(tmp_path / "nano", model, processor, PromptSettings(image_fit="sheet")))
    assert_same_weights(opened.model, model)
    assert isinstance(opened.model.model.vision_tower, SheetTower)
    assert opened.model.lm_head.weight is opened.model.model.language_model.embed_tokens.weight
    assert opened.tokens_per_image == TOKENS_PER_IMAGE
    assert opened.template == template_source("chatspot-nano")  # given by save, as the processor had none


# Writing


def test_a_checkpoint_is_replaced(small_7b, tmp_path: Path):
    for seed in (1, 2):
        model, processor = small_7b(seed=seed)
        folder = save_checkpoint(tmp_path / "checkpoint", model, processor, settings_7b())
    assert_same_weights(load_checkpoint(folder).model, small_7b(seed=2)[0])
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_an_empty_folder_is_filled(small_7b, tmp_path: Path):
    model, processor = small_7b()
    (tmp_path / "checkpoint").mkdir()
    load_checkpoint(save_checkpoint(tmp_path / "checkpoint", model, processor, settings_7b()))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p: p.write_text("mine"), "is a file"),
        (lambda p: (p.mkdir(), (p / "thesis.txt").write_text("mine")), "not a checkpoint .*thesis.txt"),
        (lambda p: (p.mkdir(), (p / "config.json").write_text('{"model_type": "llama"}')), "not a checkpoint"),
        (lambda p: (p.mkdir(), (p / "config.json").write_text("{")), "JSON"),
    ],
)
def test_what_is_no_checkpoint_is_left_alone(small_7b, tmp_path: Path, prepare, message: str):
    target = tmp_path / "target"
    prepare(target)
    before = contents(target) if target.is_dir() else target.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(target, *small_7b(), settings_7b())
    assert (contents(target) if target.is_dir() else target.read_bytes()) == before
    assert os.listdir(tmp_path) == ["target"]


def test_a_checkpoint_with_foreign_files_is_left_alone(small_7b, saved_7b: Path, tmp_path: Path):
    target = tmp_path / "target"
    shutil.copytree(saved_7b, target)
    (target / "metrics.csv").write_text("mine")
    before = contents(target)
    with pytest.raises(CheckpointError, match=r"metrics\.csv, which saving would delete"):
        save_checkpoint(target, *small_7b(), settings_7b())
    assert contents(target) == before


@pytest.mark.parametrize(
    "change",
    [
        {"image_fit": "pad"},  # the processor stretches
        {"template": "chatspot-nano"},  # the processor's template is another
        {"version": 2},
        {"image_fit": "crop"},
    ],
)
def test_settings_that_contradict_the_processor_are_not_saved(small_7b, saved_7b: Path, tmp_path: Path, change):
    target = tmp_path / "target"
    shutil.copytree(saved_7b, target)
    before = contents(target)
    with pytest.raises(CheckpointError):
        save_checkpoint(target, *small_7b(), replace(settings_7b(), **change))
    assert contents(target) == before
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT reads transformers' old name
def test_a_model_with_unmerged_low_rank_layers_is_refused(small_7b, tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    model, processor = small_7b()
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=r".*language_model.*\.q_proj"))
    with pytest.raises(CheckpointError, match="merge"):
        save_checkpoint(tmp_path / "checkpoint", wrapped, processor, settings_7b())
    with pytest.raises(CheckpointError, match="merge"):  # the bare model holds the low-rank layers too
        save_checkpoint(tmp_path / "checkpoint", model, processor, settings_7b())
    assert os.listdir(tmp_path) == []


SAVE_FOREVER = """
import sys
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
opened = load_checkpoint(sys.argv[1])
while True:
    save_checkpoint(sys.argv[2], opened.model, opened.processor, opened.settings)
    print("saved", flush=True)
"""


def test_a_save_that_is_stopped_anywhere_leaves_a_whole_checkpoint(saved_7b: Path, tmp_path: Path):
    """A process saves again and again; it is stopped at 20 moments, and killed at the last."""
    target = tmp_path / "target"
    expected = contents(saved_again(saved_7b, tmp_path / "expected"))
    shutil.rmtree(tmp_path / "expected")
    saver = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, str(saved_7b), str(target)], stdout=subprocess.PIPE)
    try:
        assert saver.stdout is not None
        assert saver.stdout.readline() == b"saved\n"
        seen = []
        for moment in range(20):
            time.sleep(0.003 * moment)
            saver.send_signal(signal.SIGSTOP)
            os.waitpid(saver.pid, os.WUNTRACED)  # until it stands still
            seen.append(sorted(path.name.split(".")[-1] for path in tmp_path.iterdir()))
            if target.exists():
                assert contents(target) == expected
            else:  # between the two renames: the former checkpoint waits beside
                (old,) = tmp_path.glob(".target.*.old")
                assert contents(old) == expected
            saver.send_signal(signal.SIGCONT)
        assert any("partial" in names for names in seen)  # it was caught in the act
    finally:
        saver.kill()
        saver.wait()
        if saver.stdout is not None:
            saver.stdout.close()
    if target.exists():
        assert contents(target) == expected


# Opening


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; "a.b" is key b of the object at key a, and None takes the key out."""
    stored = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        inner = stored
        for key in outer:
            inner = inner[key]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    path.write_text(json.dumps(stored))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **changes)


def processor(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "processor_config.json", **changes)


def shorten(folder: Path, name: str, to: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:to])


NORM = "language_model.model.norm.weight"

DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    # files
    (shutil.rmtree, "no checkpoint folder"),
    (lambda f: [p.unlink() for p in f.iterdir()], "config.json is missing"),
    *(
        (lambda f, name=name: (f / name).unlink(), f"{name} is missing".replace(".", r"\."))
        for name in (
            "config.json",
            "processor_config.json",
            "chat_template.jinja",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors",
        )
    ),
    (lambda f: (f / "config.json").write_text(""), "cannot be read as JSON"),
    (lambda f: (f / "config.json").write_text("[1]"), "should hold a JSON object"),
    (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), r"config\.json cannot be read"),
    (lambda f: (f / "processor_config.json").write_text("{"), "cannot be read as JSON"),
    (lambda f: (f / "tokenizer.json").write_text("{}"), "processor .* cannot be opened"),
    (lambda f: (f / "chat_template.jinja").write_bytes(b"\xff\xfe"), "chat_template.jinja"),
    # kind
    (config(model_type="llama"), "kind 'llama', expected 'llava'"),
    (config(model_type=None), "kind None"),
    (config(chatspot=None), "no key 'chatspot'"),
    (config(vision_config__model_type="no_such_tower"), "no LLaVA configuration"),
    (config(vision_feature_select_strategy="most"), "no LLaVA configuration"),
    # settings
    (config(chatspot=[]), "expected exactly"),
    (config(chatspot__image_fit=None), "expected exactly"),
    (config(chatspot__mood="happy"), "expected exactly"),
    (config(chatspot__version="1"), "version should be of type int"),
    (config(chatspot__version=True), "version should be of type int"),
    (config(chatspot__focal_view=0), "focal_view should be of type bool"),
    (config(chatspot__several_sizes="yes"), "several_sizes should be of type bool"),
    (config(chatspot__template="chatspot-900b"), "'chatspot-900b' version 1 is unknown"),
    (config(chatspot__version=99), "version 99 is unknown; .*upgrade"),
    (config(chatspot__version=0), "version 0 is unknown"),
    (config(chatspot__template="chatspot-nano"), "says 'chatspot-7b' version 1, but .* 'chatspot-nano' version 1"),
    (lambda f: (f / "chat_template.jinja").write_text("{{ messages }}"), "no name and version"),
    # pictures
    (config(chatspot__image_fit="crop"), "image_fit should be one of"),
    (config(chatspot__image_fit="sheet"), "'sheet' does not go with a vision tower of kind 'clip_vision_model'"),
    (config(chatspot__image_fit="pad"), "do_pad is False, .*'pad'.* want True"),
    (processor(image_processor__do_pad=True), "do_pad is True, .*'stretch'.* want False"),
    (processor(image_processor__do_center_crop=True), "do_center_crop is True"),
    (processor(image_processor__do_resize=False), "do_resize is False"),
    (processor(image_processor__size={"shortest_edge": 56}), "size is .*shortest_edge"),
    (processor(image_processor__size={"height": 28, "width": 28}), "encoder's side of 56 px"),
    (processor(image_processor=None), "no key 'image_processor'"),
    (processor(vision_feature_select_strategy="full"), "'full', the model's is 'default'"),
    (processor(patch_size=28), "counts 4 tokens a picture, .* says 16"),
    (processor(patch_size=0), "patch_size 0"),
    (processor(patch_size=None), "patch_size None"),
    (processor(num_additional_image_tokens=0), "counts 15 tokens"),
    (config(image_seq_length=576), "counts 16 tokens a picture, .* says 576"),
    # tokens
    (config(image_token_index=3), "gives <image> the id .*says 3"),
    (config(text_config__vocab_size=10), "10 rows of embedding"),
    # weights
    (lambda f: shorten(f, "model.safetensors", 0), "weights .* cannot be opened"),
    (lambda f: shorten(f, "model.safetensors", 1000), "weights .* cannot be opened"),
    (lambda f: shorten(f, "model.safetensors", -8), "weights .* cannot be opened"),
    (lambda f: edit_tensors(f, lambda t: t.pop(NORM)), r"missing keys .*norm\.weight"),
    (lambda f: edit_tensors(f, lambda t: t.update(stray=torch.ones(1))), "unexpected keys .*stray"),
    (lambda f: edit_tensors(f, lambda t: t.update({NORM: torch.ones(3)})), "weights .* cannot be opened"),
    (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "names no weight file"),
    (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part-2.safetensors"}}'),
        r"part-2\.safetensors is missing",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_checkpoint_says_what_is_wrong(saved_7b: Path, tmp_path: Path, damage, message: str, capfd):
    folder = tmp_path / "damaged"
    shutil.copytree(saved_7b, folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(folder)
    assert "damaged" in str(caught.value)  # the folder's name: where it is wrong
    assert capfd.readouterr() == ("", "")  # and nothing beside the error


def test_a_tokenizer_without_the_box_tokens(parts, saved_7b: Path, tmp_path: Path):
    folder = tmp_path / "other"
    shutil.copytree(saved_7b, folder)
    shutil.copy(parts.language / "tokenizer.json", folder)
    with pytest.raises(CheckpointError, match="no token <image>"):
        load_checkpoint(folder)


def test_shards(small_7b, tmp_path: Path):
    """A checkpoint in several weight files opens; with one of them gone it is named."""
    model, processor = small_7b()
    folder = save_checkpoint(tmp_path / "sharded", model, processor, settings_7b())
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, own in shards.items():
        save_file({name: tensors[name] for name in own}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, own in shards.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_same_weights(load_checkpoint(folder).model, model)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors is missing"):
        load_checkpoint(folder)


@pytest.mark.parametrize("source", ["", ".", "no/such/folder", "/no-such-folder", "../a/b", "word", "\0"])
def test_sources_that_are_no_checkpoint(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        load_checkpoint(source)


def test_a_file_is_no_checkpoint(saved_7b: Path):
    with pytest.raises(CheckpointError, match="is a file; give the checkpoint's folder"):
        load_checkpoint(saved_7b / "model.safetensors")


OFFLINE = """
import sys, warnings
warnings.simplefilter("error")
import torch
from chatspot.errors import CheckpointError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.preset_7b import assemble_7b

opened = load_checkpoint("someone/small-7b")
print(opened.path.name, opened.settings.template)
for source in ("someone/else", "someone/incomplete"):
    try:
        load_checkpoint(source)
    except CheckpointError as error:
        print(error)
model, processor = assemble_7b("someone/clip", "someone/llama", dtype=torch.float32)
print(type(model).__name__, model.config.image_seq_length)
try:
    assemble_7b("someone/else", "someone/llama")
except CheckpointError as error:
    print(error)
"""


def test_hub_ids_offline(parts, saved_7b: Path, tmp_path: Path):
    """What the hub's cache holds opens without a network; what it lacks is a clear error."""
    repositories = {"small-7b": saved_7b, "clip": parts.vision, "llama": parts.language, "incomplete": parts.language}
    commit = "0123456789abcdef0123456789abcdef01234567"
    for name, folder in repositories.items():
        repository = tmp_path / "hub" / f"models--someone--{name}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(commit)
        shutil.copytree(folder, repository / "snapshots" / commit)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    opened, missing, incomplete, assembled, part = done.stdout.splitlines()
    assert opened == f"{commit} chatspot-7b"
    assert missing.startswith("someone/else is no local folder and could not be fetched from the Hugging Face hub")
    assert "check the id and the network" in missing
    assert "kind 'llama', expected 'llava'" in incomplete
    assert assembled == "LlavaForConditionalGeneration 16"
    assert part.startswith("the vision tower someone/else cannot be opened")
