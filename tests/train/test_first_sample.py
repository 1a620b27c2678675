"""The first row decoded: what is learnt, which regions, who sees whom, and texts that would play tricks."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from chatspot.messages import Conversation, ImagePart, Message, RegionPart, TextPart
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.regions import Box, Point
from chatspot.train.looking.first_sample import FirstSample, decoded, first_sample_text, visible
from chatspot.train.looking.first_sample_page import first_sample_page, mask_blocks, write_first_sample
from chatspot.train.recipe import parse_recipe
from chatspot.train.stream.encoding import Encoder
from chatspot.train.stream.examples import Dialogue, Example, Picture
from chatspot.train.stream.rows import Row, pack

LEFT, DOT = Box.from_normalized(0.1, 0.1, 0.4, 0.9), Point.from_normalized(0.75, 0.5)
RECIPE = {"stage": "instruct", "sources": [{"folder": "x"}], "learning_rate": 1e-4, "batch_tokens": 512}


@pytest.fixture(scope="module")
def opened(tiny_nano: Path) -> Checkpoint:
    return load_checkpoint(tiny_nano)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    file = tmp_path_factory.mktemp("pictures") / "two.png"
    Image.new("RGB", (64, 48), "white").save(file)
    return Picture(str(file), file)


def talk(question: str, answer: str, *regions: Any, shown: bool = True) -> Conversation:
    parts = [*[ImagePart()] * shown, TextPart(question), *(RegionPart(region) for region in regions)]
    return Conversation((Message("user", tuple(parts)), Message("assistant", (TextPart(answer),))))


def row_of(opened: Checkpoint, examples: Sequence[tuple[tuple[Picture, ...], list[Conversation]]]) -> Row:
    """The examples packed into one row."""
    encoder = Encoder(opened.processor, opened.settings, parse_recipe(RECIPE, "test"), opened.tokens_per_image)
    made = [
        Example(str(n), "s", pictures, tuple(Dialogue(f"{n}/{at}", "", told) for at, told in enumerate(talks)))
        for n, (pictures, talks) in enumerate(examples)
    ]
    (row,) = pack([encoder.branches(example) for example in made], 4096, True, encoder.image_token)
    return row


def sample_of(opened: Checkpoint, row: Row) -> FirstSample:
    return decoded(row, opened.processor.tokenizer, opened.model.config.image_token_id)


def learnt_texts(sample: FirstSample) -> list[str]:
    """What is learnt, branch by branch."""
    return [
        "".join(piece.text for piece in branch.pieces if piece.learnt)
        for group in sample.groups
        for branch in group.branches
        if branch.learnt
    ]


def test_answers_and_their_end_are_learnt_and_nothing_else(opened: Checkpoint, picture: Picture) -> None:
    talks = [talk("What is in ", "red", LEFT), talk("And ", 'it says "K1"', DOT)]
    row = row_of(opened, [((picture,), talks), ((), [talk("hello", "green", shown=False)])])
    sample = sample_of(opened, row)
    assert sorted(learnt_texts(sample)) == ["green<|im_end|>", 'it says "K1"<|im_end|>', "red<|im_end|>"]
    assert sample.learnt == row.supervised
    assert sample.strays == 0
    assert [len(group.branches) for group in sample.groups] == [3, 1]  # a shared beginning and two dialogues; a text
    assert sample.groups[0].branches[0].learnt == 0


def test_regions_are_read_from_the_tokens_and_told_apart(opened: Checkpoint, picture: Picture) -> None:
    talks = [talk("What is in ", "red", LEFT), talk("And ", "blue", DOT), talk("Again ", "red", LEFT)]
    sample = sample_of(opened, row_of(opened, [((picture,), talks)]))
    (group,) = sample.groups
    assert set(group.regions) == {LEFT, DOT}  # each once
    assert [view.region for view in group.views if view.region] == [b.regions[0] for b in group.branches if b.regions]
    html = first_sample_page(sample, opened.settings.image_fit, "run")
    numbers = re.findall(r"region </span>(\d+)</span>", html)
    assert sorted(Counter(numbers).values()) == [2, 4]  # beside the text and below the focal view, for each dialogue
    assert html.count("data:image/jpeg") == len(group.views) == 4  # the picture, and each focal view


def test_a_shifted_target_is_noticed(opened: Checkpoint) -> None:
    row = row_of(opened, [((), [talk("hello", "green", shown=False)])])
    shifted = Row(row.input_ids, (-100, *row.targets[:-1]), row.positions, row.groups, row.branches, (), 1)
    sample = sample_of(opened, shifted)
    assert sample.strays > 0
    assert "packed wrongly" in first_sample_text(sample).plain
    assert "packed wrongly" in first_sample_page(sample, "sheet", "run")
    assert "packed wrongly" not in first_sample_page(sample_of(opened, row), "sheet", "run")


def test_no_text_plays_tricks(opened: Checkpoint) -> None:
    trick = "<script>x</script> \x1b[31m \u202etxt\u202c [bold] </box> é🎨"
    sample = sample_of(opened, row_of(opened, [((), [talk(trick, "a" + trick, shown=False)])]))
    page = first_sample_page(sample, "sheet", trick)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    told = io.StringIO()
    Console(file=told, width=300).print(first_sample_text(sample))
    assert "\x1b" not in told.getvalue()
    for text in ("␛[31m", "<U+202E>txt", "[bold]", "é🎨"):  # whole characters, although each is several tokens
        assert text in told.getvalue()
        assert text.replace("<", "&lt;").replace(">", "&gt;") in re.sub(r"</?span[^>]*>", "", page)
    controls = [p.text for b in sample.groups[0].branches for p in b.pieces if p.kind == "control"]
    assert "</box>" not in controls  # a typed one is text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("plain é 图", "plain é 图"), ("a\nb", "a⏎\nb"), ("\t\0\x7f", "␉␀<U+007F>"), ("\u200b", "<U+200B>"),
     ("\ue000", "<U+E000>"), ("\u2028", "<U+2028>")],
)  # fmt: skip
def test_what_shows_nothing_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_the_mask_is_the_rule_of_packing(opened: Checkpoint, picture: Picture) -> None:
    """The drawn shapes cover exactly the pairs in which one token sees the other."""
    talks = [talk("What is in ", "red", LEFT), talk("And ", "blue", DOT)]
    row = row_of(opened, [((picture,), talks), ((), [talk("hello", "green", shown=False)])])
    drawn = set()
    for block in mask_blocks(sample_of(opened, row)):
        corners = [tuple(map(int, pair.split(","))) for pair in block["points"].split()]
        (left, top), (right, bottom) = map(min, zip(*corners, strict=True)), map(max, zip(*corners, strict=True))
        drawn |= {(i, j) for i in range(top, bottom) for j in range(left, right) if not block["own"] or j <= i}
    size = range(len(row.input_ids))
    seen = {
        (i, j) for i in size for j in size
        if j <= i and row.groups[i] == row.groups[j] and row.branches[j] in (0, row.branches[i])
    }  # fmt: skip
    assert drawn == seen


def test_a_picture_that_is_gone_is_named_in_its_place(opened: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "gone.png"
    sample = sample_of(opened, row_of(opened, [((Picture(str(file), file),), [talk("What is ", "red", LEFT)])]))
    write_first_sample(sample, tmp_path / "run" / "first.html", opened.settings.image_fit, "run")
    page = (tmp_path / "run" / "first.html").read_text("utf-8")
    assert page.count("gone.png") == 2  # the picture and the focal view
    assert "<img" not in page
