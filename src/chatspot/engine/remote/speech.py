"""How a conversation is put to a remote model, and how its answer is read.

Two ways: regions as text in the model's dialect, or as the content parts of this project's own server. The answer comes
back in this project's own text either way, so that whatever reads answers reads these too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

from PIL import Image

from chatspot.dialects import Dialect, Mention, read_text, write_text
from chatspot.dialects.scanner import WIDE, control_pattern
from chatspot.engine.interface import Request
from chatspot.engine.remote.pictures import SentPictures
from chatspot.errors import RegionError
from chatspot.messages import Conversation, ImagePart, Message, Part, RegionPart, TextPart
from chatspot.prompts.written import written_points
from chatspot.regions import Region

OWN_SERVER = "chatspot-api"
OWN_DIALECT = "chatspot"
STYLES = {"short": " Answer in short.", "long": " Answer in detail.", None: ""}  # as the chat templates end a question
CONTROL = re.compile(r"<\|[^<>\s]{1,40}>|</?(?:s|unk|pad|bos|eos|image|img|video|audio|box)>", re.IGNORECASE)
BREAK = "\u200b"  # a blank without width
OPENERS = re.compile(r"[\[{<`]")  # with one of these every dialect's markup, list or fence begins


class Speech(Protocol):
    """One of the two ways."""

    extra: dict[str, Any]

    def messages(self, request: Request) -> list[dict[str, Any]]:
        """The conversation as OpenAI's messages. Raises ``MessageError`` or ``RegionError`` for what has no form."""

    def settled(self, raw: str) -> str:
        """What of ``text(raw)`` nothing that is still to come can change."""

    def text(self, raw: str, request: Request) -> str:
        """The whole answer in this project's own text."""


class OwnServerSpeech:
    """Regions, styles and texts as ``chatspot serve`` takes them: nothing is rounded, no text is read as a region.

    A question without a style is answered in short, for the server knows no other default.
    """

    def __init__(self, pictures: SentPictures, *, blind: bool):
        self.pictures, self.blind = pictures, blind
        self.extra: dict[str, Any] = {"region_text": False}

    def messages(self, request: Request) -> list[dict[str, Any]]:
        """Content parts, in order."""
        images = iter(request.images)
        return [self.message(message, images) for message in request.conversation.messages]

    def message(self, message: Message, images: Iterator[Image.Image]) -> dict[str, Any]:
        """One message."""
        content = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                content += image_content(self.pictures, next(images), self.blind)
            else:
                content.append(part.to_json())
        found: dict[str, Any] = {"role": message.role, "content": content}
        return {**found, "style": message.style} if message.style else found

    def settled(self, raw: str) -> str:
        """All of it."""
        return raw

    def text(self, raw: str, request: Request) -> str:
        """The answer as it is."""
        return raw


class DialectSpeech:
    """Regions as text in ``dialect``, counted in the frame of the pictures as they are sent.

    Words keep what looks like a region in the dialect; only tags that the model's server may take for control tokens
    are broken by a blank without width, for a server turns texts into tokens without knowing who wrote them.
    """

    def __init__(self, dialect: Dialect, pictures: SentPictures, *, blind: bool):
        self.dialect, self.pictures, self.blind = dialect, pictures, blind
        self.extra: dict[str, Any] = {}

    def messages(self, request: Request) -> list[dict[str, Any]]:
        """A picture is a content part; the words and regions between pictures are one text."""
        images = iter(request.images)
        return [self.message(message, request, images) for message in request.conversation.messages]

    def message(self, message: Message, request: Request, images: Iterator[Image.Image]) -> dict[str, Any]:
        """One message; without a picture, its content is a string, which every server takes."""
        content: list[dict[str, Any]] = []
        for picture, parts in groupby(message.parts, key=lambda part: isinstance(part, ImagePart)):
            if picture:
                content += [each for _ in parts for each in image_content(self.pictures, next(images), self.blind)]
            else:
                content.append({"type": "text", "text": self.spoken(list(parts), request)})
        if message.style:
            if not content or content[-1]["type"] != "text":
                content.append({"type": "text", "text": ""})
            content[-1]["text"] += STYLES[message.style]
        if all(part["type"] == "text" for part in content):
            return {"role": message.role, "content": "".join(part["text"] for part in content)}
        return {"role": message.role, "content": content}

    def spoken(self, parts: Sequence[Part], request: Request) -> str:
        """Words and regions as text."""
        text = ""
        for image, run in groupby(parts, key=lambda part: part.image if isinstance(part, RegionPart) else None):
            if image is None:
                text += self.harmless("".join(part.text for part in run if isinstance(part, TextPart)))
                continue
            text += self.region_texts([part.region for part in run if isinstance(part, RegionPart)], image, request)
        return text

    def region_texts(self, regions: Sequence[Region], image: int, request: Request) -> str:
        """Regions of one picture; its number is said where there are several and the dialect is not our own."""
        if self.dialect.name == OWN_DIALECT:
            return "".join(map(region_text, regions))
        size = request.images[image].size
        written = write_text(
            [Mention((region,)) for region in regions],
            self.dialect,
            size=size,
            frame=self.pictures.frame(size),
            approximate=True,
        ).text
        return written if len(request.images) == 1 else f"{written} (picture {image + 1})"

    def harmless(self, words: str) -> str:
        """The words, without a tag that could be a control token."""
        own = control_pattern(self.dialect)
        for pattern in (CONTROL, own) if own else (CONTROL,):
            words = pattern.sub(lambda tag: tag[0][0] + BREAK + tag[0][1:], words)
        return words

    def settled(self, raw: str) -> str:
        """What comes before the first character that may open markup; in our own dialect all of it."""
        if self.dialect.name == OWN_DIALECT:
            return raw
        opener = OPENERS.search(raw.translate(WIDE))
        return (raw[: opener.start()] if opener else raw).rstrip()

    def text(self, raw: str, request: Request) -> str:
        """The answer with its regions in our own text. One that names an impossible region stays as it is, so that
        nobody takes half of it for the whole."""
        if self.dialect.name == OWN_DIALECT or not request.images:
            return raw
        size = request.images[answer_picture(request.conversation)].size
        try:
            pieces = read_text(raw, self.dialect, size=size, frame=self.pictures.frame(size), outside="clip")
        except RegionError:
            return raw
        text, mentioned = "", False
        for piece in pieces:
            if isinstance(piece, str):
                text, mentioned = text + piece, False
                continue
            label = f"{piece.label} " if piece.label else ""
            text += (", " if mentioned else "") + label + ", ".join(map(region_text, piece.regions))
            mentioned = True
        return text


def image_content(pictures: SentPictures, image: Image.Image, blind: bool) -> list[dict[str, Any]]:
    """The content part of a picture; none for a model that is not to see it."""
    return [] if blind else [{"type": "image_url", "image_url": {"url": pictures.url(image)}}]


def region_text(region: Region) -> str:
    """The region as this project's chat templates write it, to the digit."""
    return f"<box>{', '.join(f'{x:.3f}, {y:.3f}' for x, y in written_points(region))}</box>"


def answer_picture(conversation: Conversation) -> int:
    """The number of the picture on which an answer's regions are read: that of the last question's first region, or the
    newest picture (as the server reads region text)."""
    count = found = 0
    for message in conversation.messages:
        shown = sum(isinstance(part, ImagePart) for part in message.parts)
        count += shown
        found = count - 1 if shown else found
        named = [part.image for part in message.parts if isinstance(part, RegionPart)]
        if message.role == "user" and named:
            found = named[0]
    return found
