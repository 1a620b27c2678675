"""Sheets of drawn samples: each picture with its numbered regions, its dialogue beneath, as PNG pages.

Texts are set in the font that Pillow brings along; it knows Latin letters, others show as small boxes. The data card
shows all scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from chatspot.data.looking.drawing import Numbered, Turn, drawn, numbered
from chatspot.data.looking.pictures import Dialogue, Picture
from chatspot.data.saving import saved_whole
from chatspot.errors import ImageError
from chatspot.images import open_image
from chatspot.images.overlay import Color

# Pixels, our choice: three columns fit a screen of 1,920, and nine short dialogues fit a page.
COLUMN, PICTURE_HEIGHT, MARGIN, GAP, PADDING = 560, 420, 32, 24, 16
COLUMNS, ON_A_PAGE = 3, 9
FONT_SIZE, SMALL_SIZE, LINE = 17, 14, 24
MOST_TURNS = 16  # messages of a dialogue that are shown
PAGE, CARD, EDGE = (238, 240, 243), (255, 255, 255), (208, 213, 221)
INK, QUIET, ANSWER = (29, 33, 41), (100, 108, 122), (0, 84, 140)


@dataclass(frozen=True)
class Word:
    """A word to be set: its text, colour, and a ground where it is a region's number."""

    text: str
    ink: Color
    ground: Color | None = None
    glued: bool = False  # no space before it


def write_sheets(samples: Iterable[tuple[Picture, Dialogue]], folder: Path) -> Iterator[Path]:
    """Write the samples to ``folder``/sheet-001.png and so on, nine on a page; gives each path once it is written.

    A page is renamed into place when it is whole. A picture that cannot be opened has its reason in its place. Raises
    ``DataError`` where the folder cannot be written.
    """
    number, cells = 0, []
    for picture, dialogue in samples:
        cells.append(cell(picture, dialogue))
        if len(cells) == ON_A_PAGE:
            number += 1
            yield save(page(cells), folder / f"sheet-{number:03}.png")
            cells = []
    if cells:
        yield save(page(cells), folder / f"sheet-{number + 1:03}.png")


def save(image: Image.Image, path: Path) -> Path:
    """Save a page, whole or not at all."""
    with saved_whole(path, "sheet") as half:
        image.save(half, "PNG", optimize=True)
    return path


def page(cells: list[Image.Image]) -> Image.Image:
    """The cells in columns, each below the shortest column so far."""
    columns = min(COLUMNS, len(cells))
    heights = [MARGIN] * columns
    places = []
    for each in cells:
        at = heights.index(min(heights))
        places.append((MARGIN + at * (COLUMN + GAP), heights[at]))
        heights[at] += each.height + GAP
    width = 2 * MARGIN + columns * COLUMN + (columns - 1) * GAP
    sheet = Image.new("RGB", (width, max(heights) - GAP + MARGIN), PAGE)
    for each, place in zip(cells, places, strict=True):
        sheet.paste(each, place)
    return sheet


def cell(picture: Picture, dialogue: Dialogue) -> Image.Image:
    """One sample: picture, its id and task, its dialogue."""
    told = numbered(dialogue.conversation)
    shown, problem = shown_picture(picture, told)
    font, small = ImageFont.load_default(FONT_SIZE), ImageFont.load_default(SMALL_SIZE)
    inner = COLUMN - 2 * PADDING
    heading = set_lines(
        [Word(w, QUIET) for w in f"{dialogue.task or 'dialogue'} · {dialogue.id}".split()], small, inner
    )
    blocks = [(small, line) for line in heading]
    if problem:
        blocks += [(font, line) for line in set_lines([Word(w, (178, 24, 43)) for w in problem.split()], font, inner)]
    for turn in told.turns[:MOST_TURNS]:
        blocks += [(font, line) for line in set_lines(words_of(turn), font, inner)]
    if len(told.turns) > MOST_TURNS:
        blocks.append((small, [Word(f"and {len(told.turns) - MOST_TURNS} more messages", QUIET)]))
    top = shown.height + PADDING if shown else PADDING
    image = Image.new("RGB", (COLUMN, top + LINE * len(blocks) + PADDING), CARD)
    pen = ImageDraw.Draw(image)
    if shown:
        pen.rectangle((0, 0, COLUMN, shown.height), fill=EDGE)
        image.paste(shown, ((COLUMN - shown.width) // 2, 0))
    for at, (chosen, line) in enumerate(blocks):
        write_line(pen, line, (PADDING, top + at * LINE), chosen)
    pen.rectangle((0, 0, image.width - 1, image.height - 1), outline=EDGE)
    return image


def shown_picture(picture: Picture, told: Numbered) -> tuple[Image.Image | None, str]:
    """The picture with its regions, or why there is none."""
    try:
        return drawn(open_image(picture.image), told.regions, (COLUMN, PICTURE_HEIGHT)), ""
    except ImageError as error:
        return None, str(error)


def words_of(turn: Turn) -> list[Word]:
    """A turn as words: who speaks, text, region numbers in their colours."""
    mark = {"user": "Q", "assistant": "A", "system": "S"}[turn.role]
    ink = ANSWER if turn.role == "assistant" else INK
    words = [Word(mark, QUIET)]
    glued = False
    for piece in turn.pieces:
        if piece.number:
            words.append(Word(str(piece.number), piece.ink, piece.color))
            glued = True
            continue
        for index, text in enumerate(piece.text.split()):
            words.append(Word(text, ink, glued=glued and index == 0 and not piece.text[0].isspace()))
        glued = False
    return words


def set_lines(words: list[Word], font: Any, width: int) -> list[list[Word]]:
    """The words in lines of at most ``width`` pixels; a word that is wider than a line is cut into pieces."""
    lines: list[list[Word]] = [[]]
    at = 0.0
    for word in (piece for long in words for piece in cut(long, font, width)):
        advance = word_width(word, font)
        space = 0.0 if word.glued or not lines[-1] else font.getlength(" ")
        if lines[-1] and at + space + advance > width:
            lines.append([])
            at = space = 0.0
        lines[-1].append(word)
        at += space + advance
    return lines


def cut(word: Word, font: Any, width: int) -> Iterator[Word]:
    """The word, in pieces that fit a line."""
    text, first = word.text, True
    while text:
        end = len(text)
        while end > 1 and font.getlength(text[:end]) > width:
            end = min(end - 1, int(end * width / font.getlength(text[:end])) + 1)
        yield Word(text[:end], word.ink, word.ground, word.glued and first)
        text, first = text[end:], False


def word_width(word: Word, font: Any) -> float:
    """The width that a word takes, in pixels; a region's number has a ground around it."""
    return font.getlength(word.text) + (10 if word.ground else 0)


def write_line(pen: ImageDraw.ImageDraw, line: list[Word], place: tuple[float, float], font: Any) -> None:
    """Write a line of words with their grounds."""
    x, y = place
    for index, word in enumerate(line):
        if index and not word.glued:
            x += font.getlength(" ")
        width = word_width(word, font)
        if word.ground:
            pen.rounded_rectangle((x, y + 1, x + width, y + LINE - 3), radius=5, fill=word.ground)
        pen.text((x + (5 if word.ground else 0), y + LINE / 2), word.text, font=font, fill=word.ink, anchor="lm")
        x += width
