"""Whatever a client sends, it gets an error that says what is wrong, and never a 500; nothing is opened or fetched."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chatspot.engine.torch_engine import TorchEngine
from chatspot.serve.limits import MOST_CHARACTERS
from running_server import Response, Running, chat, picture, region, serving, words

SMALL = picture(Image.new("RGB", (8, 8), "red"))
BODY = 400_000  # bytes that the server of these tests takes


def image_url(url: str) -> dict[str, Any]:
    """A content part with any URL."""
    return {"type": "image_url", "image_url": {"url": url}}


def in_base64(raw: bytes, kind: str = "png") -> dict[str, Any]:
    """Any bytes as a picture."""
    return image_url(f"data:image/{kind};base64,{base64.b64encode(raw).decode()}")


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """The head of a PNG that says it has so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", head), *chunks])


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def messages(*given: dict[str, Any]) -> dict[str, Any]:
    """A conversation of these messages."""
    return {"model": "chatspot", "messages": list(given)}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


HELLO = words("Hello")
ANSWER = {"role": "assistant", "content": "x"}
FIRST = "messages.0.content.0"
SECOND = "messages.0.content.1"
PLACE = f"{FIRST}.image_url"
LINE = [[step / 2001, 0.5] for step in range(2001)]
DATA = (chunk(b"IDAT", zlib.compress(bytes(100_000))), chunk(b"IEND", b""))
BOMB = png_of(16_000, 16_000, *DATA)
TEXT_BOMB = png_of(8, 8, chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(80_000_000))), chunk(b"IEND", b""))

