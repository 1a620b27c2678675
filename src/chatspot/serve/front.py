"""What every request passes first: the host it asked for, the key, the count of responses, the net for errors."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatspot.serve.body import Body, refuse
from chatspot.serve.refusals import ClientGone, Refusal
from chatspot.serve.service import Service
from chatspot.serve.static import is_page

OPEN_PATHS = ("/health",)  # a load balancer has no key
CHAT_PATH = "/v1/chat/completions"

log = logging.getLogger("chatspot.serve")


class Front:
    """An ASGI middleware."""

    def __init__(self, app: ASGIApp, service: Service):
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        unread = scope["path"] != CHAT_PATH and (b"transfer-encoding" in headers or b"content-length" in headers)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.service.metrics.responses[message["status"]] += 1
                message["headers"] = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
                if unread:  # nobody reads that body: do not go on receiving it
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            self.check(scope["path"], headers)
            await self.app(scope, receive, sending)
        except Refusal as refusal:
            await refuse(refusal, Body(scope, receive, self.service.settings.limits), scope, sending)
        except ClientGone:
            self.service.metrics.clients_gone += 1
        except Exception:
            log.exception("a request failed")
            if started:
                raise  # the server closes the connection
            failed = Refusal(500, "internal_error", "the request failed; the server's log says why")
            await failed.response(close=True)(scope, receive, sending)

    def check(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Refuse a request for another host (a web page may point a name of its own at this machine), or without the
        key."""
        hosts = self.service.settings.hosts
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        if hosts is not None and name not in hosts:
            raise Refusal(403, "host_not_allowed", f"this server is asked as {' or '.join(sorted(hosts))}, not as "
                          f"{name[:100]!r}")  # fmt: skip
        if path not in OPEN_PATHS and not is_page(path):
            self.service.check_key(headers.get(b"authorization", b"").decode("latin-1"))
