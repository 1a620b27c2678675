"""A few held-out questions with what the model really said, for people to look at.

Which questions is drawn by a published seed before anything is asked, so right and wrong answers come as they fall.

The photos have licences of their own and are not passed on. The page, which can be passed on, shows each as a drawing:
the photo reduced to at most GROUND_SIDE pixels a side, blurred, enlarged, and the region drawn over it. The overlays on
the photos themselves go to a folder that git must ignore.
"""

from __future__ import annotations

import hashlib
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

from chatspot.engine.interface import Engine
from chatspot.errors import DataError, ImageError
from chatspot.eval.predict import predictions_of
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks import TASKS, Judged, Question, Task, find_task, questions_of
from chatspot.eval.ways import way_of
from chatspot.images import draw_regions, open_image
from chatspot.regions import Box, Point, Region

SEED = "transcript-2024"
GROUND_SIDE = 12  # pixels of a photo's longer side that are left at most
LEAST_REDUCTION = 8  # and a photo of a single word shrinks by at least so much
DRAWING_SIDE = 360  # pixels of a drawing's longer side
SHEET_COLUMNS, SHEET_GAP = 5, 12


@dataclass(frozen=True)
class Exchange:
    """A question, the answer to it, and whether that is right."""

    question: Question
    prediction: Prediction
    judged: Judged


def chosen_questions(folders: Sequence[Path], count: int) -> list[Question]:
    """``count`` questions about as many pictures, shared evenly among the folders, in their order; drawn by SEED.

    A folder's name says which task it is for. Raises ``DataError`` for a folder of no task, and when there are too few.
    """
    if count < 1 or not folders:
        raise DataError(f"a transcript needs at least one question and one folder, got {count} and {len(folders)}")
    chosen: list[Question] = []
    for at, folder in enumerate(folders):
        wanted = count // len(folders) + (at < count % len(folders))
        found = one_a_picture(questions_of(task_for(folder), folder))
        if len(found) < wanted:
            raise DataError(f"{folder} has {len(found)} pictures to ask about, {wanted} are wanted; ask for fewer")
        drawn = {question.id for question in sorted(found, key=rank)[:wanted]}
        chosen += [question for question in found if question.id in drawn]
    return chosen


def task_for(folder: Path) -> Task:
    """The task made for a folder of that name."""
    name = folder.resolve().name
    for task in TASKS.values():
        if task.folder == name:
            return task
    raise DataError(f"no task is made for a folder named {name!r}; known are {[t.folder for t in TASKS.values()]}")


def one_a_picture(questions: Sequence[Question]) -> list[Question]:
    """For each picture the question that SEED draws."""
    first: dict[str, Question] = {}
    for question in sorted(questions, key=rank):
        first.setdefault(question.picture, question)
    return [question for question in questions if first[question.picture] is question]


def rank(question: Question) -> bytes:
    """A place in a random order that is the same everywhere."""
    return hashlib.sha256(f"{SEED}/{question.id}".encode()).digest()


def exchanges(engine: Engine, questions: Sequence[Question]) -> list[Exchange]:
    """Ask the questions. Raises ``DataError`` when one cannot be answered."""
    asked = []
    coming = predictions_of(engine, way_of(engine, None), questions, most=max(len(questions), 1))
    found = {prediction.id: prediction for predictions in coming for prediction in predictions}
    for question in questions:
        prediction = found[question.id]
        if prediction.error is not None:
            raise DataError(f"{question.id} could not be answered: {prediction.error}")
        asked.append(Exchange(question, prediction, find_task(question.task).judge(prediction)))
    return asked


def write_transcript(asked: Sequence[Exchange], out: Path, photos: Path, facts: dict[str, Any]) -> list[Path]:
    """Write the page ``out.md`` with its drawings in the folder ``out``, and the overlays on the photos to ``photos``.

    ``facts`` has the keys "model", "command", "commit" and "date". Gives back the files for passing on. Raises
    ``DataError`` when git would keep ``photos``.
    """
    if kept_by_git(photos):
        raise DataError(f"{photos} is not ignored by git, and photos must not be committed; choose a folder such as "
                        "runs/transcript")  # fmt: skip
    drawings, overlays = [], []
    for exchange in asked:
        photo, region = open_image(exchange.question.image), exchange.question.region
        if region is None:
            raise DataError(f"a transcript shows questions about regions, {exchange.question.id} is about the picture")
        label = [exchange.prediction.answer]
        overlays.append(draw_regions(enlarged(photo, DRAWING_SIDE), [region], label))
        drawings.append(draw_regions(ground(photo), [region], label))
    files = save_pictures(drawings, out)
    save_pictures(overlays, photos)
    page = out.with_name(out.name + ".md")
    page.write_text(page_text(asked, out.name, facts), "utf-8")
    return [page, *files]


def kept_by_git(folder: Path) -> bool:
    """Whether files in the folder would be part of a git checkout: inside one, and not ignored."""
    place = folder.resolve()
    existing = next(parent for parent in (place, *place.parents) if parent.is_dir())
    try:
        done = subprocess.run(
            ["git", "check-ignore", "--quiet", str(place / "x.jpg")], cwd=existing, capture_output=True, check=False
        )
    except OSError:
        return False  # without git nothing can be committed
    return done.returncode == 1  # 0: ignored, 128: no checkout


