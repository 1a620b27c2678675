"""Numbers of regions in a dialogue, on the picture and on sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont
from small_sets import BOX, SIZE, jpeg, talk

from chatspot.data.looking import write_sheets
from chatspot.data.looking.drawing import drawn, numbered
from chatspot.data.looking.sheets import Word, set_lines, word_width
from chatspot.errors import DataError
from chatspot.images.overlay import COLORS
from chatspot.messages import Conversation, Message, RegionPart, TextPart, ask
from chatspot.regions import Box, Point

OTHER = Point.from_normalized(0.9, 0.9)


def test_a_region_keeps_its_number() -> None:
    conversation = talk(("Is {region} left of {region}?", "yes"), ("Where is it?", BOX), regions=(BOX, OTHER))
    told = numbered(conversation)
    assert [turn.text for turn in told.turns] == ["Is [1] left of [2]?", "yes", "Where is it?", "[1]"]
    assert told.regions == [BOX, OTHER]
    assert told.turns[0].pieces[1].color == COLORS[0]


def test_a_region_of_another_picture_is_told_and_not_drawn() -> None:
    parts = (TextPart("Compare "), RegionPart(BOX, 0), TextPart(" and "), RegionPart(OTHER, 1))
    first = ask("Two pictures.", images=2)
    conversation = Conversation((first, Message("assistant", (TextPart("yes"),)), Message("user", parts)))
    told = numbered(conversation)
    assert told.turns[2].text == "Compare [1] and (a region of picture 2)"
    assert told.regions == [BOX]


@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2000), (640, 480), (50, 50)])
def test_a_drawn_picture_fits(size: tuple[int, int]) -> None:
    shown = drawn(Image.new("RGB", size), [BOX, OTHER], (400, 300))
    assert shown.width <= 400
    assert shown.height <= 300
    assert shown.width == 400 or shown.height == 300


@given(st.lists(st.tuples(st.text(min_size=1, max_size=60), st.booleans(), st.booleans()), max_size=20))
def test_lines_hold_all_words_and_fit(given_words: list) -> None:
    font = ImageFont.load_default(17)
    words = [Word(text, (0, 0, 0), (1, 1, 1) if ground else None, glued) for text, ground, glued in given_words]
    lines = set_lines(words, font, 200)
    assert "".join(word.text for line in lines for word in line) == "".join(word.text for word in words)
    for line in lines:
        spaces = sum(font.getlength(" ") for word in line[1:] if not word.glued)
        assert len(line) == 1 or sum(word_width(word, font) for word in line) + spaces <= 200.01


@pytest.mark.parametrize(("count", "pages"), [(0, 0), (1, 1), (9, 1), (10, 2)])
def test_nine_samples_on_a_sheet(count: int, pages: int, picture: Callable, tmp_path: Path) -> None:
    one = picture(talk(("What is this?", "a dog"), regions=(BOX,)))
    written = list(write_sheets([(one, one.dialogues[0])] * count, tmp_path / "sheets"))
    assert [path.name for path in written] == [f"sheet-{number:03}.png" for number in range(1, pages + 1)]
    assert sorted(tmp_path.glob("sheets/*")) == written  # no half-written page stays
    for path in written:
        with Image.open(path) as sheet:
            sheet.load()
            assert sheet.width > 560


def test_a_sheet_shows_the_region_on_the_picture(picture: Callable, tmp_path: Path) -> None:
    one = picture(talk(("What is this?", "a dog"), regions=(Box.from_normalized(0.2, 0.2, 0.8, 0.8),)))
    (path,) = write_sheets([(one, one.dialogues[0])], tmp_path)
    with Image.open(path) as sheet:
        found = {color for _, color in sheet.convert("RGB").getcolors(1 << 24)}
    assert COLORS[0] in found


@pytest.mark.parametrize("image", [b"", b"no picture", jpeg()[:200], Path("nowhere.jpg")])
def test_a_picture_that_cannot_be_opened_keeps_its_place(
    image: bytes | Path, picture: Callable, tmp_path: Path
) -> None:
    broken = picture(talk(("What is this?", "a dog"), regions=(BOX,)), image=image)
    (path,) = write_sheets([(broken, broken.dialogues[0])], tmp_path)
    with Image.open(path) as sheet:
        assert sheet.height < 400  # words, and no picture of up to 420 pixels


def test_a_long_dialogue_is_cut_off(picture: Callable, tmp_path: Path) -> None:
    heights = []
    for turns in (8, 50, 100):
        one = picture(talk(*[("What is this?", "a dog")] * turns))
        (path,) = write_sheets([(one, one.dialogues[0])], tmp_path / str(turns))
        with Image.open(path) as sheet:
            heights.append(sheet.height)
    assert heights[0] < heights[1] == heights[2]


def test_a_folder_that_cannot_be_made_is_told(picture: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = picture(talk(("What is this?", "a dog")))
    with pytest.raises(DataError, match="cannot be written"):
        list(write_sheets([(one, one.dialogues[0])], tmp_path / "file"))
    assert one.size == SIZE