CASES: dict[str, tuple[Any, int, str, str | None]] = {
    # what is no request at all
    "nothing": (b"", 400, "invalid_json", None),
    "no JSON": (b"{", 400, "invalid_json", None),
    "no Unicode": (b'"\xff\xfe"', 400, "invalid_json", None),
    "nested deeply": (b"[" * 100_000, 400, "invalid_json", None),
    "NaN": (b'{"model": NaN}', 400, "invalid_json", None),
    "many values": (b"[" + b"0," * 150_001 + b"0]", 400, "request_too_complex", None),
    "many fields": (chat(HELLO, metadata={str(n): 5 for n in range(65)}), 400, "request_too_complex", None),
    "an endless number": (b'{"model": "chatspot", "messages": ' + b"9" * 10_000 + b"}", 400, "invalid_json", None),
    "a list": ([], 400, "invalid_value", None),
    "null": (b"null", 400, "invalid_value", None),
    "no messages": ({"model": "chatspot"}, 400, "invalid_value", "messages"),
    "no model": ({"messages": [user(HELLO)]}, 400, "invalid_value", "model"),
    "another model": (chat(HELLO) | {"model": "gpt-5"}, 404, "model_not_found", "model"),
    "a model's path": (chat(HELLO) | {"model": "../../etc/passwd"}, 404, "model_not_found", "model"),
    # fields
    "an unknown field": (chat(HELLO, tools=[]), 400, "unknown_field", "tools"),
    "a misspelt field": (chat(HELLO, max_token=3), 400, "unknown_field", "max_token"),
    "a surrogate's half": (b'{"model": "chatspot", "messages": [], "\\ud800": 1}', 400, "invalid_json", None),
    "several answers": (chat(HELLO, n=2), 400, "invalid_value", "n"),
    "a number as text": (chat(HELLO, max_tokens="5"), 400, "invalid_value", "max_tokens"),
    "no token": (chat(HELLO, max_tokens=0), 400, "invalid_value", "max_tokens"),
    "true tokens": (chat(HELLO, max_tokens=True), 400, "invalid_value", "max_tokens"),
    "too hot": (chat(HELLO, temperature=3), 400, "invalid_value", "temperature"),
    "another form": (chat(HELLO, response_format={"type": "json"}), 400, "invalid_value", "response_format.type"),
    "an empty stop": (chat(HELLO, stop=""), 400, "invalid_value", "stop.0"),
    "a number as stop": (chat(HELLO, stop=5), 400, "invalid_value", "stop"),
    "too many stops": (chat(HELLO, stop=["x"] * 5), 400, "invalid_value", "stop"),
    "a long stop": (chat(HELLO, stop=["x" * 257]), 400, "invalid_value", "stop.0"),
    "probabilities": (chat(HELLO, logprobs=True), 400, "invalid_value", "logprobs"),
    "an unknown style": (chat(HELLO, style="rude"), 400, "invalid_value", "style"),
    # conversations
    "no message": (messages(), 400, "invalid_value", "messages"),
    "too many messages": (messages(*[user(HELLO)] * 5_000), 400, "invalid_value", "messages"),
    "nobody speaks": (messages({"role": "ghost", "content": "x"}), 400, "invalid_value", "messages.0"),
    "a message's unknown field": (messages(user(HELLO) | {"name": "x"}), 400, "unknown_field", "messages.0.name"),
    "no content": (messages({"role": "user"}), 400, "invalid_value", "messages.0.content"),
    "null content": (messages({"role": "user", "content": None}), 400, "invalid_value", "messages.0.content"),
    "empty content": (messages(user()), 400, "invalid_messages", "messages.0"),
    "a picture alone": (messages(user(SMALL)), 400, "invalid_messages", "messages.0"),
    "a part of no kind": (messages(user({"text": "x"})), 400, "invalid_value", FIRST),
    "a part of another kind": (messages(user({"type": "video_url"})), 400, "invalid_value", FIRST),
    "a number as part": (messages(user(5)), 400, "invalid_value", FIRST),
    "two users": (messages(user(HELLO), user(HELLO)), 400, "invalid_messages", "messages"),
    "the last word": (messages(user(HELLO), ANSWER), 400, "invalid_messages", "messages"),
    "an assistant's picture": (
        messages(user(HELLO), {"role": "assistant", "content": [SMALL]}), 400, "invalid_value", "messages.1.content.0",
    ),
    "a lone surrogate": (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400, "invalid_json", None),
    "a long text": (chat(words("x" * (MOST_CHARACTERS + 1))), 400, "context_length_exceeded", FIRST),
    "too many tokens": (chat(words("x." * 2000)), 400, "context_length_exceeded", "messages"),
    # pictures
    "a path": (chat(image_url("/etc/passwd"), HELLO), 400, "image_url_not_allowed", PLACE),
    "a file URL": (chat(image_url("file:///etc/passwd"), HELLO), 400, "image_url_not_allowed", PLACE),
    "an address": (chat(image_url("http://127.0.0.1:9/x.png"), HELLO), 400, "image_url_not_allowed", PLACE),
    "another data URL": (chat(image_url("data:text/html;base64,AAAA"), HELLO), 400, "image_url_not_allowed", None),
    "percent encoding": (chat(image_url("data:image/png,%89PNG"), HELLO), 400, "image_url_not_allowed", None),
    "a head without end": (chat(image_url("data:image/" + "p" * 100_000), HELLO), 400, "image_url_not_allowed", None),
    "a URL as text": (chat({"type": "image_url", "image_url": "data:,"}, HELLO), 400, "invalid_value", PLACE),
    "bad base64": (chat(image_url("data:image/png;base64,@@@@"), HELLO), 400, "invalid_image", PLACE),
    "half base64": (chat(image_url("data:image/png;base64,AAA"), HELLO), 400, "invalid_image", None),
    "no ASCII": (chat(image_url("data:image/png;base64,é"), HELLO), 400, "invalid_image", None),
    "no bytes": (chat(image_url("data:image/png;base64,"), HELLO), 400, "invalid_image", None),
    "no picture": (chat(in_base64(b"hello"), HELLO), 400, "invalid_image", PLACE),
    "half a picture": (chat(in_base64(png_of(8, 8)), HELLO), 400, "invalid_image", PLACE),
    "no pixels": (chat(in_base64(png_of(0, 0)), HELLO), 400, "invalid_image", None),
    "EPS": (chat(in_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), HELLO), 400, "invalid_image", None),
    "SVG": (chat(in_base64(b'<svg width="9" height="9"/>', "svg+xml"), HELLO), 400, "invalid_image", None),
    "a decompression bomb": (chat(in_base64(BOMB), HELLO), 400, "image_too_large", PLACE),
    "a bomb of text": (chat(in_base64(TEXT_BOMB), HELLO), 400, "invalid_image", PLACE),
    "a size beyond numbers": (chat(in_base64(png_of(2**30, 2**30, *DATA)), HELLO), 400, "image_too_large", None),
    "too many pixels": (chat(picture(Image.new("L", (400, 251))), HELLO), 400, "image_too_large", PLACE),
    "too many pictures": (chat(SMALL, SMALL, SMALL, HELLO), 400, "too_many_images", "messages.0.content.2.image_url"),
    # regions
    "reversed": (chat(SMALL, region(box=[0.5, 0, 0.1, 1])), 400, "invalid_region", SECOND),
    "outside": (chat(SMALL, region(box=[0, 0, 8, 8])), 400, "invalid_region", SECOND),
    "endless": (chat(SMALL, region(box=[0, 0, 1e999, 1])), 400, "invalid_json", None),
    "three corners": (chat(SMALL, region(box=[0, 0, 1])), 400, "invalid_region", SECOND),
    "corners in words": (chat(SMALL, region(box="0, 0, 1, 1")), 400, "invalid_region", SECOND),
    "corners in text": (chat(SMALL, region(box=["0", "0", "1", "1"])), 400, "invalid_region", SECOND),
    "null box": (chat(SMALL, region(box=None)), 400, "invalid_region", SECOND),
    "no form": (chat(SMALL, region()), 400, "invalid_region", SECOND),
    "two forms": (chat(SMALL, region(box=[0, 0, 1, 1], point=[0, 0])), 400, "invalid_region", SECOND),
    "an unknown form": (chat(SMALL, region(circle=[0, 0, 1])), 400, "unknown_field", f"{SECOND}.circle"),
    "of no picture": (chat(HELLO, region(box=[0, 0, 1, 1])), 400, "invalid_messages", "messages"),
    "of a third picture": (chat(SMALL, region(2, box=[0, 0, 1, 1])), 400, "invalid_messages", "messages"),
    "of picture -1": (chat(SMALL, region(-1, box=[0, 0, 1, 1])), 400, "invalid_messages", "messages"),
    "of picture true": (chat(SMALL, region(True, point=[0, 0])), 400, "invalid_value", f"{SECOND}.image"),
    "of picture 2 ** 70": (chat(SMALL, region(2**70, box=[0, 0, 1, 1])), 400, "invalid_messages", "messages"),
    "a mask's runs": (chat(SMALL, region(mask={"counts": [5], "size_wh": [2, 2]})), 400, "invalid_region", SECOND),
    "a vast mask": (chat(SMALL, region(mask={"counts": [4], "size_wh": [10**9] * 2})), 400, "invalid_region", SECOND),
    "COCO's text": (chat(SMALL, region(mask={"counts": "abc", "size_wh": [2, 2]})), 400, "invalid_region", SECOND),
    "a flat polygon": (chat(SMALL, region(polygon=[[0, 0], [1, 1], [0.5, 0.5]])), 400, "invalid_region", SECOND),
    "too many corners": (chat(SMALL, region(polygon=[[0, 0], [1, 1]] * 9_000)), 400, "region_too_detailed", SECOND),
    "too many corners together": (
        chat(SMALL, *[region(scribble=LINE)] * 2), 400, "region_too_detailed",
        "messages.0.content.2",
    ),
    "too many runs": (
        chat(SMALL, region(mask={"counts": [0] * 20_001, "size_wh": [2, 2]})), 400, "region_too_detailed", SECOND,
    ),
    "too many regions": (chat(SMALL, *[region(point=[0, 0])] * 5), 400, "too_many_regions", "messages.0"),
    "too many region texts": (chat(SMALL, words("<box>0, 0</box>" * 5)), 400, "too_many_regions", "messages.0"),
    "far too many regions": (chat(SMALL, *[region(point=[0, 0])] * 7_000), 400, "invalid_value", "messages.0.content"),
}  # fmt: skip


