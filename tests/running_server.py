"""A real server, in a thread or as a process of its own, on a free port, and plain HTTP to ask it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any

import openai
from PIL import Image

from chatspot.engine import Engine
from chatspot.serve import server
from chatspot.serve.limits import Limits
from chatspot.serve.service import Service, Settings

SLOWEST_S = 60  # for anything here; a loaded machine is slow


@dataclass
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str | None:
        return self.json["error"]["code"]

    @property
    def param(self) -> str | None:
        return self.json["error"]["param"]

    @property
    def message(self) -> str:
        return self.json["error"]["message"]


@dataclass
class Running:
    """A running server."""

    service: Service
    url: str
    host: str
    port: int
    server: server.Server = field(repr=False)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """One request on a connection of its own; ``_`` in a header's name is ``-``."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=SLOWEST_S)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, found, response.read())
        finally:
            connection.close()

    def post(self, value: Any, **headers: str) -> Response:
        """A chat completion asked for; a value that is no bytes is sent as JSON."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", "/v1/chat/completions", raw, **{"content_type": "application/json", **headers})

    @contextmanager
    def client(self, **given: Any) -> Iterator[openai.OpenAI]:
        """The official client."""
        settings = {"api_key": "none", "max_retries": 0, "timeout": SLOWEST_S, **given}
        with openai.OpenAI(base_url=f"{self.url}/v1", **settings) as client:
            yield client

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is about to be so."""
        until(condition)

    def until_nothing_is_held(self) -> None:
        """Wait until the memory of every request is given back, which happens just after its answer is read here."""
        until(lambda: self.service.admission.held == self.service.admission.inside == 0)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is about to be so."""
    end = time.monotonic() + SLOWEST_S
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@contextmanager
def serving(
    open_engine: Callable[[], Engine], *, ready: bool = True, send_buffer: int | None = None, **given: Any
) -> Iterator[Running]:
    """A server; ``given`` are ``Settings``, and ``Limits`` by their names. ``send_buffer`` bytes wait in a socket for
    a client that does not read; the system's choice without it."""
    names = set(Limits.__dataclass_fields__)
    limits = replace(Limits(), **{name: value for name, value in given.items() if name in names})
    settings = Settings(limits, **{name: value for name, value in given.items() if name not in names})
    listener = server.listening("127.0.0.1", 0)
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    service = Service(open_engine, settings)
    running = server.Server(service)
    thread = Thread(target=running.run, kwargs={"sockets": [listener]})
    host, port = listener.getsockname()[:2]
    url = server.address_of(listener)
    thread.start()
    try:
        until(lambda: running.started)
        if ready:
            until(lambda: service.state == "ready")
        yield Running(service, url, host, port, running)
    finally:
        service.close()
        thread.join(SLOWEST_S)
        assert not thread.is_alive()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``chatspot serve`` once it is ready, and its address."""
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "chatspot", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            found = re.search(r"http://\S+", running.stdout.readline())
            assert found is not None, running.communicate()[1]
            until(lambda: status(found[0].removesuffix("/v1")) in (200, None))
            yield running, found[0]
        finally:
            running.kill()


def status(url: str) -> int | None:
    """What /health says; None where nobody listens."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except urllib.error.URLError:
        return None


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    """A picture inside a URL."""
    file = io.BytesIO()
    image.save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def picture(image: Image.Image) -> dict[str, Any]:
    """A picture as a content part."""
    return {"type": "image_url", "image_url": {"url": data_url(image)}}


def words(text: str) -> dict[str, Any]:
    """Words as a content part."""
    return {"type": "text", "text": text}


def region(image: int = 0, **form: Any) -> dict[str, Any]:
    """A region as a content part."""
    return {"type": "region", "image": image, **form}


def chat(*content: Any, **fields: Any) -> dict[str, Any]:
    """The body of a request with one question."""
    return {"model": "chatspot", "messages": [{"role": "user", "content": list(content)}], **fields}
