"""ICDAR 2015, incidental scene text: photos with outlined words (task 4.1 and 4.4) and cut-out words (task 4.3).

``gt_img_1.txt`` has a word a line, four corners and its text: ``377,117,463,117,465,130,378,130,EXIT``. A text may hold
commas; ``###`` is not to be read. Words that were cut out have their texts in ``gt.txt`` (``word_1.png, "EXIT"``) and
their corners in ``coords.txt``. All files may begin with a byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from chatspot.data.faults import Faults, picture_frame
from chatspot.data.records import Record
from chatspot.data.sources.entries import check_name, picture_path, reported
from chatspot.data.sources.geometry import annotated_polygon, annotated_size
from chatspot.data.sources.scene_text import IGNORED, text_record, text_region
from chatspot.data.sources.source import Source
from chatspot.data.sources.text_lists import text_lines
from chatspot.data.sources.xml_files import number_of
from chatspot.errors import DataError

CORNERS = 8  # numbers
WORD = re.compile(r'\s*"(.*)"\s*', re.DOTALL)
FOLDERS = {
    "train": ("ch4_training_images", "ch4_training_localization_transcription_gt"),
    "test": ("ch4_test_images", "Challenge4_Test_Task1_GT"),
}


def read_icdar2015(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each ``gt_<photo>.txt``. What is not to be read stays a region that is not askable."""
    ICDAR2015.check(folder, split)
    photos, texts = (folder / name for name in FOLDERS[split])
    for file in sorted(texts.glob("gt_*.txt"), key=lambda path: (len(path.name), path.name)):
        with reported(file.name, faults):
            path = picture_path(photos, f"{file.stem.removeprefix('gt_')}.jpg")
            frame = picture_frame(path, None, file.name, faults)
            if frame is None:
                continue
            regions = []
            for where, line in text_lines(file, "four corners and a text a line"):
                with reported(where, faults):
                    *numbers, text = line.split(",", CORNERS)
                    polygon = annotated_polygon(corners_of(numbers), frame, where, faults)
                    regions.append(text_region(None, polygon, text, text.strip() != IGNORED, frame, where, faults))
            yield text_record(path, frame, regions, ICDAR2015, (f"icdar2015-{split}:{path.stem}",))


def read_icdar2015_words(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each line of ``gt.txt``: a picture of one word. Its region are its corners in ``coords.txt``, and
    the whole picture where they are missing or cannot be used."""
    ICDAR2015_WORDS.check(folder, split)
    corners: dict[str, tuple[str, list[str]]] = {}
    if (folder / "coords.txt").is_file():
        for where, line in text_lines(folder / "coords.txt", "a picture and four corners a line"):
            name, *numbers = line.split(",")
            corners[name.strip()] = (where, numbers)
    for where, line in text_lines(folder / "gt.txt", "a picture and its word a line"):
        with reported(where, faults):
            name, comma, word = line.partition(",")
            quoted = WORD.fullmatch(word)
            if not comma or not quoted:
                raise DataError('expected a picture\'s name, a comma and a word in quotes, as in word_1.png, "EXIT"')
            name, text = name.strip(), quoted[1].replace('\\"', '"')
            check_name(name)
            path = picture_path(folder, name)
            frame = picture_frame(path, None, where, faults)
            if frame is None:
                continue
            polygon = None
            if name in corners:
                spot, numbers = corners[name]
                with reported(spot, faults):
                    polygon = annotated_polygon(corners_of(numbers), frame, spot, faults)
            width, height = annotated_size(frame)
            whole = [(0, 0), (width, 0), (width, height), (0, height)]
            outline = polygon or annotated_polygon(whole, frame, where, faults)
            region = text_region(None, outline, text, text != IGNORED, frame, where, faults)
            yield text_record(path, frame, [region], ICDAR2015_WORDS, (f"icdar2015-word-{split}:{path.stem}",))


def corners_of(numbers: list[str]) -> list[tuple[float, float]]:
    """Four corners, written as eight numbers."""
    if len(numbers) != CORNERS:
        raise DataError(f"expected {CORNERS} numbers for the corners, got {len(numbers)}")
    values = [number_of(text, f"number {at}") for at, text in enumerate(numbers)]
    return list(zip(values[::2], values[1::2], strict=True))


LICENCE = "CC BY 4.0, as the Robust Reading Competition states for this set"
HOMEPAGE = "https://rrc.cvc.uab.es/?ch=4"

ICDAR2015 = Source(
    name="icdar2015",
    title="ICDAR 2015, incidental scene text",
    read=read_icdar2015,
    files={split: tuple(f"{name}/" for name in names) for split, names in FOLDERS.items()},
    licence=LICENCE,
    homepage=HOMEPAGE,
)
ICDAR2015_WORDS = Source(
    name="icdar2015_words",
    title="ICDAR 2015, cut-out words",
    read=read_icdar2015_words,
    files={"train": ("gt.txt",)},
    licence=LICENCE,
    homepage=HOMEPAGE,
)
