"""Sessions: kept over a reload, exported as region JSON lines that the real readers train on, imported again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from site_of_page import Site, page_at, photo, plain
from told_engine import ToldEngine

from chatspot.data import QuestionSettings
from chatspot.data.records import parse_record
from chatspot.regions import Box, Mask, Point, Polygon
from chatspot.train.own_data import own_data_recipe, sources_at
from chatspot.train.stream.examples import open_source
from chatspot.train.stream.reading import read_lines
from running_server import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def talked(site: Site, engine: ToldEngine) -> None:
    """A session with two pictures, every form of region, a corrected answer, a confirmed and an unchecked one."""
    engine.answers.extend(["fork", "a table", "<box>0.1, 0.2, 0.5, 0.6</box>"])
    site.open(photo("coffee.jpg"))
    site.draw("box", (0.3, 0.1), (0.7, 0.8))
    name = site.page.get_by_label("Name of the region")
    name.fill("cup")
    name.press("Enter")
    site.draw("polygon", (0.2, 0.2), (0.8, 0.3), (0.5, 0.9))
    site.write("what are these?")
    site.send()
    site.page.get_by_label("Correct this answer").click()
    site.page.get_by_label("The right answer").fill("a cup, and something else")
    site.page.keyboard.press("Enter")
    site.open(plain("navy", (200, 100), "Sea & sky.png"))
    site.draw("brush", (0.3, 0.5), (0.7, 0.5))
    site.write("?")
    site.send()
    site.page.get_by_label("This is right").last.click()
    site.draw("point", (0.8, 0.8))
    site.write("where?")
    site.send()


def exported(site: Site, folder: Path, *, checked_only: bool) -> Path:
    """The session's zip, unpacked."""
    site.page.locator("#open-sessions").click()
    site.page.locator("#sessions").wait_for()  # set_checked reads the box's state before the drawer has set it
    site.page.locator("#checked-only").set_checked(checked_only)
    with site.page.expect_download() as download:
        site.page.locator("#export").click()
    download.value.save_as(folder / download.value.suggested_filename)
    site.page.keyboard.press("Escape")
    (zip_file,) = folder.glob("*.zip")
    with zipfile.ZipFile(zip_file) as archive:
        assert archive.testzip() is None
        archive.extractall(folder / "session")
    return zip_file


def shown(site: Site) -> dict[str, Any]:
    """What a person sees of a session."""
    page = site.page
    regions = {}
    for thumb in page.locator(".thumb[data-picture]").all():
        thumb.click()
        regions[thumb.get_attribute("aria-label")] = page.locator("#regions").inner_text()
    turns = [turn.inner_text() for turn in page.locator(".turn").all()]
    return {"regions": regions, "turns": turns, "chips": page.locator(".turn .chip.gone").count()}


def test_an_export_is_trained_on_and_imported(
    site: Site, engine: ToldEngine, running: Running, browser: Browser, tmp_path: Path
):
    talked(site, engine)
    before = shown(site)
    zip_file = exported(site, tmp_path, checked_only=True)
    lines = tmp_path / "session" / "session.jsonl"

    # the records, by their reader
    *pictures, dialogue = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    first, second = [parse_record(json.dumps(picture), lines.parent, "here") for picture in pictures]
    assert [region.label for region in first.regions] == ["cup", None]
    assert isinstance(first.regions[0].region, Box)
    assert first.regions[0].region.iou(Box.from_normalized(0.3, 0.1, 0.7, 0.8)) > 0.97
    assert isinstance(first.regions[1].polygon, Polygon)
    assert isinstance(second.regions[0].mask, Mask)
    assert second.regions[0].mask.size_wh == (200, 100)
    assert isinstance(second.regions[1].region, Point)
    assert all(record.image.is_file() for record in (first, second))

    # the dialogue, by training's reader: checked answers alone, and the corrected one as it should have been
    samples, skips = read_lines(lines, QuestionSettings())
    assert skips == []
    ready = [sample for sample in samples if sample.task == "dialogue"]
    assert len(ready) == 1
    said = [message.text for message in ready[0].conversation.messages if message.role == "assistant"]
    assert said == ["a cup, and something else", "a table"]
    assert ready[0].image_paths == (first.image, second.image)
    assert dialogue["conversation"] == ready[0].conversation.to_json()

    # the recipe that `chatspot train instruct --data session.jsonl` makes of it
    assert sources_at(lines) == [({"lines": str(lines)}, 3)]
    recipe = own_data_recipe([lines])
    examples = list(open_source(recipe.sources[0], 0, recipe, []).epoch(0, 0))
    assert {len(getattr(example, "pictures", ())) for example in examples} == {1, 2}

    # back again, in another profile
    with page_at(browser, running.url) as other:
        other.page.locator("#file-import").set_input_files(zip_file)
        other.page.locator(".turn").nth(2).wait_for()
        assert shown(other) == before
        assert other.page.locator("#note").is_hidden()
        again = tmp_path / "again"
        again.mkdir()
        exported(other, again, checked_only=False)
        told = json.loads((again / "session" / "session.jsonl").read_text("utf-8").splitlines()[-1])
        assert told["conversation"][:3] == dialogue["conversation"][:3]
        assert told["conversation"][-1]["content"] == [{"type": "region", "image": 1, "box": [0.1, 0.2, 0.5, 0.6]}]


