"""A dialogue on the page, in a real browser: what it asked, and what it showed.

Needs Playwright and a Chromium (``CHATSPOT_CHROMIUM``, or ``chromium`` of the search path).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

DRAWN = ((0.29, 0.04, 0.69, 0.78), (0.6, 0.6, 0.9, 0.95), (0.1, 0.1, 0.4, 0.5))  # boxes, fractions of the picture
QUESTIONS = ("What is this?", "And what is this?", "Which colour does it have?")
SLOWEST_MS = 300_000


def page_dialogue(url: str, photo: Path) -> list[tuple[dict[str, Any], str]]:
    """Ask QUESTIONS about DRAWN, one turn after the other: the body of each request and the answer that was shown."""
    from playwright.sync_api import sync_playwright

    asked: list[tuple[dict[str, Any], str]] = []
    with sync_playwright() as driver:
        path = os.environ.get("CHATSPOT_CHROMIUM") or shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=path)
        page = browser.new_page(viewport={"width": 1100, "height": 760})
        page.set_default_timeout(SLOWEST_MS)
        bodies: list[dict[str, Any]] = []
        page.on("request", lambda request: bodies.append(request.post_data_json) if request.method == "POST" else None)
        page.goto(url)
        page.locator("#state[data-state=ready]").wait_for()
        page.locator("#file").set_input_files(photo)
        page.locator(".thumb[data-picture]").wait_for()
        for number, (box, question) in enumerate(zip(DRAWN, QUESTIONS, strict=True)):
            draw(page, *box)
            page.locator("#question").press("Control+End")
            page.keyboard.type(question)
            page.locator("#send").click()
            turn = page.locator(".turn").nth(number)
            turn.locator('.answer-said[data-state="done"]').wait_for()
            asked.append((bodies[-1], turn.locator(".answer-text").inner_text()))
        browser.close()
    return asked


def draw(page: Any, x1: float, y1: float, x2: float, y2: float) -> None:
    """Drag a box over the middle of the canvas, where the picture lies."""
    page.locator('[data-tool="box"]').click()
    around = page.locator(".canvas:not([hidden])").bounding_box()
    side = min(around["width"], around["height"]) * 0.8
    left, top = around["x"] + (around["width"] - side) / 2, around["y"] + (around["height"] - side) / 2
    page.mouse.move(left + x1 * side, top + y1 * side)
    page.mouse.down()
    page.mouse.move(left + x2 * side, top + y2 * side, steps=5)
    page.mouse.up()
