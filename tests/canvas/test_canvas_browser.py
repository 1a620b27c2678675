"""The canvas in a real browser: every tool by mouse, touch and keys, and what comes out of it."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import Place, drag, touch
from chatspot.regions import Box, Mask, Point, Polygon, region_from_json
from conftest import SIZE_WH, Board, Opener

PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
A_PIXEL = 1.2 / 300  # of the picture, where it is shown at its smallest here: rounding of places to whole pixels


def ring(x: float, y: float, radius: float, steps: int = 14) -> list[Place]:
    """Places on a circle around (x, y), in the picture."""
    turns = [2 * math.pi * step / steps for step in range(steps + 1)]
    return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]


def near(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same region, but for the rounding of places to pixels."""
    assert list(found) == list(expected)
    for form, values in expected.items():
        assert np.ravel(found[form]).tolist() == pytest.approx(np.ravel(values).tolist(), abs=A_PIXEL)


@pytest.mark.parametrize("touched", [False, True], ids=["mouse", "touch"])
def test_every_tool_draws(board: Opener, touched: bool) -> None:
    with board(**PHONE if touched else {}) as found:
        page = found.page

        def draw(*path: Place) -> None:
            places = [found.at(*place) for place in path]
            touch(page, places) if touched else drag(page, *places)

        def click(*place: float) -> None:
            page.touchscreen.tap(*found.at(*place)) if touched else page.mouse.click(*found.at(*place))

        draw((0.1, 0.2), (0.4, 0.6))
        found.do("canvas.tool = 'point'")
        click(0.7, 0.3)
        found.do("canvas.tool = 'polygon'")
        for place in [(0.5, 0.5), (0.9, 0.55), (0.7, 0.9), (0.5, 0.5)]:
            click(*place)
        found.do("canvas.tool = 'freehand'")
        draw(*ring(0.25, 0.7, 0.15))
        found.do("canvas.tool = 'brush'")
        draw((0.6, 0.1), (0.9, 0.1))
        box, point, polygon, outline, mask = found.regions
        near(box, {"box": [0.1, 0.2, 0.4, 0.6]})
        near(point, {"point": [0.7, 0.3]})
        near(polygon, {"polygon": [[0.5, 0.5], [0.9, 0.55], [0.7, 0.9]]})
        drawn = Polygon.from_normalized(outline["polygon"])
        assert 6 < len(drawn.points) <= 26
        assert drawn.iou(Polygon.from_normalized(ring(0.25, 0.7, 0.15)[:-1])) > 0.95
        painted = region_from_json(mask)
        assert isinstance(painted, Mask)
        assert painted.size_wh == (512, 341)
        radius = 0.025  # 5 % of the longer side, halved
        assert painted.bounds_xyxy == pytest.approx(
            (0.6 - radius, 0.1 - radius * 1.5, 0.9 + radius, 0.1 + radius * 1.5), abs=2 * A_PIXEL
        )
        entries = found.do("canvas.regions")
        assert [entry["number"] for entry in entries] == [1, 2, 3, 4, 5]
        assert [event["id"] for event in found.events("draw")] == [entry["id"] for entry in entries]
        assert [region_from_json(region).to_json() for region in found.regions] == found.regions


def test_what_is_no_region_is_refused_and_says_why(board: Opener) -> None:
    with board() as found:
        for tool, path in [("box", [(0.5, 0.5), (0.501, 0.501)]), ("box", [(0.5, 0.5), (0.8, 0.501)]),
                           ("box", [(0.5, 0.5), (0.5, 0.5)]), ("freehand", [(0.5, 0.5), (0.503, 0.5)]),
                           ("freehand", [(0.2, 0.5), (0.8, 0.5)])]:  # fmt: skip
            found.do("canvas.tool = given", tool)
            drag(found.page, *(found.at(*place) for place in path))
            assert found.regions == []
            assert found.hint
            assert found.said == found.hint
        found.do("canvas.tool = 'polygon'")
        for place in [(0.2, 0.2), (0.5, 0.5), (0.5, 0.5)]:  # two corners, and the end
            found.page.mouse.click(*found.at(*place))
        assert found.hint == "A polygon needs three corners that enclose an area"
        found.page.mouse.click(*found.at(0.2, 0.8))  # it goes on
        found.page.mouse.click(*found.at(0.2, 0.2))
        assert len(found.regions) == 1
        found.do("canvas.tool = 'point'")
        drag(found.page, found.at(0.5, 0.5), found.at(0.501, 0.501))  # a shaky click is a click
        near(found.regions[1], {"point": [0.501, 0.501]})


