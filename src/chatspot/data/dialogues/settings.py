"""How dialogues are made from records: which questions, how often, in which form of region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from chatspot.data.dialogues.names import plain_name
from chatspot.errors import DataError

# what a question can be about, in the words of ``Sample.task``, and how often it is asked where it can be (our choice:
# what annotators said is always asked; what is made from it is asked less, or it would drown what they said)
DEFAULT_TASKS: dict[str, float] = {
    "name": 1.0,
    "text": 1.0,
    "caption": 1.0,
    "describe": 1.0,
    "vqa": 1.0,
    "presence": 0.3,
    "colour": 0.5,
    "count": 0.5,
    "count_here": 0.5,
    "relation": 0.5,
    "ground": 0.3,
}


@dataclass(frozen=True)
class DialogueSettings:
    """How dialogues are made. All shares lie in [0, 1].

    ``tasks``: the share of the possible questions of each task that is asked; a task that is not named is not asked.
    ``turns``: most questions in one dialogue. ``points``: most points with which the regions of one dialogue are
    written, None for any: each is about ten tokens, a box has 2, a polygon its corners, and one question may have more.
    ``dialogues``: most dialogues about one picture, None for all.
    ``mixed_share``: share of pictures whose dialogues mix tasks; the others' have one task each.
    ``long_share``: share of questions that ask for a whole sentence, where an answer can be put both ways.
    ``first_share``: share of a family's first phrasing (the paper's evaluation questions stand first).
    ``wrapped_share``: share of a source's own questions that are put into its family's words. ``captions``: most
    captions asked of one picture. ``hard_repeats``: how often a hard case is asked, in other forms and words each time,
    and the most boxes in which one class is counted. ``colour_repeats``: how often a known colour is asked, likewise;
    few are known for sure, and measuring them takes long. ``thin``: by name, the share of its questions of the tasks
    name, presence, colour and ground that is kept, so that common names do not drown the others, which keep all.
    ``point_share``, ``polygon_share``, ``mask_share``, ``scribble_share``: forms of region other than a box; polygons
    and masks need an outline, where there is none a box is used. ``jitter``: largest noise of a box (the paper's s).
    ``least_area_px``: smaller regions (px²) are not asked about. ``family``: the family of phrasings, "" for the
    record's source. ``exhaustive``: whether every object of ``names`` is annotated in every picture, so that counting
    is safe; None goes by the source. ``names``: what is asked for in vain, repeats weigh; empty for COCO's 80 classes.

    Raises ``DataError`` for an unknown task or a number out of its range.
    """

    tasks: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_TASKS))
    turns: int = 5
    points: int | None = None
    dialogues: int | None = None
    mixed_share: float = 0.5
    long_share: float = 0.2
    first_share: float = 0.2
    wrapped_share: float = 0.5
    captions: int = 1
    hard_repeats: int = 2
    colour_repeats: int = 1
    thin: Mapping[str, float] = field(default_factory=dict)
    point_share: float = 0.15
    polygon_share: float = 0.1
    mask_share: float = 0.05
    scribble_share: float = 0.05
    jitter: float = 0.1
    least_area_px: float = 100.0
    family: str = ""
    exhaustive: bool | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", dict(self.tasks))
        object.__setattr__(self, "names", tuple(self.names))
        for task, share in self.tasks.items():
            if task not in DEFAULT_TASKS:
                near = get_close_matches(task, DEFAULT_TASKS, n=1) or sorted(DEFAULT_TASKS)
                raise DataError(f"dialogue settings: there is no task {task!r}; did you mean {', '.join(near)}?")
            check_share(f"tasks.{task}", share)
        forms = ("point_share", "polygon_share", "mask_share", "scribble_share")
        object.__setattr__(self, "thin", {plain_name(name): share for name, share in self.thin.items()})
        for name, share in self.thin.items():
            check_share(f"thin.{name}", share)
        for name in ("mixed_share", "long_share", "first_share", "wrapped_share", *forms):
            check_share(name, getattr(self, name))
        if sum(getattr(self, name) for name in forms) > 1 + 1e-9:
            raise DataError(f"dialogue settings: {', '.join(forms)} together exceed 1; lower one of them")
        if not 0 <= self.jitter < 1:
            raise DataError(f"dialogue settings: jitter lies in [0, 1), got {self.jitter}")
        for name in ("turns", "points", "dialogues"):
            most = getattr(self, name)
            if most is not None and most < 1:
                raise DataError(f"dialogue settings: {name} is at least 1, got {most}")
        if self.captions < 0 or self.hard_repeats < 1 or self.colour_repeats < 1:
            raise DataError("dialogue settings: captions is 0 or more, hard_repeats and colour_repeats at least 1, got "
                            f"{self.captions}, {self.hard_repeats} and {self.colour_repeats}")  # fmt: skip
        if not (math.isfinite(self.least_area_px) and self.least_area_px >= 0):
            raise DataError(f"dialogue settings: least_area_px is a number of px² from 0, got {self.least_area_px}")


def check_share(name: str, share: float) -> None:
    """Raise ``DataError`` unless ``share`` lies in [0, 1]."""
    if not 0 <= share <= 1:
        raise DataError(f"dialogue settings: {name} is a share in [0, 1], got {share}")