def check_error(found: Response) -> None:
    """It is an error as OpenAI words them."""
    assert set(found.json) == {"error"}
    error = found.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert "Traceback" not in found.raw.decode()
    assert found.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_answered_is_refused_with_a_reason(running: Running, name: str):
    body, status, code, param = CASES[name]
    started = time.monotonic()
    found = running.post(body)
    assert (found.status, found.code) == (status, code), found.raw
    if param is not None:
        assert found.param == param
    check_error(found)
    assert len(found.raw) < 2_000
    assert time.monotonic() - started < 20
    running.until_nothing_is_held()


def test_streams_are_refused_like_answers(running: Running):
    found = running.post(chat(SMALL, region(box=[0.5, 0, 0.1, 1]), stream=True))
    assert (found.status, found.code, found.param) == (400, "invalid_region", SECOND)


def test_no_file_is_opened_and_no_address_asked(running: Running, tmp_path: Path):
    """A picture that could be opened and a server that would answer are left alone."""
    file = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(file)
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        address = f"http://127.0.0.1:{canary.getsockname()[1]}/photo.png"
        for url in (str(file), file.as_uri(), address, address.replace("http:", "ftp:"), address.replace("http:", "")):
            found = running.post(chat(image_url(url), HELLO))
            assert (found.status, found.code) == (400, "image_url_not_allowed")
        with pytest.raises(TimeoutError):
            canary.accept()


