"""The data card: one file that needs nothing else, whatever the data say."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from small_sets import BOX, talk

from chatspot.data.looking import Survey, data_card, survey
from chatspot.data.looking.card import SAMPLE_WH, rejected_by, write_card
from chatspot.errors import DataError
from chatspot.pages import clipped, compact, number, percent
from chatspot.regions import Point
from html_page import Page


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(DataError, match="empty set: there is no dialogue in 0 pictures"):
        data_card(Survey(), title="empty set")


HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }} {% raw %}",
    "&lt;b&gt; & <b>",
    "燎申集团 · ٱلْعَرَبِيَّة · 🦆",
    "nul \x00 and \x1b[31m",
    "word" * 1000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_the_data_say_is_only_text(text: str, picture: Callable) -> None:
    plain = picture(talk(("What?", "it"), regions=(BOX,)), source="s", task="t", licence="l", id="i")
    hostile = picture(talk((text, text), regions=(BOX,)), source=text, task=text, licence=text, id=text)
    pages = [
        Page(data_card(survey([each]), title=title, about=title, rejected={title: {title: 1}}))
        for each, title in ((plain, "x"), (hostile, text))
    ]
    assert pages[1].unclosed == []
    assert pages[0].tags == pages[1].tags
    names = [{(tag, name) for tag, name, _ in page.attributes} for page in pages]
    assert names[0] == names[1]


def test_a_text_is_shown_as_it_is(picture: Callable) -> None:
    text = "<i>燎申集团</i> & {{ 1 + 1 }}"
    page = Page(data_card(survey([picture(talk(("What?", text)))]), title="x"))
    assert text in page.text


def test_the_page_loads_nothing(picture: Callable) -> None:
    html = data_card(survey([picture(talk(("What?", "it"), regions=(BOX,)))]), title="x")
    page = Page(html)
    assert page.unclosed == []
    assert page.loads() == []
    assert "data:image/jpeg;base64," in html
    assert "url(" not in html
    assert "@import" not in html
    policy = [value for tag, name, value in page.attributes if (tag, name) == ("meta", "content")]
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in policy


def test_every_link_has_its_section(picture: Callable) -> None:
    page = Page(data_card(survey([picture(talk(("What?", "it")))]), title="x"))
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {value for _, name, value in page.attributes if name == "href"} == {f"#{each}" for each in ids}


def test_samples_are_small_pictures_with_their_dialogue(picture: Callable) -> None:
    one = picture(talk(("What is {region}?", "a dog"), ("Where is it?", BOX), regions=(BOX,)), id="set/7")
    html = data_card(survey([one]), title="x")
    (uri,) = re.findall(r"data:image/jpeg;base64,([^\"]+)", html)
    with Image.open(io.BytesIO(base64.b64decode(uri))) as shown:
        assert shown.size == (SAMPLE_WH[0], SAMPLE_WH[0] // 2)
    text = Page(html).text
    assert "What is region 1 ?" in text
    assert "set/7#0" in text


def test_samples_can_be_left_out(picture: Callable) -> None:
    assert "data:image/jpeg" not in data_card(survey([picture(talk(("What?", "it")))]), title="x", samples=0)


def test_a_picture_that_cannot_be_opened_is_told(picture: Callable) -> None:
    html = data_card(survey([picture(talk(("What?", "it")), image=Path("nowhere.jpg"))]), title="x")
    assert "the file does not exist" in Page(html).text


def test_the_figures_stand_on_the_card(picture: Callable) -> None:
    pictures = [
        picture(talk(("Is it a dog?", "yes"), ("Is it a cat?", "no")), id=f"set/{at}", task="presence")
        for at in range(3)
    ]
    pictures.append(picture(talk(("Where?", "here"), regions=(Point.from_normalized(0, 0),)), id="other/1", source="o"))
    rejected = {"set": {"missing picture": 1234, "duplicate": 0}, "clean": {}}
    text = Page(data_card(survey(pictures), title="My set", about="As it is.", rejected=rejected)).text
    for expected in (
        "My set As it is.",
        "pictures 4 dialogues 4 answers 7 regions 1 sources 2 tasks 2 findings 1,234",
        "yes 3 (50 %) no 3 (50 %)",
        "missing picture its entry is lost 1,234",
        "Questions point at 1 regions, answers give 0.",
    ):
        assert expected in text
    assert "duplicate" not in text


def test_a_build_is_told_with_its_manifest(picture: Callable) -> None:
    manifest = {
        "chatspot": "0.1.0",
        "seed": 3,
        "schema": 1,
        "config_sha256": "abc",
        "totals": {"pictures": 9000},
        "guard": {"pictures": 5, "ids": 6, "dropped": []},
        "shards": [{"file": "a.tar", "pictures": 1, "samples": 2, "bytes": 3456, "sha256": "f00"}],
        "sources": [{"name": "set", "rejected": {"leak": 2}}],
    }
    figures = survey([picture(talk(("What?", "it")), stage="align")])
    html = data_card(figures, title="x", manifest=manifest, rejected=rejected_by(manifest))
    text = Page(html).text
    for expected in ("pictures 9,000", "shards 1", "align 1 100 %", "a.tar 1 2 3,456 f00", "none was found", "leak 2"):
        assert expected in text


def test_the_same_data_give_the_same_card(picture: Callable) -> None:
    pictures = [picture(talk(("What?", "it"), regions=(BOX,)), id=f"set/{at}") for at in range(30)]
    assert data_card(survey(pictures), title="x") == data_card(survey(pictures), title="x")


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.0 %"), (0.0001, "< 0.1 %"), (0.0123, "1.2 %"), (0.5, "50 %"), (1, "100 %")]
)
def test_shares_as_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("share", "text"), [(1e-9, "<1%"), (0.0049, "<1%"), (0.012, "1%"), (1, "100%")])
def test_shares_in_a_narrow_column(share: float, text: str) -> None:
    assert compact(share) == text


def test_long_texts_are_clipped() -> None:
    assert number(1234567) == "1,234,567"
    assert clipped("a" * 600) == "a" * 600
    assert len(clipped("a" * 601)) == 600


def test_a_card_is_written_whole(tmp_path: Path) -> None:
    write_card("<p>é</p>", tmp_path / "new" / "card.html")
    assert (tmp_path / "new" / "card.html").read_text("utf-8") == "<p>é</p>"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["card.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="data card"):
        write_card("x", tmp_path / "file" / "card.html")
    with pytest.raises(DataError, match="data card"):
        write_card("x", tmp_path / "new")
