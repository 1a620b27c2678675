"""A checkpoint opened without torch: the prompts, ids and pixels of the stock classes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.errors import CheckpointError
from chatspot.images import encoder_view
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from chatspot.model.light import open_light
from chatspot.model.preset_7b import settings_7b
from chatspot.prompts import Tokens
from chatspot.regions import Box, Point

CONTROL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "<unk>",
    "<image>",
    "<box>",
    "</box>",
    "<0x0A>",
]
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            [*CONTROL, " ", "  ", "\n", "\t", "\u200d", "é", "日本", "👩‍👩‍👧", "\ufffd", "\x00", "'s", "▁"]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def folders(tiny_nano: Path, saved_7b: Path, small_7b, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of every tokenizer and way of fitting pictures."""
    model, processor = small_7b(image_fit="pad")
    padded = save_checkpoint(tmp_path_factory.mktemp("padded") / "7b", model, processor, settings_7b("pad"))
    return {"sheet": tiny_nano, "stretch": saved_7b, "pad": padded}


@pytest.mark.parametrize("kind", ["sheet", "stretch"])
def test_ids_and_texts_are_those_of_transformers(kind: str, folders: dict[str, Path]) -> None:
    stock = load_checkpoint(folders[kind]).processor.tokenizer
    light, wrapped = open_light(folders[kind]).tokens, Tokens.of(stock)
    assert light.control_ids == wrapped.control_ids == {n for n, t in stock.added_tokens_decoder.items() if t.special}
    assert light.byte_ids == {n for token, n in stock.get_vocab().items() if len(token) == 6 and token[:3] == "<0x"}
    assert len(light) == len(wrapped) == len(stock)
    named = {name: stock.special_tokens_map[name] for name in ("bos_token", "eos_token", "pad_token")}
    assert named.items() <= light.special_tokens.items()

    @given(text=hostile, control=st.booleans(), ids=st.lists(st.integers(0, len(stock) - 1), max_size=12))
    @settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def same(text: str, control: bool, ids: list[int]) -> None:
        expected = stock(text, add_special_tokens=False, split_special_tokens=not control, verbose=False)["input_ids"]
        assert light.ids(text, control=control) == wrapped.ids(text, control=control) == expected
        if not control:
            assert not light.control_ids.intersection(expected)
        for some in (expected, ids):
            decoded = stock.decode(some, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            assert light.text(some) == wrapped.text(some) == decoded

    same()


def test_what_transformers_left_switched_on_does_not_count(folders: dict[str, Path]) -> None:
    stock = load_checkpoint(folders["sheet"]).processor.tokenizer
    tokens, text = Tokens.of(stock), "Is this a <box>?"
    plain = tokens.ids(text, control=False)
    stock([text, "a"], padding="max_length", max_length=40, truncation=True)
    assert tokens.ids(text, control=False) == plain
    stock([text], truncation=True, max_length=3, split_special_tokens=False)
    assert tokens.ids(text, control=False) == plain


@pytest.mark.parametrize("kind", ["sheet", "stretch", "pad"])
@pytest.mark.parametrize("size", [(256, 304), (120, 80), (33, 101), (1, 7), (64, 64)])
def test_pixels_are_those_of_the_stock_processor(kind: str, size: tuple[int, int], folders: dict[str, Path]) -> None:
    rng = np.random.default_rng(sum(size))
    picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    opened, light = load_checkpoint(folders[kind]), open_light(folders[kind])
    for region in (None, Box.from_normalized(0.1, 0.2, 0.7, 0.9), Point.from_normalized(0, 0.5)):
        view = encoder_view(picture, region, light.settings.image_fit)
        stock = opened.processor.image_processor(images=[view], return_tensors="np")["pixel_values"]
        found = light.pixels(view)
        assert found.dtype == np.float32
        assert found.shape == stock.shape
        np.testing.assert_allclose(found, stock, atol=1e-6)


@pytest.mark.parametrize("kind", ["sheet", "stretch", "pad"])
def test_what_it_says_is_what_the_whole_checkpoint_says(kind: str, folders: dict[str, Path]) -> None:
    opened, light = load_checkpoint(folders[kind]), open_light(folders[kind])
    assert (light.path, light.settings, light.template) == (opened.path, opened.settings, opened.template)
    assert light.tokens_per_image == opened.tokens_per_image
    assert light.text_positions == opened.model.config.text_config.max_position_embeddings
    assert opened.processor.tokenizer.eos_token_id in light.end_ids
    assert light.tokens.id_of("<image>") == opened.model.config.image_token_id


@pytest.fixture
def copy(tiny_nano: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return shutil.copytree(tiny_nano, tmp_path / "copy")


def rewrite(path: Path, **changes: object) -> None:
    stored = json.loads(path.read_text("utf-8"))
    stored.update(changes)
    path.write_text(json.dumps(stored), "utf-8")


@pytest.mark.parametrize(("stored", "more"), [(None, set()), (3, {3}), ([3, 5], {3, 5})])
def test_end_tokens_are_the_tokenizers_and_those_of_the_generation_settings(copy: Path, stored, more: set[int]):
    own = open_light(copy).tokens.id_of("<|im_end|>")
    rewrite(copy / "generation_config.json", eos_token_id=stored)
    assert open_light(copy).end_ids == {own, *more}
    (copy / "generation_config.json").unlink()
    assert open_light(copy).end_ids == {own}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer in .* cannot be opened"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0"}'), "cannot be opened"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("no json"), "cannot be opened"),
        (lambda folder: (folder / "tokenizer.json").write_text(json.dumps(
            {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, "added_tokens": []}
        )), "has no token <image>"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: rewrite(folder / "config.json", model_type="llama"), "kind 'llama'"),
        (lambda folder: rewrite(folder / "config.json", image_seq_length=None), "lacks a value"),
        (lambda folder: rewrite(folder / "config.json", text_config={}), "max_position_embeddings"),
        (lambda folder: rewrite(folder / "processor_config.json", image_processor={}), "lacks a value"),
        (lambda folder: rewrite(folder / "generation_config.json", eos_token_id=[[]]), "eos_token_id"),
        (lambda folder: (folder / "generation_config.json").write_text("[]"), "should hold a JSON object"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_opened(copy: Path, damage, message: str) -> None:
    damage(copy)
    with pytest.raises(CheckpointError, match=message):
        open_light(copy)


def test_neither_torch_nor_transformers_is_imported(tiny_nano: Path) -> None:
    """Their import takes longer than everything else before the first token."""
    code = f"""
import sys
from pathlib import Path
from PIL import Image
import chatspot.engine.local_engine, chatspot.engine.running, chatspot.spot, chatspot.cli.ask
from chatspot.messages import Conversation, ask
from chatspot.model.light import open_light
from chatspot.prompts import encode, render
light = open_light(Path({str(tiny_nano)!r}))
light.pixels(Image.new("RGB", (9, 9)))
talk = Conversation((ask("What is this?"),))
segments = render(talk, light.settings, template=light.template, special_tokens=light.tokens.special_tokens)
assert encode(segments, light.tokens, light.tokens_per_image).input_ids
print(sorted({{"torch", "transformers"}} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("[]\n", "")
