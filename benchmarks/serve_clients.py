"""A server process, and clients that ask it: what ``serve_load.py`` and ``serve_soak.py`` share.

The clients speak HTTP by themselves: they run on the machine that is measured, and the official client takes as much of
a core for 16 streams as the server's own front does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

EXAMPLES = Path(str(files("chatspot") / "examples"))
OPENING_S = 300
ANSWER_S = 150
# What people point at in the bundled pictures, as fractions of the picture.
REGIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "cat.jpg": (
        {"box": [0.13, 0.03, 0.93, 1.0]}, {"point": [0.42, 0.42]}, {"box": [0.2, 0.27, 0.6, 0.55]},
        {"polygon": [[0.2, 0.0], [0.45, 0.05], [0.4, 0.3], [0.15, 0.35]]},
    ),
    "coffee.jpg": (
        {"box": [0.287, 0.035, 0.693, 0.785]}, {"point": [0.603, 0.713]}, {"box": [0.0, 0.0, 0.3, 0.4]},
        {"scribble": [[0.4, 0.2], [0.5, 0.3], [0.6, 0.25]], "pen_wh": [0.05, 0.05]},
    ),
    "astronaut.jpg": (
        {"box": [0.32, 0.03, 0.6, 0.42]}, {"point": [0.5, 0.7]}, {"box": [0.62, 0.05, 1.0, 0.55]},
        {"polygon": [[0.1, 0.5], [0.7, 0.45], [0.9, 1.0], [0.05, 1.0]]},
    ),
}  # fmt: skip
QUESTIONS = (
    "What is this?", "What can you see in this region?", "What colour is this?", "What is this made of?",
    "Is this a person?", "What is written here?",
)  # fmt: skip
FOLLOW_UPS = ("And this?", "What is next to it?", "Is it the same as the first one?")


@dataclass
class Server:
    """A running server process."""

    process: subprocess.Popen[str]
    host: str
    port: int
    model: str

    def resident_bytes(self) -> int:
        """The process's resident memory, as Linux counts it."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text("ascii"))
        assert found
        return 1024 * int(found[1])

    def cpu_s(self) -> float:
        """Seconds that all cores together have computed for the process, as Linux counts it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """``chatspot serve`` on a free port, once it is ready."""
    command = [sys.executable, "-m", "chatspot", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://([\d.]+):(\d+)", process.stdout.readline())
            assert found is not None, "the server did not start"
            host, port = found[1], int(found[2])
            yield Server(process, host, port, until_ready(f"http://{host}:{port}/health"))
        finally:
            process.terminate()


def until_ready(url: str) -> str:
    """Wait for the model; its name."""
    end = time.monotonic() + OPENING_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return str(json.load(response)["model"])
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.2)
    raise SystemExit("the model was not opened in time")


def shown(name: str) -> dict[str, Any]:
    """A bundled picture as a content part."""
    raw = base64.b64encode((EXAMPLES / name).read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{raw}"}}


@dataclass(frozen=True)
class Talk:
    """A question as it is sent. ``key`` names what was asked; the same key has the same answer."""

    key: str
    body: bytes


class Talks:
    """Short dialogues about the bundled pictures: a question by region and, half of the time, a further one about
    another region of the same picture. ``fresh``: every question is about a box that nobody asked about before."""

    def __init__(self, seed: int, *, fresh: bool = False, stream: bool = True, max_tokens: int = 32):
        self.rng, self.fresh, self.stream, self.max_tokens = random.Random(seed), fresh, stream, max_tokens
        self.pictures = {name: shown(name) for name in REGIONS}

    def region(self, name: str) -> dict[str, Any]:
        """Something to point at."""
        if not self.fresh:
            return self.rng.choice(REGIONS[name])
        x, y = self.rng.uniform(0, 0.6), self.rng.uniform(0, 0.6)
        return {"box": [x, y, x + self.rng.uniform(0.1, 0.4), y + self.rng.uniform(0.1, 0.4)]}

    def next(self) -> Talk:
        """The next dialogue's question."""
        name = self.rng.choice(list(REGIONS))
        region, question = self.region(name), self.rng.choice(QUESTIONS)
        told: list[Any] = [name, question, region]
        content = [self.pictures[name], {"type": "text", "text": question}, {"type": "region", "image": 0, **region}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self.rng.random() < 0.5:
            other, more = self.region(name), self.rng.choice(FOLLOW_UPS)
            told += [more, other]
            part = {"type": "region", "image": 0, **other}
            messages.append({"role": "assistant", "content": "a thing"})
            messages.append({"role": "user", "content": [{"type": "text", "text": more}, part]})
        body = {"model": "chatspot", "messages": messages, "stream": self.stream, "max_tokens": self.max_tokens,
                "stream_options": {"include_usage": True}}  # fmt: skip
        return Talk(json.dumps(told), json.dumps(body).encode())


@dataclass(frozen=True)
class Asked:
    """What came of a question: the status, or 0 where the connection broke; seconds from its beginning. ``in_time``
    when it was answered within the time of its row."""

    key: str
    status: int
    text: str
    tokens: int
    first_s: float
    total_s: float
    in_time: bool = True


async def ask(server: Server, talk: Talk) -> Asked:
    """Ask on a connection of its own and take the answer as it comes."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(ANSWER_S):
            return await exchange(server, talk, started)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return Asked(talk.key, 0, "", 0, 0.0, time.perf_counter() - started)


async def exchange(server: Server, talk: Talk, started: float) -> Asked:
    """The request, and its events."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(head(server, len(talk.body)) + talk.body)
        await writer.drain()
        status = int((await reader.readuntil(b"\r\n")).split()[1])
        first, pieces, tokens = 0.0, [], 0
        while line := await reader.readline():
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                return Asked(talk.key, 500, "", 0, first, time.perf_counter() - started)
            for choice in event["choices"]:
                if piece := choice["delta"].get("content"):
                    first = first or time.perf_counter() - started
                    pieces.append(piece)
            tokens = event["usage"]["completion_tokens"] if event.get("usage") else tokens
        total = time.perf_counter() - started
        return Asked(talk.key, status, "".join(pieces), tokens, first or total, total)
    finally:
        writer.close()


def head(server: Server, length: int, path: str = "/v1/chat/completions") -> bytes:
    """The head of a request whose connection is used once."""
    lines = (f"POST {path} HTTP/1.1", f"Host: {server.host}", "Content-Type: application/json", "Connection: close",
             f"Content-Length: {length}", "", "")  # fmt: skip
    return "\r\n".join(lines).encode()


async def crowd(server: Server, clients: int, seconds: float, seed: int, *, fresh: bool = False) -> list[Asked]:
    """So many clients, each asking its next question when it has its answer, until the time is over; what was asked
    within it."""
    end = time.perf_counter() + seconds
    found: list[Asked] = []

    async def client(number: int) -> None:
        talks = Talks(seed * 1000 + number, fresh=fresh)
        while time.perf_counter() < end:
            asked = await ask(server, talks.next())
            found.append(replace(asked, in_time=time.perf_counter() < end))

    await asyncio.gather(*[client(number) for number in range(clients)])
    return found
