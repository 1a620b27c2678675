"""From a folder to a task's questions: region JSON lines, or a data set's original files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from chatspot.data.faults import Faults
from chatspot.data.records import ANNOTATIONS, Record, read_records
from chatspot.data.sources.source import Source
from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError
from chatspot.eval.tasks.task import SEED, Draw, Form, Question, Task

SPLITS = ("val", "test", "testdev", "testfinal", "all")  # held-out splits first; then as the source lists them


@dataclass(frozen=True)
class Folder:
    """Where records come from: a folder of region JSON lines (``source`` None), or one split of a source's original
    files."""

    path: Path
    source: Source | None = None
    split: str = ""

    def records(self, faults: Faults) -> Iterator[Record]:
        """The records, in the files' order; what cannot be used is counted in ``faults``."""
        if self.source is None:
            return read_records(self.path)
        return self.source.read(self.path, self.split, faults)

    def facts(self) -> dict[str, Any]:
        """What a predictions file says of its data: the folder's name and the SHA-256 of what its records are from."""
        from chatspot.model.weights import sha256

        name = self.path.resolve().name
        if self.source is None:
            return {"folder": name, "annotations_sha256": sha256(self.path / ANNOTATIONS)}
        files = {file: self.path / file for file in self.source.files[self.split]}
        hashes = {file: sha256(path) for file, path in files.items() if path.is_file()}
        return {"folder": name, "source": self.source.name, "split": self.split, "files_sha256": hashes}


def open_folder(task: Task, path: Path, split: str | None = None, source: str | None = None) -> Folder:
    """The folder's region JSON lines; without such, the first of the task's sources whose original files lie there, or
    the named ``source``. Users' own formats have no file names to be known by: they are opened by name alone.

    Without a ``split`` a held-out one is taken where there is one. Raises ``DataError`` that says what was looked for.
    """
    if (path / ANNOTATIONS).is_file() and split is None and source is None:
        return Folder(path)
    if source is not None and source not in task.sources:
        raise DataError(f"task {task.name} reads {', '.join(task.sources) or 'no source'}, not {source!r}")
    looked_for = []
    for name in task.sources if source is None else [source]:
        found = SOURCES[name]
        if source is None and found.role == "own":
            looked_for.append(f"{name} is opened by --source {name}")
            continue
        for each in ordered_splits(found) if split is None else [split]:
            try:
                found.check(path, each)
            except DataError as error:
                looked_for.append(str(error))
            else:
                return Folder(path, found, each)
    raise DataError(f"{path / ANNOTATIONS} does not exist, and no original files of task {task.name} lie there: "
                    f"{'; '.join(looked_for)[:600] or 'it reads no source'}")  # fmt: skip


def ordered_splits(source: Source) -> list[str]:
    """A source's splits, those that are held out first."""
    return sorted(source.files, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS))


def questions_of(
    task: Task,
    folder: Path | Folder,
    *,
    form: str | None = None,
    limit: int | None = None,
    draw: Draw | None = None,
    pictures: Collection[str] | None = None,
    faults: Faults | None = None,
) -> list[Question]:
    """The task's questions about a folder, record by record; at most ``limit`` of them, drawn by SEED.

    ``form`` None is the task's first. ``pictures`` keeps the records that bear one of these names ("coco:139").

    Raises ``DataError`` when the folder cannot be read, gives no question, or gives two of the same id, and when the
    task has no such form, or noise is wanted for another form than a box.
    """
    draw = draw or Draw()
    form = checked_form(task, form)
    if draw.noise and form != "box":
        raise DataError(f"noise moves boxes; form {form} has none, use --form box or no noise")
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1, got {limit}")
    if limit is not None and task.whole:
        raise DataError(f"task {task.name} needs all questions of a picture: draw pictures with --ids, not questions")
    opened = folder if isinstance(folder, Folder) else open_folder(task, folder)
    found = [
        question
        for record in opened.records(Faults() if faults is None else faults)
        if pictures is None or not set(pictures).isdisjoint(record.image_ids)
        for question in task.ask(record, form, draw)
    ]
    if not found:
        raise DataError(f"{opened.path} has no region that task {task.name} asks about by {form}; it was made for a "
                        f"folder such as heldout/{task.folder}")  # fmt: skip
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            raise DataError(f"{opened.path}: two questions have the id {question.id}; pictures need names of their own")
        seen.add(question.id)
    return found if limit is None else subset(found, limit)


def checked_form(task: Task, form: str | None) -> Form:
    """``form``, or the task's first; raises ``DataError`` for one that the task has not."""
    if form is None:
        return task.forms[0]
    for known in task.forms:
        if known == form:
            return known
    raise DataError(f"task {task.name} points by {' or '.join(task.forms)}, not by {form!r}; all forms are "
                    f"{', '.join(get_args(Form))}")  # fmt: skip


def subset(questions: list[Question], limit: int) -> list[Question]:
    """``limit`` of the questions, drawn by SEED, in their order; a smaller draw is part of a larger one."""

    def rank(question: Question) -> bytes:
        return hashlib.sha256(f"{SEED}/{question.id}".encode()).digest()

    kept = {question.id for question in sorted(questions, key=rank)[:limit]}
    return [question for question in questions if question.id in kept]
