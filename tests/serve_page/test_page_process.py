"""The page over real processes: nano's answers, a server that is killed and comes back, and ``chatspot demo``."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from site_of_page import Site, page_at, photo

from chatspot.serve.server import listening
from running_server import status, until
from trained_nano import trained

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def process(port: int) -> Iterator[subprocess.Popen[str]]:
    """``chatspot serve`` with nano."""
    command = [sys.executable, "-m", "chatspot", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert f"a page at http://127.0.0.1:{port} " in running.stdout.readline()
            yield running
        finally:
            running.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with listening("127.0.0.1", 0) as found:
        return int(found.getsockname()[1])


@trained
def test_three_turns_with_nano_and_a_server_that_is_killed(browser: Browser):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    gone = [
        "status of 503",
        "ERR_CONNECTION_REFUSED",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
        "ERR_INCOMPLETE_CHUNKED_ENCODING",
    ]
    with page_after_start(browser, port, url, gone) as (site, first):
        sent: list[Any] = []
        site.page.on("request", lambda request: request.method == "POST" and sent.append(request.post_data_json))
        site.drop(photo("coffee.jpg"))
        site.page.locator(".thumb[data-picture]").wait_for()
        site.draw("box", (0.287, 0.035), (0.693, 0.785))
        site.write("What is this?")
        assert "cup" in site.send()
        site.draw("point", (0.603, 0.713))
        site.write("What is this?")
        assert site.send() != ""

        first.kill()
        first.wait()
        site.page.evaluate("dispatchEvent(new Event('online'))")
        site.page.locator("#state[data-state=gone]").wait_for()
        assert "does not answer" in site.page.locator("#banner").inner_text()
        site.draw("polygon", (0.3, 0.05), (0.69, 0.05), (0.6, 0.78), (0.35, 0.75))
        site.write("And what is this?")
        site.page.keyboard.press("Enter")
        site.page.locator(".waiting", has_text="Waiting for the server").wait_for()
        with process(port) as second:
            assert site.answer(2) != "", "asked by itself, once the server was there again"
            content = [message["content"] for message in sent[-1]["messages"] if message["role"] == "user"]
            forms = [
                form for parts in content for part in parts for form in ("box", "point", "polygon") if form in part
            ]
            assert forms == ["box", "point", "polygon"]
            assert site.page.locator("#state[data-state=ready]").is_visible()
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0


@contextmanager
def page_after_start(
    browser: Browser, port: int, url: str, gone: list[str]
) -> Iterator[tuple[Site, subprocess.Popen[str]]]:
    """The page over a process that is ready."""
    with process(port) as running, page_at(browser, url, refused=gone) as site:
        yield site, running


def test_the_demo_at_a_terminal_serves_the_page_until_it_is_interrupted(lively_checkpoint: Path):
    """At a terminal (a pseudo one), with a browser that writes down what it was told to open."""
    leader, follower = pty.openpty()
    browser = f"{sys.executable} -c 'import sys; print(\"told to open\", sys.argv[1])' %s"
    command = [sys.executable, "-m", "chatspot", "demo", "--model", str(lively_checkpoint), "--port", "0"]
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env={**os.environ, "BROWSER": browser}
    ) as running:
        os.close(follower)
        said = ""

        def heard(text: str) -> bool:
            nonlocal said
            if select.select([leader], [], [], 0.1)[0]:
                said += os.read(leader, 4096).decode()
            return text in said

        try:
            until(lambda: heard("told to open http"))
            address = re.search(r"The page: (http://127\.0\.0\.1:\d+)", said)
            assert address is not None
            assert f"told to open {address[1]}" in said
            until(lambda: status(address[1]) == 200)
            running.send_signal(signal.SIGINT)
            until(lambda: heard("The page is closed."))
            assert running.wait(60) == 0
        finally:
            running.kill()
            os.close(leader)
    assert "Traceback" not in said
