"""A batch that never has to start over: requests join while others are being answered, and leave when they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from chatspot.engine.finding import Finding
from chatspot.engine.interface import Finish, Growing, Prepared, Reply, Request
from chatspot.engine.kept import Row

if TYPE_CHECKING:
    from chatspot.engine.local_engine import LocalEngine


DECODED_TOKENS = 16  # at most about so many tokens are decoded to say what came


class Lanes(Protocol):
    """Rows that the language model takes a token further at each step, side by side; rows do not see each other.

    ``tokens`` and ``logprobs``: the likeliest next token of each row and its natural-log probability. ``lengths``: how
    many tokens of prompt and answer each row has read, so not its next one.
    """

    lengths: list[int]
    tokens: list[int]
    logprobs: list[float]

    def step(self) -> None:
        """Take each row a token further."""

    def join(self, others: Any) -> None:
        """Take the rows of ``others`` (of the same class) in, behind these; they are not to be used any more. When it
        raises, these rows are as before."""

    def tell(self, row: int, token: int) -> None:
        """Let a row go on with another token than its likeliest next one."""

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows (at least one), in this order."""

    def states(self, row: int) -> Any:
        """What a row has read, of its own memory, for ``KeptBeginnings``: [layers, 2, heads, lengths[row], size]."""


class GrowingAnswer:
    """An answer while it grows (``interface.Growing``). ``finding`` writes its boxes, None where the model does."""

    def __init__(self, engine: LocalEngine, max_new_tokens: int, finding: Finding | None = None):
        self.engine, self.max_new_tokens, self.finding = engine, max_new_tokens, finding
        self.found: deque[tuple[int, float]] = deque()  # tokens of a box that are still to come, with log-probabilities
        self.ids: list[int] = []
        self.logprob = 0.0
        self.reply: Reply | None = None
        self.said = 0  # characters that ``read`` has given
        self.start, self.shown = 0, 0  # tokens that ``read`` is done with; characters given of what those after say

    def grow(self, token: int, logprob: float) -> None:
        """Add a token; the model's end token and the longest answer end it."""
        self.ids.append(token)
        self.logprob += logprob
        if token in self.engine.end_ids:
            self.reply = self.ended("end")
        elif len(self.ids) == self.max_new_tokens:
            self.reply = self.ended("length")
        elif token == self.engine.box_id and self.finding is not None:
            self.found.extend(self.finding.written(self.ids))

    def ended(self, finish: Finish) -> Reply:
        """The whole answer."""
        text, calibration = self.engine.text(self.ids), self.engine.calibration
        return Reply(text, tuple(self.ids), self.logprob, finish, calibration=calibration)

    def read(self) -> str:
        """The settled text that came since the last call."""
        if self.reply:
            piece = self.reply.text[self.said :]
        else:
            text = self.engine.settled_text(self.ids[self.start :])
            piece, self.shown = text[self.shown :], max(self.shown, len(text))
            self.forget(text)
        self.said += len(piece)
        return piece

    def forget(self, text: str) -> None:
        """Decode from the last token on from now: all of a long answer for each token would take longer than the model.

        That token stays, for some tokenizers drop a blank before the first word. It has to be a whole word of its own,
        behind which no character waits for its bytes.
        """
        last = self.engine.settled_text(self.ids[-1:])
        if len(self.ids) - self.start > DECODED_TOKENS and last.strip() and text.endswith(last):
            self.start, self.shown = len(self.ids) - 1, len(last)


class RunningBatch:
    """Growing answers over the rows of ``Lanes`` (``interface.Batch``), within ``most_tokens`` padded tokens."""

    def __init__(self, engine: LocalEngine, most_tokens: int):
        self.engine, self.most_tokens = engine, most_tokens
        self.lanes: Lanes | None = None
        self.answers: list[GrowingAnswer] = []  # one for each row of the lanes
        self.prompts: list[Row] = []  # what each row has read before its answer

    def __len__(self) -> int:
        return len(self.answers)

    def has_room(self, *prepared: Prepared) -> bool:
        """Whether all rows, padded to the longest that any of them may become, keep within ``most_tokens``."""
        rows = len(self) + len(prepared)
        if rows <= 1:
            return True
        lengths = self.lanes.lengths if self.lanes is not None else []
        padded = max(*lengths, *(one.prompt_tokens for one in prepared))
        left = [answer.max_new_tokens - len(answer.ids) for answer in self.answers]
        return (padded + max(*left, *(one.max_new_tokens for one in prepared))) * rows <= self.most_tokens

    def join(self, prepared: Sequence[Prepared]) -> list[GrowingAnswer]:
        """Read the prompts, their pictures encoded or kept; go on with all rows."""
        if not prepared:
            return []
        prompts = [one.prompt for one in prepared]
        lanes = self.engine.lanes(prompts, self.engine.encoded([one.request for one in prepared], prompts))
        joined = [GrowingAnswer(self.engine, one.max_new_tokens, self.finding(one.request)) for one in prepared]
        grow(joined, lanes)
        if self.lanes is None:
            self.lanes = lanes
        else:
            self.lanes.join(lanes)
        self.answers += joined
        self.prompts += [self.engine.row(prompt) for prompt in prompts]
        self.drop_ended()
        for prompt in prompts:
            prompt.pixels.clear()  # a megabyte each, which an answer would hold to its end
        return joined

    def finding(self, request: Request) -> Finding | None:
        """What writes the boxes of the answer, where the engine has a box head and there is a picture."""
        return Finding(self.engine, request) if self.engine.finds_boxes and request.images else None

    def step(self) -> None:
        """A token further with every answer."""
        if self.lanes is None:
            return
        self.lanes.step()
        grow(self.answers, self.lanes)
        self.drop_ended()

    def leave(self, gone: Collection[Growing]) -> None:
        """Drop these answers' rows."""
        self.keep([row for row, answer in enumerate(self.answers) if answer not in gone])

    def drop_ended(self) -> None:
        """Drop the rows of answers that have ended."""
        self.keep([row for row, answer in enumerate(self.answers) if answer.reply is None])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone; what the others have read is kept for later requests."""
        if self.lanes is None or len(rows) == len(self.answers):
            return
        for row in sorted(set(range(len(self.answers))) - set(rows)):
            self.keep_beginning(row, self.lanes)
        self.answers = [self.answers[row] for row in rows]
        self.prompts = [self.prompts[row] for row in rows]
        if rows:
            self.lanes.keep(rows)
        else:
            self.lanes = None

    def keep_beginning(self, row: int, lanes: Lanes) -> None:
        """Keep what a row has read: its prompt and all of its answer but the last token."""
        if self.engine.beginnings.most_bytes:
            read = (*self.prompts[row], *self.answers[row].ids)[: lanes.lengths[row]]
            self.engine.beginnings.put(read, lanes.states(row))


def grow(answers: Sequence[GrowingAnswer], lanes: Lanes) -> None:
    """Give each answer its row's next token, or that of the box that it is writing, with which its row then goes on."""
    for row, (answer, token, logprob) in enumerate(zip(answers, lanes.tokens, lanes.logprobs, strict=True)):
        if answer.found:
            found, logprob = answer.found.popleft()
            if found != token:
                lanes.tell(row, found)
            token = found
        answer.grow(token, logprob)