VALID = [
    chat(SMALL, words("What is "), region(box=[0.1, 0.1, 0.5, 0.5]), max_tokens=1),
    chat(SMALL, region(polygon=[[0, 0], [1, 0], [0, 1]]), region(point=[0, 0]), stream=False, max_tokens=1),
    chat(
        SMALL, region(mask={"counts": [1, 3], "size_wh": [2, 2]}), words("<box>0, 0</box>"), max_tokens=1, style="long"
    ),
    messages(user(SMALL, HELLO), {"role": "assistant", "content": "x", "regions": []}, user(HELLO)) | {"max_tokens": 1},
    chat(SMALL, HELLO, region(box=[0.1, 0.1, 0.5, 0.5]), agreement=2, max_tokens=1),
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**63, -(2**70), 0.5, 1e308, -0.0, 1e-320]),
    st.sampled_from(["", "user", "region", "\x00", "é", "<box>0, 0</box>", "<box>0 0 1 1", "data:image/png;base64,"]),
    st.lists(st.floats(0, 1), max_size=5),
    st.lists(st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=2), max_size=6),
    st.dictionaries(st.sampled_from(["type", "text", "counts", "size_wh", "box", "x"]), st.integers(0, 3), max_size=3),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*at, key)
        yield from places(one, (*at, key))


@given(data=st.data())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_change_of_a_good_request_breaks_the_server(running: Running, data: st.DataObject):
    body = json.loads(json.dumps(data.draw(st.sampled_from(VALID))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(sorted(places(body), key=str)))
        holder = body
        for key in place[:-1]:
            holder = holder[key]
        if data.draw(st.booleans()):
            holder[place[-1]] = data.draw(ODD)
        elif isinstance(holder, dict):
            holder[data.draw(st.sampled_from(["x", "image", "type", "box", "point"]))] = data.draw(ODD)
        else:
            holder.append(data.draw(ODD))
    found = running.post(body)
    assert found.status in (200, 400, 404), (body, found.raw)
    if found.status != 200 and found.headers["content-type"] != "text/event-stream; charset=utf-8":
        check_error(found)


# ------------------------------------------------------------------------------------------------ addresses and heads


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/v1/models/gpt-5", 404, "model_not_found"),
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404, "model_not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("POST", "/v1/completions", 404, "not_found"),
        ("GET", "/%ff%00", 404, "not_found"),
    ],
)
def test_addresses_that_are_not_there(running: Running, method: str, path: str, status: int, code: str):
    found = running.ask(method, path)
    assert (found.status, found.code) == (status, code)
    check_error(found)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content_type": "text/plain"}, 415, "unsupported_media_type"),
        ({"content_type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        ({"content_type": ""}, 415, "unsupported_media_type"),
        ({"content_encoding": "gzip"}, 415, "unsupported_media_type"),
        ({"host": "evil.example"}, 403, "host_not_allowed"),
        ({"host": ""}, 403, "host_not_allowed"),
        ({"host": "localhost.evil.example:80"}, 403, "host_not_allowed"),
        ({"host": "localhost:1"}, 200, None),
        ({"host": "[::1]:1"}, 200, None),
        ({"content_type": "Application/JSON; charset=utf-8"}, 200, None),
    ],
)
def test_heads(running: Running, headers: dict[str, str], status: int, code: str | None):
    found = running.post(chat(HELLO, max_tokens=1), **headers)
    assert found.status == status
    if code is not None:
        assert found.code == code
        check_error(found)


