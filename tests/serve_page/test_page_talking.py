"""Asking on the page: streams, stop, retry, a server that is loading, busy or wants a key, answers with regions."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import pytest
from site_of_page import Site, last_regions, page_at, photo, plain, told
from told_engine import ToldEngine

from browser import chromium
from chatspot.engine import Engine
from chatspot.regions import Box
from running_server import Running, serving, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_an_answer_streams_and_stops(site: Site, engine: ToldEngine):
    site.open()
    engine.answers.extend(["first <script>alert(1)</script> & the rest", "again"])
    engine.flowing.clear()
    site.write("What is this?")
    site.page.keyboard.press("Enter")
    site.page.locator(".answer-text", has_text="first").wait_for()
    assert site.page.locator("#stop").is_visible()
    site.page.keyboard.press("Escape")
    assert site.answer(0, "stopped") == "first "
    engine.flowing.set()
    site.page.get_by_label("Ask again").click()
    assert site.answer(0) == "again"
    assert len(engine.asked) == 2
    assert told(engine)[0]["content"][-1] == {"type": "text", "text": "What is this?"}


def test_text_of_the_model_is_text(site: Site, engine: ToldEngine):
    site.open()
    engine.answers.append("<img src=x onerror=alert(1)> & <b>bold</b>")
    site.write("<i>What</i>?")
    assert site.send() == "<img src=x onerror=alert(1)> & <b>bold</b>"
    assert site.page.locator(".turn img, .turn b, .turn i").count() == 0


def test_regions_in_an_answer_are_drawn(site: Site, engine: ToldEngine):
    site.open(plain("black", (300, 200)))
    before = site.page.locator(".canvas").screenshot()
    engine.answers.append("Here: <box>0.1, 0.2, 0.5, 0.6</box> and <box>0.9, 0.9</box>, not <box>none</box>.")
    site.write("Where is it?")
    assert site.send().replace("\n", "") == "Here: A and B, not <box>none</box>."
    assert site.chips(".answer-text") == 2
    until(lambda: site.page.locator(".canvas").screenshot() != before)
    plainly = site.page.locator(".canvas").screenshot()
    site.page.locator(".answer-text .chip").first.hover()
    until(lambda: site.page.locator(".canvas").screenshot() != plainly)
    site.write("And beside it?")
    site.send()
    regions = [part for part in told(engine)[1]["content"] if part["type"] == "region"]
    assert regions[0] == {"type": "region", "image": 0, "box": [0.1, 0.2, 0.5, 0.6]}, "the model reads what it wrote"


def test_several_pictures(site: Site, engine: ToldEngine):
    """A question shows the picture that it needs, once; one about an older picture as a whole points at all of it."""
    site.open(plain("red", name="red.png"))
    site.draw("box", (0.1, 0.1), (0.5, 0.5))
    site.write("this?")
    site.send()
    site.open(plain("blue", name="blue.png"))
    site.write("Describe it.")
    site.send()
    assert [part["type"] for part in told(engine)[2]["content"]] == ["image", "text"]
    assert [image.getpixel((0, 0)) for image in engine.asked[-1].images] == [(255, 0, 0), (0, 0, 255)]
    site.page.get_by_label("Picture 1, red.png").click()
    site.write("And this?")
    site.send()
    last = told(engine)[-1]["content"]
    assert last[-1] == {"type": "region", "image": 0, "box": [0.0, 0.0, 1.0, 1.0]}
    site.page.keyboard.press("Escape")
    site.page.keyboard.press("PageDown")
    site.draw("point", (0.5, 0.5))
    site.page.keyboard.press("Alt+1")
    site.write("both?")
    site.send()
    assert [part["image"] for part in told(engine)[-1]["content"] if part["type"] == "region"] == [1, 1]
    site.page.get_by_label("Remove picture 1").click(force=True)
    site.page.locator("#note", has_text="Turns of this conversation").wait_for()


def test_a_correction_is_what_was_said(site: Site, engine: ToldEngine):
    site.open()
    engine.answers.append("a fork")
    site.write("What is this?")
    site.send()
    site.page.get_by_label("Correct this answer").click()
    field = site.page.get_by_label("The right answer")
    assert field.input_value() == "a fork"
    field.fill("a spoon")
    field.press("Enter")
    assert site.answer(0) == "a spoon"
    assert "The model said: a fork" in site.page.locator(".turn").inner_text()
    site.write("Sure?")
    site.send()
    assert told(engine)[1]["content"] == [{"type": "text", "text": "a spoon"}]
    site.page.get_by_label("Remove this turn").first.click()
    assert site.page.locator(".turn").count() == 1


def test_a_server_that_is_loading(browser: Browser):
    """A question that came too early is asked when the model is there."""
    opened = Event()
    engine = ToldEngine()

    def slowly() -> Engine:
        opened.wait(60)
        return engine

    with serving(slowly, ready=False) as running:
        try:
            with page_at(browser, running.url, wait=False, refused=["status of 503"]) as site:
                site.page.locator("#state[data-state=loading]").wait_for()
                assert "being opened" in site.page.locator("#banner").inner_text()
                site.open()
                site.write("What is this?")
                site.page.keyboard.press("Enter")
                site.page.locator(".waiting", has_text="Waiting for the model").wait_for()
                opened.set()
                assert site.answer() == "regions: 0"
                assert site.page.locator("#banner").is_hidden()
        finally:
            opened.set()


def test_a_server_that_is_busy(browser: Browser):
    engine = ToldEngine()
    engine.flowing.clear()
    with (
        serving(lambda: engine, batch=1, queue=0) as running,
        page_at(browser, running.url, wait=False, refused=["status of 429"]) as other,
        page_at(browser, running.url, wait=False, refused=["status of 429"]) as site,
    ):
        for one, text in ((other, "the first to come"), (site, "the second")):
            engine.answers.append(text)
            one.open()
            one.write("?")
            one.page.keyboard.press("Enter")
            if one is other:
                one.page.locator(".answer-text", has_text="the").wait_for()
        site.page.locator(".waiting", has_text="The server is busy: again in").wait_for()
        engine.flowing.set()
        assert other.answer() == "the first to come"
        assert site.answer() == "the second"


def test_a_server_with_a_key(browser: Browser):
    engine = ToldEngine()
    with (
        serving(lambda: engine, api_key="a long secret") as running,
        page_at(browser, running.url, wait=False, refused=["status of 401"]) as site,
    ):
        site.open()
        site.write("What is this?")
        site.page.keyboard.press("Enter")
        site.page.locator("#key-value").fill("a long secret")
        site.page.keyboard.press("Enter")
        assert site.answer() == "regions: 0"
        site.settle()
        site.page.reload()
        site.page.locator(".turn").wait_for()
        site.write("And now?")
        assert site.send() == "regions: 0", "the tab keeps the key"


def test_what_cannot_be_answered_says_why(browser: Browser):
    engine = ToldEngine()
    with (
        serving(lambda: engine, regions=1) as running,
        page_at(browser, running.url, wait=False, refused=["status of 400"]) as site,
    ):
        site.open()
        site.draw("box", (0.1, 0.1), (0.5, 0.5))
        site.draw("box", (0.3, 0.3), (0.9, 0.9))
        site.write("both?")
        site.send("failed")
        assert "more regions than the server takes" in site.page.locator(".turn .fault").inner_text()
        site.page.keyboard.press("ArrowUp")
        assert site.question.startswith("[1] [2]"), "the question comes back"


# ------------------------------------------------------------------------------------------------ pictures


def test_a_photo_dropped_on_the_page(site: Site, engine: ToldEngine):
    site.drop(photo("cat.jpg"))
    site.page.locator(".thumb[data-picture]").wait_for()
    site.draw("box", (0.2, 0.2), (0.8, 0.8))
    site.drop(photo("coffee.jpg"), onto="#question")
    site.page.locator(".thumb[data-picture]").nth(1).wait_for()
    assert site.page.locator('.thumb[aria-current="true"]').get_attribute("title") == "coffee.jpg"
    site.write("What is this?")
    site.send()
    assert [image.size for image in engine.asked[-1].images] == [(451, 300)]
    assert len(last_regions(engine)) == 1
    site.drop({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    site.page.locator("#note", has_text="no picture that the browser can open").wait_for()


def test_an_example_is_a_question_away_from_an_answer(site: Site, engine: ToldEngine):
    site.page.get_by_role("button", name="Cup of coffee").click()
    site.page.locator("#question .chip").wait_for()
    site.page.keyboard.press("Enter")
    assert site.answer() == "regions: 1"
    found = last_regions(engine)[0]
    assert isinstance(found, Box)
    assert found.iou(Box.from_pixels(172, 14, 416, 314, size=(600, 400))) > 0.99


def test_a_large_picture_is_made_smaller(site: Site, engine: ToldEngine):
    site.open(plain("teal", (7000, 4000), "large.png"))
    site.draw("box", (0.25, 0.25), (0.75, 0.5))
    site.write("?")
    site.send()
    assert engine.asked[-1].images[0].size == (4096, 2341)
    assert last_regions(engine)[0].iou(Box.from_normalized(0.25, 0.25, 0.75, 0.5)) > 0.97


@pytest.mark.parametrize("fault", ["no camera", "camera"])
def test_the_camera(fault: str, running: Running, engine: ToldEngine, browser: Browser):
    """A camera of the browser's own making; and the words where there is none."""
    if fault == "no camera":
        with page_at(browser, running.url, permissions=["camera"]) as site:
            site.page.locator('[data-do="camera"]').click()
            site.page.locator("#camera-fault", has_text="There is no camera here").wait_for()
            site.page.keyboard.press("Escape")
            assert site.page.locator("#camera").is_hidden()
        return
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    seeing = browser.browser_type.launch(executable_path=chromium(), args=flags)
    try:
        with page_at(seeing, running.url, permissions=["camera"]) as site:
            site.page.locator('[data-do="camera"]').click()
            site.page.locator("#camera-take:enabled").click()
            site.page.locator(".thumb[data-picture]").wait_for()
            site.draw("box", (0.2, 0.2), (0.8, 0.8))
            site.write("?")
            site.send()
            assert len(engine.asked[-1].images) == 1
    finally:
        seeing.close()
