"""The first row of a run as the model is shown it: what is read, what is learnt, what may look at what.

A wrong template, a mask that is off by one or a region on the wrong picture do not fail, they train badly. So each run
decodes its first row from the ids themselves, in the terminal and as a page that loads nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.text import Text

from chatspot.messages import RegionPart
from chatspot.prompts.encode import IGNORED
from chatspot.prompts.reader import read_answer
from chatspot.regions import Region
from chatspot.train.stream.features import View
from chatspot.train.stream.rows import Row

LONGEST_CHARACTER = 8  # tokens that one character may take, before what they decode to is shown as it is
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode's categories of what shows nothing, or moves the rest


@dataclass(frozen=True)
class Piece:
    """A stretch of tokens that belong together. ``kind``: "text", "control" (a special token) or "picture" (a run of
    image tokens, whose text says which). ``ids`` are its tokens; ``learnt``: training predicts them."""

    kind: str
    text: str
    ids: tuple[int, ...]
    learnt: bool


@dataclass
class Branch:
    """The shared beginning of a group (``number`` 0) or one of its dialogues: what the positions from ``start`` to
    before ``end`` of the row say."""

    number: int
    start: int
    end: int
    pieces: list[Piece] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)

    @property
    def learnt(self) -> int:
        """Tokens that are learnt from."""
        return sum(len(piece.ids) for piece in self.pieces if piece.learnt)


@dataclass
class Group:
    """A picture (or several, or none) with its dialogues; ``views`` in reading order."""

    number: int
    branches: list[Branch]
    views: list[View]

    @property
    def regions(self) -> list[Region]:
        """The regions that the text of the group names, each once: read from the decoded tokens, so with the digits
        that the model sees."""
        return list(dict.fromkeys(region for branch in self.branches for region in branch.regions))

    @property
    def pictures(self) -> list[View]:
        """The views of whole pictures."""
        return [view for view in self.views if view.region is None]


@dataclass(frozen=True)
class FirstSample:
    """A row decoded. ``strays`` are targets that name another token than the one that follows: there should be none."""

    groups: list[Group]
    tokens: int
    learnt: int
    strays: int


def decoded(row: Row, tokenizer: Any, image_token_id: int) -> FirstSample:
    """The row as groups, branches and pieces of text. ``tokenizer`` is a transformers fast tokenizer."""
    before = predecessors(row)
    learnt = [at >= 0 and row.targets[at] == token for at, token in zip(before, row.input_ids, strict=True)]
    groups: list[Group] = []
    views = iter(row.views)
    spans = groupby(range(len(row.input_ids)), key=lambda at: (row.groups[at], row.branches[at]))
    for (group, number), span in spans:
        places = list(span)
        branch = Branch(number, places[0], places[-1] + 1)
        if not groups or groups[-1].number != group:
            groups.append(Group(group, [], []))
        groups[-1].branches.append(branch)
        for piece in pieces_of(row, places, before, learnt, tokenizer, image_token_id):
            if piece.kind == "picture":
                view = next(views)
                groups[-1].views.append(view)
                piece = Piece("picture", described(view, groups[-1]), piece.ids, piece.learnt)
            branch.pieces.append(piece)
        text = "".join(piece.text for piece in branch.pieces if piece.kind != "picture")
        branch.regions = [part.region for part in read_answer(text) if isinstance(part, RegionPart)]
    targets = sum(target != IGNORED for target in row.targets)
    return FirstSample(groups, len(row.input_ids), sum(learnt), targets - sum(learnt))


def predecessors(row: Row) -> list[int]:
    """For each position the one that predicts it: the position before it in its branch, the shared beginning's last for
    a branch's first; -1 for the first of a group."""
    found: list[int] = []
    ends: dict[tuple[int, int], int] = {}  # the last position seen of each branch of a group
    for at, (group, branch) in enumerate(zip(row.groups, row.branches, strict=True)):
        found.append(ends.get((group, branch), ends.get((group, 0), -1)))
        ends[group, branch] = at
    return found


def pieces_of(
    row: Row, places: list[int], before: list[int], learnt: list[bool], tokenizer: Any, image_token_id: int
) -> Iterator[Piece]:
    """The pieces of a branch: a piece a token, but the image tokens of a view stay together, and so do the tokens of a
    character that takes several."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    per_view = sum(token == image_token_id for token in row.input_ids) // max(len(row.views), 1)

    def said(ids: list[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    pending: list[int] = []
    context: list[int] = []  # the token before, without which some tokenizers drop a leading space
    at = 0
    while at < len(places):
        token, taught = row.input_ids[places[at]], learnt[places[at]]
        if token == image_token_id:
            yield Piece("picture", "", (token,) * per_view, False)
            at += per_view
            continue
        if not pending:
            context = [row.input_ids[before[places[at]]]] if before[places[at]] >= 0 else []
        pending.append(token)
        at += 1
        text = said([*context, *pending])[len(said(context)) :]
        last = at == len(places) or learnt[places[at]] != taught or row.input_ids[places[at]] in special
        if "\ufffd" in text and not last and len(pending) < LONGEST_CHARACTER:
            continue  # the bytes of a character that are not all there
        yield Piece("control" if token in special else "text", text, tuple(pending), taught)
        pending = []


def described(view: View, group: Group) -> str:
    """What a view shows, in words."""
    if view.region is None:
        return f"picture {len(group.pictures)}" if len(group.pictures) > 1 else "picture"
    return f"focal view of a {type(view.region).__name__.lower()}"


def visible(text: str) -> str:
    """The text with every character that shows nothing, or moves what follows it, as its code: a control character as
    its Unicode picture, others as <U+202E>. Line ends become ``\\n`` with a line end after it."""
    shown = []
    for character in text:
        if character == "\n":
            shown.append("⏎\n")
        elif character < " ":
            shown.append(chr(0x2400 + ord(character)))
        elif unicodedata.category(character) in INVISIBLE:
            shown.append(f"<U+{ord(character):04X}>")
        else:
            shown.append(character)
    return "".join(shown)


def first_sample_text(sample: FirstSample) -> Text:
    """The row for a terminal: what is learnt in bold green, special tokens in cyan, pictures in magenta."""
    text = Text(f"first row: {sample.tokens} tokens, {sample.learnt} of them learnt (green)\n")
    for group in sample.groups:
        for branch in group.branches:
            name = f"dialogue {branch.number}" if branch.number else "shared"
            text.append(f"group {group.number + 1}, {name}, {branch.end - branch.start} tokens\n", style="dim")
            for piece in branch.pieces:
                if piece.kind == "picture":
                    text.append(f"[{piece.text}: {len(piece.ids)} tokens]", style="magenta")
                    continue
                style = "bold green" if piece.learnt else "cyan" if piece.kind == "control" else ""
                text.append(visible(piece.text), style=style)
            text.append("\n")
    if sample.strays:
        text.append(f"{sample.strays} targets are not the token that follows: this row is packed wrongly\n", "bold red")
    return text
