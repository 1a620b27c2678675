"""Ask a model every question of a task and keep its answers. Scoring is another program, with a file between them.

Questions are made ready ahead, in a thread of their own: the picture opened and shown in the chosen way, the prompt
written. The engine's batch is filled up with them as answers end, those of one picture side by side, and each answer is
written as soon as it has ended. So whatever ends the run, no question that was answered is asked again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from chatspot.data.journal import append, begin, check_same_run, mend
from chatspot.engine.interface import Engine, Growing, Prepared, Reply, Request
from chatspot.errors import DataError
from chatspot.eval.predictions import (
    RESUMED,
    SAME_RUN,
    Header,
    Prediction,
    PredictionsFile,
    read_header,
    read_predictions,
)
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.eval.tasks import Question, find_task
from chatspot.eval.ways import Way, request_in, way_of
from chatspot.images import open_image
from chatspot.progress import progress_bar

BATCH = 32
MOST_FAILURES = 16  # so many failures in a row mean that the engine is broken, not the questions
HASH_DIGITS = 16  # of a prompt's SHA-256


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
    way: str | None = None,
    keep_prompts: bool = False,
    resume: bool = True,
    show_progress: bool | None = None,
) -> Outcome:
    """Answer all questions of one task and write them to ``out``, each as soon as it is answered.

    At most ``batch`` are asked side by side, those of one picture together; ``way`` (``eval.ways``) is how regions are
    shown, None as the engine's settings say. A question that the engine cannot answer is written down with its error.
    With ``keep_prompts`` the whole prompts are kept, else their hashes. With ``resume``, the answers that ``out``
    already holds are kept and only the rest is asked; failed questions are asked again. ``show_progress`` None: when
    standard error is a terminal.

    Raises ``DataError`` when there is no question, when ``out`` belongs to another run (it is left as it was), or after
    MOST_FAILURES failures in a row.
    """
    if batch < 1:
        raise DataError(f"batch must be at least 1, got {batch}")
    chosen = way_of(engine, way)
    header = header_of(engine, questions, facts, chosen)
    if not resume and out.exists():
        raise DataError(f"{out} is there already; resume it, remove it, or choose another file")
    earlier = earlier_answers(out, header)
    if earlier is None:
        begin(out, header.to_json())
    elif header.commit not in earlier.commits:
        append(out, [{"kind": RESUMED, "commit": header.commit, "date": header.date}])
    there = {p.id for p in earlier.predictions.values() if p.error is None} if earlier else set()
    rest = picture_by_picture([question for question in questions if question.id not in there])
    failed = failed_in_a_row = 0
    with (
        progress_bar("answering", len(questions), done=len(there), shown=show_progress) as advance,
        closing(made_ready(engine, chosen, rest, ahead=batch)) as coming,
    ):
        for predictions in answered(engine, coming, batch, keep_prompts):
            append(out, [prediction.to_json() for prediction in predictions])
            for prediction in predictions:
                failed += prediction.error is not None
                failed_in_a_row = failed_in_a_row + 1 if prediction.error else 0
                if failed_in_a_row >= MOST_FAILURES:
                    raise DataError(f"{failed_in_a_row} questions in a row failed, the last ({prediction.id}) with "
                                    f"{prediction.error}; {out} keeps what was answered")  # fmt: skip
            advance(len(predictions))
    return Outcome(len(rest), len(there), failed)


def header_of(engine: Engine, questions: Sequence[Question], facts: RunFacts, way: Way) -> Header:
    """The header of a run of ``questions``, which are all of one task and form, shown in one way."""
    kinds = {(question.task, str(question.extra["form"])) for question in questions}
    if len(kinds) != 1:
        raise DataError(f"a predictions file holds the questions of one task and form, got {sorted(kinds) or 'none'}")
    task, form = kinds.pop()
    content = [[q.id, q.text, q.region_json, q.size, q.truth] for q in questions]
    return Header(
        task=task,
        form=form,
        way=way.name,
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
    if out.is_dir():
        raise DataError(f"{out} is a folder; give a file for the predictions")
    there = read_header(out)
    if there is None:
        return None
    check_same_run(out, asdict(there), asdict(header), SAME_RUN)
    mend(out)
    return read_predictions(out)


def picture_by_picture(questions: Sequence[Question]) -> list[Question]:
    """The questions with those of one picture together, pictures in order of their first question."""
    groups: dict[Path, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.image, []).append(question)
    return [question for group in groups.values() for question in group]


@dataclass(frozen=True)
class Ready:
    """A question that can be asked, or the ``fault`` for which it cannot."""

    question: Question
    prepared: Prepared | None = None
    fault: str | None = None

    @property
    def length(self) -> int:
        """Tokens of the prompt; 0 where they are not known."""
        return self.prepared.prompt_tokens if self.prepared else 0


def made_ready(engine: Engine, way: Way, questions: Iterable[Question], *, ahead: int) -> Generator[Ready]:
    """The questions made ready in order, up to ``ahead`` of them before they are wanted."""
    rest = iter(questions)
    opened: dict[Path, Image.Image] = {}  # the last picture

    def ready(question: Question) -> Ready:
        try:
            if question.image not in opened:
                opened.clear()
                opened[question.image] = open_image(question.image)
            return Ready(question, engine.prepare(request_in(way, engine, request(question, opened[question.image]))))
        except Exception as error:
            return Ready(question, fault=described(error))

    with ThreadPoolExecutor(1, "ready") as thread:
        coming = deque(thread.submit(ready, question) for question in islice(rest, ahead))
        try:
            while coming:
                yield coming.popleft().result()
                coming.extend(thread.submit(ready, question) for question in islice(rest, 1))
        finally:
            thread.shutdown(cancel_futures=True)


def request(question: Question, picture: Image.Image) -> Request:
    """What is asked."""
    return Request(question.conversation, (picture,), find_task(question.task).max_new_tokens)


def answered(engine: Engine, coming: Iterator[Ready], most: int, keep_prompts: bool) -> Iterator[list[Prediction]]:
    """Predictions as they come, ``most`` questions side by side.

    A batch that computes here is filled up when half of it has ended: prompts read together cost less. A server is
    always given the next question at once. Prompts of like length are read together.
    """
    asked = Asked(engine, keep_prompts)
    least_free = 1 if engine.device == "remote" else (most + 1) // 2
    waiting: list[Ready] = []
    while True:
        if most - len(asked.growing) >= least_free:
            waiting += islice(coming, max(2 * most - len(waiting), 0))
            unfit = [asked.prediction(ready, fault=ready.fault) for ready in waiting if ready.fault is not None]
            if unfit:
                yield unfit
            waiting = sorted((ready for ready in waiting if ready.fault is None), key=lambda ready: ready.length)
            joining = asked.fitting(waiting, most)
            waiting = waiting[len(joining) :]
            if joining:
                yield from asked.join(joining)
        if not asked.growing and not waiting:
            return
        yield from asked.step()


class Asked:
    """Questions that are being answered side by side: ``growing``. Each call gives what has ended, never an empty list.

    When the engine fails for all of them at once, each is asked alone to find the fault; an error of any kind is kept
    in its prediction, so one question cannot end the run.
    """

    def __init__(self, engine: Engine, keep_prompts: bool):
        self.engine, self.keep_prompts = engine, keep_prompts
        self.batch = engine.batch()
        self.growing: list[tuple[Ready, Growing]] = []
        self.seconds: dict[str, float] = {}  # by question: its shares so far

    def fitting(self, waiting: Sequence[Ready], most: int) -> list[Ready]:
        """How many of those that wait, from the first on, may join now."""
        joining: list[Prepared] = []
        for ready in waiting[: most - len(self.growing)]:
            assert ready.prepared is not None
            if not self.batch.has_room(*joining, ready.prepared):
                break
            joining.append(ready.prepared)
        return list(waiting[: len(joining)])

    def join(self, joining: Sequence[Ready]) -> Iterator[list[Prediction]]:
        """Ask these too."""
        start = time.perf_counter()
        try:
            new = self.batch.join([ready.prepared for ready in joining if ready.prepared])
        except Exception:
            yield from self.one_by_one(joining)
            return
        self.growing += zip(joining, new, strict=True)
        yield from self.ended(joining, start)

    def step(self) -> Iterator[list[Prediction]]:
        """Go on with all."""
        start, all_ready = time.perf_counter(), [ready for ready, _ in self.growing]
        try:
            self.batch.step()
        except Exception:
            self.batch, self.growing = self.engine.batch(), []
            yield from self.one_by_one(all_ready)
            return
        yield from self.ended(all_ready, start)

    def ended(self, computed: Sequence[Ready], start: float) -> Iterator[list[Prediction]]:
        """The answers that have ended; ``computed`` have shared the time since ``start``."""
        share = (time.perf_counter() - start) / max(len(computed), 1)
        for ready in computed:
            self.seconds[ready.question.id] = self.seconds.get(ready.question.id, 0.0) + share
        done: list[Prediction] = []
        still: list[tuple[Ready, Growing]] = []
        for ready, growing in self.growing:
            try:
                reply = growing.reply
            except Exception as error:
                done.append(self.prediction(ready, fault=described(error)))
                continue
            if reply is None:
                still.append((ready, growing))
            else:
                done.append(self.prediction(ready, reply))
        self.growing = still
        if done:
            yield done

    def one_by_one(self, some: Sequence[Ready]) -> Iterator[list[Prediction]]:
        """Each asked alone."""
        for ready in some:
            assert ready.prepared is not None
            start = time.perf_counter()
            try:
                (reply,) = self.engine.answer([ready.prepared.request])
            except Exception as error:
                yield [self.prediction(ready, fault=described(error))]
                continue
            self.seconds[ready.question.id] = time.perf_counter() - start
            yield [self.prediction(ready, reply)]

    def prediction(self, ready: Ready, reply: Reply | None = None, fault: str | None = None) -> Prediction:
        """The prediction of an answered or failed question."""
        q, seconds = ready.question, self.seconds.pop(ready.question.id, 0.0)
        bare = Prediction(q.id, q.text, q.region_json, q.size, q.truth, error=fault, extra=q.extra)
        if reply is None or ready.prepared is None:
            return bare
        prompt = ready.prepared.text
        if not self.keep_prompts:
            prompt = hashlib.sha256(prompt.encode()).hexdigest()[:HASH_DIGITS]
        return replace(
            bare,
            answer=reply.text,
            logprob=None if reply.logprob is None else round(reply.logprob, 5),
            finish=reply.finish,
            seconds=round(seconds, 4),
            tokens=reply.counted or (ready.prepared.prompt_tokens, len(reply.token_ids)),
            prompt=prompt,
        )


def described(error: Exception) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
