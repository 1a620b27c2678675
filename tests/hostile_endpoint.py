"""An endpoint that behaves as it is told: right, failing, stalling, truncating, lying. Real HTTP on a free port."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {
    "turns": [
        {"question": "What is <r1>?", "answer": "It is a dog."},
        {"question": "Where is the dog <r1>?", "answer": "In the centre."},
    ]
}


def completion(content: Any = None, *, usage: Any = ..., finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion; by default a good dialogue."""
    content = json.dumps(GOOD) if content is None else content
    body = {
        "id": "x",
        "object": "chat.completion",
        "model": "small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120} if usage is ... else usage,
    }
    return {**body, **more}


def chunk(content: Any, finish: Any = None) -> dict[str, Any]:
    """An event of a streamed completion."""
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "model": "small", "choices": [choice]}


class Server(ThreadingHTTPServer):
    """``behave`` answers a request by its number (from 0); ``requests`` and ``headers`` are what came."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behave: Callable[[Handler, int], None]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.busy = self.busiest = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.requests)
            self.server.requests.append(body)
            self.server.headers.append({name.lower(): text for name, text in self.headers.items()})
            self.server.busy += 1
            self.server.busiest = max(self.server.busiest, self.server.busy)
        try:
            self.server.behave(self, number)
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def give(self, value: Any, status: int = 200, **headers: str) -> None:
        """Answer with JSON, or with bytes as they are."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def error(self, status: int, code: str = "odd", **headers: str) -> None:
        """Answer with an error as OpenAI words it."""
        self.give({"error": {"message": f"{code} happened", "code": code}}, status, **headers)

    def drip(self, seconds: float) -> None:
        """Send a byte now and then: no read ever times out."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.05)

    def begin(self) -> None:
        """Begin a stream of events, whose end is the connection's."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, value: Any) -> None:
        """One event; bytes are sent as they are."""
        self.wfile.write(value if isinstance(value, bytes) else b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def stream(self, *pieces: Any, finish: Any = "stop", usage: Any = None, done: bool = True) -> None:
        """A whole answer in pieces; ``finish`` None leaves the end out."""
        self.begin()
        for piece in pieces:
            self.event(chunk(piece))
        if finish is not None:
            self.event(chunk(None, finish))
        if usage is not None:
            self.event({**chunk(None), "choices": [], "usage": usage})
        if done:
            self.event(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def endless(gone: threading.Event) -> Callable[[Handler, int], None]:
    """Says a word after the other until its client leaves, which sets ``gone``."""

    def behave(handler: Handler, number: int) -> None:
        handler.begin()
        try:
            while True:
                handler.event(chunk("a "))
                time.sleep(0.01)
        except OSError:
            gone.set()

    return behave


@contextmanager
def serving(behave: Callable[[Handler, int], None]) -> Iterator[Server]:
    """A server in a thread of its own."""
    server = Server(behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
