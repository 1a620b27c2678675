"""chatspot-7b end to end on small random parts, and at full size on the meta device."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    CLIPVisionModel,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from chatspot.errors import CheckpointError
from chatspot.messages import Conversation, ask
from chatspot.model.checkpoint import load_checkpoint, quiet, save_checkpoint
from chatspot.model.freezing import freeze_for
from chatspot.model.preset_7b import assemble_7b, full_size_7b_configs, llava_config, settings_7b
from chatspot.model.projector import read_linear
from chatspot.prompts.render import template_messages
from chatspot.regions import Box

SIDE, TOKENS = 56, 16  # of the small tower: 4 x 4 patches
GREY, RED = (128, 128, 128), (255, 0, 0)
CORNERS = [(left, top) for left in (True, False) for top in (True, False)]


def messages(picture: Path | None = None) -> list[dict]:
    """One question about a picture and a region, as a stock processor takes it."""
    question = ask("What is in", Box.from_normalized(0.1, 0.2, 0.5, 0.75), style="short")
    made = template_messages(Conversation((question,)), settings_7b())
    for part in made[0]["content"]:
        if part["type"] == "image" and picture:
            part["path"] = str(picture)
    return made


# What a stranger runs: stock classes in a process where chatspot cannot be imported.
STRANGER = """
import json, sys, warnings

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "chatspot":
            raise ImportError("chatspot is blocked here")

sys.meta_path.insert(0, Blocked())
try:
    import chatspot
except ImportError:
    pass
else:
    raise SystemExit("chatspot could be imported")

warnings.simplefilter("error")
import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

