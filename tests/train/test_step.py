"""A step's loss: dialogues that share a row or a picture are learnt as if each stood alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from handmade import Made, Talk, alone, row
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.freezing import freeze_for
from chatspot.model.vision import raw_features
from chatspot.prompts.encode import IGNORED
from chatspot.train import step as step_module
from chatspot.train.step import RegionLoss, collate, summed_cross_entropy
from chatspot.train.stream.packing import Row


@pytest.fixture(scope="module")
def model(tiny_nano: Path) -> LlavaForConditionalGeneration:
    model = load_checkpoint(tiny_nano, dtype=torch.float32).model
    freeze_for(model, "instruct")
    return model


def loss_and_gradients(
    model: LlavaForConditionalGeneration, made: Made, passes: list[list[Row]]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Summed over the passes."""
    model.zero_grad()
    total = 0.0
    for rows in passes:
        loss = RegionLoss(model)(collate(rows, 0, made.read))
        loss.backward()
        total += loss.item()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in trained.values())
    return total, {name: p.grad.clone() for name, p in trained.items() if p.grad is not None}


@pytest.mark.parametrize(
    "shape",  # of each row: (branches, pictures) of each of its groups
    [
        [[(1, 0)]],
        [[(1, 1)]],
        [[(1, 2)]],
        [[(1, 1), (1, 1)]],
        [[(3, 1)]],
        [[(3, 1), (1, 0), (2, 2)], [(1, 1)], [(1, 0)]],
        [[(2, 0)], [(1, 0), (1, 0)]],
    ],
)
def test_packed_dialogues_are_learnt_as_if_alone(
    model: LlavaForConditionalGeneration, shape: list[list[tuple[int, int]]]
) -> None:
    made = Made(model)
    rows = [[made.talk(branches, pictures) for branches, pictures in groups] for groups in shape]
    loss, gradients = loss_and_gradients(model, made, [[row(*talks) for talks in rows]])
    single = [[one] for talks in rows for one in alone(*talks)]
    expected, expected_gradients = loss_and_gradients(model, made, single)
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, value in expected_gradients.items():
        assert torch.allclose(gradients[name], value, atol=1e-5, rtol=1e-4), name


def test_the_loss_is_that_of_the_stock_model(model: LlavaForConditionalGeneration) -> None:
    made = Made(model)
    batch = collate([row(made.talk(1, 0))], 0, made.read)
    logits = model(input_ids=batch.input_ids).logits
    keep = batch.targets[0] != IGNORED
    expected = functional.cross_entropy(logits[0][keep], batch.targets[0][keep], reduction="sum")
    assert RegionLoss(model)(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_no_rows_have_no_loss_and_a_gradient_of_zeros_everywhere(model: LlavaForConditionalGeneration) -> None:
    loss, gradients = loss_and_gradients(model, Made(model), [[]])
    assert loss == 0
    assert all(not value.any() for value in gradients.values())


def test_a_row_without_pictures_leaves_the_projector_a_gradient_of_zeros(model: LlavaForConditionalGeneration) -> None:
    made = Made(model)
    _, gradients = loss_and_gradients(model, made, [[row(made.talk(1, 0))]])
    assert not any(value.any() for name, value in gradients.items() if "projector" in name)
    assert any(value.any() for name, value in gradients.items() if "language_model" in name)


def test_padding_changes_nothing(model: LlavaForConditionalGeneration) -> None:
    made = Made(model)
    rows = [row(made.talk(2), made.talk(1))]
    losses = [RegionLoss(model)(collate(rows, 0, made.read, multiple_of=size)).item() for size in (1, 64, 256)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*without torch.compile.*", "ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_flex_attention_gives_the_loss_of_sdpa(model: LlavaForConditionalGeneration) -> None:
    """Forward and uncompiled: torch has no backward pass of flex attention for CPUs."""
    made = Made(model)
    batch = collate([row(made.talk(3), made.talk(1, 0)), row(made.talk(1))], 0, made.read, multiple_of=128)
    expected = RegionLoss(model)(batch).item()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        found = RegionLoss(model, "flex")(batch).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_logits_are_made_for_supervised_tokens_alone(model: LlavaForConditionalGeneration) -> None:
    made = Made(model)
    seen: list[int] = []
    hook = model.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    RegionLoss(model)(collate([row(made.talk(3), made.talk(1))], 0, made.read))
    hook.remove()
    assert seen == [4 * 2]


def test_many_logits_are_made_in_chunks_with_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=False)
    targets = torch.randint(50, (11,))
    found = []
    for held in (2**24, 150):  # all at once; three positions at a time
        monkeypatch.setattr(step_module, "CHUNK_LOGITS", held)
        head.weight.grad = None
        hidden = torch.linspace(-1, 1, 88).reshape(11, 8).requires_grad_()
        loss = summed_cross_entropy(hidden, targets, head)
        loss.backward()
        found.append((loss.detach().reshape(1), hidden.grad, head.weight.grad))
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert torch.allclose(one, other, atol=1e-5)


def test_pixels_give_the_loss_of_their_features(model: LlavaForConditionalGeneration) -> None:
    made = Made(model)
    side = model.config.vision_config.image_size
    pixels = torch.randn(2, 3, side + 48, side, generator=torch.Generator().manual_seed(0))
    rows = [row(made.talk(1)), row(made.talk(2))]
    loss = RegionLoss(model)
    features = raw_features(model, pixels)
    assert loss(collate(rows, 0, lambda _: pixels)).item() == loss(collate(rows, 0, lambda _: features)).item()


def test_bfloat16_with_a_float32_projector_and_half_features(tiny_nano: Path) -> None:
    model = load_checkpoint(tiny_nano, dtype=torch.bfloat16).model
    freeze_for(model, "instruct")
    model.model.multi_modal_projector.float()
    made = Made(model)
    loss = RegionLoss(model)(collate([row(made.talk(2))], 0, lambda views: made.read(views).half()))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_reading_is_asked_once_for_all_views_in_order(model: LlavaForConditionalGeneration) -> None:
    made = Made(model)
    talks: list[Talk] = [made.talk(2, 2), made.talk(1, 0), made.talk(1)]
    asked: list[list[str]] = []

    def read(views: object) -> torch.Tensor:
        asked.append([view.picture.name for view in views])  # type: ignore[attr-defined]
        return made.read(views)  # type: ignore[arg-type]

    collate([row(*talks[:2]), row(talks[2])], 0, read)
    collate([row(talks[1])], 0, read)
    assert asked == [[view.picture.name for talk in talks for view in talk.views]]
