"""Ask a model the fixed questions beside pointing, and weigh the fixed texts: a predictions file of task "retention".

The same measurement as a stage of training makes before and after itself (``train.abilities.retention``), for any
engine: one that torch does not hold, such as a server, answers the questions, and has no perplexity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.engine.crowd import answered, described
from chatspot.engine.interface import Engine, Request
from chatspot.eval.predict import RunFacts
from chatspot.eval.predictions import Header, Prediction
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.messages import Conversation, Message, TextPart

TASK, FORM = "retention", "picture"
BATCH = 16


def write_retention(engine: Engine, out: Path, facts: RunFacts) -> list[Prediction]:
    """Ask and weigh everything, and write it to ``out``, whole. Takes seconds, so nothing is resumed."""
    from chatspot.data.saving import write_whole

    predictions = [*asked(engine), *weighed(engine)]
    content = [[each.id, each.question, each.truth] for each in predictions]
    header = Header(
        task=TASK,
        form=FORM,
        way="text",
        noise=0.0,
        questions=len(predictions),
        questions_sha256=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        model=facts.model,
        settings=engine.settings.to_json(),
        data=facts.data,
        limit=None,
        commit=source_commit(),
        machine={**machine(), "device": engine.device},
        date=today(),
        command=facts.command,
    )
    lines = [header.to_json(), *(each.to_json() for each in predictions)]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return predictions


def asked(engine: Engine) -> Iterator[Prediction]:
    """The questions with the engine's answers; one that cannot be answered keeps its error."""
    from chatspot.train.abilities.retention import REPLY_TOKENS, packaged

    def request(entry: dict[str, Any]) -> Request:
        return Request(Conversation((Message("user", (TextPart(entry["question"]),)),)), (), REPLY_TOKENS)

    entries = packaged("questions")
    coming = answered(engine, entries, request, most=BATCH, ahead=BATCH)
    found = {one.item["id"]: one for some in coming for one in some}
    for entry in entries:
        one = found[entry["id"]]
        what: dict[str, Any] = {} if one.error is None else {"error": described(one.error)}
        if one.reply is not None:
            what = {"answer": one.reply.text, "logprob": one.reply.logprob, "finish": one.reply.finish}
        yield Prediction(f"{TASK}/{entry['id']}#0", entry["question"], {}, (1, 1), entry["accepted"],
                         extra={"form": FORM, "kind": entry["kind"]}, **what)  # fmt: skip


def weighed(engine: Engine) -> Iterator[Prediction]:
    """The held-out texts with the loss on each of the model that answers what shows no picture; none for an engine that
    holds no model of torch."""
    from chatspot.engine.torch_engine import TorchEngine
    from chatspot.train.abilities.retention import text_losses

    answering = engine.texts() if isinstance(engine, TorchEngine) and engine.texts is not None else engine
    if not isinstance(answering, TorchEngine):
        return
    for entry, loss in text_losses(answering.checkpoint.model, answering.checkpoint.processor):
        extra = {"form": FORM, "kind": entry["kind"], "nats": round(loss.nats, 4), "tokens": loss.tokens}
        yield Prediction(f"{TASK}/text-{entry['id']}#0", "", {}, (1, 1), entry["id"], answer="", extra=extra)
