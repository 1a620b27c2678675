"""A real browser for tests, Debian's Chromium driven by Playwright, and Node.js."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM_VARIABLE = "CHATSPOT_CHROMIUM"
SLOWEST_MS = 60_000  # for anything here; a loaded machine is slow

Place = tuple[float, float]


def chromium() -> str:
    """The path of the browser: CHATSPOT_CHROMIUM, or ``chromium`` of the search path. Skips where there is none."""
    found = os.environ.get(CHROMIUM_VARIABLE) or shutil.which("chromium")
    if not found:
        pytest.skip(f"no browser: install Debian's chromium, or set {CHROMIUM_VARIABLE} to a Chromium's path")
    return found


def node(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Node.js run with these arguments and environment variables. Skips where there is none."""
    found = shutil.which("node")
    if not found:
        pytest.skip("no Node.js: install Debian's nodejs")
    given = {**os.environ, **variables}
    return subprocess.run([found, *arguments], env=given, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser. While it is open, this thread belongs to Playwright's event loop: ``asyncio.run`` does not work."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    path = chromium()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, address: str | None = None, **settings: Any) -> Iterator[Page]:
    """A tab with a profile of its own, at ``address``; ``settings`` are those of Playwright's ``new_context``.

    Whatever the page reports as an error, or throws and nobody catches, fails the test at the end.
    """
    context = browser.new_context(**settings)
    context.set_default_timeout(SLOWEST_MS)
    try:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(f"thrown: {error}"))
        page.on("console", lambda said: errors.append(f"console: {said.text}") if said.type == "error" else None)
        if address:
            page.goto(address)
        yield page
        assert errors == []
    finally:
        context.close()


def drag(page: Page, *path: Place, button: str = "left") -> None:
    """The mouse pressed at the first place, moved along the others and released at the last."""
    page.mouse.move(*path[0])
    page.mouse.down(button=button)
    for place in path[1:]:
        page.mouse.move(*place, steps=2)
    page.mouse.up(button=button)


def touch(page: Page, *fingers: Sequence[Place]) -> None:
    """Fingers put down together at their first places, moved along their others, and lifted together.

    The tab needs ``has_touch=True``. Every finger's path has the same length.
    """
    session = page.context.new_cdp_session(page)
    for step, places in enumerate(zip(*fingers, strict=True)):
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
        kind = "touchMove" if step else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


class QuietFiles(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """The address of a server of the files in ``folder``, on this machine alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