def test_region_json_lines_from_elsewhere(site: Site, tmp_path: Path):
    """A deflated zip with a folder in it; lines that cannot be read are told of and cost themselves."""
    record = {"image": "in/1.jpg", "width": 600, "height": 400, "captions": ["a cup"], "regions": [
        {"box": [172, 14, 416, 314], "label": "cup"}, {"point": [60, 140]}, {"box": [9, 9, 3, 3]}]}  # fmt: skip
    dialogue = {"images": ["in/1.jpg"], "conversation": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is "},
                                     {"type": "region", "image": 0, "box": [0.5, 0.5, 0.9, 0.9]}]},
        {"role": "assistant", "content": "a spoon"}]}  # fmt: skip
    missing = {**record, "image": "in/2.jpg"}
    with zipfile.ZipFile(tmp_path / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "my/lines.jsonl", "\n".join([json.dumps(record), json.dumps(dialogue), json.dumps(missing), "{"])
        )
        archive.writestr("my/in/1.jpg", photo()["buffer"])
    site.drop({"name": "more.zip", "mimeType": "application/zip", "buffer": (tmp_path / "more.zip").read_bytes()})
    assert site.answer(0) == "a spoon"
    assert site.page.locator("#regions").inner_text().split() == ["1", "cup", "2", "3"]
    assert "And 2 more" in site.page.locator("#note").inner_text()


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18, bytes(300)])
def test_a_file_that_is_no_session(content: bytes, site: Site):
    site.drop({"name": "broken.zip", "mimeType": "application/zip", "buffer": content})
    site.page.locator("#note").wait_for()
    assert site.page.locator(".thumb[data-picture]").count() == 0


def test_sessions_are_kept_in_the_browser(site: Site, engine: ToldEngine):
    engine.answers.append("a cup")
    site.open()
    site.draw("box", (0.3, 0.1), (0.7, 0.8))
    site.write("What is it?")
    site.send()
    site.write("A draft about @1")
    site.settle()
    site.page.reload()
    assert site.answer(0) == "a cup"
    assert site.question.startswith("A draft about [1]")
    assert site.chips("#regions") == 1
    assert site.chips(".turn") == 1

    site.page.locator("#open-sessions").click()
    site.page.locator("#session-name").fill("Breakfast")
    site.page.locator("#new-session").click()
    site.page.locator("#welcome").wait_for()
    assert site.page.locator(".turn").count() == 0
    site.page.locator("#open-sessions").click()
    site.page.locator(".session", has_text="Breakfast").click()
    assert site.answer(0) == "a cup"
    site.page.locator("#open-sessions").click()
    bin_ = site.page.get_by_label("Delete Breakfast")
    bin_.click()
    bin_.click()
    site.page.keyboard.press("Escape")
    site.page.locator("#welcome").wait_for()
    site.page.reload()
    site.page.locator("#welcome").wait_for()
    assert site.page.locator(".turn").count() == 0
