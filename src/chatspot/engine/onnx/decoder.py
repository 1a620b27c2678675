"""The language model's session, and rows that it takes a token further at each step (``running.Lanes``).

The states of all rows are one array, [layers, 2 (keys, values), rows, heads, columns, size]. The session reads and
writes it where it lies, so a token costs no copy of what came before. Every row begins in column 0 and has a length of
its own: nothing is padded, and prompts are read one after the other (a pass over a single prompt already keeps the
processor's multipliers busy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatspot.engine.onnx.stored import TABLE, StoredTensors

READ_TOGETHER = 512  # tokens of a prompt in one pass: attention's scratch grows with them times the prompt
COLUMNS = 64  # columns are set aside by so many


class Decoder:
    """The language model: its session and the table of embeddings, which is read by rows where it is stored."""

    def __init__(self, session: Any, stored: StoredTensors):
        self.session, self.stored = session, stored
        shapes = {value.name: value.shape for value in session.get_inputs()}
        self.hidden: int = shapes["embeddings"][2]
        _, self.heads, _, self.size = shapes["past_key_0"]
        self.layers = sum(name.startswith("past_key_") for name in shapes)

    def embedded(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The tokens' embeddings [tokens, hidden]. Raises ``IndexError`` for a token that there is not."""
        return self.stored.rows(TABLE, ids)

    def memory(self, rows: int, columns: int) -> NDArray[np.float32]:
        """Room for states. The system gives the memory when it is written to."""
        return np.empty((self.layers, 2, rows, self.heads, columns, self.size), np.float32)


class Pass:
    """Passes of the session over some rows' ``states`` [layers, 2, rows, heads, columns, size] with the same number of
    new tokens a row, bound once. ``tokens`` and ``logprobs`` [rows] are those behind the last pass."""

    def __init__(self, decoder: Decoder, states: NDArray[np.float32], new: int):
        rows = states.shape[2]
        self.decoder, self.states = decoder, states
        self.embeddings = np.empty((rows, new, decoder.hidden), np.float32)
        self.last_columns, self.total = np.empty(rows, np.int32), np.empty(1, np.int32)
        self.tokens, self.logprobs = np.empty(rows, np.int64), np.empty(rows, np.float32)
        self.binding = decoder.session.io_binding()
        self.bind("embeddings", self.embeddings)
        self.bind("seqlens_k", self.last_columns)
        self.bind("total_sequence_length", self.total)
        self.bind("tokens", self.tokens, out=True)
        self.bind("logprobs", self.logprobs, out=True)
        for layer in range(decoder.layers):
            for number, what in enumerate(("key", "value")):
                self.bind(f"past_{what}_{layer}", states[layer, number])
                self.bind(f"present_{what}_{layer}", states[layer, number], out=True)

    def bind(self, name: str, values: NDArray[Any], *, out: bool = False) -> None:
        """Let the session read or write ``values`` where they lie."""
        bind = self.binding.bind_output if out else self.binding.bind_input
        bind(name, "cpu", 0, values.dtype.type, values.shape, values.ctypes.data)

    def run(self, embeddings: NDArray[np.float32], lengths: Sequence[int]) -> None:
        """Read ``embeddings`` [rows, new, hidden], behind which the rows have ``lengths`` tokens."""
        self.embeddings[:] = embeddings
        self.last_columns[:] = lengths
        self.last_columns -= 1
        self.total[:] = max(lengths)
        self.decoder.session.run_with_iobinding(self.binding)


