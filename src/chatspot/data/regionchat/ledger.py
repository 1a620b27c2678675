"""What was asked, answered and paid: one SQLite file for each run's folder. A killed run loses nothing that came back.

Table ``calls`` holds each request under the SHA-256 of its body and its reply. Table ``attempts`` holds every time that
a request was sent: what it could cost at most is written before sending ("open") and what it did cost afterwards. An
attempt that a kill left open stays counted at its most, so no ceiling is passed by starting again.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from filelock import FileLock, Timeout

from chatspot.errors import DataError

# "answered": paid as the endpoint says. "in doubt": sent, and nobody knows whether it was paid; counted at its most.
# "free": refused before any work (rate limit, no connection).
Outcome: TypeAlias = Literal["open", "answered", "in doubt", "free"]

TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, body TEXT NOT NULL, content TEXT, cut_off INTEGER, failure TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS attempts (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    outcome TEXT NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, note TEXT);
CREATE INDEX IF NOT EXISTS attempts_key ON attempts (key);
"""
TOKENS_AROUND_A_MESSAGE = 16  # of role and separators in known chat templates; three or four in ChatML (our margin)


@dataclass(frozen=True)
class Usage:
    """Tokens read and written."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.input_tokens + self.output_tokens

    def cost(self, input_price: float, output_price: float) -> float:
        """What it costs at prices per million tokens."""
        return (self.input_tokens * input_price + self.output_tokens * output_price) / 1e6

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.input_tokens - other.input_tokens, self.output_tokens - other.output_tokens)


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered. ``cut_off``: it stopped at the length limit."""

    content: str
    cut_off: bool


@dataclass(frozen=True)
class Account:
    """What a run's folder has used: attempts by outcome, tokens as counted, of which ``doubtful`` are upper bounds."""

    attempts: dict[str, int]
    counted: Usage
    doubtful: Usage


class Ledger:
    """The open file of a run. Use ``open_ledger``, which keeps other runs out."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        connection.executescript(TABLES)
        self.counted = self.account().counted  # kept up to date: a ceiling is looked at before every attempt

    def reply(self, key: str) -> Reply | None:
        """The reply to a call, or None while there is none."""
        row = self.connection.execute("SELECT content, cut_off FROM calls WHERE key = ?", (key,)).fetchone()
        return Reply(row[0], bool(row[1])) if row and row[0] is not None else None

    def failure(self, key: str) -> tuple[str, str] | None:
        """Reason and detail of a call that failed and has no reply."""
        query = "SELECT failure, detail FROM calls WHERE key = ? AND content IS NULL AND failure IS NOT NULL"
        row = self.connection.execute(query, (key,)).fetchone()
        return (str(row[0]), str(row[1])) if row else None

    def body(self, key: str) -> dict[str, Any] | None:
        """The request of a call that was planned, or None for an unknown key."""
        row = self.connection.execute("SELECT body FROM calls WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def plan(self, key: str, body: dict[str, Any]) -> None:
        """Note a request before anything is sent."""
        with self.connection:
            self.connection.execute(
                "INSERT OR IGNORE INTO calls (key, body) VALUES (?, ?)", (key, json.dumps(body, sort_keys=True))
            )

    def begin(self, key: str, most: Usage, note: str = "") -> int:
        """Note that a request is about to be sent and what it can cost; the attempt's number."""
        with self.connection:
            values = (key, time.time(), "open", most.input_tokens, most.output_tokens, note)
            insert = "INSERT INTO attempts (key, started, outcome, input_tokens, output_tokens, note)"
            number = int(self.connection.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?)", values).lastrowid or 0)
        self.counted += most
        return number

    def end(self, number: int, outcome: Outcome, usage: Usage | None, note: str = "") -> None:
        """Note how an attempt ended; without ``usage`` the upper bound stays, and "free" counts as nothing."""
        with self.connection:
            self._end(number, outcome, usage, note)

    def _end(self, number: int, outcome: Outcome, usage: Usage | None, note: str) -> None:
        update = "UPDATE attempts SET ended = ?, outcome = ?, note = ?"
        values: list[Any] = [time.time(), outcome, note]
        if outcome == "free":
            usage = Usage(0, 0)
        if usage is not None:
            query = "SELECT input_tokens, output_tokens FROM attempts WHERE number = ?"
            before = Usage(*self.connection.execute(query, (number,)).fetchone())
            self.counted += usage - before
            update += ", input_tokens = ?, output_tokens = ?"
            values += [usage.input_tokens, usage.output_tokens]
        self.connection.execute(f"{update} WHERE number = ?", (*values, number))

    def answer(self, key: str, number: int, reply: Reply, usage: Usage | None, note: str = "") -> None:
        """Keep a reply and what it cost, in one transaction."""
        with self.connection:
            self.connection.execute(
                "UPDATE calls SET content = ?, cut_off = ?, failure = NULL, detail = NULL WHERE key = ?",
                (reply.content.encode("utf-8", "replace").decode("utf-8"), reply.cut_off, key),
            )
            self._end(number, "answered" if usage else "in doubt", usage, note)

    def fail(self, key: str, reason: str, detail: str) -> None:
        """Note that a call was given up."""
        with self.connection:
            self.connection.execute(
                "UPDATE calls SET failure = ?, detail = ? WHERE key = ?", (reason, detail[:500], key)
            )

    def account(self) -> Account:
        """What was used since the folder was made."""
        rows = self.connection.execute(
            "SELECT outcome, COUNT(*), SUM(input_tokens), SUM(output_tokens) FROM attempts GROUP BY outcome"
        ).fetchall()
        counted = Usage(sum(row[2] for row in rows), sum(row[3] for row in rows))
        unsure = [row for row in rows if row[0] in ("open", "in doubt")]
        doubtful = Usage(sum(row[2] for row in unsure), sum(row[3] for row in unsure))
        return Account({row[0]: row[1] for row in sorted(rows)}, counted, doubtful)


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """The ledger at ``path``, made where there is none. ``DataError`` when another run holds it or it is damaged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataError(f"{path} is used by another run; wait for it, or choose another folder") from error
    try:
        connection = sqlite3.connect(path)
        try:
            # FULL: a reply that was paid for is on the disk before the next call is made
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            yield Ledger(connection)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path} is no ledger of RegionChat ({error}); move it away to start anew") from error
    finally:
        lock.release()


def most_of(body: dict[str, Any]) -> Usage:
    """What a request can cost at most: no tokenizer makes more tokens than bytes, and a reply ends at its limit. The
    schema counts too: servers may put it into the prompt."""
    parts = [message["content"] for message in body["messages"]]
    schema = json.dumps(body["response_format"]) if body.get("response_format") else ""
    read = sum(len(part.encode("utf-8", "replace")) + TOKENS_AROUND_A_MESSAGE for part in parts) + len(schema)
    return Usage(read, int(body.get("max_tokens") or body["max_completion_tokens"]))
