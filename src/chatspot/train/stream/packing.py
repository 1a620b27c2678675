"""The endless stream of steps, from any point on: a window of examples is packed, its rows are dealt to its steps."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from chatspot.errors import ChatSpotError, TrainingError
from chatspot.train.recipe import Recipe
from chatspot.train.stream.encoding import Branch, Encoder
from chatspot.train.stream.examples import Example, Examples
from chatspot.train.stream.features import View
from chatspot.train.stream.reading import Skip
from chatspot.train.stream.rows import Row, pack
from chatspot.train.stream.skipped import Skipped

__all__ = ["Position", "Row", "Skipped", "Step", "steps"]

Prepare = Callable[[Sequence[View]], Mapping[View, str]]


@dataclass(frozen=True)
class Position:
    """Where a run is: the step that comes next, counted within its window, the window within its epoch, from 0."""

    epoch: int = 0
    window: int = 0
    step: int = 0


@dataclass(frozen=True)
class Step:
    """What one step of the optimiser sees, over all processes. Rows of like length stand together.

    ``supervised`` tokens are learnt; ``position`` is that of the step after this one, ``done`` the epochs that are
    done after it.
    """

    rows: tuple[Row, ...]
    dialogues: int
    supervised: int
    position: Position
    done: float


def steps(
    examples: Examples,
    encoder: Encoder,
    recipe: Recipe,
    start: Position,
    skipped: Skipped,
    prepare: Prepare | None = None,
) -> Iterator[Step]:
    """The steps from ``start`` on, epoch after epoch without end; the same ones whenever they are asked for.

    ``prepare`` is shown the views of a window before it is packed (to compute and keep their features) and gives back
    those whose picture cannot be decoded, with the reason: their dialogues are left out. Windows before ``start`` are
    passed over unread.

    Raises ``TrainingError`` when too much cannot be used (see ``Skipped``), and when there is nothing to learn from.
    """
    windows = -(-examples.count // recipe.window)
    epoch, window, first = start.epoch, start.window, start.step
    while True:
        slots = examples.epoch(epoch, window * recipe.window)
        found = window > 0
        for number in range(window, windows):
            kept = usable(islice(slots, recipe.window), encoder, recipe, skipped, prepare)
            skipped.check()
            rows = pack(kept, recipe.row_tokens, recipe.share_pictures, encoder.image_token)
            dealt = deal(rows, recipe, random.Random(f"{recipe.seed}/{epoch}/{number}"))
            found = found or bool(dealt)
            following = Position(epoch, number + 1) if number + 1 < windows else Position(epoch + 1)
            before, after = (min(n * recipe.window / examples.count, 1.0) for n in (number, number + 1))
            for at, some in enumerate(dealt[first:], first + 1):
                yield Step(
                    tuple(some),
                    sum(row.dialogues for row in some),
                    sum(row.supervised for row in some),
                    Position(epoch, number, at) if at < len(dealt) else following,
                    epoch + before + (after - before) * at / len(dealt),
                )
            first = 0
        if not found:
            raise TrainingError(
                f"nothing to train on: of {skipped.slots} samples {skipped.unusable} could not be used, and "
                f"{skipped.too_long} dialogues are longer than row_tokens ({recipe.row_tokens}){skipped.why}"
            )
        epoch, window = epoch + 1, 0


def usable(
    slots: Iterable[Example | Skip], encoder: Encoder, recipe: Recipe, skipped: Skipped, prepare: Prepare | None
) -> list[list[Branch]]:
    """The dialogues of a window that can be learnt from, encoded, example by example. The others are counted."""
    encoded: list[tuple[list[Branch], list[Skip]]] = []
    for slot in slots:
        if isinstance(slot, Skip):
            encoded.append(([], [slot]))
            continue
        branches: list[Branch] = []
        faults: list[Skip] = []
        for dialogue in slot.dialogues:
            try:
                branch = encoder.branch(slot, dialogue)
            except ChatSpotError as error:
                faults.append(Skip(f"{slot.source}: {dialogue.id}", str(error)))
                continue
            if len(branch.input_ids) > recipe.row_tokens:
                skipped.longer(f"{slot.source}: {dialogue.id}", len(branch.input_ids), recipe.row_tokens)
            else:
                branches.append(branch)
        encoded.append((branches, faults))
    views = {view: None for branches, _ in encoded for branch in branches for view in branch.views}
    bad = prepare(list(views)) if prepare else {}
    for branches, faults in encoded:
        faults += [Skip(view.picture.name, bad[view]) for branch in branches for view in branch.views if view in bad]
        branches[:] = [branch for branch in branches if not any(view in bad for view in branch.views)]
        skipped.slot(list(dict.fromkeys(faults)))
    return [branches for branches, _ in encoded]


def deal(rows: Sequence[Row], recipe: Recipe, rng: random.Random) -> list[list[Row]]:
    """The rows of a window dealt to as many steps as hold the recipe's tokens or dialogues on average.

    All of a window's steps are of like size, however much it holds: the next row, largest first, goes to the step that
    holds least. Which rows come together is drawn by ``rng``.
    """
    sizes = [row.dialogues if recipe.batch_dialogues else len(row.input_ids) for row in rows]
    wanted = recipe.batch_dialogues or recipe.batch_tokens
    assert wanted  # the recipe has one of them
    count = min(len(rows), max(1, round(sum(sizes) / wanted)))
    order = list(range(len(rows)))
    rng.shuffle(order)
    order.sort(key=lambda at: -sizes[at])
    hands: list[list[Row]] = [[] for _ in range(count)]
    lightest = [(0, hand) for hand in range(count)]
    for at in order:
        size, hand = lightest[0]
        hands[hand].append(rows[at])
        heapq.heapreplace(lightest, (size + sizes[at], hand))
    for some in hands:
        some.sort(key=lambda row: -len(row.input_ids))
    rng.shuffle(hands)
    return hands
