"""A request's body, read within limits of bytes and time, and given up where it passes them."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from chatspot.serve.admission import Visit
from chatspot.serve.limits import BODY_COPIES, DISCARD_S, Limits
from chatspot.serve.refusals import ClientGone, Refusal


class Body:
    """The body of one request; ``ended`` when all of it was received."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits):
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.receive, self.limits = receive, limits
        self.ended = "content-length" not in self.headers and "transfer-encoding" not in self.headers

    async def read(self, visit: Visit) -> bytes:
        """All of it. Raises ``Refusal`` (413, 408, 415, 429) or ``ClientGone``."""
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":  # also keeps out what a web page may send to another host without asking
            raise Refusal(415, "unsupported_media_type", "send Content-Type: application/json")
        if self.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Refusal(415, "unsupported_media_type", "send the body uncompressed")
        if self.declared > self.limits.body_bytes:
            raise self.too_large()
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self.limits.body_s):
                while not self.ended:
                    piece = await self.next_piece()
                    size += len(piece)
                    if size > self.limits.body_bytes:
                        raise self.too_large()
                    visit.hold(len(piece) * BODY_COPIES)
                    pieces.append(piece)
        except TimeoutError as error:
            raise Refusal(408, "body_timeout", f"the body did not come within {self.limits.body_s:g} s") from error
        return b"".join(pieces)

    @property
    def declared(self) -> int:
        """How many bytes the client announced; 0 where it did not say."""
        said = self.headers.get("content-length", "")
        return int(said) if said.isdecimal() and said.isascii() else 0

    def too_large(self) -> Refusal:
        """What is said to a body beyond the limit."""
        return Refusal(413, "body_too_large", f"the body has more than {self.limits.body_bytes:,} bytes; send smaller "
                       "pictures")  # fmt: skip

    async def next_piece(self) -> bytes:
        """What came next."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.ended = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    async def discard(self) -> None:
        """Read on for a while and keep nothing: a client that still sends would not see the answer to it."""
        left = self.limits.body_bytes
        if self.declared > 2 * self.limits.body_bytes:
            return  # much too large, and it says so itself
        try:
            async with asyncio.timeout(DISCARD_S):
                while not self.ended and left > 0:
                    left -= len(await self.next_piece())
        except TimeoutError:
            return

    async def until_gone(self) -> None:
        """Wait until the client leaves."""
        while True:
            if (await self.receive())["type"] == "http.disconnect":
                return


async def refuse(refusal: Refusal, body: Body, scope: Scope, send: Send) -> None:
    """Answer with a refusal; a connection whose body did not come to its end is closed after it."""
    if refusal.status != 408:
        await body.discard()
    await refusal.response(close=not body.ended)(scope, body.receive, send)
