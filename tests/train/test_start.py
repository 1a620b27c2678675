"""The projector's start: letters are aligned, names told apart, and a single name leaves the projector as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chatspot.errors import TrainingError
from chatspot.messages import Conversation, Message, RegionPart, TextPart, ask
from chatspot.model.checkpoint import load_checkpoint
from chatspot.prompts.encode import IGNORED
from chatspot.regions import Box
from chatspot.train.start import (
    Supports,
    aligned,
    class_rows,
    classified,
    find_supports,
    least_squares,
    start_projector,
)
from chatspot.train.stream.encoding import Branch
from chatspot.train.stream.examples import Dialogue, Picture
from chatspot.train.stream.features import FeatureCache, View

TOKENS, WIDTH, HIDDEN = 16, 200, 8


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        ([], "", []),
        ([[]], "", [[]]),
        ([[]], "a", None),
        ([["a"]], "", None),
        ([["a"], [], ["b"]], "ab", [["a"], [], ["b"]]),
        ([["a"], [], ["B"]], "Ab", [["A"], [], ["b"]]),  # the answer's own letters
        ([["a", "b"], ["c"]], "abc", [["a", "b"], ["c"]]),
        ([["K"], ["-"], ["1"]], "K1", [["K"], [], ["1"]]),  # what is no letter is dropped
        ([["K"], ["1"]], "K-1", [["K"], ["1"]]),
        ([["0"]], "O", None),  # another reading is not believed
    ],
)
def test_alignment(pieces: list[list[str]], text: str, expected: list[list[str]] | None) -> None:
    assert aligned(pieces, text) == expected


def separable(classes: int, rare: int) -> tuple[Supports, torch.Tensor, dict[int, torch.Tensor], torch.Tensor]:
    """Views of ``classes`` names, whose features say the name with noise; the last name is seen ``rare`` times only."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(classes, WIDTH, generator=generator)
    found, features = Supports(), {}
    for name in range(classes):
        number = found.number(f"name {name}")
        for _ in range(rare if name == classes - 1 else 300):
            view = len(features)
            noise = torch.randn(TOKENS, WIDTH, generator=generator)
            features[view] = prototypes[name] + noise * 4
            found.names.append((view, number))  # type: ignore[arg-type]
    embedded = torch.cat([torch.zeros(1, HIDDEN), torch.randn(classes, HIDDEN, generator=generator)])
    return found, embedded, features, prototypes


def test_a_rare_name_is_told_apart() -> None:
    found, embedded, features, prototypes = separable(classes=6, rare=12)
    lookup = lambda views: torch.stack([features[v] for v in views])  # noqa: E731
    start = least_squares(found, embedded, lookup, WIDTH)
    weight, bias = classified(found, embedded, lookup, *start)
    rows = class_rows(embedded, list(range(1, 7)))
    logits = (prototypes @ weight.T + bias) @ rows.T
    assert logits.argmax(dim=1).tolist() == list(range(6))
    margin = logits.softmax(dim=1).diagonal()
    before = ((prototypes @ start[0].T + start[1]) @ rows.T).softmax(dim=1).diagonal()
    assert margin[-1] > before[-1], "classification moves the rare name away from the others"


def test_an_unknown_piece_of_a_line_teaches_nothing() -> None:
    """Two letters on one token are IGNORED: the features there may be anything."""
    embedded = torch.cat([torch.zeros(1, HIDDEN), torch.eye(3, HIDDEN)])
    classes = [1, 2, IGNORED] + [0] * (TOKENS - 3)
    base = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    results = []
    for anything in (0.0, 100.0):
        features = base.clone()
        features[2] = anything
        found = Supports(lines=[(0, classes)])  # type: ignore[list-item]
        results.append(least_squares(found, embedded, lambda _, f=features: f[None], WIDTH))
    assert torch.equal(results[0][0], results[1][0])


def test_a_single_name_leaves_the_regression_alone() -> None:
    found, embedded, features, _ = separable(classes=1, rare=5)
    lookup = lambda views: torch.stack([features[v] for v in views])  # noqa: E731
    start = least_squares(found, embedded, lookup, WIDTH)
    weight, bias = classified(found, embedded, lookup, *start)
    assert torch.equal(weight, start[0])
    assert torch.equal(bias, start[1])


BOX = Box.from_normalized(0.1, 0.1, 0.5, 0.5)
WHOLE, FOCAL = View(Picture("p", b"")), View(Picture("p", b""), BOX)


def answered(*answers: str) -> list[Message]:
    """A question about BOX for each answer, the picture in the first."""
    return [
        message
        for number, answer in enumerate(answers)
        for message in (ask("What is this?", BOX, images=number == 0), Message("assistant", (TextPart(answer),)))
    ]


TEXT_ONLY = [Message("user", (TextPart("What barks?"),)), Message("assistant", (TextPart("a dog"),))]


def said(talk: list[Message], *views: View) -> Branch:
    """A dialogue with its views; what it encodes to plays no part in the start."""
    return Branch(Dialogue("d", "", Conversation(tuple(talk))), [], [], views)


@pytest.mark.parametrize(
    ("dialogue", "names", "wholes"),
    [
        (said(TEXT_ONLY), [], []),
        (said(answered("a dog"), WHOLE), [], [(WHOLE, [1])]),
        (said(answered("a dog", "a cat"), WHOLE, FOCAL), [(FOCAL, 1), (FOCAL, 2)], [(WHOLE, [1, 2])]),
        (said(answered("yes", "It is a dog.", "one two three four five"), WHOLE, FOCAL), [], []),  # no names
        (said(answered("3", "B", "no", "-"), WHOLE, FOCAL), [], []),
        (said([ask("What colour is this dog?", BOX), Message("assistant", (TextPart("red"),))], WHOLE, FOCAL), [], []),
        (said([ask("Where is it?"), Message("assistant", (TextPart("at "), RegionPart(BOX)))], WHOLE), [], []),
        (said([*answered("a dog"), ask("And?", images=0)], WHOLE, FOCAL), [(FOCAL, 1)], [(WHOLE, [1])]),  # unanswered
    ],
)
def test_what_views_support(dialogue: Branch, names: list, wholes: list, tmp_path: Path) -> None:
    found = find_supports([dialogue], FeatureCache(tmp_path, (16, 4), "tower", "sheet"), None)
    assert (found.names, found.wholes, found.lines) == (names, wholes, [])


def test_texts_alone_start_no_projector(tiny_nano: Path, tmp_path: Path) -> None:
    tiny = load_checkpoint(tiny_nano)
    with pytest.raises(TrainingError, match="none of 1 dialogues shows a picture"):
        start_projector(tiny.model, tiny.processor, [said(TEXT_ONLY)], FeatureCache(tmp_path, (16, 4), "t", "s"))
