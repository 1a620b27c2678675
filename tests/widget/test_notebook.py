"""RegionPicker in real notebooks: a region drawn in the browser is there in Python."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from browser import SLOWEST_MS, drag, launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("anywidget", reason="pip install 'chatspot[widget]'")

SLOWEST_S = 2 * SLOWEST_MS / 1000
BEGINNING = """\
import json
import os
from pathlib import Path
from chatspot import Box
from chatspot.widget import RegionPicker
picker = RegionPicker("photo.png", [Box.from_normalized(0.1, 0.1, 0.3, 0.3)])
"""
WRITING = """\
found = {"names": picker.names, "regions": [region.to_json() for region in picker.regions]}
Path("found.json").write_text(json.dumps(found), "utf-8")
"""
MARIMO = """\
import marimo
app = marimo.App()

@app.cell
def _():
    import marimo as mo
{beginning}
    shown = mo.ui.anywidget(picker)
    return Path, json, picker, shown

@app.cell
def _(shown):
    shown
    return

@app.cell
def _(Path, json, picker, shown):
    shown.value  # so this cell runs again whenever something was drawn
{writing}
    return

if __name__ == "__main__":
    app.run()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


def until(condition: Callable[[], Any], what: str) -> Any:
    """What ``condition`` gives back, once that is something."""
    end = time.monotonic() + SLOWEST_S
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextmanager
def notebook_server(folder: Path, module: str, *arguments: str) -> Iterator[str]:
    """The address of a notebook server in ``folder``, started as a process; ``{port}`` in an argument is its port."""
    if find_spec(module) is None:
        pytest.skip(f"no {module}: pip install {module} to run the widget in it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", module, *(argument.format(port=port) for argument in arguments)]
    home = {name: str(folder / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    log = folder / "server.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **home}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            address = f"http://127.0.0.1:{port}"

            def answers() -> bool:
                assert process.poll() is None, log.read_text("utf-8")
                try:
                    with urllib.request.urlopen(address, timeout=10):
                        return True
                except (urllib.error.URLError, OSError):
                    return False

            until(answers, f"{module} never answered")
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def quiet_tab(browser: Browser, address: str) -> Iterator[Page]:
    """A tab; the notebook's own complaints in the console do not count."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    try:
        context.set_default_timeout(SLOWEST_S * 1000)
        page = context.new_page()
        page.goto(address, wait_until="domcontentloaded")
        yield page
    finally:
        context.close()


def draw_box_and_name_it(page: Page) -> None:
    """A box from (0.4, 0.5) to (0.8, 0.9) of the photo, drawn and named by keys that a notebook has uses for."""
    pad = page.get_by_role("application", name="Picture, 600 by 400 pixels, 1 region")
    pad.wait_for()
    pad.scroll_into_view_if_needed()
    page.get_by_role("button", name="Box (B)").click()
    frame = pad.bounding_box()
    assert frame
    scale = min((frame["width"] - 24) / 600, (frame["height"] - 24) / 400, 8)
    middle = (frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)

    def at(x: float, y: float) -> tuple[float, float]:
        return middle[0] + (x - 0.5) * 600 * scale, middle[1] + (y - 0.5) * 400 * scale

    drag(page, at(0.4, 0.5), at(0.8, 0.9))
    page.get_by_role("button", name="Box 2").wait_for(state="attached")
    page.keyboard.press("F2")
    page.keyboard.type("cup, add a cell: b")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Box 2, cup, add a cell: b").wait_for(state="attached")


def check(folder: Path) -> None:
    """Python has the region that was drawn."""

    def read() -> dict[str, Any] | None:
        try:
            found = json.loads((folder / "found.json").read_text("utf-8"))
        except (OSError, ValueError):  # not there yet, or being written
            return None
        return found if found["names"] == ["", "cup, add a cell: b"] else None

    given, drawn = until(read, "Python never got the region")["regions"]
    assert given == {"box": [0.1, 0.1, 0.3, 0.3]}
    assert drawn["box"] == pytest.approx([0.4, 0.5, 0.8, 0.9], abs=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a photo."""
    Image.new("RGB", (600, 400), "teal").save(tmp_path / "photo.png")
    return tmp_path


def test_in_marimo(browser: Browser, folder: Path) -> None:
    def indented(text: str) -> str:
        return "".join(f"    {line}\n" for line in text.splitlines())

    text = MARIMO.format(beginning=indented(BEGINNING), writing=indented(WRITING))
    (folder / "notebook.py").write_text(text, "utf-8")
    options = ("run", "notebook.py", "--headless", "--no-token", "--host", "127.0.0.1", "--port", "{port}")
    with notebook_server(folder, "marimo", *options) as address, quiet_tab(browser, address) as page:
        draw_box_and_name_it(page)
        check(folder)


def test_in_jupyterlab(browser: Browser, folder: Path) -> None:
    def cell(source: str) -> dict[str, Any]:
        return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}

    notebook = {
        "cells": [cell(BEGINNING + "picker"), cell(WRITING)],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    (folder / "notebook.ipynb").write_text(json.dumps(notebook), "utf-8")
    options = ("--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port={port}", "--IdentityProvider.token=",
               "--ServerApp.root_dir=.", "--allow-root")  # fmt: skip
    with (
        notebook_server(folder, "jupyterlab", *options) as address,
        quiet_tab(browser, f"{address}/lab/tree/notebook.ipynb?reset") as page,
    ):
        dialog = page.locator("dialog.jp-Dialog")  # a slow server asks for the kernel
        page.add_locator_handler(dialog, lambda: dialog.locator(".jp-mod-accept").click())
        first, second = (page.locator(".jp-Notebook .jp-CodeCell").nth(number) for number in (0, 1))
        first.locator(".cm-content").click()
        page.get_by_title("Kernel status: Idle").or_(page.get_by_text("| Idle")).first.wait_for()
        page.keyboard.press("Shift+Enter")
        draw_box_and_name_it(page)
        assert page.locator(".jp-Notebook .jp-CodeCell").count() == 2  # no key of ours made or deleted a cell
        second.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        check(folder)
