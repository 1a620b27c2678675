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
from typing import TYPE_CHECKING, Any

from chatspot.errors import CheckpointError, MessageError
from chatspot.messages import Conversation, Message, RegionPart, TextPart
from chatspot.prompts.written import written_points

if TYPE_CHECKING:
    from jinja2 import Template

PROMPT_VERSIONS = {"chatspot-nano": 1, "chatspot-7b": 1}
STAND_IN = re.compile("\ue000(\\d+)\ue001")  # private-use characters around a number
ANSWER_EDGE = re.compile("[\ue002\ue003]")  # around what stands in a template's ``generation`` block
QUOTED = re.compile(r'"([^"\n]+)"')


@dataclass(frozen=True)
class PromptSettings:
    """What the checkpoint fixes of its prompt; stored in its ``config.json`` under ``chatspot``.

    ``focal_view``: each region a user names is also shown as a further picture.
    ``several_sizes``: what the encoder says of a focal view is the mean over windows of several sizes (engines only:
    training shows the middle one, and moves its boxes instead).
    ``spell_quotes``: in answers, text between double quotes is tokenised a character at a time (reading aloud letter by
    letter is far easier to learn for a small model than recalling word pieces; our choice, see PAPER.md).
    ``image_fit``: how the picture meets the square encoder; "stretch" or "pad".
    """

    template: str = "chatspot-nano"
    version: int = 1
    focal_view: bool = True
    several_sizes: bool = False
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
    ``CheckpointError`` for a template that is none.
    """
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
    from jinja2 import TemplateError

    try:
        compiled = compiled_template(template if template is not None else template_source(settings.template))
        rendered = compiled.render(
            messages=messages, add_generation_prompt=add_generation_prompt, **(special_tokens or {})
        )
    except TemplateError as error:
        raise CheckpointError(f"the checkpoint's chat template cannot be used ({error}); fetch or save the checkpoint "
                              "again") from error  # fmt: skip
    return list(cut(rendered, texts, settings))


@lru_cache
def compiled_template(source: str) -> Template:
    """A chat template as transformers compiles it (its ``chat_template_utils``), except that what stands in a
    ``generation`` block is put between marks, and that there are no functions to call: ours call none.

    It runs in a sandbox: the template may come with a checkpoint of somebody's.
    """
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block ``{% generation %}``."""

        tags = {"generation"}  # noqa: RUF012 (as jinja2 declares it)

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("marked"), [], [], body).set_lineno(line)

        def marked(self, caller: Any) -> str:
            return f"\ue002{caller()}\ue003"

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.globals.clear()
    return environment.from_string(source)


def cut(rendered: str, texts: list[str], settings: PromptSettings) -> Iterator[Segment]:
    """The rendered text cut at stand-ins and at the edges of answers, stand-ins filled in."""
    for index, span in enumerate(ANSWER_EDGE.split(rendered)):
        supervised = index % 2 == 1
        at = 0
        for match in STAND_IN.finditer(span):
            if match.start() > at:
                yield Segment(span[at : match.start()], control=True, supervised=supervised)
            yield from spelled(texts[int(match[1])], supervised, settings.spell_quotes)
            at = match.end()
        if at < len(span):
            yield Segment(span[at:], control=True, supervised=supervised)


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
