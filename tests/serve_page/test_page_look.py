"""The page for everybody: no violations found by axe-core, all of it by keys alone, every size of window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from site_of_page import Site, last_regions, page_at
from told_engine import ToldEngine

from chatspot.regions import Box, Polygon
from running_server import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = {"small": (320, 568), "phone": (390, 844), "lying": (740, 360), "desktop": (1280, 800), "4K": (3840, 2160)}
DIALOGS = ("#help", "#sessions", "#camera", "#key")


def audit(site: Site) -> list[str]:
    """What axe-core finds, with the places."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found: dict[str, Any] = axe.Axe().run(site.page).response
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]


@pytest.mark.parametrize(("size", "scheme"), [("small", "light"), ("desktop", "light"), ("desktop", "dark")])
def test_no_violations(size: str, scheme: Any, browser: Browser, running: Running, engine: ToldEngine):
    width, height = SIZES[size]
    view = {"width": width, "height": height}
    with page_at(browser, running.url, viewport=view, color_scheme=scheme, reduced_motion="reduce") as site:
        assert audit(site) == []
        engine.answers.extend(["a cup <box>0.1, 0.2, 0.5, 0.6</box>", "a spoon"])
        site.open()
        site.draw("box", (0.1, 0.1), (0.5, 0.5))
        site.write("What is this?")
        site.send()
        site.page.get_by_label("Correct this answer").click()
        assert audit(site) == []
        site.page.keyboard.press("Enter")
        site.tool("brush")
        site.write("And @1 ")
        assert audit(site) == []
        for dialog in DIALOGS:
            if dialog == "#sessions":
                site.page.locator("#open-sessions").click()
            else:
                site.page.locator(dialog).evaluate("dialog => dialog.showModal()")
            assert audit(site) == [], dialog
            site.page.keyboard.press("Escape")


@pytest.mark.parametrize("size", SIZES)
def test_nothing_leaves_the_window(size: str, browser: Browser, running: Running, engine: ToldEngine):
    width, height = SIZES[size]
    with page_at(browser, running.url, viewport={"width": width, "height": height}) as site:
        for opened in (False, True):
            if opened:
                site.open()
                site.draw("box", (0.1, 0.1), (0.5, 0.5))
                site.write("What is this, and this, and this?")
            root = "document.documentElement"
            overflow = f"[{root}.scrollWidth - innerWidth, {root}.scrollHeight - innerHeight]"
            assert site.page.evaluate(overflow) == [0, 0]
            for control in (
                "#open-sessions",
                "#open-help",
                "#question",
                "#send",
                *(["#tool-choice"] if opened else []),
            ):
                box = site.page.locator(control).bounding_box()
                assert box is not None
                assert box["x"] >= 0, control
                assert box["y"] >= 0, control
                assert box["x"] + box["width"] <= width, control
                assert box["y"] + box["height"] <= height, control
            if opened:
                canvas = site.page.locator(".canvas").bounding_box()
                assert canvas is not None
                assert canvas["height"] > 0.2 * height, "there is room for the picture"


def test_keys_alone(site: Site, engine: ToldEngine):
    """From the first Tab to a corrected answer, without a pointer."""
    page = site.page
    focused = "document.activeElement.id || document.activeElement.className"

    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"({focused}).includes({name!r})"):
                return
        raise AssertionError(f"no Tab leads to {name}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("example")
    page.keyboard.press("Enter")
    page.locator("#question .chip").wait_for()
    assert page.evaluate(focused) == "question"
    page.keyboard.press("Escape")
    assert "canvas" in str(page.evaluate("document.activeElement.className"))

    page.keyboard.press("b")  # a box, from corner to corner
    for key in ("ArrowLeft", "Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.keyboard.press("g")  # a polygon
    for key in ("Enter", "Shift+ArrowLeft", "Enter", "Shift+ArrowUp", "Enter", "Enter"):
        page.keyboard.press(key)
    page.wait_for_function("() => document.querySelectorAll('#regions .chip').length === 3")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => document.querySelectorAll('#regions .chip').length === 2")
    page.keyboard.press("Control+Shift+z")
    page.wait_for_function("() => document.querySelectorAll('#regions .chip').length === 3")

    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate(focused) == "question"
    page.keyboard.press("Control+a")
    page.keyboard.type("What are @2and @3")
    engine.answers.append("two things")
    page.keyboard.press("Enter")
    assert site.answer() == "two things"
    box, polygon = last_regions(engine)
    assert isinstance(box, Box)
    assert (box.x2 - box.x1, box.y2 - box.y1) == pytest.approx((0.2, 0.1))
    assert isinstance(polygon, Polygon)
    until_said = "() => document.querySelector('#said').textContent === 'Answer: two things'"
    page.wait_for_function(until_said)

    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.ariaLabel") == "Correct this answer":
            break
    page.keyboard.press("Enter")
    page.keyboard.type("a cup and a corner")
    page.keyboard.press("Enter")
    assert site.answer() == "a cup and a corner"
    assert page.evaluate("document.activeElement.ariaLabel") == "Correct this answer"


def test_light_and_dark_by_hand(site: Site):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = site.page.evaluate(ground)
    button = site.page.locator("#theme")
    button.click()
    assert button.get_attribute("aria-label") == "Colours: light"
    assert site.page.evaluate(ground) == light
    button.click()
    assert site.page.evaluate(ground) != light
    site.page.reload()
    assert site.page.evaluate(ground) != light, "it is remembered"