@pytest.fixture(scope="module")
def locked(engine: TorchEngine) -> Iterator[Running]:
    """A server with a key."""
    with serving(lambda: engine, api_key="a long secret") as found:
        yield found


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer wrong", "bearer a long secret", "Bearer a long secret "]
)
def test_wrong_keys(locked: Running, given: str):
    for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/nowhere")):
        found = locked.ask(method, path, authorization=given.rstrip() + "x" * given.endswith(" "))
        assert (found.status, found.code) == (401, "invalid_api_key")
        check_error(found)
    assert locked.post(chat(HELLO), authorization="Bearer \xe9").status == 401
    assert locked.ask("GET", "/health").status == 200


def test_the_right_key(locked: Running):
    import openai

    with locked.client(api_key="a long secret") as client:
        assert client.models.list().data
    with locked.client(api_key="another secret") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    found = locked.post(chat(HELLO, max_tokens=1), authorization="Bearer a long secret", host="any.example")
    assert found.status == 200


# ------------------------------------------------------------------------------------------------ odd bodies


def head(*lines: str) -> bytes:
    """The head of a request."""
    first = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    raw = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            raw += piece
    return raw


def test_a_body_above_the_limit_is_refused(running: Running):
    found = running.post(b" " * (BODY + 1))
    assert (found.status, found.code) == (413, "body_too_large")
    assert running.post(b" " * BODY).code == "invalid_json"


def test_a_body_that_says_it_is_huge_is_refused_before_it_comes(running: Running):
    with socket.create_connection((running.host, running.port), timeout=30) as connection:
        connection.sendall(head(f"Content-Length: {10**12}", "Expect: 100-continue"))
        assert received(connection).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_end_is_cut_off(running: Running):
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    sent = 0
    with socket.create_connection((running.host, running.port), timeout=30) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 10**9:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 50 * BODY, "what lies in the buffers of the two sockets comes on top of the limit"
    running.until_nothing_is_held()


def test_a_body_for_nobody_is_not_read_on(running: Running):
    with socket.create_connection((running.host, running.port), timeout=30) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert b"connection: close" in received(connection)


@pytest.mark.parametrize(
    "raw", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 200_000, b"\x16\x03\x01\x02"]
)
def test_what_is_no_http(running: Running, raw: bytes):
    with socket.create_connection((running.host, running.port), timeout=30) as connection:
        connection.sendall(raw)
        with contextlib.suppress(OSError):  # it may have been closed already
            connection.shutdown(socket.SHUT_WR)
        found = received(connection)
    assert found == b"" or found.startswith(b"HTTP/1.1 40")
    assert running.ask("GET", "/health").status == 200


def test_slow_clients_are_given_up(engine: TorchEngine):
    with serving(lambda: engine, header_s=0.5, body_s=0.5) as slow:
        for sent, status in (
            (head("Content-Length: 100") + b"{", b"HTTP/1.1 408 "),
            (head("Transfer-Encoding: chunked") + b"1\r\n{\r\n", b"HTTP/1.1 408 "),
            (b"POST /v1/chat", b""),
            (b"", b""),
        ):
            with socket.create_connection((slow.host, slow.port), timeout=30) as connection:
                connection.sendall(sent)
                assert received(connection).startswith(status)
        with socket.create_connection((slow.host, slow.port), timeout=30) as connection:
            for _ in range(2):  # a head that drips in after an answer
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(65_536)
                assert answer.startswith(b"HTTP/1.1 200 ")
            connection.sendall(b"GET /health")
            assert received(connection) == b""
        assert slow.service.admission.inside == 0


def test_a_client_that_leaves_within_its_body(running: Running):
    gone = running.service.metrics.clients_gone
    with socket.create_connection((running.host, running.port), timeout=30) as connection:
        connection.sendall(head("Content-Length: 100") + b"{")
        running.until(lambda: running.service.admission.inside == 1)
    running.until(lambda: running.service.metrics.clients_gone == gone + 1)
    running.until_nothing_is_held()


def test_the_largest_picture_is_opened(running: Running):
    file = io.BytesIO()
    Image.new("L", (400, 250)).save(file, "PNG")
    assert running.post(chat(in_base64(file.getvalue()), HELLO, max_tokens=1)).status == 200
    assert running.post(chat(picture(Image.new("L", (1, 1))), HELLO, max_tokens=1)).status == 200
