"""Batch services: the calls that have no reply as OpenAI's batch files, and their answers back into the ledger.

The format is that of OpenAI's Batch API: one JSON object a line, ``custom_id`` (here the call's key), ``method``,
``url`` and ``body``; an answer's line has ``custom_id``, ``response`` with ``status_code`` and ``body``, and ``error``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chatspot.data.regionchat.ledger import Ledger, Usage, most_of
from chatspot.data.regionchat.run import Planned
from chatspot.data.regionchat.settings import ChatSettings
from chatspot.errors import DataError

URL = "/v1/chat/completions"
MOST_LINES, MOST_BYTES = 50_000, 190_000_000  # OpenAI's limits of a batch file: 50,000 requests and 200 MB


def export_batches(ledger: Ledger, calls: Iterable[Planned], settings: ChatSettings, folder: Path) -> dict[str, Any]:
    """Write ``batch-0001.jsonl`` ... with every call that has no reply, as far as the ceilings let; the counts
    "exported" and "over the ceiling" and the files. Earlier batch files of the folder are replaced."""
    from chatspot.data.regionchat.endpoint import CeilingReached, check_ceilings

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("batch-*.jsonl"):
        old.unlink()
    files: list[Path] = []
    counts: Counter[str] = Counter()
    pending = Usage(0, 0)
    lines: list[str] = []
    size = 0
    taken: set[str] = set()

    def close_file() -> None:
        nonlocal size
        if lines:
            path = folder / f"batch-{len(files) + 1:04d}.jsonl"
            new = path.with_name(f".{path.name}.new")
            new.write_text("".join(lines), encoding="utf-8")
            new.replace(path)
            files.append(path)
        lines.clear()
        size = 0

    for call in calls:
        if call.key in taken or ledger.reply(call.key):
            continue
        taken.add(call.key)
        most = most_of(call.body)
        try:
            check_ceilings(ledger, settings, pending + most)
        except CeilingReached:
            counts["over the ceiling"] += 1
            continue
        pending += most
        ledger.plan(call.key, call.body)
        line = json.dumps({"custom_id": call.key, "method": "POST", "url": URL, "body": call.body}) + "\n"
        if len(lines) >= MOST_LINES or size + len(line) > MOST_BYTES:
            close_file()
        lines.append(line)
        size += len(line)
        counts["exported"] += 1
    close_file()
    return {"exported": counts["exported"], "over the ceiling": counts["over the ceiling"], "files": files}


def import_batch(ledger: Ledger, path: Path) -> Counter[str]:
    """Take the answers of a batch service's output file into the ledger; counts of "answered", "kept" (had a reply
    before), "unknown" (no call of this run), "failed" and "unusable" lines. What was paid is counted once."""
    from chatspot.data.regionchat.endpoint import Transient, read_completion

    if not path.is_file():
        raise DataError(f"{path} does not exist: expected the output file of a batch service (JSON lines)")
    counts: Counter[str] = Counter()
    with path.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            key, status, body = answer_line(line)
            known = ledger.body(key) if key else None
            if key is None:
                counts["unusable"] += 1
            elif known is None:
                counts["unknown"] += 1
            elif ledger.reply(key):
                counts["kept"] += 1
            elif status != 200:
                ledger.fail(key, "batch", f"status {status}: {json.dumps(body)[:300]}")
                counts["failed"] += 1
            else:
                number = ledger.begin(key, most_of(known), f"batch {path.name}")
                try:
                    raw = json.dumps(body).encode()
                    reply, usage, note = read_completion(raw, asked_model=str(known["model"]))
                except Transient as error:
                    ledger.end(number, "in doubt", None, error.reason)
                    ledger.fail(key, error.reason, error.detail)
                    counts["failed"] += 1
                    continue
                ledger.answer(key, number, reply, usage, note or f"batch {path.name}")
                counts["answered"] += 1
    return counts


def answer_line(line: bytes) -> tuple[str | None, int, Any]:
    """Key, HTTP status and body of a line; the key is None for a line that is none."""
    try:
        entry = json.loads(line)
        key = entry["custom_id"]
        response = entry.get("response") or {}
        status = response.get("status_code", 0)
        body = response.get("body", entry.get("error"))
    except (KeyError, AttributeError, TypeError, ValueError, RecursionError):
        return None, 0, None
    return (key if isinstance(key, str) else None), (status if isinstance(status, int) else 0), body
