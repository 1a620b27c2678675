"""A drawn data folder and its questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference import picture, write_folder

from chatspot.eval.tasks import COCO, Question, questions_of

BENT = [[10, 10], [60, 10], [60, 20], [20, 20], [20, 60], [10, 60]]  # its box's centre lies outside


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """Three pictures: seven regions to ask about, and one of each kind that must not be asked."""
    return write_folder(tmp_path / "coco", [
        picture(
            "one",
            {"box": [0, 0, 50, 40], "label": "person"},
            {"box": [10, 10, 60, 60], "label": "dog", "polygon": BENT},
            {"box": [0, 0, 90, 70], "label": "person", "iscrowd": "probable"},
            {"box": [0, 0, 10, 10], "label": "person"},
            {"box": [20, 20, 40, 40], "label": "person"},
        ),
        picture("two", {"box": [0, 0, 99, 79], "label": "sky"}, {"box": [5, 5, 95, 75], "label": "hot dog"}),
        picture(
            "three",
            {"box": [0, 0, 30, 30], "label": "person"},
            {"box": [30, 0, 60, 30], "label": "cat"},
            {"box": [60, 0, 90, 30], "label": "person"},
            {"point": [5, 5], "label": "person"},
        ),
    ])  # fmt: skip


@pytest.fixture
def coco_questions(coco_folder: Path) -> list[Question]:
    return questions_of(COCO, coco_folder)
