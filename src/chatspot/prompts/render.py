"""From a conversation to the text that the chat template writes, cut into segments.

The template (Jinja, kept with the checkpoint) alone writes role labels, ``<box>`` markup and style tags. Before it
runs, every user-given text is replaced by a stand-in of private-use characters; afterwards the text is cut at the
stand-ins. So each segment is known to be the template's own words, where control tokens are meant, or somebody's text,
where they must stay text. A forged ``</box>`` or ``<|im_end|>`` in a question cannot become a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from threading import Lock
from typing import Any

from chatspot.errors import MessageError
from chatspot.messages import Conversation, Message, RegionPart, TextPart
from chatspot.prompts.written import written_points

PROMPT_VERSIONS = {"chatspot-nano": 1, "chatspot-7b": 1}
STAND_IN = re.compile("\ue000(\\d+)\ue001")  # private-use characters around a number
QUOTED = re.compile(r'"([^"\n]+)"')
ONE_AT_A_TIME = Lock()  # transformers keeps one compiled template, which refuses to run in two threads at once


@dataclass(frozen=True)
class PromptSettings:
    """What the checkpoint fixes of its prompt; stored in its ``config.json`` under ``chatspot``.

    ``focal_view``: each region a user names is also shown as a further picture.
    ``spell_quotes``: in answers, text between double quotes is tokenised a character at a time (reading aloud letter by
    letter is far easier to learn for a small model than recalling word pieces; our choice, see PAPER.md).
    ``image_fit``: how the picture meets the square encoder; "stretch" or "pad".
    """

    template: str = "chatspot-nano"
    version: int = 1
    focal_view: bool = True
    spell_quotes: bool = True
    image_fit: str = "stretch"

    def to_json(self) -> dict[str, Any]:
        """A plain dict for ``config.json``."""
        return dict(vars(self))


@dataclass(frozen=True)
class Segment:
    """A run of prompt text. ``control``: the template wrote it, so control tokens in it are meant.
    ``supervised``: it is part of an answer (or its end token), so training learns it."""

    text: str
    control: bool
    supervised: bool = False


@lru_cache
def template_source(name: str) -> str:
    """The Jinja source of a shipped template; ``MessageError`` when there is none of that name."""
    if name not in PROMPT_VERSIONS:
        raise MessageError(f"there is no prompt template {name!r}; known are {sorted(PROMPT_VERSIONS)}")
    return resources.files(__package__).joinpath("templates", f"{name}.jinja").read_text("utf-8")


def template_messages(conversation: Conversation, settings: PromptSettings) -> list[dict[str, Any]]:
    """The conversation as the template reads it: region parts with the ``points`` to write and whether a ``view``
    (the focal picture) follows. This is also what a stock processor's ``apply_chat_template`` takes."""
    return [message_for_template(message, settings) for message in conversation.messages]


def message_for_template(message: Message, settings: PromptSettings) -> dict[str, Any]:
    """One message of ``template_messages``."""
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, RegionPart):
            view = settings.focal_view and message.role == "user"
            content.append({"type": "region", "points": list(written_points(part.region)), "view": view})
        else:
            content.append({"type": "image"})
    return {"role": message.role, "content": content, "style": message.style}


def render(
    conversation: Conversation,
    settings: PromptSettings,
    *,
    template: str | None = None,
    special_tokens: dict[str, str] | None = None,
    add_generation_prompt: bool = False,
) -> list[Segment]:
    """The conversation's text as segments, in order.

    ``template`` is the Jinja source (default: the shipped one that ``settings`` names); ``special_tokens`` are the
    names a template may use, such as ``eos_token``. With ``add_generation_prompt`` the text ends where the answer
    begins; ``MessageError`` when the conversation's last message is not the user's, so that there is nothing to answer.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    if add_generation_prompt and conversation.messages[-1].role != "user":
        raise MessageError("there is nothing to answer: the conversation's last message is the "
                           f"{conversation.messages[-1].role}'s, expected the user's")  # fmt: skip
    texts: list[str] = []
    messages = template_messages(conversation, settings)
    for message in messages:
        for part in message["content"]:
            if part["type"] == "text":
                texts.append(part["text"])
                part["text"] = f"\ue000{len(texts) - 1}\ue001"
    names: dict[str, Any] = dict(special_tokens or {})
    with ONE_AT_A_TIME:
        result: Any = render_jinja_template(
            conversations=[messages],
            chat_template=template if template is not None else template_source(settings.template),
            return_assistant_tokens_mask=True,
            add_generation_prompt=add_generation_prompt,
            **names,
        )
    (rendered,), (answers,) = result  # of the one conversation
    return list(cut(rendered, answers, texts, settings))


def cut(rendered: str, answers: list[tuple[int, int]], texts: list[str], settings: PromptSettings) -> Iterator[Segment]:
    """The rendered text cut at stand-ins and at the edges of answers (character spans), stand-ins filled in."""
    edges = [0, *(edge for span in answers for edge in span), len(rendered)]
    for index, (start, end) in enumerate(pairwise(edges)):
        supervised = index % 2 == 1
        at = start
        for match in STAND_IN.finditer(rendered, start, end):
            if match.start() > at:
                yield Segment(rendered[at : match.start()], control=True, supervised=supervised)
            yield from spelled(texts[int(match[1])], supervised, settings.spell_quotes)
            at = match.end()
        if at < end:
            yield Segment(rendered[at:end], control=True, supervised=supervised)


def spelled(text: str, supervised: bool, spell_quotes: bool) -> Iterator[Segment]:
    """A given text as segments; in an answer each character between double quotes becomes one of its own."""
    at = 0
    if supervised and spell_quotes:
        for match in QUOTED.finditer(text):
            if match.start() > at:
                yield Segment(text[at : match.start()], control=False, supervised=True)
            yield from (Segment(character, control=False, supervised=True) for character in match[0])
            at = match.end()
    if at < len(text):
        yield Segment(text[at:], control=False, supervised=supervised)
