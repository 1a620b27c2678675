"""All tasks by name: a plain table."""

from __future__ import annotations

from chatspot.errors import DataError
from chatspot.eval.tasks.crops import PLATES, WORDS
from chatspot.eval.tasks.objects import COCO, NAMES
from chatspot.eval.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (COCO, NAMES, WORDS, PLATES)}


def find_task(name: str) -> Task:
    """The task of that name. Raises ``DataError`` naming the known ones."""
    if name not in TASKS:
        raise DataError(f"there is no task {name!r}; known are {', '.join(TASKS)}")
    return TASKS[name]