folder, messages, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
processor = AutoProcessor.from_pretrained(folder)
model = LlavaForConditionalGeneration.from_pretrained(folder)
inputs = processor.apply_chat_template(
    [messages], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
)
with torch.no_grad():
    logits = model(**inputs).logits
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=8)
text = processor.apply_chat_template([messages], add_generation_prompt=True)[0]
torch.save({"text": text, "inputs": dict(inputs), "logits": logits, "ids": ids}, out)
"""


def test_assemble_train_save_and_reopen_where_chatspot_is_unknown(small_7b, tmp_path: Path):
    model, processor = small_7b()
    picture = tmp_path / "picture.png"
    Image.effect_noise((90, 40), 80).convert("RGB").save(picture)

    inputs = processor.apply_chat_template(
        [messages(picture)], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    freeze_for(model, "instruct")
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == model.config.image_token_id, -100)
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        assert model(**inputs, labels=labels).loss < loss
        trained = model(**inputs).logits
        greedy = model.generate(**inputs, do_sample=False, max_new_tokens=8)

    folder = save_checkpoint(tmp_path / "checkpoint", model, processor, settings_7b())
    out = tmp_path / "seen.pt"
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(folder), json.dumps(messages(picture)), str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    seen = torch.load(out, weights_only=True)

    assert seen["text"].endswith(
        "USER: <image>\nWhat is in <box>0.100, 0.200, 0.500, 0.750</box> Answer in short. ASSISTANT:"
    )
    for name, values in inputs.items():
        assert torch.equal(seen["inputs"][name], values), name
    # In memory the projector is a plain linear layer, in the folder its stock layout: the sums differ in order alone.
    assert torch.allclose(seen["logits"], trained, rtol=0, atol=1e-5)
    assert torch.equal(seen["ids"], greedy)
    opened = load_checkpoint(folder)
    with torch.no_grad():
        assert torch.equal(opened.model(**inputs).logits, seen["logits"])


def test_special_tokens_start_as_the_mean_of_their_pieces(parts, small_7b):
    model, processor = small_7b()
    tokenizer, before = AutoTokenizer.from_pretrained(parts.language), LlamaForCausalLM.from_pretrained(parts.language)
    rows = len(tokenizer)
    assert [processor.tokenizer.convert_tokens_to_ids(t) for t in ("<image>", "<box>", "</box>")] == [
        rows,
        rows + 1,
        rows + 2,
    ]
    for old, new in (
        (before.get_input_embeddings().weight, model.get_input_embeddings().weight),
        (before.lm_head.weight, model.lm_head.weight),
    ):
        assert new.shape == (rows + 3, 40)
        assert torch.equal(new[:rows], old)
    for index, token in enumerate(("<image>", "<box>", "</box>")):
        pieces = tokenizer(token, add_special_tokens=False)["input_ids"]
        assert len(pieces) > 1
        assert torch.equal(model.get_input_embeddings().weight[rows + index],
                           before.get_input_embeddings().weight[pieces].mean(dim=0))  # fmt: skip


def test_a_frozen_output_table_can_write_the_special_tokens(parts, small_7b):
    model, processor = small_7b()
    head = model.lm_head.weight.detach()
    for token in ("<image>", "<box>", "</box>"):
        number = processor.tokenizer.convert_tokens_to_ids(token)
        spelled = AutoTokenizer.from_pretrained(parts.language)(token, add_special_tokens=False)["input_ids"]
        mean = head[spelled].mean(dim=0)
        assert (head @ (head[number] - mean)).argmax() == number  # some hidden state writes it
        for hidden in torch.randn(200, 40, generator=torch.Generator().manual_seed(0)):
            assert (head[spelled] @ hidden).max() >= mean @ hidden  # none would, had it the mean's row


def test_a_language_model_with_spare_rows_keeps_them(parts, tmp_path: Path):
    folder = tmp_path / "spare"
    shutil.copytree(parts.language, folder)
    language = LlamaForCausalLM.from_pretrained(folder)
    with quiet():
        language.resize_token_embeddings(448, mean_resizing=False)
        (folder / "generation_config.json").unlink()
        language.generation_config = type(language.generation_config)()
        language.save_pretrained(folder)
    model, processor = assemble_7b(parts.vision, folder, dtype=torch.float32)
    assert model.config.text_config.vocab_size == 448
    assert model.lm_head.weight.shape[0] == 448
    assert processor.tokenizer.convert_tokens_to_ids("</box>") == len(processor.tokenizer) - 1


def test_settings_text_limit_and_features(small_7b):
    model, processor = small_7b()
    assert model.config.chatspot == {
        "template": "chatspot-7b",
        "version": 1,
        "focal_view": False,
        "several_sizes": False,
        "spell_quotes": False,
        "image_fit": "stretch",
    }
    assert processor.tokenizer.model_max_length == 2048
    assert (model.config.vision_feature_layer, model.config.vision_feature_select_strategy) == (-2, "default")
    assert model.config.projector_hidden_act == "relu"
    assert not model.training


def test_the_seed_fixes_the_projector(parts, small_7b):
    def weight(seed: int):
        model, _ = small_7b(seed=seed)
        return read_linear(model.model.multi_modal_projector)[0]

    assert torch.equal(weight(0), weight(0))
    assert not torch.equal(weight(0), weight(1))
    assert weight(0).abs().max() <= 16**-0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_has_the_asked_dtype(small_7b, dtype: torch.dtype):
    model, _ = small_7b(dtype=dtype)
    assert {value.dtype for value in model.parameters()} == {dtype}
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))


def test_a_vision_tower_alone_serves_as_well_as_all_of_clip(parts, small_7b, tmp_path: Path):
    tower = CLIPVisionModel.from_pretrained(parts.vision)
    with quiet():
        tower.save_pretrained(tmp_path)
    model, _ = small_7b()
    other, _ = assemble_7b(tmp_path, parts.language, dtype=torch.float32)
    for name, value in model.model.vision_tower.state_dict().items():
        assert torch.equal(other.model.vision_tower.state_dict()[name], value), name


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_image_tokens_expand_to_the_patch_count(small_7b, count: int):
    model, processor = small_7b()
    pictures = [Image.new("RGB", (10 * number + 1, 40), GREY) for number in range(count)]
    inputs = processor(text="a" + "<image>" * count, images=pictures or None, return_tensors="pt")
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == TOKENS * count
    assert model.config.image_seq_length == TOKENS
    with torch.no_grad():
        assert model(**inputs).logits.shape[1] == inputs["input_ids"].shape[1]  # the model agrees with the count


def marked(size: tuple[int, int], left: bool, top: bool) -> Image.Image:
    """A grey picture with a red square, a fifth of the shorter side, in one corner."""
    mark = min(size) // 5
    picture = Image.new("RGB", size, GREY)
    picture.paste(Image.new("RGB", (mark, mark), RED), (0 if left else size[0] - mark, 0 if top else size[1] - mark))
    return picture


def change(processor, size: tuple[int, int], left: bool, top: bool) -> torch.Tensor:
    """How much the mark changes each of the pixels that the encoder gets, [SIDE, SIDE]."""
    pair = [Image.new("RGB", size, GREY), marked(size, left, top)]
    plain, with_mark = processor(images=pair, return_tensors="pt")["pixel_values"]
    assert plain.shape == (3, SIDE, SIDE)
    return (with_mark - plain).abs().amax(dim=0)


@pytest.mark.parametrize("image_fit", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(300, 100), (100, 300), (120, 120)])
@pytest.mark.parametrize(("left", "top"), CORNERS)
def test_a_mark_in_each_corner_reaches_that_corner(small_7b, image_fit: str, size, left: bool, top: bool):
    _, processor = small_7b(image_fit=image_fit)
    changed = change(processor.image_processor, size, left, top)
    y, x = divmod(int(changed.argmax()), SIDE)
    assert changed.max() > 1.5  # in standard deviations of CLIP's pixels: the full red, not a trace of it
    assert (x < SIDE / 2, y < SIDE / 2) == (left, top)
    if image_fit == "stretch":  # the corner of the picture is the corner of the square
        assert changed[0 if top else -1, 0 if left else -1] > 1.5


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
@pytest.mark.parametrize(("left", "top"), CORNERS)
def test_clips_own_centre_crop_would_hide_every_corner(size, left: bool, top: bool):
    stock = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    assert change(stock, size, left, top).max() == 0


@pytest.mark.parametrize("image_fit", ["stretch", "pad"])
def test_the_fit_is_kept_with_the_checkpoint(small_7b, tmp_path: Path, image_fit: str):
    model, processor = small_7b(image_fit=image_fit)
    folder = save_checkpoint(tmp_path / "fit", model, processor, settings_7b(image_fit))
    opened = load_checkpoint(folder)
    assert opened.settings == settings_7b(image_fit)
    picture = marked((300, 100), left=True, top=False)
    found, expected = (p.image_processor(images=[picture], return_tensors="pt")["pixel_values"]
                       for p in (opened.processor, processor))  # fmt: skip
    assert torch.equal(found, expected)


@pytest.mark.parametrize("image_fit", ["", "crop", "Stretch", None])
def test_another_fit_is_refused(parts, image_fit):
    with pytest.raises(CheckpointError, match="image_fit should be one of"):
        assemble_7b(parts.vision, parts.language, image_fit=image_fit)


def without(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: shutil.rmtree(p.vision), "no folder .* for the vision tower"),
        (lambda p: without(p.vision, "config.json"), "vision tower .* cannot be opened"),
        (lambda p: without(p.vision, "model.safetensors"), "weights of the vision tower .* cannot be opened"),
        (lambda p: cut(p.vision / "model.safetensors"), "weights of the vision tower .* cannot be opened"),
        (lambda p: (p.vision / "config.json").write_text("{"), "vision tower .* cannot be opened"),
        (lambda p: shutil.copy(p.language / "config.json", p.vision), "vision tower .* is of kind 'llama'"),
        (lambda p: shutil.rmtree(p.language), "no folder .* for the language model"),
        (lambda p: without(p.language, "model.safetensors"), "weights of the language model .* cannot be opened"),
        (lambda p: cut(p.language / "model.safetensors"), "weights of the language model .* cannot be opened"),
        (lambda p: shutil.copy(p.vision / "config.json", p.language), "language model .* is of kind 'clip'"),
        (lambda p: without(p.language, "tokenizer.json", "tokenizer_config.json"), "tokenizer"),
        (lambda p: (p.language / "tokenizer.json").write_text("[]"), "tokenizer .* cannot be opened"),
    ],
)
def test_parts_that_cannot_be_opened(parts, tmp_path: Path, damage, message: str):
    copy = type(parts)(tmp_path / "clip", tmp_path / "llama")
    shutil.copytree(parts.vision, copy.vision)
    shutil.copytree(parts.language, copy.language)
    damage(copy)
    with pytest.raises(CheckpointError, match=message):
        assemble_7b(copy.vision, copy.language, dtype=torch.float32)


def test_weights_that_lack_a_tensor_are_refused(parts, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(parts.language, tmp_path / "llama")
    file = tmp_path / "llama" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack .*layers\.1\.mlp\.up_proj"):
        assemble_7b(parts.vision, tmp_path / "llama", dtype=torch.float32)


@pytest.mark.parametrize("source", ["", "not/a/hub/id", "../nowhere", "one-word"])
def test_a_source_that_is_neither_folder_nor_hub_id(parts, source: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        assemble_7b(source, parts.language)


def test_full_size_parameter_counts():
    """Published sizes, on the meta device: no memory is taken."""
    vision, text = full_size_7b_configs()
    text.vocab_size += 3  # <image>, <box>, </box>
    config = llava_config(vision, text, image_token_id=32000, settings=settings_7b())
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)

    def count(*modules: torch.nn.Module) -> int:
        return sum(value.numel() for module in modules for value in module.parameters())

    block = 4 * (1024 * 1024 + 1024) + (1024 * 4096 + 4096) + (4096 * 1024 + 1024) + 2 * 2048
    embeddings = 1024 + 14 * 14 * 3 * 1024 + (16 * 16 + 1) * 1024
    assert count(model.model.vision_tower) == embeddings + 24 * block + 2 * 2048 == 303_179_776
    layer = 4 * 4096 * 4096 + 3 * 4096 * 11008 + 2 * 4096
    language = 32 * layer + 4096 + 2 * 32003 * 4096
    assert count(model.model.language_model, model.lm_head) == language == 6_738_415_616 + 2 * 3 * 4096
    projector = model.model.multi_modal_projector
    assert tuple(projector.linear_1.weight.shape) == (4096, 1024)
    assert tuple(projector.linear_2.weight.shape) == (4096, 4096)
    assert isinstance(projector.act, torch.nn.ReLU)
    assert config.image_seq_length == 256
