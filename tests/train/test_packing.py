"""Packing: nothing lost, nothing twice, rows in bounds, the same steps from anywhere, and the loss of each alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from chatspot.errors import DataError, TrainingError
from chatspot.messages import Conversation, Message, TextPart, ask
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.model.vision import raw_features, visual_tokens
from chatspot.prompts.encode import IGNORED
from chatspot.regions import Box
from chatspot.train.recipe import Recipe, parse_recipe
from chatspot.train.step import RegionLoss, collate
from chatspot.train.stream.encoding import Branch, Encoder
from chatspot.train.stream.examples import Dialogue, Example, Held, Picture, open_examples
from chatspot.train.stream.features import View, shown, unreadable
from chatspot.train.stream.packing import Position, Skipped, Step, steps
from chatspot.train.stream.reading import Skip
from chatspot.train.stream.rows import Row, common_prefix, pack

IMAGE, TOKENS = 7, 3  # of the made-up dialogues: the image token, and how many a picture takes


def recipe(**values: Any) -> Recipe:
    source = {"folder": "shapes", "questions": {"captions": 1, "turns": 1, "repeats": 2}}
    fixed = {"stage": "instruct", "learning_rate": 1e-3, "sources": [source], "window": 5}
    return parse_recipe({**fixed, **({} if "batch_dialogues" in values else {"batch_tokens": 400}), **values}, "test")


@pytest.fixture(scope="module")
def tiny(tiny_nano: Path) -> Checkpoint:
    return load_checkpoint(tiny_nano)


def encoder_of(tiny: Checkpoint, wanted: Recipe) -> Encoder:
    return Encoder(tiny.processor, tiny.settings, wanted, tiny.tokens_per_image)


# Made-up dialogues: a head, pictures, questions, answers.

VIEWS = [
    View(Picture("a", b"")),
    View(Picture("b", b"")),
    View(Picture("a", b""), Box.from_normalized(0.1, 0.1, 0.5, 1)),
]


def branch(name: str, *pieces: int | View | list[int]) -> Branch:
    """A dialogue of plain tokens, views, and answers (lists)."""
    input_ids: list[int] = []
    labels: list[int] = []
    for piece in pieces:
        some = [IMAGE] * TOKENS if isinstance(piece, View) else piece if isinstance(piece, list) else [piece]
        input_ids += some
        labels += some if isinstance(piece, list) else [IGNORED] * len(some)
    views = tuple(piece for piece in pieces if isinstance(piece, View))
    return Branch(Dialogue(name, "", Conversation((Message("user", (TextPart("?"),)),))), input_ids, labels, views)


pieces = st.one_of(st.integers(10, 12), st.sampled_from(VIEWS), st.lists(st.integers(20, 22), min_size=1, max_size=3))
examples_of_branches = st.lists(
    st.tuples(
        st.lists(st.sampled_from([10, 11, *VIEWS]), max_size=4), st.lists(st.lists(pieces, max_size=6), max_size=5)
    ),
    max_size=6,
)


def made(drawn: list[tuple[list[Any], list[list[Any]]]]) -> list[list[Branch]]:
    """Examples whose dialogues begin alike; each ends with an answer after a token."""
    return [
        [branch(f"{example}.{n}", *head, *tail, 13, [23]) for n, tail in enumerate(tails)]
        for example, (head, tails) in enumerate(drawn)
    ]


Alone = tuple[tuple[int, ...], tuple[int, ...], tuple[View, ...]]


def dialogues_in(row: Row, image_token: int = IMAGE, tokens: int = TOKENS) -> Iterator[Alone]:
    """Ids, targets and views of each dialogue of a row, read back from its columns alone."""
    views = iter(row.views)
    owned: dict[tuple[int, int], list[View]] = {}
    places = [at for at, token in enumerate(row.input_ids) if token == image_token]
    for at in places[::tokens]:
        owned.setdefault((row.groups[at], row.branches[at]), []).append(next(views))
    assert next(views, None) is None
    columns = list(zip(row.input_ids, row.targets, row.positions, row.groups, row.branches, strict=True))
    for group in sorted(set(row.groups)):
        own = [column for column in columns if column[3] == group]
        for number in sorted({column[4] for column in own} - {0}):
            alone = [column for column in own if column[4] in (0, number)]
            assert [column[2] for column in alone] == list(range(len(alone)))
            shared = owned.get((group, 0), []) + owned.get((group, number), [])
            yield tuple(c[0] for c in alone), tuple(c[1] for c in alone), tuple(shared)


def expected(one: Branch) -> Alone:
    return tuple(one.input_ids), (*one.labels[1:], IGNORED), one.views


@given(examples_of_branches, st.booleans(), st.integers(0, 30))
def test_nothing_is_lost_and_nothing_is_there_twice(drawn: list[Any], share: bool, more: int) -> None:
    examples = made(drawn)
    longest = max((len(b.input_ids) for same in examples for b in same), default=1)
    rows = pack(examples, longest + more, share, IMAGE)
    found = Counter(alone for row in rows for alone in dialogues_in(row))
    assert found == Counter(expected(b) for same in examples for b in same)
    assert all(len(row.input_ids) <= longest + more for row in rows)
    assert sum(row.dialogues for row in rows) == sum(len(same) for same in examples)
    assert sum(row.supervised for row in rows) == sum(b.supervised for same in examples for b in same)
    assert rows == pack(examples, longest + more, share, IMAGE)
    for row in rows:
        assert list(row.groups) == sorted(row.groups)
        assert all(target == IGNORED or owner for target, owner in zip(row.targets, row.branches, strict=True)), (
            "a shared token learns nothing: what follows differs"
        )
        if not share:
            assert 0 not in row.branches


@given(examples_of_branches)
def test_sharing_never_costs_tokens(drawn: list[Any]) -> None:
    examples = made(drawn)
    shared, alone = (sum(len(row.input_ids) for row in pack(examples, 1000, share, IMAGE)) for share in (True, False))
    assert shared <= alone


A, B, FOCAL = VIEWS


@pytest.mark.parametrize(
    ("first", "second", "shared", "views"),
    [
        ((1, 13, [23]), (1, 13, [23]), 1, 0),  # no picture
        ((1, A, 2, [5]), (1, B, 2, [5]), 1, 0),  # another picture behind the same ids
        ((1, A, 2, 3, [5]), (1, A, 2, 4, [5]), 5, 1),
        ((1, A, 2, [5]), (1, A, 2, [6]), 4, 1),  # token 4 has to predict the answer, so each has its own
        ((1, A, 2, [5]), (1, A, 2, [5]), 4, 1),
        ((1, A, [5]), (1, A, 2, [5]), 1, 0),  # the picture's last token predicts the first one's answer
        ((1, A, 2, FOCAL, 3, [5]), (1, A, 2, FOCAL, 3, [5]), 5, 1),  # a focal view is the dialogue's own
        ((1, A, 2, B, 3, 4, [5]), (1, A, 2, B, 3, 8, [5]), 9, 2),
        ((1, A, 2, B, 3, 4, [5]), (1, A, 2, 3, [5]), 5, 1),
        ((1, A, B, 3, 4, [5]), (1, A, FOCAL, 3, 4, [5]), 4, 1),  # no token between two pictures
        ((1, A, 2, [5], 3, [6]), (1, A, 2, [5], 3, [8]), 4, 1),  # an answer is never shared
        (([9], 1, A, 2, 3, [5]), ([9], 1, A, 2, 3, [6]), 6, 1),  # the first token has nothing before it
    ],
)
def test_what_two_dialogues_share(first: tuple, second: tuple, shared: int, views: int) -> None:
    assert common_prefix([branch("1", *first), branch("2", *second)], IMAGE) == (shared, views)
    assert common_prefix([branch("2", *second), branch("1", *first)], IMAGE) == (shared, views)


def test_an_example_that_no_row_holds_takes_several() -> None:
    examples = [[branch(str(n), 1, A, 2, n, 13, [20] * 4) for n in range(30, 50)]]
    rows = pack(examples, 50, True, IMAGE)
    assert sum(row.dialogues for row in rows) == 20
    assert len(rows) == 3, "a row of 50 holds the picture's 5 tokens and 7 dialogues of 6"


@pytest.mark.parametrize("share", [True, False])
def test_little_is_padded(tiny: Checkpoint, drawn: Path, share: bool) -> None:
    """Rows pass the model a few at a time, each as long as the longest of them."""
    wanted = recipe(window=12, row_tokens=640, batch_tokens=4000, share_pictures=share)
    epoch = [s for s in first_steps(tiny, wanted, drawn, Position(), 20) if s.done <= 1]
    lengths = [[len(row.input_ids) for row in step.rows] for step in epoch]
    padded = sum(len(some[at : at + 4]) * some[at] for some in lengths for at in range(0, len(some), 4))
    assert padded < 1.1 * sum(map(sum, lengths))
    if not share:
        rows, tokens = sum(map(len, lengths)), sum(map(sum, lengths))
        assert rows <= -(-tokens // 640) + 1, "short dialogues fill rows to the brim"


# The loss of packed rows is that of the dialogues alone.


def reference_mask(row: Row) -> torch.Tensor:
    """[T, T], True where token i sees token j; the rule word for word."""
    length = len(row.input_ids)
    return torch.tensor(
        [
            [
                j <= i and row.groups[j] == row.groups[i] and row.branches[j] in (0, row.branches[i])
                for j in range(length)
            ]
            for i in range(length)
        ]
    )


def summed_loss(
    tiny: Checkpoint, ids: Sequence[int], targets: Sequence[int], views: Sequence[View],
    positions: Sequence[int] | None = None, mask: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """The sum of cross-entropies of one sequence, float32."""
    model: Any = tiny.model.float()
    input_ids = torch.tensor([ids])
    embeddings = model.get_input_embeddings()(input_ids)
    if views:
        images = [image for _, image in shown(views, tiny.settings.image_fit)]
        pixels = tiny.processor.image_processor(images, return_tensors="pt")["pixel_values"]
        image = visual_tokens(model, raw_features(model, pixels))
        embeddings = embeddings.masked_scatter((input_ids == model.config.image_token_id)[..., None], image)
    hidden = model.model.language_model(
        inputs_embeds=embeddings,
        attention_mask=None if mask is None else mask[None, None],
        position_ids=None if positions is None else torch.tensor([positions]),
        use_cache=False,
    ).last_hidden_state
    return functional.cross_entropy(
        model.lm_head(hidden[0]), torch.tensor(targets), reduction="sum", ignore_index=IGNORED
    )


@pytest.mark.parametrize("share", [True, False])
def test_the_loss_of_a_row_is_that_of_its_dialogues_alone(tiny: Checkpoint, drawn: Path, share: bool) -> None:
    source = {"folder": "shapes", "questions": {"captions": 1, "turns": 1}}
    wanted = recipe(
        sources=[source], window=2, row_tokens=1000, batch_tokens=2000, share_pictures=share, without_focal_share=0.3
    )
    encoder, skipped = encoder_of(tiny, wanted), Skipped(None, 0.0)
    step = next(steps(open_examples(wanted, (drawn,)), encoder, wanted, Position(), skipped))
    assert any(max(row.groups) > 0 for row in step.rows)
    assert share == any(0 in row.branches for row in step.rows)
    with torch.no_grad():
        for row in step.rows:
            packed = summed_loss(tiny, row.input_ids, row.targets, row.views, row.positions, reference_mask(row))
            alone = [
                summed_loss(tiny, ids, targets, views)
                for ids, targets, views in dialogues_in(row, encoder.image_token, tiny.tokens_per_image)
            ]
            assert len(alone) == row.dialogues
            assert (packed - sum(alone)).abs() / row.supervised < 1e-5
            assert packed / row.supervised > 1


def test_the_training_step_gives_the_loss_of_the_dialogues_alone(tiny: Checkpoint, drawn: Path) -> None:
    """All rows of a step at once, padded, as training passes them."""
    wanted = recipe(window=3, row_tokens=500)
    encoder = encoder_of(tiny, wanted)
    step = next(steps(open_examples(wanted, (drawn,)), encoder, wanted, Position(), Skipped(None, 0.0)))

    def read(views: Sequence[View]) -> torch.Tensor:
        images = [image for _, image in shown(views, tiny.settings.image_fit)]
        return tiny.processor.image_processor(images, return_tensors="pt")["pixel_values"]

    with torch.no_grad():
        together = RegionLoss(tiny.model.float())(collate(step.rows, 0, read))
        alone = [
            summed_loss(tiny, *dialogue)
            for row in step.rows
            for dialogue in dialogues_in(row, encoder.image_token, tiny.tokens_per_image)
        ]
    assert len(alone) == step.dialogues
    assert (together - sum(alone)).abs() / step.supervised < 1e-5


# Steps.


def first_steps(tiny: Checkpoint, wanted: Recipe, drawn: Path, start: Position, count: int) -> list[Step]:
    stream = steps(open_examples(wanted, (drawn,)), encoder_of(tiny, wanted), wanted, start, Skipped(None, 0.0))
    return list(islice(stream, count))


@pytest.mark.parametrize("values", [{}, {"batch_dialogues": 7, "share_pictures": False}, {"window": 1}, {"window": 99}])
def test_a_run_goes_on_from_anywhere(values: dict[str, Any], tiny: Checkpoint, drawn: Path) -> None:
    wanted = recipe(**values)
    whole = first_steps(tiny, wanted, drawn, Position(), 30)
    assert {step.position.epoch for step in whole} >= {0, 1}
    for at in range(0, 29, 3):
        assert first_steps(tiny, wanted, drawn, whole[at].position, 2) == whole[at + 1 : at + 3]
    done = [step.done for step in whole]
    assert done == sorted(set(done)), "each step is further on"
    ends = [step.done for step in whole if step.position.window == step.position.step == 0]
    assert ends == pytest.approx(range(1, len(ends) + 1), abs=1e-9)


def test_an_epoch_is_everything_once_and_each_another_way(tiny: Checkpoint, drawn: Path) -> None:
    wanted = recipe()
    stream = first_steps(tiny, wanted, drawn, Position(), 60)
    epochs = [[s for s in stream if n < s.done - 1e-9 <= n + 1] for n in range(2)]
    image_token = encoder_of(tiny, wanted).image_token
    contents = [
        Counter(a for s in epoch for r in s.rows for a in dialogues_in(r, image_token, tiny.tokens_per_image))
        for epoch in epochs
    ]
    assert contents[0] == contents[1]
    assert contents[0].total() == sum(step.dialogues for step in epochs[0]) == 12 * 7
    assert epochs[0] != epochs[1]
    assert all(step.supervised == sum(row.supervised for row in step.rows) > 0 for step in stream)


@pytest.mark.parametrize("batch_dialogues", [4, 9, 21])
def test_steps_hold_the_papers_number_of_dialogues(tiny: Checkpoint, drawn: Path, batch_dialogues: int) -> None:
    wanted = recipe(batch_dialogues=batch_dialogues, window=12, row_tokens=200, share_pictures=False)
    epoch = [s for s in first_steps(tiny, wanted, drawn, Position(), 40) if s.done <= 1]
    held = [step.dialogues for step in epoch]
    assert sum(held) == 84
    assert len(held) == round(84 / batch_dialogues)
    assert max(held) - min(held) <= 3


def test_steps_hold_like_numbers_of_tokens(tiny: Checkpoint, drawn: Path) -> None:
    wanted = recipe(batch_tokens=1000, window=12, row_tokens=200)
    epoch = [s for s in first_steps(tiny, wanted, drawn, Position(), 20) if s.done <= 1]
    held = [sum(len(row.input_ids) for row in step.rows) for step in epoch]
    assert len(held) > 2
    assert max(held) - min(held) <= 200
    assert 750 < sum(held) / len(held) < 1250
    assert all([len(r.input_ids) for r in s.rows] == sorted((len(r.input_ids) for r in s.rows), reverse=True)
               for s in epoch), "rows of like length pass the model together"  # fmt: skip


# What cannot be used.


def example(name: str, talk: Conversation, *pictures: Picture) -> Example:
    return Example(name, "s", pictures, (Dialogue(name, "", talk),))


def text(answer: str = "Yes.") -> Conversation:
    return Conversation((Message("user", (TextPart("Is it?"),)), Message("assistant", (TextPart(answer),))))


NO_ANSWER = Conversation((Message("user", (TextPart("Is it?"),)),))
ABOUT = Conversation((ask("What is this?", Box.from_normalized(0.1, 0.1, 0.5, 0.5)), text().messages[1]))


def test_a_dialogue_must_fit_its_pictures_and_have_an_answer(tiny: Checkpoint) -> None:
    encoder = encoder_of(tiny, recipe())
    with pytest.raises(DataError, match="a of s has no supervised token"):
        encoder.branches(example("a", NO_ANSWER))
    with pytest.raises(DataError, match="shows 1 pictures, its example has 0"):
        encoder.branches(example("a", ABOUT))
    with pytest.raises(DataError, match="shows 0 pictures, its example has 1"):
        encoder.branches(example("a", text(), Picture("p", b"")))


@pytest.mark.parametrize(
    ("slots", "says"),
    [
        ([example(str(n), NO_ANSWER) for n in range(3)], "of 3 samples 3 could not be used.*has no supervised"),
        ([Skip(f"file:{n}", "torn") for n in range(3)], "of 3 samples 3 could not be used.*torn"),
        ([example("long", text("word " * 300))], "1 dialogues are longer than row_tokens"),
        ([example("none", ABOUT, Picture("p", b"none"))], "could not be used.*p: the given 4 bytes"),
    ],
)
def test_training_on_nothing_refuses_to_start(tiny: Checkpoint, slots: list[Any], says: str) -> None:
    wanted = recipe()
    stream = steps(Held(slots, "0"), encoder_of(tiny, wanted), wanted, Position(), Skipped(None, 1.0), unreadable)
    with pytest.raises(TrainingError, match=says):
        next(stream)


def mixed(good: int, bad: int) -> Held:
    faults = [
        Skip("file:9", "torn"),
        example("mute", NO_ANSWER),
        example("dark", ABOUT, Picture("p.png", b"none")),
    ]
    return Held([example(f"g{n}", text()) for n in range(good)] + [faults[n % 3] for n in range(bad)], "0")


def test_what_cannot_be_used_is_counted_and_listed_once(tiny: Checkpoint, tmp_path: Path) -> None:
    wanted, file = recipe(window=10), tmp_path / "skipped.jsonl"
    long = example("long", text("word " * 300))
    examples = Held([*mixed(20, 6).slots, long], "0")
    for _ in range(2):
        skipped = Skipped(file, 0.5)
        stream = steps(examples, encoder_of(tiny, wanted), wanted, Position(), skipped, unreadable)
        first = [step for step in islice(stream, 20) if step.done <= 1]
        assert sum(step.dialogues for step in first) == 20
        assert skipped.unusable / skipped.slots == pytest.approx(6 / 27, abs=0.1)
        assert skipped.too_long >= 1
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted((line["kind"], line["where"]) for line in lines) == [
        ("too long", "s: long"),
        ("unusable", "file:9"),
        ("unusable", "p.png"),
        ("unusable", "s: mute"),
    ]
    assert all(line["why"] for line in lines)


@pytest.mark.parametrize(("good", "bad", "stops"), [(90, 10, True), (95, 5, False), (30, 19, False), (0, 50, True)])
def test_too_much_that_cannot_be_used_stops_the_run(tiny: Checkpoint, good: int, bad: int, stops: bool) -> None:
    """Before 50 slots were seen a share says nothing."""
    wanted = recipe(window=100)
    skipped = Skipped(None, 0.05)
    stream = steps(mixed(good, bad), encoder_of(tiny, wanted), wanted, Position(), skipped, unreadable)
    if stops:
        with pytest.raises(TrainingError, match=f"{bad} of {good + bad} samples could not be used, .* 5.0%"):
            next(stream)
    else:
        assert next(stream).dialogues > 0
        assert skipped.unusable == bad


def test_a_picture_that_cannot_be_opened_takes_its_dialogues_along(tiny: Checkpoint, drawn: Path) -> None:
    wanted = recipe(window=12)
    gone = Held(
        [
            replace(e, pictures=(Picture("gone", b"gone"),)) if n == 3 else e
            for n, e in enumerate(open_examples(wanted, (drawn,)).epoch(0))
            if isinstance(e, Example)
        ],
        "0",
    )
    skipped = Skipped(None, 0.5)
    stream = steps(gone, encoder_of(tiny, wanted), wanted, Position(), skipped, unreadable)
    epoch = [step for step in islice(stream, 30) if step.done <= 1]
    assert sum(step.dialogues for step in epoch) == 11 * 7
    assert all(view.picture.name != "gone" for step in epoch for row in step.rows for view in row.views)


class Watched(Encoder):
    """An encoder that notes what it is asked for."""

    asked: list[str]

    def branch(self, example: Example, dialogue: Dialogue) -> Branch:
        self.asked.append(example.id)
        return super().branch(example, dialogue)


def test_passing_over_windows_encodes_none(tiny: Checkpoint, drawn: Path) -> None:
    wanted = recipe(window=2)
    encoder = Watched(tiny.processor, tiny.settings, wanted, tiny.tokens_per_image)
    encoder.asked = []
    next(steps(open_examples(wanted, (drawn,)), encoder, wanted, Position(0, 5, 0), Skipped(None, 0.0)))
    assert len(set(encoder.asked)) == 2, "the examples of one window"


def test_without_focal_views_the_picture_stays(tiny: Checkpoint) -> None:
    talk = example("a", ABOUT, Picture("p", b""))
    with_focal = encoder_of(tiny, recipe()).branches(talk)[0]
    without = encoder_of(tiny, recipe(without_focal_share=1.0)).branches(talk)[0]
    assert [view.region is not None for view in with_focal.views] == [False, True]
    assert [view.region for view in without.views] == [None]
    assert len(with_focal.input_ids) - len(without.input_ids) == tiny.tokens_per_image


def test_encoding_and_packing_open_no_picture(tiny: Checkpoint) -> None:
    file = Picture("none", b"not even a picture")
    wanted = recipe()
    held = Held([example("a", ABOUT, file)], "0")
    step = next(steps(held, encoder_of(tiny, wanted), wanted, Position(), Skipped(None, 0.0)))
    assert step.rows[0].views[0].picture is file


def test_a_share_of_dialogues_is_shown_without_focal_views(tiny: Checkpoint) -> None:
    encoder = encoder_of(tiny, recipe(without_focal_share=0.3))
    talks = [encoder.branches(example(str(n), ABOUT, Picture("p", b"")))[0] for n in range(200)]
    assert 0.2 < sum(len(one.views) == 1 for one in talks) / 200 < 0.4
    assert [len(one.views) for one in talks] == [
        len(encoder.branches(example(str(n), ABOUT, Picture("p", b"")))[0].views) for n in range(200)
    ]
