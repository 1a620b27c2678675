"""A run: which calls there are, making them, and turning replies into samples.

The calls of a run follow from records and settings alone. ``fill`` gets replies for those that have none into the
ledger; ``replay`` reads the ledger and writes ``samples.jsonl``, ``rejected.jsonl`` and ``report.json``, without any
endpoint and the same to the byte each time. So stopping, killing, batch services and offline work need no other path.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatspot.data.records import Record
from chatspot.data.regionchat.checks import Rejection, Seen, rejection_of
from chatspot.data.regionchat.dialogue import Dialogue, UnreadableReply, parse_lines, parse_reply, sample_of
from chatspot.data.regionchat.ledger import Ledger, Reply
from chatspot.data.regionchat.prompt import EXAMPLES, messages_of, request_key, response_format
from chatspot.data.regionchat.report import Tally
from chatspot.data.regionchat.rules import rules_dialogues
from chatspot.data.regionchat.scene import Scene, scene_of
from chatspot.data.regionchat.settings import ChatSettings
from chatspot.data.samples import Sample
from chatspot.data.saving import write_whole
from chatspot.errors import DataError
from chatspot.messages import conversation_from_json

SAMPLES, REJECTED, REPORT = "samples.jsonl", "rejected.jsonl", "report.json"


@dataclass(frozen=True)
class Planned:
    """One call of a run. ``name`` is the id of the sample that it may become."""

    name: str
    record: Record
    scene: Scene
    key: str
    body: dict[str, Any]


def planned_calls(records: Iterable[Record], settings: ChatSettings) -> Iterator[Planned]:
    """Every call that the settings ask for, in the order of the records; pictures of which nothing is known
    have none."""
    for record in records:
        scene = scene_of(record, most_regions=settings.most_regions)
        for kind in settings.kinds if scene else ():
            assert scene is not None
            for number in range(settings.samples):
                body: dict[str, Any] = {
                    "model": settings.model,
                    "messages": messages_of(
                        scene, kind, turns=settings.turns, examples=settings.examples, form=settings.structured
                    ),
                    settings.length_field: settings.most_reply_tokens,
                }
                if settings.temperature is not None:
                    body["temperature"] = settings.temperature
                if settings.send_seed:
                    body["seed"] = settings.seed + number
                if form := response_format(settings.structured):
                    body["response_format"] = form
                # without a seed in the body, the number keeps the calls for one scene apart
                key = request_key(body if settings.send_seed else {**body, "number": settings.seed + number})
                yield Planned(f"{record.id}#chat.{kind}.{number}", record, scene, key, body)


async def fill(
    ledger: Ledger,
    calls: Iterator[Planned],
    settings: ChatSettings,
    *,
    api_key: str,
    progress: Callable[[str], None] = lambda outcome: None,
) -> str:
    """Get a reply for every call that has none; why it ended early, or nothing.

    ``progress`` hears "kept", "answered" or "failed" for each call. SIGINT and SIGTERM let the calls that are under way
    come in and begin no others; killing the process loses at most those.
    """
    import openai

    from chatspot.data.regionchat.endpoint import CeilingReached, Endpoint, Interrupted

    stopped: list[str] = []
    taken: set[str] = set()

    async def work(endpoint: Endpoint) -> None:
        for call in calls:
            failure = ledger.failure(call.key)
            if ledger.reply(call.key) or call.key in taken or (failure and failure[0] == "bad-request"):
                progress("kept")
            else:
                taken.add(call.key)
                try:
                    progress("answered" if await endpoint.call(call.key, call.body) else "failed")
                except CeilingReached as error:
                    stopped.append(str(error))
                except Interrupted:
                    pass
                except DataError as error:
                    stopped.append(str(error))
            if stopped:
                endpoint.stop.set()
            if endpoint.stop.is_set():
                return

    async with openai.AsyncOpenAI(
        api_key=api_key, base_url=settings.base_url, timeout=settings.timeout_s, max_retries=0
    ) as client:
        endpoint = Endpoint(client, ledger, settings)
        with stopping_signals(endpoint.stop) as heard:
            async with asyncio.TaskGroup() as group:
                for _ in range(settings.concurrency):
                    group.create_task(work(endpoint))
    return stopped[0] if stopped else f"signal {heard[0]}" if heard else ""


@contextmanager
def stopping_signals(stop: asyncio.Event) -> Iterator[list[str]]:
    """While entered, the first SIGINT or SIGTERM sets ``stop``, and the next acts as usual. Gives the list of names
    heard. Where an event loop takes no handlers (Windows, other threads) a signal ends the run at once: the ledger
    keeps what came."""
    loop = asyncio.get_running_loop()
    heard: list[str] = []
    taken: list[signal.Signals] = []

    def leave() -> None:
        while taken:
            loop.remove_signal_handler(taken.pop())

    def hear(number: signal.Signals) -> None:
        heard.append(number.name)
        stop.set()
        leave()

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, hear, number)
            taken.append(number)
    try:
        yield heard
    finally:
        leave()


def replay(ledger: Ledger, records: Iterable[Record], settings: ChatSettings, folder: Path, stopped: str = "") -> Tally:
    """Write samples, rejections and report from the replies that the ledger has; what was counted."""
    records = list(records)
    tally = Tally("endpoint", settings.model, pictures=len(records))
    seen = Seen(dialogue for _, dialogue in EXAMPLES[: settings.examples])

    def results() -> Iterator[tuple[str, Sample | Rejection, str]]:
        for call in planned_calls(records, settings):
            tally.planned += 1
            reply, failure = ledger.reply(call.key), ledger.failure(call.key)
            if reply:
                tally.answered += 1
                yield call.name, judged(reply, call, seen, settings), reply.content
            elif failure:
                tally.failed[failure[0]] += 1
            else:
                tally.missing += 1

    write_results(results(), tally, folder)
    tally.stopped = stopped
    tally.take_account(ledger, settings)
    write_whole(folder / REPORT, json.dumps(tally.to_json(), indent=1, ensure_ascii=False) + "\n")
    return tally


def judged(reply: Reply, call: Planned, seen: Seen, settings: ChatSettings) -> Sample | Rejection:
    """The sample in a reply, or why there is none. Turns beyond those that were asked for are left out unread."""
    parse = parse_lines if settings.structured == "lines" else parse_reply
    try:
        dialogue = parse(reply.content, cut_off=reply.cut_off)
        dialogue = Dialogue(turns=dialogue.turns[: settings.turns])
    except UnreadableReply as error:
        return Rejection(error.reason, error.detail)
    return rejection_of(dialogue, call.scene, seen) or sample_of(dialogue, call.record, call.scene, call.name)


def write_by_rules(
    records: Iterable[Record], folder: Path, *, samples: int = 1, turns: int = 4, most_regions: int = 8, seed: int = 0
) -> Tally:
    """Dialogues by rules, through the same checks, into the same files; what was counted."""
    records = list(records)
    tally = Tally("rules", "rules", pictures=len(records))
    seen = Seen()

    def results() -> Iterator[tuple[str, Sample | Rejection, str]]:
        for record in records:
            scene = scene_of(record, most_regions=most_regions)
            dialogues: list[Dialogue] = rules_dialogues(scene, count=samples, turns=turns, seed=seed) if scene else []
            for number, dialogue in enumerate(dialogues):
                assert scene is not None
                tally.planned += 1
                tally.answered += 1
                name = f"{record.id}#rules.{number}"
                result = rejection_of(dialogue, scene, seen) or sample_of(dialogue, record, scene, name)
                yield name, result, dialogue.model_dump_json()

    write_results(results(), tally, folder)
    write_whole(folder / REPORT, json.dumps(tally.to_json(), indent=1, ensure_ascii=False) + "\n")
    return tally


def write_results(results: Iterator[tuple[str, Sample | Rejection, str]], tally: Tally, folder: Path) -> None:
    """Samples and rejections, each a JSON line; both files appear whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    new = {name: folder / f".{name}.new" for name in (SAMPLES, REJECTED)}
    with new[SAMPLES].open("w", encoding="utf-8") as good, new[REJECTED].open("w", encoding="utf-8") as bad:
        for name, result, raw in results:
            if isinstance(result, Sample):
                tally.accept(result)
                good.write(json.dumps(sample_to_json(result, folder), ensure_ascii=False) + "\n")
            else:
                tally.reject(result.reason)
                entry = {"id": name, "reason": result.reason, "detail": result.detail, "reply": raw[:2000]}
                bad.write(json.dumps(entry) + "\n")
    for name, path in new.items():
        path.replace(folder / name)


def sample_to_json(sample: Sample, folder: Path) -> dict[str, Any]:
    """A sample as one line of ``samples.jsonl``; pictures relative to the file's folder."""
    images = [Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix() for path in sample.image_paths]
    return {
        "id": sample.id,
        "source": sample.source,
        "task": sample.task,
        "images": images,
        "conversation": sample.conversation.to_json(),
    }


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a ``samples.jsonl``. Raises ``DataError`` with file and line for one that cannot be read."""
    if not path.is_file():
        raise DataError(f"{path} does not exist: expected the {SAMPLES} of a RegionChat run")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                images = tuple(path.parent / name for name in entry["images"])
                talk = conversation_from_json(entry["conversation"])
                yield Sample(str(entry["id"]), str(entry["source"]), images, talk, str(entry["task"]))
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: {error}; expected a sample as RegionChat writes it") from error