def test_regions_stay_inside_the_picture(board: Opener) -> None:
    with board() as found:
        x, y = found.at(0, 0)
        drag(found.page, (x - 10, y - 10), found.at(0.3, 0.3))
        near(found.regions[0], {"box": [0, 0, 0.3, 0.3]})
        found.do("canvas.tool = 'freehand'")
        drag(found.page, *(found.at(*place) for place in [(0.8, 0.8), (1.2, 0.85), (1.1, 1.3), (0.8, 1.1)]))
        assert all(0 <= value <= 1 for pair in found.regions[1]["polygon"] for value in pair)
        found.do("canvas.tool = 'select'")
        drag(found.page, found.at(0.1, 0.1), found.at(1.0, 0.1))
        near(found.regions[0], {"box": [0.7, 0, 1, 0.3]})
        found.do("canvas.tool = 'point'")
        found.page.mouse.click(x - 60, y + 60)  # beside the picture
        assert len(found.regions) == 2


def test_undo_and_redo(board: Opener) -> None:
    with board() as found:
        page = found.page
        drag(page, found.at(0.1, 0.1), found.at(0.3, 0.3))
        drag(page, found.at(0.5, 0.5), found.at(0.8, 0.8))
        page.keyboard.press("v")
        drag(page, found.at(0.6, 0.6), found.at(0.5, 0.6))
        page.keyboard.press("Delete")
        steps = [found.regions]
        while found.do("canvas.canUndo"):
            page.keyboard.press("Control+z")
            steps.append(found.regions)
        assert [len(regions) for regions in steps] == [1, 2, 2, 1, 0]
        assert steps[1] != steps[2]
        for regions in reversed(steps[:-1]):
            page.keyboard.press("Control+y")
            assert found.regions == regions
        page.keyboard.press("Control+Shift+z")
        assert found.said == "Nothing to do again"
        page.keyboard.press("g")
        for place in [(0.2, 0.5), (0.4, 0.5), (0.4, 0.9)]:
            page.mouse.click(*found.at(*place))
        page.keyboard.press("Control+z")  # while a polygon is drawn: its newest corner
        page.mouse.click(*found.at(0.3, 0.95))
        page.keyboard.press("Enter")
        near(found.regions[-1], {"polygon": [[0.2, 0.5], [0.4, 0.5], [0.3, 0.95]]})


def test_a_resized_window_changes_no_coordinates(board: Opener) -> None:
    with board() as found:
        drag(found.page, found.at(0.2, 0.2), found.at(0.6, 0.7))
        before = found.regions
        for width, height in [(320, 900), (1600, 500), (700, 700)]:
            found.page.set_viewport_size({"width": width, "height": height})
            found.until(f"innerWidth === {width} && document.querySelector('#host').offsetWidth === {0.8 * width:g}")
            assert found.regions == before
        # the canvas hears of its new size with the next frame
        found.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found.do("canvas.tool = 'select'")
        drag(found.page, found.at(0.4, 0.4), found.at(0.5, 0.3))  # it lies where it is seen
        near(found.regions[0], {"box": [0.3, 0.1, 0.7, 0.6]})


@pytest.mark.parametrize("ratio", [1, 2.5])
def test_what_is_drawn_zoomed_in_is_where_it_was_drawn(board: Opener, ratio: float) -> None:
    with board(device_scale_factor=ratio) as found:
        page = found.page
        page.mouse.move(*found.at(0.75, 0.5))
        before = found.at(0.75, 0.5)
        for _ in range(4):
            page.mouse.wheel(0, -120)
        found.until("canvas.toClient([1, 0]).x - canvas.toClient([0, 0]).x > 1000")
        assert found.at(0.75, 0.5) == pytest.approx(before)
        drag(page, found.at(0.7, 0.4), found.at(0.8, 0.6))
        near(found.regions[0], {"box": [0.7, 0.4, 0.8, 0.6]})
        page.keyboard.down("Space")
        drag(page, found.at(0.7, 0.5), found.at(0.8, 0.55))
        page.keyboard.up("Space")
        drag(page, found.at(0.75, 0.5), found.at(0.7, 0.45), button="middle")
        assert len(found.regions) == 1
        assert found.at(0.75, 0.5) != pytest.approx(before, abs=5)
        drag(page, found.at(0.6, 0.5), found.at(0.65, 0.6))
        near(found.regions[1], {"box": [0.6, 0.5, 0.65, 0.6]})
        page.keyboard.press("0")
        assert found.at(0.5, 0.5)[0] == pytest.approx(20 + 400)
        page.keyboard.press("1")
        assert found.do("canvas.toClient([1, 0]).x - canvas.toClient([0, 0]).x") == pytest.approx(SIZE_WH[0])
        assert page.evaluate("canvas.size") == {"width": SIZE_WH[0], "height": SIZE_WH[1]}


