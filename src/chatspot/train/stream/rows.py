"""Rows for the model: dialogues about one picture share its visual tokens, and rows are filled to the brim.

A row holds groups, a group a shared prefix (the picture) and its branches (the dialogues), one after the other::

    input_ids   <picture of dog> What? A dog. | Where? Here. || <picture of cat> ...
    groups       0 0 0 0 0 0 0 0 0 0 0 0 0 0 0  0 0 0 0 0 0     1 1 1
    branches     0 0 0 0 0 0 0 0 1 1 1 1 1 1 1  2 2 2 2 2 2     0 0 0
    positions    0 1 2 3 4 5 6 7 8 9 . . . . .  8 9 . . . .     0 1 2

Token i sees token j where j <= i, both are of one group, and j's branch is 0 or i's own. So each dialogue is computed
as if it stood alone: the loss of a row is the sum of its dialogues' losses (held by a test).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from chatspot.prompts.encode import IGNORED
from chatspot.train.stream.encoding import Branch
from chatspot.train.stream.features import View


@dataclass(frozen=True)
class Row:
    """One sequence for the model. The first five are of equal length; ``targets`` holds the token that a position has
    to predict, IGNORED where none is learnt. ``views`` fill the runs of image tokens, in reading order."""

    input_ids: tuple[int, ...]
    targets: tuple[int, ...]
    positions: tuple[int, ...]
    groups: tuple[int, ...]
    branches: tuple[int, ...]
    views: tuple[View, ...]
    dialogues: int

    @property
    def supervised(self) -> int:
        """Tokens that are learnt."""
        return len(self.targets) - self.targets.count(IGNORED)


@dataclass(frozen=True)
class Group:
    """Dialogues that begin with the same ``shared`` tokens, which hold ``shared_views`` views."""

    branches: tuple[Branch, ...]
    shared: int = 0
    shared_views: int = 0

    @property
    def length(self) -> int:
        """Tokens of the group in a row."""
        return self.shared + sum(len(branch.input_ids) - self.shared for branch in self.branches)


def pack(examples: Sequence[Sequence[Branch]], row_tokens: int, share: bool, image_token: int) -> list[Row]:
    """The dialogues of the examples as rows of at most ``row_tokens`` tokens; none may be longer by itself.

    Best fit: the longest group first, each into the row that it fills best. The same examples give the same rows.
    """
    groups = [group for same in examples for group in groups_of(same, row_tokens, share, image_token)]
    groups.sort(key=lambda group: -group.length)
    rows: list[list[Group]] = []
    free: list[tuple[int, int]] = []  # (tokens left, row), the fullest row first
    for group in groups:
        at = bisect_left(free, (group.length, -1))
        if at < len(free):
            left, row = free.pop(at)
            rows[row].append(group)
        else:
            left, row = row_tokens, len(rows)
            rows.append([group])
        insort(free, (left - group.length, row))
    return [row_of(groups) for groups in rows]


def groups_of(branches: Sequence[Branch], row_tokens: int, share: bool, image_token: int) -> list[Group]:
    """The dialogues of one example as groups: as few as rows can hold, or each by itself where nothing is shared."""
    shared, views = common_prefix(branches, image_token) if share and len(branches) > 1 else (0, 0)
    if not views:
        return [Group((branch,)) for branch in branches]
    together: list[tuple[int, list[Branch]]] = []
    for branch in sorted(branches, key=lambda branch: -len(branch.input_ids)):
        more = len(branch.input_ids) - shared
        for at, (length, same) in enumerate(together):
            if length + more <= row_tokens:
                together[at] = (length + more, [*same, branch])
                break
        else:
            together.append((len(branch.input_ids), [branch]))
    return [Group(tuple(same), shared, views) if len(same) > 1 else Group(tuple(same)) for _, same in together]


def common_prefix(branches: Sequence[Branch], image_token: int) -> tuple[int, int]:
    """How many tokens the dialogues share at their beginning, and how many views stand in them.

    It ends before any token that has to predict a learnt one: after the prefix each dialogue goes on in its own way.
    It ends before focal views, and before a picture that is not the same in all: equal ids do not show what is in them.
    """
    first = branches[0]
    length = len(first.input_ids)
    for branch in branches:
        pairs = enumerate(zip(first.input_ids, branch.input_ids, strict=False))
        length = min(length, next((at for at, (one, other) in pairs if one != other), len(branch.input_ids)))
        learnt = next(at for at, label in enumerate(branch.labels) if at and label != IGNORED)
        length = min(length, learnt - 1)
    places = [at for at, token in enumerate(first.input_ids) if token == image_token]
    tokens = len(places) // len(first.views) if first.views else 0
    for number, view in enumerate(first.views):
        start = places[number * tokens]
        whole = view.region is None and start + tokens <= length
        if not whole or any(branch.views[number] != view for branch in branches):
            return min(length, start), number
    return length, len(first.views)


def row_of(groups: Sequence[Group]) -> Row:
    """The groups as one row."""
    ids: list[int] = []
    targets: list[int] = []
    positions: list[int] = []
    numbers: list[int] = []
    owners: list[int] = []
    views: list[View] = []
    for number, group in enumerate(groups):
        shared, first = group.shared, group.branches[0]
        ids += first.input_ids[:shared]
        targets += [IGNORED] * shared
        positions += range(shared)
        owners += [0] * shared
        views += first.views[: group.shared_views]
        for owner, branch in enumerate(group.branches, 1):
            own = len(branch.input_ids) - shared
            ids += branch.input_ids[shared:]
            targets += [*branch.labels[shared + 1 :], IGNORED]
            positions += range(shared, shared + own)
            owners += [owner] * own
            views += branch.views[group.shared_views :]
        numbers += [number] * (len(ids) - len(numbers))
    dialogues = sum(len(group.branches) for group in groups)
    return Row(tuple(ids), tuple(targets), tuple(positions), tuple(numbers), tuple(owners), tuple(views), dialogues)
