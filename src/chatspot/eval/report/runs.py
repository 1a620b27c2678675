"""Predictions files as the report tells of them: scored, judged answer by answer, and named by what sets them apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from chatspot.engine.calibration import Calibration
from chatspot.errors import DataError
from chatspot.eval.confidence import is_for, single_measure
from chatspot.eval.matching import DEFAULT_RULE
from chatspot.eval.predictions import Header, Prediction, PredictionsFile, read_predictions
from chatspot.eval.score import score, with_matching
from chatspot.eval.tasks import TASKS, Judged, Measure, Task, find_task
from chatspot.eval.ways import FOCAL, WAYS, find_way

MOST_FULL = 4  # of so many runs each is told in full; of more, the first of each task and model (our choice)


@dataclass(frozen=True)
class Run:
    """One predictions file: its ``name`` and hash, its ``content``, the rule for ``matching`` answers to classes, the
    model's ``calibration`` where it is this model's, and whether it is told in ``full``."""

    name: str
    sha256: str
    content: PredictionsFile
    matching: str = DEFAULT_RULE
    full: bool = True
    calibration: Calibration | None = None

    @cached_property
    def result(self) -> dict[str, Any]:
        """What ``score`` says of it; of a run that is not told in full, only the means over answers."""
        return score(self.content, self.matching, corpus=self.full, calibration=self.calibration)

    @property
    def header(self) -> Header:
        """What the file was made from."""
        return self.content.header

    @property
    def predictions(self) -> dict[str, Prediction]:
        """Questions with their answers or errors, by id."""
        return self.content.predictions

    @cached_property
    def task(self) -> Task:
        """The task that was asked, its judge bound to the rule for matching."""
        answered = [prediction for prediction in self.predictions.values() if prediction.error is None]
        return with_matching(find_task(self.header.task), self.matching, answered)

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.header.model["name"])

    @property
    def main(self) -> str:
        """The name of the main measure."""
        return str(self.result["main"])

    @cached_property
    def judged(self) -> dict[str, Judged]:
        """Every answered question's judgement, by the question's id."""
        judge = self.task.judge
        return {p.id: judge(p) for p in self.predictions.values() if p.error is None}

    @property
    def answered(self) -> Iterator[tuple[Prediction, Judged]]:
        """The answers with their judgements, in the order asked."""
        return ((self.predictions[name], judged) for name, judged in self.judged.items())

    @cached_property
    def by_picture(self) -> dict[str, list[Prediction]]:
        """The questions of each picture, in the order asked."""
        groups: dict[str, list[Prediction]] = {}
        for prediction in self.predictions.values():
            groups.setdefault(prediction.picture, []).append(prediction)
        return groups

    @cached_property
    def single(self) -> str | None:
        """The measure by which single answers are right or wrong: the main one, or the first that is a mean where that
        is none (CIDEr); None where it is no share."""
        return single_measure(self.task, next(iter(self.judged.values())).points)

    def worth(self, judged: Judged) -> float | None:
        """What one answer gets, 0 to 1; None where it does not count."""
        return None if self.single is None else judged.points.get(self.single)

    def measure(self, name: str) -> Measure | None:
        """How the task describes a measure; None for those that every task has, such as the mean over classes."""
        return next((each for each in self.task.measures if each.name == name), None)

    @property
    def facets(self) -> dict[str, str]:
        """What may set this run apart from another of the same task, in words."""
        header = self.header
        return {
            "model": self.model,
            "form": f"by {header.form}",
            "way": find_way(header.way).title,
            "noise": f"noise {header.noise:g}" if header.noise else "no noise",
            "data": str(header.data.get("folder", "")),
            "limit": f"{header.limit:,} drawn" if header.limit else "all",
        }

    def unlike(self, other: Run) -> list[str]:
        """The facets in which two runs differ."""
        return [facet for facet, text in self.facets.items() if other.facets[facet] != text]

    def same_questions(self, other: Run) -> bool:
        """Whether both were asked about the same regions of the same data, in whatever form, way or noise."""
        return (self.header.task, self.header.data) == (other.header.task, other.header.data) and not (
            self.predictions.keys().isdisjoint(other.predictions)
        )


def open_runs(files: Sequence[Path], matching: str = DEFAULT_RULE, calibration: Calibration | None = None) -> list[Run]:
    """The runs of predictions files, ``ordered``; those of the weights that ``calibration`` was fitted for have it.

    Raises ``DataError`` for a file that cannot be read or scored, for none at all, and for one that is given twice.
    """
    if not files:
        raise DataError("a report needs at least one predictions file; make one with 'chatspot eval predict'")
    runs = [
        Run(
            file.name,
            hashlib.sha256(file.read_bytes()).hexdigest(),
            content,
            matching,
            calibration=calibration if calibration and is_for(calibration, content.header) else None,
        )
        for file in files
        for content in [read_predictions(file)]
    ]
    seen: dict[str, str] = {}
    for run in runs:
        if run.sha256 in seen:
            raise DataError(f"{run.name} and {seen[run.sha256]} hold the same predictions; give each once")
        seen[run.sha256] = run.name
    runs = ordered(runs)
    full = leading(runs)
    return [replace(run, full=run in full) for run in runs]


def ordered(runs: Sequence[Run]) -> list[Run]:
    """The runs by task, model (as they were given), noise, form and way, the plainest first, wherever their files come
    in the list: the page does not depend on how a shell sorts names."""
    models = list(dict.fromkeys(run.model for run in runs))
    tasks, ways = list(TASKS), list(reversed(WAYS))

    def place(run: Run) -> tuple[Any, ...]:
        header = run.header
        focal_first = (header.way != FOCAL.name, ways.index(header.way))
        return (tasks.index(header.task), models.index(run.model), header.noise, run.task.forms.index(header.form),
                *focal_first, header.limit is not None, run.sha256)  # fmt: skip

    return sorted(runs, key=place)


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """A name for each run (by its hash): the facets in which runs of its task differ; the model where none does."""
    found = {}
    for run in runs:
        alike = [other.facets for other in runs if other.header.task == run.header.task]
        telling = [text for facet, text in run.facets.items() if len({each[facet] for each in alike}) > 1]
        found[run.sha256] = ", ".join(telling) or f"{run.model}, by {run.header.form}"
    return found


def leading(runs: Sequence[Run]) -> list[Run]:
    """The runs that are told in full: all of a few, otherwise the first of each task, data and model."""
    if len(runs) <= MOST_FULL:
        return list(runs)
    first: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        first.setdefault((run.header.task, str(run.header.data), run.model), run)
    return [run for run in runs if run in first.values()]


def by_task(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each task, tasks in order of their first run."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.header.task, []).append(run)
    return groups