def test_two_fingers_zoom_and_pan_and_draw_nothing(board: Opener) -> None:
    with board(**PHONE) as found:
        left, right = found.at(0.4, 0.5), found.at(0.6, 0.5)
        wide = found.do("canvas.toClient([1, 0]).x - canvas.toClient([0, 0]).x")
        middle = found.do("canvas.toClient([0.5, 0.5])")
        touch(found.page, [left, (left[0] - 60, left[1])], [right, (right[0] + 60, right[1])])
        assert found.regions == []
        grown = found.do("canvas.toClient([1, 0]).x - canvas.toClient([0, 0]).x") / wide
        assert grown == pytest.approx((right[0] - left[0] + 120) / (right[0] - left[0]), rel=0.05)
        assert found.do("canvas.toClient([0.5, 0.5]).x") == pytest.approx(middle["x"], abs=8)
        touch(found.page, [found.at(0.45, 0.45), found.at(0.55, 0.55)])
        near(found.regions[0], {"box": [0.45, 0.45, 0.55, 0.55]})


def test_regions_are_moved_and_bent(board: Opener) -> None:
    with board() as found:
        page = found.page
        found.do("canvas.tool = 'select'")
        both = [{"box": [0.2, 0.2, 0.6, 0.8]}, {"polygon": [[0.7, 0.1], [0.95, 0.1], [0.8, 0.5]]}]
        found.do("canvas.regions = given", [{"region": region} for region in both])
        page.mouse.click(*found.at(0.4, 0.5))
        assert found.do("canvas.selected") == found.events("select")[-1]["id"]
        drag(page, found.at(0.6, 0.8), found.at(0.5, 0.7))  # a corner
        drag(page, found.at(0.2, 0.45), found.at(0.1, 0.45))  # a side
        drag(page, found.at(0.3, 0.4), found.at(0.4, 0.5))  # all of it
        near(found.regions[0], {"box": [0.2, 0.3, 0.6, 0.8]})
        drag(page, found.at(0.2, 0.55), found.at(0.9, 0.55))  # a side past the other one
        near(found.regions[0], {"box": [0.6, 0.3, 0.9, 0.8]})
        page.mouse.click(*found.at(0.82, 0.2))
        drag(page, found.at(0.825, 0.1), found.at(0.825, 0.02))  # the middle of an edge: a new corner
        near(found.regions[1], {"polygon": [[0.7, 0.1], [0.825, 0.02], [0.95, 0.1], [0.8, 0.5]]})
        drag(page, found.at(0.95, 0.1), found.at(0.99, 0.2))
        page.mouse.dblclick(*found.at(0.825, 0.02))
        near(found.regions[1], {"polygon": [[0.7, 0.1], [0.99, 0.2], [0.8, 0.5]]})
        page.mouse.dblclick(*found.at(0.8, 0.5))
        assert found.hint == "A polygon keeps three corners"
        reasons = [event["reason"] for event in found.events("change")][2:]
        assert reasons == ["resize", "resize", "move", "resize", "resize", "resize", "resize"]
        page.mouse.click(*found.at(0.05, 0.95))
        assert found.do("canvas.selected") is None


