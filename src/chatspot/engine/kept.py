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


class KeptViews:
    """Visual tokens by view, up to ``most_bytes`` of them."""

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self.views: OrderedDict[ViewKey, Any] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: ViewKey) -> Any | None:
        """The view's tokens, or None where they are not kept."""
        with self.lock:
            if key in self.views:
                self.views.move_to_end(key)
            return self.views.get(key)

    def put(self, key: ViewKey, tokens: Any) -> None:
        """Keep the tokens of a view, an array or tensor of its own memory."""
        with self.lock:
            replaced = self.views.pop(key, None)
            self.views[key] = tokens
            self.bytes += tokens.nbytes - (0 if replaced is None else replaced.nbytes)
            while self.bytes > self.most_bytes:
                _, oldest = self.views.popitem(last=False)
                self.bytes -= oldest.nbytes


class KeptBeginnings:
    """Keys and values of rows, up to ``most_bytes`` of them; with 0 nothing is kept.

    A conversation is given the states of no other beginning than its own, whoever read it before; that it was read
    shows in the time to the first token alone.

    States are an engine's own arrays or tensors of their own memory, with the tokens on the axis before the last:
    [layers, 2 (keys, values), heads, tokens, size].
    """

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self.rows: OrderedDict[Row, Any] = OrderedDict()
        self.lock = threading.Lock()

    def longest(self, row: Row) -> Any | None:
        """The states of the longest kept beginning of ``row``, a view of the kept ones; None where none is kept."""
        with self.lock:
            kept = max(self.rows, key=lambda kept: alike(kept, row), default=())
            length = alike(kept, row)
            if not length:
                return None
            self.rows.move_to_end(kept)
            return self.rows[kept][..., :length, :]

    def put(self, row: Row, states: Any) -> None:
        """Keep the states of a row. Kept beginnings of it are dropped; one that begins with it stays in its place."""
        with self.lock:
            for kept in list(self.rows):
                common = alike(kept, row)
                if common == len(row):
                    self.rows.move_to_end(kept)
                    return
                if common == len(kept):
                    self.bytes -= self.rows.pop(kept).nbytes
            self.rows[row] = states
            self.bytes += states.nbytes
            while self.bytes > self.most_bytes:
                _, oldest = self.rows.popitem(last=False)
                self.bytes -= oldest.nbytes


def alike(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """How many items are equal at the beginning."""
    for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return at
    return min(len(one), len(other))
