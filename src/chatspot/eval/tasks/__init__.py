"""The tasks of the bench: what each asks about a picture's regions, and what an answer is worth."""

from chatspot.eval.tasks.asking import Folder, open_folder, questions_of
from chatspot.eval.tasks.crops import PLATES, WORDS
from chatspot.eval.tasks.detected import read_detections
from chatspot.eval.tasks.objects import COCO, NAMES
from chatspot.eval.tasks.pictures import read_ids, write_drawn_pictures
from chatspot.eval.tasks.table import TASKS, find_task
from chatspot.eval.tasks.task import ACCURACY, Detection, Draw, Form, Judged, Measure, Question, Task

__all__ = [
    "ACCURACY",
    "COCO",
    "NAMES",
    "PLATES",
    "TASKS",
    "WORDS",
    "Detection",
    "Draw",
    "Folder",
    "Form",
    "Judged",
    "Measure",
    "Question",
    "Task",
    "find_task",
    "open_folder",
    "questions_of",
    "read_detections",
    "read_ids",
    "write_drawn_pictures",
]
