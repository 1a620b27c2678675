"""What a person does on the page, for tests."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from PIL import Image
from told_engine import ToldEngine

import chatspot
from browser import SLOWEST_MS, drag, opened, touch
from chatspot.messages import RegionPart
from chatspot.regions import Region

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Page

EXAMPLES = Path(chatspot.__file__).parent / "examples"
Place = tuple[float, float]

DROP = """([host, files]) => {
  const carried = new DataTransfer();
  for (const { name, type, data } of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    carried.items.add(new File([bytes], name, { type }));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    host.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


@dataclass
class Site:
    """The page in a tab, and its address."""

    page: Page
    url: str

    def enter(self, wait: bool = True) -> Self:
        """Go there, and wait until it has begun, with ``wait`` until the model is ready."""
        self.page.goto(self.url)
        if wait:
            self.page.locator("#state[data-state=ready]").wait_for()
        self.page.locator(".example").last.wait_for()
        return self

    # ---- pictures

    def open(self, *pictures: FilePayload) -> None:
        """Open pictures by the file chooser; wait until the last is shown."""
        before = self.page.locator(".canvas").count()
        self.page.locator("#file").set_input_files(list(pictures) or [photo("coffee.jpg")])
        self.page.locator(".canvas").nth(before + max(len(pictures), 1) - 1).wait_for(state="attached")
        self.page.wait_for_function(
            "count => document.querySelectorAll('.thumb[data-picture]').length === count",
            arg=before + max(len(pictures), 1),
        )

    def drop(self, *pictures: FilePayload, onto: str = "#stage") -> None:
        """Drop files on the page."""
        files = [
            {"name": p["name"], "type": p["mimeType"], "data": base64.b64encode(p["buffer"]).decode()} for p in pictures
        ]
        self.page.evaluate(DROP, [self.page.locator(onto).element_handle(), files])

    # ---- pointing

    def tool(self, name: str) -> None:
        """Take a tool."""
        self.page.locator(f'[data-tool="{name}"]').click()

    def at(self, *places: Place) -> list[Place]:
        """Places of the picture in the window's pixels. It lies in the middle of the canvas, 12 pixels from the nearer
        sides; what the page draws is not asked."""
        canvas = self.page.locator(".canvas:not([hidden])")
        box = canvas.bounding_box()
        assert box is not None
        image = self.page.locator('.thumb[aria-current="true"] img')
        width, height = image.evaluate(
            "async img => { await img.decode(); return [img.naturalWidth, img.naturalHeight]; }"
        )
        scale = min((box["width"] - 24) / width, (box["height"] - 24) / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return [(left + x * width * scale, top + y * height * scale) for x, y in places]

    def draw(self, tool: str, *places: Place, by: str = "mouse") -> None:
        """Draw with a tool through places of the picture, and wait for the region."""
        before = self.chips("#regions")
        self.tool(tool)
        path = self.at(*places)
        strokes = [[place] for place in (*path, path[0])] if tool == "polygon" else [path]
        for stroke in strokes:
            if by == "touch":
                touch(self.page, stroke)
            elif len(stroke) == 1:
                self.page.mouse.click(*stroke[0])
            else:
                drag(self.page, *stroke)
        self.page.wait_for_function(
            "count => document.querySelectorAll('#regions .chip').length === count", arg=before + 1
        )

    def chips(self, where: str) -> int:
        """How many chips there are in a place of the page."""
        return self.page.locator(f"{where} .chip").count()

    # ---- asking

    def write(self, text: str) -> None:
        """Type at the end of the question."""
        self.page.locator("#question").press("Control+End")
        self.page.keyboard.type(text)

    @property
    def question(self) -> str:
        """The question, its chips as [1]."""
        read = """box => [...box.childNodes].map((node) =>
          node.dataset?.part ? `[${JSON.parse(node.dataset.part).number}]` : node.textContent).join("")"""
        return str(self.page.locator("#question").evaluate(read)).replace("\u200b", "")

    def send(self, state: str = "done") -> str:
        """Ask, and wait for an answer in this state; gives back its text."""
        before = self.page.locator(".turn").count()
        self.page.locator("#send").click()
        return self.answer(before, state)

    def answer(self, number: int = -1, state: str = "done") -> str:
        """The text of an answer, once it is in this state."""
        turn = self.page.locator(".turn").nth(number)
        turn.locator(f'.answer-said[data-state="{state}"]').wait_for()
        return str(turn.locator(".answer-text").inner_text())

    def settle(self) -> None:
        """Wait until the page has kept its session."""
        self.page.wait_for_timeout(450)


@contextmanager
def page_at(
    browser: Browser, url: str, *, wait: bool = True, refused: Sequence[str] = (), **settings: Any
) -> Iterator[Site]:
    """The page at a server, in a profile of its own; without ``wait`` before the model is ready. Browsers report every
    answer with a status above 399 as an error: those that a text of ``refused`` stands in are meant."""
    view = {"viewport": {"width": 1100, "height": 760}, **settings}
    if not refused:
        with opened(browser, **view) as tab:
            yield Site(tab, url).enter(wait)
        return
    context = browser.new_context(**view)
    context.set_default_timeout(SLOWEST_MS)
    try:
        tab = context.new_page()
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        yield Site(tab, url).enter(wait)
        assert [text for text in errors if not any(mark in text for mark in refused)] == []
    finally:
        context.close()


def photo(name: str = "coffee.jpg") -> FilePayload:
    """An example photo as a file."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": (EXAMPLES / name).read_bytes()}


def plain(color: str, size: tuple[int, int] = (120, 80), name: str = "plain.png") -> FilePayload:
    """A picture of one colour as a file."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def last_regions(engine: ToldEngine) -> list[Region]:
    """The regions of the question that came last."""
    return [part.region for part in engine.asked[-1].conversation.messages[-1].parts if isinstance(part, RegionPart)]


def told(engine: ToldEngine) -> list[dict[str, Any]]:
    """The conversation that came last."""
    return engine.asked[-1].conversation.to_json()
