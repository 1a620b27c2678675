"""Find a dialect's markup in a text, and the numbers in it, without judging them.

The patterns are made from the specification's templates. They take what careless models write: blanks around
punctuation, ``.5``, ``1e-3``, signs, full-width digits and commas. ``nan`` and ``1e400`` are found too, so that they
can be refused by name and not passed over. Every repetition is bounded or ends at a character that it cannot hold, so
that time grows with the text's length alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from chatspot.dialects.specification import Dialect, Form

BLANKS = r"\s{0,8}"
NUMBER = r"([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,5})?|[-+]?(?:[nN]a[nN]|[iI]nf))"
JSON_STRING = r'("(?:[^"\\\n]|\\.){0,400}")'
PUNCTUATION = set(',;[](){}=:"')
PLACEHOLDER = re.compile(r"\{(x1|y1|x2|y2|x|y|first|last|n|items|label)\}")
WIDE = str.maketrans("０１２３４５６７８９．，；：［］（）｛｝＜＞【】、－＋", "0123456789.,;:[](){}<>[],-+")  # noqa: RUF001
MARK = re.compile(r"<[^<>\s]{1,40}>")


@dataclass(frozen=True)
class Found:
    """Markup at text[start:end]: the numbers of each region by placeholder, and the label."""

    start: int
    end: int
    form: Form
    values: tuple[dict[str, float], ...]
    label: str | None
    spelled: tuple[str, ...]  # the numbers as they stand


@dataclass(frozen=True)
class Pattern:
    """A template as a pattern for whole mentions, and one for each item of them."""

    form: Form
    whole: re.Pattern[str]
    item: re.Pattern[str]
    names: tuple[str, ...]


def literal(text: str) -> str:
    """A template's fixed text as a pattern that takes blanks around punctuation."""
    parts = [BLANKS if c == " " else BLANKS + re.escape(c) + BLANKS if c in PUNCTUATION else re.escape(c) for c in text]
    return "".join(parts)


def trimmed(pattern: str) -> str:
    """A pattern without blanks in a row, and without those at its ends: they belong to the words around."""
    return single_blanks(pattern).removeprefix(BLANKS).removesuffix(BLANKS)


def label_pattern(template: str) -> str:
    """What a label in this template may hold: anything on its line that does not end it."""
    ends = "<>\n\r" + ('"' if '"{label}"' in template else "") + (";" if template.endswith("{label}") else "")
    return rf"[^\s{re.escape(ends)}](?:[^{re.escape(ends)}]{{0,198}}[^\s{re.escape(ends)}])?"


def item_pattern(form: Form) -> tuple[str, tuple[str, ...]]:
    """The pattern of one item, a group for each number, and these numbers' names."""
    pieces = PLACEHOLDER.split(form.item)
    names = tuple(name for name in pieces[1::2] if name != "n")
    body = "".join(
        literal(piece) if at % 2 == 0 else r"\d{1,4}" if piece == "n" else NUMBER for at, piece in enumerate(pieces)
    )
    return trimmed(body), names


@cache
def patterns(dialect: Dialect) -> tuple[Pattern, ...]:
    """A pattern for each template of the dialect."""
    found = []
    for form in dialect.forms:
        item, names = item_pattern(form)
        plain = item.replace(NUMBER, NUMBER.replace("(", "(?:", 1))
        between: str | None = form.separator  # without a separator, blanks between items are words
        if between:
            between = f"{BLANKS}{literal(between)}{BLANKS}"
        least, most = form.least - 1, form.most - 1 if form.most else ""
        least = max(least, 2) if form.shape == "polygon" else least
        repeated = plain + (single_blanks(f"(?:{between}{plain}){{{least},{most}}}") if between is not None else "")
        for template in (form.labelled, form.bare, *form.also):
            if not template or template.startswith("{label}"):
                continue  # plain words stay words
            label = JSON_STRING if dialect.json_labels else f"({label_pattern(template)})"
            body, labels = "", 0
            for at, piece in enumerate(PLACEHOLDER.split(template)):
                if at % 2 == 0:
                    body += literal(piece)
                elif piece == "items":
                    body += f"(?P<items>{repeated}){dialect.dropped and f'(?:{dialect.dropped})?'}"
                else:  # a label that is written twice is read where it stands first
                    first = label.replace("(", "(?P<label>", 1)
                    body += BLANKS + (first if not labels else r"[^<\n]{0,200}") + BLANKS
                    labels += 1
            found.append(Pattern(form, re.compile(trimmed(body)), re.compile(item), names))
    return tuple(found)


def single_blanks(pattern: str) -> str:
    """A pattern without blanks in a row."""
    while BLANKS * 2 in pattern:
        pattern = pattern.replace(BLANKS * 2, BLANKS)
    return pattern


def scan(text: str, dialect: Dialect) -> list[Found]:
    """The dialect's markup in ``text``, in order and without overlap; the longest that begins first wins."""
    plain = text.translate(WIDE)  # one character for one: places stay
    found = []
    for pattern in patterns(dialect):
        for match in pattern.whole.finditer(plain):
            items = [item.groups() for item in pattern.item.finditer(match["items"])]
            values = tuple(
                {name: float(value) for name, value in zip(pattern.names, item, strict=True)} for item in items
            )
            named = "label" in pattern.whole.groupindex
            label = text[match.start("label") : match.end("label")] if named else None
            if label is not None and dialect.json_labels:
                try:
                    label = json.loads(label)
                except ValueError:  # an escape that JSON does not have
                    continue
            spelled = tuple(number for item in items for number in item)
            found.append(Found(match.start(), match.end(), pattern.form, values, label or None, spelled))
    found.sort(key=lambda each: (each.start, -each.end))
    kept: list[Found] = []
    for each in found:
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
    return kept


@cache
def control_marks(dialect: Dialect) -> frozenset[str]:
    """The tags of a dialect's templates, such as ``<ref>``: they must not stand among the words."""
    templates = [template for form in dialect.forms for template in (form.bare, form.labelled, form.item)]
    templates += [form.separator for form in dialect.forms if form.separator]
    if dialect.beside:
        templates.append(dialect.beside.placeholder)
    return frozenset(mark for template in templates for mark in MARK.findall(PLACEHOLDER.sub("\0", template)))


@cache
def control_pattern(dialect: Dialect) -> re.Pattern[str] | None:
    """A pattern for the tags, any number in the place of a number."""
    marks = [re.escape(mark).replace("\0", r"[-+.\deE]*") for mark in sorted(control_marks(dialect)) if mark != "<\0>"]
    return re.compile("|".join(marks)) if marks else None
