"""The page over a model that another server computes: what is drawn arrives there, and its answers stream back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from site_of_page import last_regions, page_at, photo
from told_engine import ToldEngine

from chatspot.engine.remote import OWN_SERVER
from chatspot.regions import Box, Point
from running_server import Running, process

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("dialect", [OWN_SERVER, "chatspot"])
def test_a_dialogue_through_a_server_of_its_own(browser: Browser, running: Running, engine: ToldEngine, dialect: str):
    engine.answers.extend(["a cup at <box>0.3, 0.1, 0.6, 0.7</box>", "slowly, a spoon"])
    far = ("--engine", "remote", "--url", f"{running.url}/v1", "--dialect", dialect, "--remote-model", "told")
    with process(*far) as (_, url), page_at(browser, url.removesuffix("/v1")) as site:
        site.drop(photo("coffee.jpg"))
        site.page.locator(".thumb[data-picture]").wait_for()
        site.draw("box", (0.287, 0.035), (0.693, 0.785))
        site.write("What is this?")
        assert site.send().replace("\n", "") == "a cup at A"
        (drawn,) = last_regions(engine)
        assert drawn.iou(Box.from_normalized(0.287, 0.035, 0.693, 0.785)) > 0.98

        engine.flowing.clear()
        site.draw("point", (0.603, 0.713))
        site.write("And this?")
        site.page.locator("#send").click()
        site.page.locator(".turn").nth(1).locator(".answer-text", has_text="slowly").wait_for()
        engine.flowing.set()
        assert site.answer(1) == "slowly, a spoon"
        assert len(engine.asked[-1].conversation.messages) == 3, "the first turn went along"
        (drawn,) = last_regions(engine)
        assert isinstance(drawn, Point)
        assert (drawn.x, drawn.y) == pytest.approx((0.603, 0.713), abs=0.005)