def test_the_brush_goes_on_with_a_mask_and_takes_away(board: Opener) -> None:
    with board() as found:
        page = found.page
        found.do("canvas.tool = 'brush', canvas.brushSize = 0.1")
        drag(page, found.at(0.2, 0.2), found.at(0.4, 0.2))
        first = region_from_json(found.regions[0]).area
        drag(page, found.at(0.2, 0.6), found.at(0.4, 0.6))
        assert len(found.regions) == 1
        assert region_from_json(found.regions[0]).area == pytest.approx(2 * first, rel=0.05)
        page.keyboard.down("Alt")
        drag(page, found.at(0.1, 0.6), found.at(0.5, 0.6))
        page.keyboard.up("Alt")
        assert region_from_json(found.regions[0]).area == pytest.approx(first, rel=0.05)
        page.keyboard.press("Control+z")
        assert region_from_json(found.regions[0]).area == pytest.approx(2 * first, rel=0.05)
        page.keyboard.press("Escape")  # a new one
        drag(page, found.at(0.7, 0.7), found.at(0.8, 0.7))
        assert len(found.regions) == 2
        page.keyboard.press("e")
        assert found.do("canvas.erasing")
        drag(page, found.at(0.6, 0.7), found.at(0.9, 0.7))  # nothing is left of it
        assert len(found.regions) == 1
        drag(page, found.at(0.6, 0.7), found.at(0.9, 0.7))
        assert found.hint == "Select a mask to erase from"
        found.do("canvas.tool = 'select'")
        drag(page, found.at(0.3, 0.2), found.at(0.5, 0.3))
        moved = region_from_json(found.regions[0])
        assert moved.area == pytest.approx(2 * first, rel=0.05)
        assert moved.bounds_xyxy[0] == pytest.approx(0.35, abs=0.01)


def jpeg(picture: Image.Image, **settings: Any) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", **settings)
    return file.getvalue()


def press(found: Board, *keys: str) -> None:
    for key in keys:
        found.page.keyboard.press(key)


def test_everything_by_keys_alone(board: Opener) -> None:
    with board() as found:
        press(found, "Tab")  # the picture
        assert found.page.get_by_role("application").evaluate("pad => pad.matches(':focus-visible')")
        assert "Tool: Box" in (found.page.get_by_role("application").get_attribute("aria-label") or "")
        press(found, "Enter", "Enter", *["Shift+ArrowRight"] * 2, "Enter")  # begun, ended: without a height
        assert found.hint == "Too small for a box: drag from corner to corner"
        press(found, *["Shift+ArrowLeft"] * 4, *["Shift+ArrowUp"] * 3, "Enter", *["Shift+ArrowRight"] * 2, "ArrowDown",
              *["Shift+ArrowDown"] * 2, "Alt+ArrowDown", "Enter")  # fmt: skip
        assert found.regions == [{"box": [0.3, 0.2, 0.5, 0.411]}]
        assert found.said == "Box 1, from 30 % 20 % to 50 % 41 %, drawn"
        press(found, "p", "Shift+ArrowRight", "Enter")
        assert found.regions[1] == {"point": [0.6, 0.411]}
        press(found, "g", "Enter", "Shift+ArrowDown", "Enter", "Shift+ArrowLeft", "Enter", "Enter")
        assert found.regions[2] == {"polygon": [[0.6, 0.411], [0.6, 0.511], [0.5, 0.511]]}
        around = [f"Shift+Arrow{way}" for way in ("Right", "Down", "Left") for _ in range(2)]
        press(found, "f", "Enter", *around, "Enter")
        assert region_from_json(found.regions[3]).iou(Box.from_normalized(0.5, 0.511, 0.7, 0.711)) > 0.98
        press(found, "m", "]", "Enter", "Shift+ArrowUp", "Enter")
        assert region_from_json(found.regions[4]).contains(Point.from_normalized(0.5, 0.65))
        press(found, "g", "Enter", "Escape")
        assert found.said == "Cancelled"
        assert len(found.regions) == 5

        press(found, "Tab")  # the first region of the list
        assert found.do("canvas.selected") == "r1"
        assert found.focused.startswith("Box 1")
        press(found, "ArrowRight", "Shift+ArrowDown")
        assert found.regions[0] == {"box": [0.31, 0.3, 0.51, 0.511]}
        press(found, ".", "ArrowLeft", "Escape")  # its first corner
        assert found.regions[0] == {"box": [0.3, 0.3, 0.51, 0.511]}
        press(found, "F2")
        found.page.keyboard.type("cup, v.")
        press(found, "Enter")
        assert found.do("canvas.regions[0].name") == "cup, v."
        press(found, "Tab", "Tab")
        assert found.do("canvas.selected") == "r3"
        press(found, ".", ".", "Insert", "Shift+ArrowDown", "Delete", ",", "Alt+ArrowUp")
        assert found.regions[2] == {"polygon": [[0.6, 0.411], [0.6, 0.511], [0.5, 0.511]]} or found.said
        press(found, "Escape", "Delete")
        assert found.said == "Polygon 3, deleted"
        assert found.do("canvas.selected") == "r4"  # the focus is on the next one
        press(found, "Escape")
        assert found.focused == ""  # the picture
        press(found, "+", "+", "-", "0", "Control+z")
        assert len(found.regions) == 5


