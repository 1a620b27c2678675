"""The running server: a socket, uvicorn, and leaving in order."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from chatspot.engine import Engine
from chatspot.errors import ServeError
from chatspot.serve.app import make_app
from chatspot.serve.limits import Limits
from chatspot.serve.service import Service, Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
CUT_OFF_S = 5  # what is left when the time of grace is over may end its last write
SPARE_CONNECTIONS = 256  # beside those of requests inside: kept-alive ones, and health checks


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, api_key: str | None, unprotected: bool) -> None:
    """Refuse to let other machines in without a key, unless that is wanted."""
    if api_key is not None and (len(api_key) < 8 or not api_key.isascii() or not api_key.isprintable()):
        raise ServeError("an API key needs at least 8 printable ASCII characters; make one with: openssl rand -hex 24")
    if not is_loopback(host) and api_key is None and not unprotected:
        raise ServeError(f"--host {host} lets other machines in, and there is no API key; set CHATSPOT_API_KEY or "
                            "--api-key, or say --unprotected if everybody may ask who reaches it")  # fmt: skip


def allowed_hosts(host: str, api_key: str | None) -> frozenset[str] | None:
    """Under which names a server without a key may be asked: those of this machine, if it listens for it alone."""
    if api_key is not None or not is_loopback(host):
        return None
    return LOOPBACK_NAMES | {f"[{host}]" if ":" in host else host}


def listening(host: str, port: int) -> socket.socket:
    """A socket on the address; ``ServeError`` when it cannot be had. Port 0 is any free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"there is no address {host!r} to listen on: {error.strerror or error}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # ends connections whose client stopped reading; they inherit it
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)
        found.bind(address)
        found.listen(256)
    except OSError as error:
        found.close()
        raise ServeError(f"cannot listen on {host} port {port}: {error.strerror or error}; choose another --port"
                            ) from error  # fmt: skip
    return found


def address_of(listener: socket.socket) -> str:
    """The address for people and clients."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Leaves in two steps: nobody is let in any more, then, when all are answered, it goes. A second signal is obeyed
    at once."""

    def __init__(self, service: Service):
        limits = service.settings.limits
        self.service = service
        super().__init__(
            uvicorn.Config(
                make_app(service),
                http=patient_protocol(limits),
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=2 * (limits.batch + limits.queue) + SPARE_CONNECTIONS,
                timeout_graceful_shutdown=CUT_OFF_S,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM and Ctrl-C."""
        if self.service.state == "closing":
            self.service.hurry()
        self.service.close()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if self.service.may_leave and not self.should_exit:
            self.service.stop()  # ends what is left when the time of grace is over
            self.should_exit = True
        return await super().on_tick(counter)


def patient_protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP connections that are closed when a request's head does not come in time; uvicorn would wait for ever."""

    class Patient(H11Protocol):
        """One connection. The first head is waited for ``header_s``; between requests uvicorn's own time counts, and a
        head that began in time has ``header_s`` again."""

        head_due: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.head_due = self.loop.call_later(limits.header_s, self.close_silent, None)

        def connection_lost(self, exc: Exception | None) -> None:
            self.head_due.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            idle = before is not None and before.response_complete
            super().data_received(data)
            if idle and self.cycle is before:
                self.head_due.cancel()
                self.head_due = self.loop.call_later(limits.header_s, self.close_silent, before)

        def close_silent(self, before: Any) -> None:
            """Close, unless another request than ``before`` has begun."""
            if self.cycle is before and not self.transport.is_closing():
                self.transport.close()

    return Patient


def run(
    open_engine: Callable[[], Engine], listener: socket.socket, settings: Settings, *, closing: Callable[[], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C; ``closing`` is called when everybody was answered."""
    Server(Service(open_engine, settings)).run(sockets=[listener])
    closing()
