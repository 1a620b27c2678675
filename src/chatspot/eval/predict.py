"""Ask a model every question of a task and keep its answers. Scoring is another program, with a file between them.

Questions are asked side by side (``engine.crowd``), those of one picture together, and each answer is written as soon
as it has ended. So whatever ends the run, no question that was answered is asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from chatspot.data.journal import append, begin, check_same_run, mend
from chatspot.engine.crowd import Asked, Failures, answered, described
from chatspot.engine.interface import Engine, Request
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
    failures = Failures(out)
    with (
        progress_bar("answering", len(questions), done=len(there), shown=show_progress) as advance,
        closing(predictions_of(engine, chosen, rest, most=batch, keep_prompts=keep_prompts)) as coming,
    ):
        for predictions in coming:
            append(out, [prediction.to_json() for prediction in predictions])
            for prediction in predictions:
                failures.note(prediction.id, prediction.error)
            advance(len(predictions))
    return Outcome(len(rest), len(there), failures.count)


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


def predictions_of(
    engine: Engine, way: Way, questions: Iterable[Question], *, most: int, keep_prompts: bool = False
) -> Generator[list[Prediction]]:
    """What came of each question, ``most`` of them asked side by side, as it comes."""
    opened = lru_cache(1)(open_image)  # questions of one picture come one after another

    def request(question: Question) -> Request:
        most_tokens = find_task(question.task).max_new_tokens
        return request_in(way, engine, Request(question.conversation, (opened(question.image),), most_tokens))

    with closing(answered(engine, questions, request, most=most, ahead=most)) as coming:
        for some in coming:
            yield [prediction(one, keep_prompts) for one in some]


def prediction(asked: Asked[Question], keep_prompt: bool) -> Prediction:
    """The prediction of an answered or failed question."""
    q, reply = asked.item, asked.reply
    bare = Prediction(q.id, q.text, q.region_json, q.size, q.truth, extra=q.extra)
    if asked.error is not None:
        return replace(bare, error=described(asked.error))
    assert reply is not None
    assert asked.prepared is not None
    prompt = asked.prepared.text
    return replace(
        bare,
        answer=reply.text,
        logprob=None if reply.logprob is None else round(reply.logprob, 5),
        finish=reply.finish,
        seconds=round(asked.seconds, 4),
        tokens=reply.counted or (asked.prepared.prompt_tokens, len(reply.token_ids)),
        prompt=prompt if keep_prompt else hashlib.sha256(prompt.encode()).hexdigest()[:HASH_DIGITS],
    )