def ground(photo: Image.Image) -> Image.Image:
    """What a drawing stands on: the photo reduced to GROUND_SIDE and by LEAST_REDUCTION, blurred, enlarged again."""
    scale = min(GROUND_SIDE / max(photo.size), 1 / LEAST_REDUCTION)
    small = photo.resize(scaled(photo.size, scale), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.7))
    return small.resize(scaled(photo.size, DRAWING_SIDE / max(photo.size)), Image.Resampling.BICUBIC)


def enlarged(photo: Image.Image, side: int) -> Image.Image:
    """The photo, if it is smaller than ``side``, at that size, so that a drawing over it can be seen."""
    scale = side / max(photo.size)
    return photo.resize(scaled(photo.size, scale), Image.Resampling.BICUBIC) if scale > 1 else photo


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """A size times ``scale`` in whole pixels, at least 1."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def save_pictures(pictures: Sequence[Image.Image], folder: Path) -> list[Path]:
    """Save pictures as 01.jpg, 02.jpg, ... and all together as contact-sheet.jpg; gives back the files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{number:02}.jpg" for number in range(1, len(pictures) + 1)]
        for file, picture in zip(files, pictures, strict=True):
            picture.save(file, quality=88, optimize=True)
        contact_sheet(pictures).save(folder / "contact-sheet.jpg", quality=88, optimize=True)
    except OSError as error:
        raise ImageError(f"pictures could not be written to {folder}: {error}; choose another folder") from error
    return [*files, folder / "contact-sheet.jpg"]


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures on one white sheet, SHEET_COLUMNS a row, each in a square of DRAWING_SIDE."""
    columns, step = min(SHEET_COLUMNS, len(pictures)), DRAWING_SIDE + SHEET_GAP
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * step + SHEET_GAP, rows * step + SHEET_GAP), "white")
    for number, picture in enumerate(pictures):
        small = picture.resize(scaled(picture.size, DRAWING_SIDE / max(picture.size)), Image.Resampling.LANCZOS)
        left, top = (SHEET_GAP + place * step for place in (number % columns, number // columns))
        sheet.paste(small, (left + (DRAWING_SIDE - small.width) // 2, top + (DRAWING_SIDE - small.height) // 2))
    return sheet


def page_text(asked: Sequence[Exchange], pictures: str, facts: dict[str, Any]) -> str:
    """The page in Markdown; ``pictures`` is the folder of the drawings beside it."""
    right = sum(exchange.judged.right for exchange in asked)
    lines = [
        "# Ten questions, as they fell" if len(asked) == 10 else f"# {len(asked)} questions, as they fell",
        "",
        f"{facts['model']} was asked about one region of each of {len(asked)} held-out photos and gave {right} right "
        f"and {len(asked) - right} wrong answers. Which photos and regions was drawn beforehand by the seed "
        f"`{SEED}`; nothing was left out. Too few to measure by: the measured numbers are in the README.",
        "",
        f"**These pictures are drawings, not the photos**, whose licences do not let us pass them on: the photo "
        f"reduced to at most {GROUND_SIDE} x {GROUND_SIDE} pixels (at least {LEAST_REDUCTION} times), blurred and "
        "enlarged, with the region that was asked about drawn over it. The model saw the photo. The same command draws "
        "the overlays on the photos for whoever has them.",
        "",
        f"Made by `{facts['command']}` at commit {facts['commit']} on {str(facts['date'])[:10]}.",
        "",
        f"![All drawings on one sheet]({pictures}/contact-sheet.jpg)",
    ]
    for number, exchange in enumerate(asked, 1):
        lines += ["", *exchange_lines(exchange, number, pictures)]
    return "\n".join(lines) + "\n"


def exchange_lines(exchange: Exchange, number: int, pictures: str) -> list[str]:
    """One exchange in Markdown."""
    question, verdict = exchange.question, "right" if exchange.judged.right else "**wrong**"
    width, height = question.size
    return [
        f"## {number}. {question.picture}",
        "",
        f"![{region_words(question.region, question.size)}, drawn]({pictures}/{number:02}.jpg)",
        "",
        "| | |",
        "| --- | --- |",
        f"| region | {region_words(question.region, question.size)} of {width} x {height} pixels |",
        f"| question | {cell(question.text)} |",
        f"| answer | {cell(exchange.prediction.answer or '')} |",
        f"| truth | {cell(exchange.prediction.truths[0])} |",
        f"| judged | {verdict} |",
    ]


def region_words(region: Region | None, size: tuple[int, int]) -> str:
    """A box or a point in pixels, as the command line takes it."""
    if not isinstance(region, (Box, Point)):
        raise DataError(f"a transcript shows boxes and points, got a {type(region).__name__}")
    numbers = ",".join(f"{value:.1f}".removesuffix(".0") for value in region.to_pixels(size))
    return f"{type(region).__name__.lower()} {numbers}"


def cell(text: str) -> str:
    """A text as code in a Markdown table."""
    plain = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else "(nothing)"