def test_keys_that_act_go_no_further_and_others_do(board: Opener) -> None:
    with board() as found:
        found.do("globalThis.heard = [], addEventListener('keydown', event => heard.push(event.key)), canvas.focus()")
        press(found, "b", "ArrowLeft", "Enter", "Escape", "Escape", "q", "Control+c", "Tab")
        assert found.do("heard") == ["Escape", "q", "Control", "c", "Tab"]


def test_the_list_of_regions_is_what_a_screen_reader_gets(board: Opener) -> None:
    with board() as found:
        found.do(
            "canvas.regions = [{name: 'cup', region: {box: [0.12, 0.3, 0.4, 0.6]}}, {region: {point: [0.5, 0.25]}}]"
        )
        listed = found.page.get_by_role("list", name="Regions").get_by_role("button")
        assert listed.all_inner_texts() == ["Box 1, cup, from 12 % 30 % to 40 % 60 %", "Point 2, at 50 % 25 %"]
        found.do("canvas.selected = 'r2'")
        assert [found.page.get_by_role("button", pressed=pressed).count() for pressed in (True, False)] == [1, 1]
        assert found.said == ""  # a program's doing is not announced
        found.do("canvas.remove('r1')")
        assert listed.all_inner_texts() == ["Point 2, at 50 % 25 %"]