class OnnxLanes:
    """Rows of a ``Decoder`` (``running.Lanes``), at first none; ``read`` adds one.

    Row n is at ``places[n]`` of the memory; the rows fill its beginning without a gap.
    """

    def __init__(self, decoder: Decoder, rows: int, columns: int):
        """Room for ``rows`` rows of at most ``columns`` tokens is set aside; where more is needed, it is made."""
        self.decoder = decoder
        self.lengths: list[int] = []
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.places: list[int] = []
        self.memory = decoder.memory(rows, whole_columns(columns))
        self.stepping: Pass | None = None

    def read(self, embeddings: NDArray[np.float32], begun: NDArray[np.float32] | None = None) -> None:
        """Add a row that has read a prompt: ``begun``, states [layers, 2, heads, tokens, size] of its beginning, and
        then ``embeddings`` [tokens, hidden], at least one."""
        place, length = len(self.places), 0 if begun is None else begun.shape[3]
        self.reserve(place + 1, length + len(embeddings))
        row = self.memory[:, :, place : place + 1]
        if begun is not None:
            row[:, :, 0, :, :length] = begun
        for start in range(0, len(embeddings), READ_TOGETHER):
            some = embeddings[start : start + READ_TOGETHER]
            length += len(some)
            reading = Pass(self.decoder, row, len(some))
            reading.run(some[None], [length])
        self.places.append(place)
        self.lengths.append(length)
        self.tokens.append(int(reading.tokens[0]))
        self.logprobs.append(float(reading.logprobs[0]))
        self.stepping = None

    def step(self) -> None:
        """Take each row a token further."""
        rows = len(self.places)
        self.reserve(rows, max(self.lengths) + 1)
        if self.stepping is None:
            self.stepping = Pass(self.decoder, self.memory[:, :, :rows], 1)
        order = sorted(range(rows), key=self.places.__getitem__)  # the rows as they lie in the memory
        embeddings = self.decoder.embedded([self.tokens[row] for row in order])
        self.stepping.run(embeddings[:, None], [self.lengths[row] + 1 for row in order])
        self.lengths = [length + 1 for length in self.lengths]
        self.tokens = self.stepping.tokens[self.places].tolist()
        self.logprobs = self.stepping.logprobs[self.places].tolist()

    def tell(self, row: int, token: int) -> None:
        """Let a row go on with another token."""
        self.tokens[row] = token

    def join(self, others: OnnxLanes) -> None:
        """Take the rows of ``others`` in, behind these."""
        rows = len(self.places)
        self.reserve(rows + len(others.places), max(self.lengths + others.lengths))
        for row, length in enumerate(others.lengths):
            self.memory[:, :, rows + row, :, :length] = others.read_states(row, length)
        self.places += range(rows, rows + len(others.places))
        self.lengths += others.lengths
        self.tokens += others.tokens
        self.logprobs += others.logprobs
        self.stepping = None

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order; those that lie behind the kept ones' number move into the gaps."""
        places = [self.places[row] for row in rows]
        gaps = sorted(set(range(len(rows))) - set(places))
        for row, place in enumerate(places):
            if place >= len(rows):
                places[row], length = gaps.pop(), self.lengths[rows[row]]
                self.memory[:, :, places[row], :, :length] = self.memory[:, :, place, :, :length]
        self.places = places
        self.lengths = [self.lengths[row] for row in rows]
        self.tokens = [self.tokens[row] for row in rows]
        self.logprobs = [self.logprobs[row] for row in rows]
        self.stepping = None

    def states(self, row: int) -> NDArray[np.float32]:
        """What a row has read, of its own memory: [layers, 2, heads, tokens, size]."""
        return self.read_states(row, self.lengths[row]).copy()

    def read_states(self, row: int, length: int) -> NDArray[np.float32]:
        """The states of a row's first ``length`` tokens, where they lie: [layers, 2, heads, length, size]."""
        return self.memory[:, :, self.places[row], :, :length]

    def reserve(self, rows: int, columns: int) -> None:
        """Make room where there is too little; twice as many rows as are needed, for more may join."""
        _, _, room, _, width, _ = self.memory.shape
        if rows <= room and columns <= width:
            return
        memory = self.decoder.memory(2 * rows if rows > room else room, max(width, whole_columns(columns)))
        for place, length in zip(self.places, self.lengths, strict=True):
            memory[:, :, place, :, :length] = self.memory[:, :, place, :, :length]
        self.memory, self.stepping = memory, None


def whole_columns(columns: int) -> int:
    """``columns`` rounded up to what is set aside at once."""
    return -(-columns // COLUMNS) * COLUMNS
