"""A browser, and a page with nothing but the canvas."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from browser import SLOWEST_MS, Place, files_served, launched, opened
from chatspot.canvas import module_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
SIZE_WH = (600, 400)


@dataclass
class Board:
    """A page with the canvas."""

    page: Page

    def at(self, x: float, y: float) -> Place:
        """Where a place of the picture lies in the window."""
        found = self.page.evaluate("place => canvas.toClient(place)", [x, y])
        return found["x"], found["y"]

    def do(self, script: str, given: Any = None) -> Any:
        """What a piece of JavaScript gives back; ``canvas`` is the canvas, ``given`` a value."""
        return self.page.evaluate(f"given => ({script})", given)

    @property
    def regions(self) -> list[dict[str, Any]]:
        """The regions alone."""
        return [entry["region"] for entry in self.do("canvas.regions")]

    @property
    def said(self) -> str:
        """What a screen reader was told last."""
        return self.page.get_by_role("status").inner_text()

    @property
    def hint(self) -> str | None:
        """What everybody is told now. Not its ``inner_text``, which is empty until fading in has drawn a frame."""
        shown = self.page.locator(".hint.shown")
        return shown.text_content() if shown.count() else None

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What the canvas said of one kind so far."""
        return self.do("events.filter(event => event.type === given)", kind)

    @property
    def focused(self) -> str:
        """The text of what has the focus inside the canvas."""
        return self.do("document.querySelector('#host').shadowRoot.activeElement.textContent")

    def show(self, file: bytes, regions: Sequence[dict[str, Any]] = ()) -> None:
        """Open the bytes of a picture's file."""
        self.do("canvas.open(blobOf(given[0]), {regions: given[1]})", [base64.b64encode(file).decode(), list(regions)])

    def until(self, script: str) -> None:
        """Wait until a piece of JavaScript is true. (Playwright's own way needs an eval that the page forbids.)"""
        end = time.monotonic() + SLOWEST_MS / 1000
        while not self.do(script):
            assert time.monotonic() < end, f"it never came to be: {script}"
            time.sleep(0.02)


Opener = Callable[..., AbstractContextManager[Board]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the page and the canvas."""
    folder = tmp_path_factory.mktemp("canvas")
    shutil.copytree(module_folder(), folder / "canvas", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name in ("canvas.html", "canvas.css", "canvas.mjs"):
        shutil.copy(HERE / name, folder)
    with files_served(folder) as found:
        yield f"{found}/canvas.html"


@pytest.fixture(scope="module")
def board(browser: Browser, address: str) -> Opener:
    """Open a page with the canvas and a picture of ``SIZE_WH``; settings are those of Playwright's ``new_context``."""

    @contextmanager
    def opener(**settings: Any) -> Iterator[Board]:
        with opened(browser, address, **{"viewport": {"width": 1000, "height": 800}, **settings}) as page:
            found = Board(page)
            file = io.BytesIO()
            Image.new("RGB", SIZE_WH, "white").save(file, "PNG")
            found.show(file.getvalue())
            yield found

    return opener
