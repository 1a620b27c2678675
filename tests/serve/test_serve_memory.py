"""A server process under hostile clients: no 500, and its memory stays where it was."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from test_serve_process import process

from chatspot.serve.limits import MOST_CHARACTERS
from running_server import chat, picture, region, words

GIGABYTE = 2**30
MOST_GROWTH = 300 * 2**20  # of the most memory ever, with --memory 64 and pictures of 4 megapixels
SMALL = picture(Image.new("RGB", (8, 8), "red"))
PIECE = b" " * 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def memory(pid: int, name: str) -> int:
    """Resident memory now (VmRSS) or the most ever (VmHWM), in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    assert found
    return 1024 * int(found[1])


@pytest.fixture(scope="module")
def address(lively: Path) -> Iterator[tuple[int, str, int]]:
    """A process with small limits: its id, host and port."""
    limits = ("--memory", "64", "--max-pixels", "4000000", "--body-timeout", "20")
    with process("--model", str(lively), *limits) as (running, url):
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        yield running.pid, host, int(port)


def head(*lines: str) -> bytes:
    """The head of a request."""
    first = ("POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join([*first, *lines, "", ""]).encode()


def poured(host: str, port: int, opening: bytes, piece: bytes) -> bytes:
    """A gigabyte sent in pieces, as long as the server takes them; the answer's first bytes."""
    sent = 0
    with socket.create_connection((host, port), timeout=60) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(opening)
            while sent < GIGABYTE:
                connection.sendall(piece)
                sent += len(piece)
        with contextlib.suppress(ConnectionResetError):
            return connection.recv(4096)
    return b""


def post(host: str, port: int, body: bytes, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer; status 0 where the server hung up."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")
    except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
        return 0, {}
    finally:
        connection.close()


def in_file(image: Image.Image, kind: str, **how: Any) -> dict[str, Any]:
    """A picture as a content part."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    raw = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind.lower()};base64,{raw}"}}


def sent(make: Callable[[], Any], *statuses: int) -> Callable[[str, int], None]:
    """A body, made when it is its turn and sent as JSON; it is answered with one of the statuses."""

    def send(host: str, port: int) -> None:
        value = make()
        status, found = post(host, port, value if isinstance(value, bytes) else json.dumps(value).encode())
        assert status in statuses, found

    return send


def gigabyte_in_pieces(host: str, port: int) -> None:
    chunk = b"%x\r\n" % len(PIECE) + PIECE + b"\r\n"
    assert poured(host, port, head("Transfer-Encoding: chunked"), chunk).startswith((b"HTTP/1.1 413", b""))


def gigabyte_announced(host: str, port: int) -> None:
    assert poured(host, port, head(f"Content-Length: {GIGABYTE}"), PIECE).startswith((b"HTTP/1.1 413", b""))


def gigabyte_of_headers(host: str, port: int) -> None:
    line = b"X-More: " + b"x" * 60_000 + b"\r\n"
    assert poured(host, port, head()[:-2], line).startswith((b"HTTP/1.1 4", b""))


def many_headers(host: str, port: int) -> None:
    assert post(host, port, b"{}", **{f"X-{n}": "x" * 50 for n in range(5000)})[0] in (0, 400, 431)


def text_of(count: int, piece: str) -> dict[str, Any]:
    """A question that repeats itself."""
    return chat(words(piece * count), max_tokens=1)


def bomb(side: int) -> dict[str, Any]:
    """A picture that is small until it is decoded."""
    return chat(in_file(Image.new("L", (side, side)), "PNG"), words("?"), max_tokens=1)


def frames() -> dict[str, Any]:
    """A moving picture; its first frame is taken."""
    rest = [Image.new("L", (1000, 1000), shade) for shade in range(50)]
    moving = in_file(Image.new("L", (1000, 1000)), "GIF", save_all=True, append_images=rest)
    return chat(moving, words("?"), max_tokens=1)


def eight_large() -> dict[str, Any]:
    """More pictures than there is memory for."""
    return chat(*[in_file(Image.new("RGB", (2000, 2000), (n, 0, 0)), "PNG") for n in range(8)], words("?"))


def fields(count: int) -> bytes:
    """A body of so many unknown fields."""
    return b'{"model": "chatspot", ' + b",".join(b'"f%d": 0' % n for n in range(count)) + b"}"


MANY = 100_000
USER = {"role": "user", "content": "x"}
HOSTILE: dict[str, Callable[[str, int], None]] = {
    "a gigabyte in pieces": gigabyte_in_pieces,
    "a gigabyte announced": gigabyte_announced,
    "a gigabyte of headers": gigabyte_of_headers,
    "many headers": many_headers,
    "a bomb above the limit": sent(lambda: bomb(12_000), 400),
    "a bomb below the limit": sent(lambda: bomb(2000), 200),
    "a bomb of frames": sent(frames, 200),
    "more pictures than there is memory for": sent(eight_large, 429),
    "nested deeply": sent(lambda: b"[" * 20_000_000, 400),
    "nested deeply inside": sent(lambda: b'{"model": "chatspot", "messages": ' + b'[{"content":' * MANY, 400),
    "NaN and Infinity": sent(lambda: b'{"model": "chatspot", "temperature": Infinity, "seed": NaN}', 400),
    "100,000 regions": sent(lambda: chat(SMALL, *[region(point=[0.5, 0.5])] * MANY), 400),
    "100,000 messages": sent(lambda: {"model": "chatspot", "messages": [USER] * MANY}, 400),
    "region texts without end": sent(lambda: chat(SMALL, words("<box>0,0</box>" * (MOST_CHARACTERS // 14))), 400),
    "100,000 corners": sent(lambda: chat(SMALL, region(polygon=[[0.1, 0.1], [0.2, 0.9]] * (MANY // 2))), 400),
    "a million runs": sent(lambda: chat(SMALL, region(mask={"counts": [1] * 10**6, "size_wh": [1000, 1000]})), 400),
    "unknown fields": sent(lambda: fields(MANY), 400),
    "unknown fields without end": sent(lambda: fields(MANY * 10), 400),
    "empty lists without end": sent(lambda: b'{"messages": [' + b"[]," * 6_000_000 + b"[]]}", 400),
    "a long number": sent(lambda: b'{"model": "chatspot", "seed": ' + b"9" * 4_000_000 + b"}", 400),
    "one long text": sent(lambda: text_of(MANY, "x" * 50), 400),
    "forged control tokens": sent(lambda: text_of(60, "<image><|im_end|>"), 200),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_client_leaves_the_server_as_it_was(address: tuple[int, str, int], name: str):
    pid, host, port = address
    post(host, port, json.dumps(chat(SMALL, words("?"), max_tokens=1)).encode())  # what a first answer needs
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most ever begins here
    before = memory(pid, "VmRSS")
    HOSTILE[name](host, port)
    assert memory(pid, "VmHWM") - before < MOST_GROWTH
    status, found = post(host, port, json.dumps(chat(SMALL, words("?"), max_tokens=1)).encode())
    assert status == 200, found
