"""Ask a model every question of a task and keep its answers. Scoring is another program, with a file between them."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from chatspot.engine.interface import Engine, Reply, Request
from chatspot.errors import DataError, ImageError
from chatspot.eval.predictions import (
    OPENING,
    RESUMED,
    Header,
    Prediction,
    PredictionsFile,
    first_header,
    mend_last_line,
    read_predictions,
)
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.eval.tasks import Question, find_task
from chatspot.images import open_image

BATCH = 16
MOST_FAILURES = 16  # so many failures in a row mean that the engine is broken, not the questions


@dataclass(frozen=True)
class RunFacts:
    """What the engine and the questions do not say of themselves: ``provenance.model_facts``, ``tasks.Folder.facts``,
    the draw's ``limit``, and the command as somebody else would type it."""

    model: dict[str, Any]
    data: dict[str, Any]
    command: str
    limit: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: how many questions were ``asked`` now, were already ``there``, and ``failed`` for good."""

    asked: int
    there: int
    failed: int


def predict(
    engine: Engine,
    questions: Sequence[Question],
    out: Path,
    facts: RunFacts,
    *,
    batch: int = BATCH,
    resume: bool = True,
    show_progress: bool | None = None,
) -> Outcome:
    """Answer all questions of one task and write them to ``out``, batch by batch.

    With ``resume``, the answers that ``out`` already holds are kept and only the rest is asked; failed questions are
    asked again. Questions of one picture are asked together, ``batch`` at a time. A question that the engine cannot
    answer is written down with its error. ``show_progress`` None: when standard error is a terminal.

    Raises ``DataError`` when there is no question, when ``out`` belongs to another run (it is left as it was), or after
    MOST_FAILURES failures in a row.
    """
    if batch < 1:
        raise DataError(f"batch must be at least 1, got {batch}")
    header = header_of(engine, questions, facts)
    if not resume and out.exists():
        raise DataError(f"{out} is there already; resume it, remove it, or choose another file")
    earlier = earlier_answers(out, header)
    if earlier is None:
        out.parent.mkdir(parents=True, exist_ok=True)
        append(out, [header.to_json()])
    elif header.commit not in earlier.commits:
        append(out, [{"kind": RESUMED, "commit": header.commit, "date": header.date}])
    there = {p.id for p in earlier.predictions.values() if p.error is None} if earlier else set()
    rest = picture_by_picture([question for question in questions if question.id not in there])
    failed = failed_in_a_row = 0
    with progress_bar(len(questions), len(there), show_progress) as advance:
        for start in range(0, len(rest), batch):
            predictions = answered(engine, rest[start : start + batch])
            append(out, [prediction.to_json() for prediction in predictions])
            for prediction in predictions:
                failed += prediction.error is not None
                failed_in_a_row = failed_in_a_row + 1 if prediction.error else 0
                if failed_in_a_row >= MOST_FAILURES:
                    raise DataError(f"{failed_in_a_row} questions in a row failed, the last ({prediction.id}) with "
                                    f"{prediction.error}; {out} keeps what was answered")  # fmt: skip
            advance(len(predictions))
    return Outcome(len(rest), len(there), failed)


def header_of(engine: Engine, questions: Sequence[Question], facts: RunFacts) -> Header:
    """The header of a run of ``questions``, which are all of one task and form."""
    kinds = {(question.task, str(question.extra["form"])) for question in questions}
    if len(kinds) != 1:
        raise DataError(f"a predictions file holds the questions of one task and form, got {sorted(kinds) or 'none'}")
    task, form = kinds.pop()
    content = [[q.id, q.text, q.region_json, q.size, q.truth] for q in questions]
    return Header(
        task=task,
        form=form,
        way="focal" if engine.settings.focal_view else "text",
        noise=float(questions[0].extra.get("noise", 0.0)),
        questions=len(questions),
        questions_sha256=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        model=facts.model,
        settings=engine.settings.to_json(),
        data=facts.data,
        limit=facts.limit,
        commit=source_commit(),
        machine={**machine(), "device": engine.device},
        date=today(),
        command=facts.command,
    )


def earlier_answers(out: Path, header: Header) -> PredictionsFile | None:
    """What ``out`` holds of the same run, its cut-off last line removed; None when it holds nothing yet."""
    if not out.exists():
        return None
    if out.is_dir():
        raise DataError(f"{out} is a folder; give a file for the predictions")
    with out.open("rb") as file:
        first = file.readline()
    if not first.endswith(b"\n") and (first.startswith(OPENING) or OPENING.startswith(first)):
        out.unlink()  # a header that was cut off while it was written
        return None
    differences = first_header(out).differences(header)
    if differences:
        raise DataError(f"{out} holds another run ({'; '.join(differences)[:400]}); choose another file")
    mend_last_line(out)
    return read_predictions(out)


def picture_by_picture(questions: Sequence[Question]) -> list[Question]:
    """The questions with those of one picture together, pictures in order of their first question."""
    groups: dict[Path, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.image, []).append(question)
    return [question for group in groups.values() for question in group]


def answered(engine: Engine, questions: Sequence[Question]) -> list[Prediction]:
    """One prediction for each question. When the batch fails as a whole, each is asked alone to find the fault."""
    pictures: dict[Path, Image.Image] = {}
    faults: dict[Path, str] = {}
    for path in dict.fromkeys(question.image for question in questions):
        try:
            pictures[path] = open_image(path)
        except ImageError as error:
            faults[path] = described(error)
    sound = [question for question in questions if question.image in pictures]
    found = {q.id: replace(bare(q), error=faults[q.image]) for q in questions if q.image in faults}
    start = time.perf_counter()
    try:
        replies = engine.answer([request(question, pictures[question.image]) for question in sound])
    except Exception:
        found |= {question.id: alone(engine, question, pictures[question.image]) for question in sound}
    else:
        seconds = (time.perf_counter() - start) / max(len(sound), 1)
        found |= {q.id: with_reply(q, reply, seconds) for q, reply in zip(sound, replies, strict=True)}
    return [found[question.id] for question in questions]


def alone(engine: Engine, question: Question, picture: Image.Image) -> Prediction:
    """The prediction for one question; an error of any kind is kept in it, so one question cannot end the run."""
    start = time.perf_counter()
    try:
        (reply,) = engine.answer([request(question, picture)])
    except Exception as error:
        return replace(bare(question), error=described(error))
    return with_reply(question, reply, time.perf_counter() - start)


def request(question: Question, picture: Image.Image) -> Request:
    """What the engine is given."""
    return Request(question.conversation, (picture,), find_task(question.task).max_new_tokens)


def bare(question: Question) -> Prediction:
    """The prediction before there is an answer."""
    return Prediction(
        question.id, question.text, question.region_json, question.size, question.truth, extra=question.extra
    )


def with_reply(question: Question, reply: Reply, seconds: float) -> Prediction:
    """The prediction of an answered question."""
    return replace(
        bare(question),
        answer=reply.text,
        logprob=None if reply.logprob is None else round(reply.logprob, 5),
        finish=reply.finish,
        seconds=round(seconds, 4),
    )


def described(error: Exception) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def append(file: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Add lines to a file, all handed to the system before this returns."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


@contextmanager
def progress_bar(total: int, there: int, show: bool | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; the yielded function moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("answering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = sys.stderr.isatty() if show is None else show
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("answering", total=total, completed=there)
        yield lambda count: bar.advance(task, count)
