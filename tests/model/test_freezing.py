"""Frozen parameters stay bit-equal while the others train, in both stages and both projector layouts."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from chatspot.errors import RecipeError
from chatspot.images.sheet import LINE_HEIGHT
from chatspot.model.freezing import STAGES, PartRow, freeze_for, freezing_table, part_rows
from chatspot.model.projector import read_linear, stock_state_dict, train_as_one_linear, write_linear
from chatspot.model.sheet_tower import TOKENS_PER_IMAGE, SheetTowerConfig

IMAGE_ID = 5


@pytest.fixture
def small_nano() -> LlavaForConditionalGeneration:
    """nano's kind of model, small and random: a tower that reads sheets, wide features, tied embeddings."""
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=SheetTowerConfig(width=0.2, depth=0.2),
        text_config=LlamaConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
        ),
        image_token_index=IMAGE_ID,
        projector_hidden_act="linear",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS_PER_IMAGE,
    )
    model = LlavaForConditionalGeneration(config).eval()
    wide = config.vision_config.hidden_size
    write_linear(model.model.multi_modal_projector, torch.randn(16, wide) / wide, torch.zeros(16))
    return model


def train_steps(model: LlavaForConditionalGeneration, steps: int = 3) -> None:
    """A few AdamW steps with weight decay, which would show in whatever is not frozen."""
    config = model.config
    side, image_id = config.vision_config.image_size, config.image_token_id
    generator = torch.Generator().manual_seed(1)
    ids = torch.tensor([[1, *[image_id] * config.image_seq_length, 7, 8, 9, 2]])
    line = LINE_HEIGHT if config.vision_config.model_type == SheetTowerConfig.model_type else 0
    pixels = torch.randn(1, 3, side + line, side, generator=generator)
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, pixel_values=pixels, labels=ids).loss.backward()
        optimizer.step()


def assert_only_these_trained(model: LlavaForConditionalGeneration, trained: tuple[str, ...]) -> None:
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    train_steps(model)
    for name, value in model.named_parameters():
        expected = name.startswith(trained)
        assert value.requires_grad == expected, name
        assert torch.equal(value, before[name]) != expected, name
    for name, value in model.named_buffers():
        assert torch.equal(value, buffers[name]), name


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        ("align", ("model.multi_modal_projector.",)),
        ("instruct", ("model.multi_modal_projector.", "model.language_model.", "lm_head.")),
    ],
)
def test_split_layout(small_7b, stage: str, trained: tuple[str, ...]):
    model, _ = small_7b()
    freeze_for(model, stage)
    assert_only_these_trained(model, trained)
    # What is saved is one linear layer still: W and -W cannot have drifted apart.
    fresh, _ = small_7b()
    fresh.load_state_dict(stock_state_dict(model))
    weight, _ = read_linear(fresh.model.multi_modal_projector)
    assert torch.equal(weight, model.model.multi_modal_projector.weight)


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        ("align", ("model.multi_modal_projector.linear_1.",)),
        ("instruct", ("model.multi_modal_projector.linear_1.", "model.language_model.", "lm_head.")),
    ],
)
def test_identity_layout(small_nano, stage: str, trained: tuple[str, ...]):
    freeze_for(small_nano, stage)
    assert_only_these_trained(small_nano, trained)
    read_linear(small_nano.model.multi_modal_projector)  # linear_2 is the identity still


def test_stage_1_freezes_what_stage_2_trained(small_7b):
    model, _ = small_7b()
    freeze_for(model, "instruct")
    freeze_for(model, "align")
    assert_only_these_trained(model, ("model.multi_modal_projector.",))


@pytest.mark.parametrize("stage", ["", "Align", "stage 1", None])
def test_another_stage_is_refused(small_7b, stage):
    model, _ = small_7b()
    before = [value.requires_grad for value in model.parameters()]
    with pytest.raises(RecipeError, match="align"):
        freeze_for(model, stage)
    assert [value.requires_grad for value in model.parameters()] == before


@pytest.mark.parametrize("stage", STAGES)
def test_rows_count_every_parameter_once(small_7b, small_nano, stage: str):
    for model in (small_7b()[0], small_nano):
        rows = freeze_for(model, stage)
        assert [row.name for row in rows] == ["vision tower", "projector", "language model"]
        assert sum(row.parameters for row in rows) == sum(value.numel() for value in model.parameters())
        assert sum(row.trainable for row in rows) == sum(v.numel() for v in model.parameters() if v.requires_grad)
        assert rows == part_rows(model)
        assert rows[0].trainable == 0
        assert rows[1].trainable > 0
        assert rows[2].trainable == (rows[2].parameters if stage == "instruct" else 0)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT reads transformers' old name
def test_rows_see_low_rank_layers(small_7b):
    from peft import LoraConfig, get_peft_model

    model, _ = small_7b()
    freeze_for(model, "align")
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=r".*language_model.*\.(q|v)_proj"))
    projector, language = part_rows(wrapped)[1:]
    assert language.trainable == 2 * 2 * (2 * 40 + 2 * 40)  # layers x matrices x (A and B)
    assert projector.trainable == 0  # PEFT froze it
    train_as_one_linear(model)
    assert part_rows(wrapped)[1].trainable == projector.parameters


def test_table():
    rows = [PartRow("vision tower", 303179776, 0), PartRow("projector", 4198400, 4198400)]
    assert freezing_table(rows) == "\n".join(
        [
            "part                  parameters       trainable",
            "vision tower         303,179,776               0",
            "projector              4,198,400       4,198,400",
            "total                307,378,176       4,198,400",
        ]
    )
    assert freezing_table([]).splitlines()[-1] == "total                          0               0"
