"""A batch that never has to start over: requests join while others are being answered, and leave when they are done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from chatspot.engine.interface import Growing, Prepared, Reply

if TYPE_CHECKING:
    from chatspot.engine.lanes import Lanes
    from chatspot.engine.torch_engine import TorchEngine


DECODED_TOKENS = 16  # at most about so many tokens are decoded to say what came
LIKE_LENGTH = 1.25  # of the shortest prompt; those that are read together are padded to the longest of them


class GrowingAnswer:
    """An answer while it grows (``interface.Growing``)."""

    def __init__(self, engine: TorchEngine, max_new_tokens: int):
        self.engine, self.max_new_tokens = engine, max_new_tokens
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
            self.reply = Reply(self.engine.text(self.ids), tuple(self.ids), self.logprob, "end")
        elif len(self.ids) == self.max_new_tokens:
            self.reply = Reply(self.engine.text(self.ids), tuple(self.ids), self.logprob, "length")

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

    def __init__(self, engine: TorchEngine, most_tokens: int):
        self.engine, self.most_tokens = engine, most_tokens
        self.lanes: Lanes | None = None
        self.answers: list[GrowingAnswer] = []  # one for each row of the lanes

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
        """Read the prompts, those of like length together, their pictures encoded or kept; go on with all rows."""
        if not prepared:
            return []
        prompts = [one.prompt for one in prepared]
        views = self.engine.encoded([one.request for one in prepared], prompts)
        groups = of_like_length([len(prompt.ids) for prompt in prompts])
        lanes, *others = [self.engine.lanes([prompts[number] for number in group], views) for group in groups]
        for other in others:
            lanes.join(other)
        joined = [GrowingAnswer(self.engine, one.max_new_tokens) for one in prepared]
        ordered = [joined[number] for group in groups for number in group]
        for answer, token, logprob in zip(ordered, lanes.tokens.tolist(), lanes.logprobs.tolist(), strict=True):
            answer.grow(token, logprob)
        if self.lanes is None:
            self.lanes = lanes
        else:
            self.lanes.join(lanes)
        self.answers += ordered
        self.drop_ended()
        for prompt in prompts:
            prompt.pixels.clear()  # a megabyte each, which an answer would hold to its end
        return joined

    def step(self) -> None:
        """A token further with every answer."""
        if self.lanes is None:
            return
        self.lanes.step()
        tokens, logprobs = self.lanes.tokens.tolist(), self.lanes.logprobs.tolist()
        for answer, token, logprob in zip(self.answers, tokens, logprobs, strict=True):
            answer.grow(token, logprob)
        self.drop_ended()

    def leave(self, gone: Collection[Growing]) -> None:
        """Drop these answers' rows."""
        self.keep([row for row, answer in enumerate(self.answers) if answer not in gone])

    def drop_ended(self) -> None:
        """Drop the rows of answers that have ended."""
        self.keep([row for row, answer in enumerate(self.answers) if answer.reply is None])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        if len(rows) == len(self.answers):
            return
        self.answers = [self.answers[row] for row in rows]
        if not self.answers:
            self.lanes = None
        elif self.lanes is not None:
            self.lanes.keep(rows)


def of_like_length(lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of the lengths in groups, the longest of each at most LIKE_LENGTH of its shortest.

    Prompts of a follow-up are three times as long as first questions, and reading takes time by the padded token.
    """
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if groups and lengths[number] <= LIKE_LENGTH * lengths[groups[-1][0]]:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups
