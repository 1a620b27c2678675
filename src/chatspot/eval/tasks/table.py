"""All tasks by name: a plain table."""

from __future__ import annotations

from chatspot.errors import DataError
from chatspot.eval.tasks.captions import IMAGE_CAPTION, REGION_CAPTION
from chatspot.eval.tasks.colour import COLOUR
from chatspot.eval.tasks.counting import COUNT
from chatspot.eval.tasks.crops import PLATES, WORDS
from chatspot.eval.tasks.detected import DETECTED
from chatspot.eval.tasks.ground import GROUND
from chatspot.eval.tasks.objects import COCO, NAMES
from chatspot.eval.tasks.presence import PRESENCE
from chatspot.eval.tasks.reading import COCOTEXT
from chatspot.eval.tasks.retention import RETENTION
from chatspot.eval.tasks.similarity import SIMILARITY
from chatspot.eval.tasks.task import Task
from chatspot.eval.tasks.vqa import CHOICES, LOCALQA, POINTQA, VIZWIZ

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        COCO, DETECTED, PRESENCE, COUNT, GROUND, NAMES, SIMILARITY, COLOUR, COCOTEXT, WORDS, PLATES, VIZWIZ, POINTQA,
        LOCALQA, CHOICES, REGION_CAPTION, IMAGE_CAPTION, RETENTION,
    )
}  # fmt: skip


def find_task(name: str) -> Task:
    """The task of that name. Raises ``DataError`` naming the known ones."""
    if name not in TASKS:
        raise DataError(f"there is no task {name!r}; known are {', '.join(TASKS)}")
    return TASKS[name]
