"""Pointing on the page: every tool by mouse and by touch, chips, undo; asserted on what the server was asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from site_of_page import Place, Site, last_regions, photo, plain
from told_engine import ToldEngine

from browser import drag
from chatspot.regions import Box, Mask, Point, Polygon, Region
from running_server import until

ROUND = [(0.5, 0.2), (0.7, 0.3), (0.8, 0.5), (0.7, 0.7), (0.5, 0.8), (0.3, 0.7), (0.2, 0.5), (0.3, 0.3)]
DRAWN: list[tuple[str, Sequence[Place], Region]] = [
    ("point", [(0.25, 0.75)], Point.from_normalized(0.25, 0.75)),
    ("box", [(0.2, 0.1), (0.7, 0.8)], Box.from_normalized(0.2, 0.1, 0.7, 0.8)),
    ("box", [(0.9, 0.9), (0.4, 0.6)], Box.from_normalized(0.4, 0.6, 0.9, 0.9)),
    ("polygon", [(0.2, 0.2), (0.8, 0.3), (0.5, 0.9)], Polygon.from_normalized([(0.2, 0.2), (0.8, 0.3), (0.5, 0.9)])),
    ("freehand", ROUND, Polygon.from_normalized(ROUND)),
]
NEAR = 0.006  # of the picture; a pixel of the window is up to 0.0016 of it


def near(found: Region, wanted: Region) -> bool:
    """Whether two regions are of one form and about in the same place."""
    if isinstance(wanted, Point):
        return isinstance(found, Point) and abs(found.x - wanted.x) < NEAR and abs(found.y - wanted.y) < NEAR
    if isinstance(wanted, Box):
        edges = zip(found.bounds_xyxy, wanted.bounds_xyxy, strict=True)
        return isinstance(found, Box) and all(abs(a - b) < NEAR for a, b in edges)
    return type(found) is type(wanted) and found.iou(wanted) > 0.96


@pytest.mark.parametrize("by", ["mouse", "touch"])
def test_every_tool(by: str, request: pytest.FixtureRequest, engine: ToldEngine):
    site: Site = request.getfixturevalue("site" if by == "mouse" else "phone")
    site.open()
    for tool, places, _ in DRAWN:
        site.draw(tool, *places, by=by)
    site.draw("brush", (0.3, 0.5), (0.7, 0.5), by=by)
    assert site.chips("#question") == len(DRAWN) + 1
    site.write("What are these?")
    assert site.send() == f"regions: {len(DRAWN) + 1}"
    *regions, mask = last_regions(engine)
    for region, (tool, _, wanted) in zip(regions, DRAWN, strict=True):
        assert near(region, wanted), (tool, region)
    assert isinstance(mask, Mask)
    left, top, right, bottom = mask.bounds_xyxy
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.01)
    assert (top + bottom) / 2 == pytest.approx(0.5, abs=0.01)
    assert right - left == pytest.approx(0.4 + 0.05, abs=0.02)  # and the brush's size: 5 % of the longer side


def test_the_window_changes_between_drawing_and_asking(site: Site, engine: ToldEngine):
    site.open()
    site.draw("box", (0.2, 0.1), (0.7, 0.8))
    for size in ({"width": 420, "height": 800}, {"width": 1500, "height": 620}, {"width": 700, "height": 700}):
        site.page.set_viewport_size(size)  # type: ignore[arg-type]
        site.page.wait_for_timeout(60)
    site.draw("polygon", (0.2, 0.2), (0.8, 0.3), (0.5, 0.9))
    site.page.set_viewport_size({"width": 1100, "height": 760})
    site.write("both?")
    site.send()
    box, polygon = last_regions(engine)
    assert near(box, Box.from_normalized(0.2, 0.1, 0.7, 0.8))
    assert near(polygon, DRAWN[3][2])


def test_a_zoomed_and_moved_picture(site: Site, engine: ToldEngine):
    site.open()
    canvas = site.page.locator(".canvas")
    canvas.hover()
    site.page.mouse.wheel(0, -400)
    site.page.wait_for_timeout(60)
    place = canvas.evaluate(
        """(host) => import("/static/canvas/region-canvas.js").then(() => {
          const { left, top, width, height } = host.getBoundingClientRect();
          return [left + width / 2, top + height / 2];
        })"""
    )
    site.tool("point")
    site.page.mouse.click(*place)  # the wheel turned over the middle: it stayed in its place
    site.write("what?")
    site.send()
    assert near(last_regions(engine)[0], Point.from_normalized(0.5, 0.5))


def test_a_picture_that_is_not_upright_in_its_file(site: Site, engine: ToldEngine):
    import io

    from PIL import Image

    turned = Image.new("RGB", (80, 120), "red")  # shown as 120 x 80
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif)
    site.open({"name": "turned.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    site.draw("box", (0.1, 0.2), (0.5, 0.6))
    site.write("?")
    site.send()
    assert near(last_regions(engine)[0], Box.from_normalized(0.1, 0.2, 0.5, 0.6))
    assert engine.asked[-1].images[0].size == (120, 80)


# ------------------------------------------------------------------------------------------------ chips


def test_a_chip_stands_at_the_caret_and_vanishes_with_its_region(site: Site, engine: ToldEngine):
    site.open()
    site.write("Is left of ?")
    for _ in range(len("left of ?") + 1):
        site.page.keyboard.press("ArrowLeft")
    site.draw("box", (0.1, 0.1), (0.3, 0.3))
    assert site.question == "Is [1] left of ?"
    assert site.page.evaluate("document.activeElement.id") == "question", "the mouse goes on to the question"
    site.page.keyboard.press("End")
    site.page.keyboard.press("ArrowLeft")
    site.draw("point", (0.8, 0.8))
    assert site.question in ("Is [1] left of [2] ?", "Is [1] left of [2]?")

    site.page.locator("#regions .chip").first.click()
    site.page.get_by_label("Remove the region").click()
    assert "[1]" not in site.question
    assert "[2]" in site.question
    site.page.locator("#undo").click()
    assert site.question.startswith("Is [1]"), "undone, the chip is back in its place"
    site.page.locator("#redo").click()
    assert "[1]" not in site.question
    site.send()
    assert [type(region) for region in last_regions(engine)] == [Point]


def test_deleting_a_chip_leaves_the_region(site: Site):
    site.open()
    site.draw("box", (0.1, 0.1), (0.3, 0.3))
    site.page.keyboard.press("Backspace")  # the blank behind it
    site.page.keyboard.press("Backspace")
    assert site.question == ""
    assert site.chips("#regions") == 1
    site.page.keyboard.type("What is @1")
    assert site.question == "What is [1] ", "it can be named by its number"
    site.page.keyboard.press("Alt+1")
    assert site.question.count("[1]") == 2
    site.page.keyboard.press("Control+a")
    site.page.keyboard.press("Delete")
    assert site.question == ""
    assert site.chips("#regions") == 1


def test_undo_in_the_question(site: Site):
    """Words first, then the region that was drawn before them."""
    site.open()
    site.draw("box", (0.1, 0.1), (0.3, 0.3))
    site.page.keyboard.type("one two")
    site.page.keyboard.press("Control+z")
    assert site.question == "[1] one "
    site.page.keyboard.press("Control+z")
    site.page.keyboard.press("Control+Shift+z")
    assert site.question == "[1] one "
    site.page.keyboard.press("Control+a")
    site.page.keyboard.press("Backspace")
    assert site.question == ""
    site.page.keyboard.press("Control+z")
    assert site.question == "[1] one "
    site.draw("point", (0.8, 0.8))
    assert site.chips("#regions") == 2
    site.page.keyboard.press("Control+z")
    assert site.chips("#regions") == 1
    assert site.question.strip() == "[1] one"


def test_chips_light_up_their_region(site: Site):
    site.open()
    site.draw("box", (0.3, 0.3), (0.7, 0.7))
    site.page.keyboard.press("Escape")
    site.page.keyboard.press("Escape")  # nothing is selected
    site.page.mouse.move(5, 5)
    inside, *_ = site.at((0.5, 0.5))
    clip = {"x": inside[0] - 5, "y": inside[1] - 5, "width": 10, "height": 10}
    before = site.page.screenshot(clip=clip)  # type: ignore[arg-type]
    site.page.locator("#question .chip").hover()
    site.page.locator("#regions .chip.lit").wait_for()
    until(lambda: site.page.screenshot(clip=clip) != before)  # type: ignore[arg-type]
    site.page.mouse.move(5, 5)
    until(lambda: site.page.screenshot(clip=clip) == before)  # type: ignore[arg-type]


def test_names_and_colours_are_those_of_the_chips(site: Site):
    site.open()
    site.draw("box", (0.3, 0.3), (0.7, 0.7))
    name = site.page.get_by_label("Name of the region")
    name.fill("the <b>cup</b>")
    name.press("Enter")
    chip = site.page.locator("#question .chip")
    assert chip.inner_text().split("\n") == ["1", "the <b>cup</b>"], "text, not HTML"
    site.page.get_by_role("radio", name="green").click()
    assert chip.locator(".badge").evaluate("badge => badge.style.backgroundColor") == "rgb(0, 158, 115)"


def test_moving_and_bending(site: Site, engine: ToldEngine):
    site.open(plain("gray", (600, 400)))
    site.draw("box", (0.2, 0.2), (0.4, 0.4))
    site.tool("select")
    drag(site.page, *site.at((0.3, 0.3), (0.5, 0.6)))
    drag(site.page, *site.at((0.6, 0.7), (0.8, 0.9)))  # its corner
    site.page.locator("#question").click()
    site.write("?")
    site.send()
    assert near(last_regions(engine)[0], Box.from_normalized(0.4, 0.5, 0.8, 0.9))


def test_what_is_pasted_is_text(site: Site):
    site.open()
    site.page.locator("#question").click()
    site.page.evaluate(
        """() => { const given = new DataTransfer();
          given.setData("text/html", "<img src=x onerror=alert(1)><b>bold</b>");
          given.setData("text/plain", "<b>bold</b>\\nand more");
          const settings = { clipboardData: given, bubbles: true, cancelable: true };
          document.activeElement.dispatchEvent(new ClipboardEvent("paste", settings));
        }"""
    )
    assert site.question == "<b>bold</b>\nand more"
    assert site.page.locator("#question *").count() == 0


def test_more_pictures_than_a_session_holds(site: Site):
    site.open(*[plain("red", name=f"{number}.png") for number in range(8)])
    site.page.locator("#file").set_input_files([photo("cat.jpg")])
    site.page.locator("#note", has_text="A session holds 8 pictures").wait_for()
    assert site.page.locator(".canvas").count() == 8