def test_pictures_are_shown_upright_and_what_is_none_is_refused(board: Opener) -> None:
    with board() as found:
        drag(found.page, found.at(0.1, 0.1), found.at(0.5, 0.5))
        kept = found.regions
        for hostile in (b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n" + bytes(64)):
            script = "canvas.open(new Blob([new Uint8Array(given)])).then(() => null, error => error.message)"
            assert "no picture" in found.do(script, list(hostile))
            assert found.regions == kept
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter
        turned = jpeg(Image.new("RGB", (40, 20), "red"), exif=exif)
        found.show(turned, [{"region": {"point": [0.5, 0.5]}}])
        assert found.do("canvas.size") == {"width": 20, "height": 40}
        assert found.regions == [{"point": [0.5, 0.5]}]
        assert not found.do("canvas.canUndo")
        image = "const i = new Image(); i.src = URL.createObjectURL(new Blob([new Uint8Array(given)])); return i"
        found.do(f"canvas.open((() => {{ {image} }})())", list(turned))
        assert found.do("canvas.size") == {"width": 20, "height": 40}
        found.do("canvas.close()")
        assert found.do("canvas.size") is None
        found.page.mouse.click(500, 300)
        press(found, "Enter", "ArrowLeft", "+", "Delete")
        assert found.regions == []


def test_a_huge_picture_is_drawn_and_pointed_at(board: Opener) -> None:
    with board() as found:
        huge = Image.new("RGB", (9000, 3000), "blue")
        huge.paste((255, 255, 255), (4500, 0, 9000, 3000))
        found.show(jpeg(huge))
        drag(found.page, found.at(0.5, 0.1), found.at(0.75, 0.9))
        near(found.regions[0], {"box": [0.5, 0.1, 0.75, 0.9]})
        script = """(() => {
            const surface = document.querySelector('#host').shadowRoot.querySelector('.picture');
            const {x, y} = canvas.toClient([0.45, 0.9]);
            const {left, top} = surface.getBoundingClientRect();
            return [...surface.getContext('2d').getImageData(x - left, y - top, 1, 1).data];
        })()"""
        red, _, blue, _ = found.do(script)
        assert red < 60 < 200 < blue


def pointer(found: Board, kind: str, what: str, place: Place, **given: float) -> None:
    """An event of a pointer that Playwright has none of."""
    x, y = found.at(*place)
    settings = {"pointerType": kind, "clientX": x, "clientY": y, "button": 0, "bubbles": True, "pointerId": 7, **given}
    script = (
        "document.querySelector('#host').shadowRoot.querySelector('.pad').dispatchEvent(new PointerEvent(...given))"
    )
    found.do(script, [f"pointer{what}", settings])


def stroke(found: Board, kind: str, **given: float) -> None:
    pointer(found, kind, "down", (0.2, 0.2), **given)
    pointer(found, kind, "move", (0.5, 0.6), **given)
    pointer(found, kind, "up", (0.5, 0.6), **given)


def test_a_pen_draws_and_the_hand_that_holds_it_does_not(board: Opener) -> None:
    with board() as found:
        stroke(found, "touch", width=90, height=70)
        assert found.regions == []
        stroke(found, "pen")
        near(found.regions[0], {"box": [0.2, 0.2, 0.5, 0.6]})
        stroke(found, "touch", width=20, height=20)
        assert len(found.regions) == 1
        found.page.wait_for_timeout(800)  # the pen is away
        stroke(found, "touch", width=20, height=20)
        assert len(found.regions) == 2
        found.do("canvas.tool = 'brush', canvas.selected = null, canvas.brushSize = 0.1")
        stroke(found, "pen")
        stroke(found, "pen", button=5)  # its eraser
        assert len(found.regions) == 2
        pointer(found, "pen", "down", (0.2, 0.2))
        pointer(found, "pen", "cancel", (0.2, 0.2))
        assert len(found.regions) == 2


def test_a_canvas_to_look_at_changes_nothing(board: Opener) -> None:
    with board() as found:
        found.do("canvas.regions = [{region: {box: [0.2, 0.2, 0.6, 0.6]}}], globalThis.shown = canvas.regions")
        found.do("canvas.destroy(), globalThis.canvas = new canvas.constructor(host, {readOnly: true})")
        found.do("canvas.addEventListener('select', ({detail}) => events.push({type: 'chosen', ...detail}))")
        file = io.BytesIO()
        Image.new("RGB", SIZE_WH, "white").save(file, "PNG")
        found.show(file.getvalue(), found.do("shown"))
        drag(found.page, found.at(0.4, 0.4), found.at(0.5, 0.5))
        assert found.events("chosen")[0]["id"] == "r1"
        press(found, "b", "Delete", "ArrowLeft", "Insert", "F2", "Control+z", "m")
        drag(found.page, found.at(0.7, 0.7), found.at(0.9, 0.9))
        assert found.do("canvas.tool") == "select"
        assert found.regions == [{"box": [0.2, 0.2, 0.6, 0.6]}]


def test_a_program_changes_regions_and_hears_of_it(board: Opener) -> None:
    with board() as found:
        assert found.do("canvas.add({region: {scribble: [[0.2, 0.2], [0.4, 0.3]], pen_wh: [0.02, 0.03]}})") == "r1"
        found.do("canvas.change('r1', {name: 'line', colour: '#FF0000'})")
        found.do("canvas.answers = [{region: {box: [0.1, 0.1, 0.5, 0.5]}, label: 'cup'}], canvas.light('r1')")
        found.do("canvas.regions = canvas.regions")
        found.do("canvas.undo()")
        found.do("canvas.remove('r1')")
        heard = [(event["reason"], len(event["regions"])) for event in found.events("change")]
        assert heard == [("open", 0), ("add", 1), ("change", 1), ("set", 1), ("undo", 1), ("remove", 0)]
        assert found.events("change")[2]["regions"][0]["colour"] == "#ff0000"
        for wrong, name in [("canvas.remove('r9')", "RangeError"), ("canvas.selected = 'r9'", "RangeError"),
                            ("canvas.add({region: {box: [0, 0, 2, 2]}})", "TypeError"),
                            ("canvas.tool = 'laser'", "RangeError"), ("canvas.zoomTo('moon')", "RangeError"),
                            ("canvas.answers = [{region: null}]", "TypeError")]:  # fmt: skip
            assert (
                found.page.evaluate(f"(() => {{ try {{ {wrong} }} catch (error) {{ return error.name }} }})()") == name
            )
        found.do("canvas.destroy()")
        assert found.page.evaluate("document.querySelector('#host').shadowRoot.childElementCount") == 0
