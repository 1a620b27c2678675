"""What the page says of an answer that is likely wrong, and that this can be switched off."""

from __future__ import annotations

from site_of_page import Site, told
from told_engine import ToldEngine

from chatspot.engine.calibration import Calibration

HALF_SURE = Calibration(((-4.0, 0.1), (0.0, 0.9)), 0.6, 0.2, 0.5, 200, {}, ())
UNSURE = "I can't tell; perhaps: cup (34 %)"


def test_an_answer_that_is_likely_wrong_stands_under_a_reserve(site: Site, engine: ToldEngine):
    engine.calibration, engine.logprob = HALF_SURE, -2.8
    site.open()
    engine.answers.extend(["cup", "cup", "cup"])
    site.write("What is this?")
    assert site.send() == UNSURE
    site.page.locator("#said", has_text="Answer: I can't tell; perhaps: cup (34 %)").wait_for()
    assert site.page.locator(".turn .confidence").inner_text().endswith("34 %")
    engine.logprob = -0.5
    site.write("And this?")
    assert site.send() == "cup", "a sure one is given as it is"
    assert told(engine)[1]["content"] == [{"type": "text", "text": "cup"}], "the model reads what it said"
    site.settle()
    site.page.reload()
    assert site.answer(0) == UNSURE, "the session keeps it"
    site.page.get_by_label("This is right").first.click()
    assert site.answer(0) == "cup", "a person knows better"


def test_the_reserve_can_be_switched_off(site: Site, engine: ToldEngine):
    engine.calibration, engine.logprob = HALF_SURE, -2.8
    site.open()
    engine.answers.append("cup")
    site.write("What is this?")
    assert site.send() == UNSURE
    site.page.locator("#open-help").click()
    site.page.locator("#modest").uncheck()
    site.page.locator("#help [data-close]").click()
    assert site.answer(0) == "cup"
    site.settle()
    site.page.reload()
    assert site.answer(0) == "cup", "the browser keeps the choice"
    assert not site.page.locator("#modest").is_checked()


def test_without_a_calibration_nothing_is_held_back(site: Site, engine: ToldEngine):
    engine.logprob = -2.8
    site.open()
    engine.answers.append("<b>cup</b>")
    site.write("What is this?")
    assert site.send() == "<b>cup</b>"
    title = site.page.locator(".turn .confidence").get_attribute("title")
    assert title == "How sure the model is of its words"
