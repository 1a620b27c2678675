"""What an engine keeps from one request to the next: visual tokens of views, and the states of what rows have read.

Both are bounded in bytes; what was unused for longest goes first. Both are safe under threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

ViewKey: TypeAlias = Hashable  # a picture's content hash and the region of its focal view, or None for the whole
# What a row has read: token ids, and the view's key in the place of each of its image tokens. Rows that begin with
# equal items have equal states there.
Row: TypeAlias = tuple[Hashable, ...]


class Kept:
    """Arrays or tensors by key, each of its own memory, ``bytes`` of ``most_bytes``; with 0 nothing is kept."""

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self.found: OrderedDict[Any, Any] = OrderedDict()
        self.lock = threading.Lock()

    def add(self, key: Hashable, values: Any) -> None:
        """Keep these values now, in the place of others of that key."""
        self.drop(key)
        self.found[key] = values
        self.bytes += values.nbytes
        while self.bytes > self.most_bytes:
            self.drop(next(iter(self.found)))

    def drop(self, key: Hashable) -> None:
        """Keep nothing of that key."""
        dropped = self.found.pop(key, None)
        self.bytes -= 0 if dropped is None else dropped.nbytes


class KeptViews(Kept):
    """Visual tokens by view."""

    def get(self, key: ViewKey) -> Any | None:
        """The view's tokens, or None where they are not kept."""
        with self.lock:
            if key in self.found:
                self.found.move_to_end(key)
            return self.found.get(key)

    def put(self, key: ViewKey, tokens: Any) -> None:
        """Keep the tokens of a view."""
        with self.lock:
            self.add(key, tokens)


class KeptBeginnings(Kept):
    """Keys and values of rows.

    A conversation is given the states of no other beginning than its own, whoever read it before; that it was read
    shows in the time to the first token alone.

    States are an engine's own arrays or tensors, with the tokens on the axis before the last:
    [layers, 2 (keys, values), heads, tokens, size].
    """

    def longest(self, row: Row) -> Any | None:
        """The states of the longest kept beginning of ``row``, a view of the kept ones; None where none is kept."""
        with self.lock:
            kept = max(self.found, key=lambda kept: alike(kept, row), default=())
            length = alike(kept, row)
            if not length:
                return None
            self.found.move_to_end(kept)
            return self.found[kept][..., :length, :]

    def put(self, row: Row, states: Any) -> None:
        """Keep the states of a row. Kept beginnings of it are dropped; one that begins with it stays in its place."""
        with self.lock:
            for kept in list(self.found):
                common = alike(kept, row)
                if common == len(row):
                    self.found.move_to_end(kept)
                    return
                if common == len(kept):
                    self.drop(kept)
            self.add(row, states)


def alike(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """How many items are equal at the beginning."""
    for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return at
    return min(len(one), len(other))
