"""The honest part of a run: how many dialogues were accepted, why others were not, and what it cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from chatspot.data.regionchat.ledger import Account, Ledger
from chatspot.data.regionchat.prompt import VERSION
from chatspot.data.regionchat.settings import ChatSettings
from chatspot.data.samples import Sample

SCHEMA = 1


@dataclass
class Tally:
    """Counts of a run. ``answered`` calls became ``accepted`` samples or were ``rejected`` by reason; ``failed`` ones
    never got an answer; ``missing`` ones were never tried or not finished."""

    writer: str
    model: str
    pictures: int = 0
    planned: int = 0
    answered: int = 0
    missing: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    turns: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    account: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""

    def accept(self, sample: Sample) -> None:
        """Count a sample."""
        self.accepted += 1
        self.turns += len(sample.conversation.messages) // 2

    def reject(self, reason: str) -> None:
        """Count a rejection."""
        self.rejected[reason] += 1

    def take_account(self, ledger: Ledger, settings: ChatSettings) -> None:
        """Take what was used from the ledger, at the settings' prices."""
        self.account = account_to_json(ledger.account(), settings)

    @property
    def complete(self) -> bool:
        """Whether every planned call has an answer."""
        return self.answered == self.planned

    def to_json(self) -> dict[str, Any]:
        """The report as ``report.json`` holds it."""
        return {
            "schema": SCHEMA,
            "writer": self.writer,
            "model": self.model,
            "prompt_version": VERSION,
            "complete": self.complete,
            "stopped": self.stopped,
            "pictures": self.pictures,
            "calls": {
                "planned": self.planned,
                "answered": self.answered,
                "missing": self.missing,
                "failed": dict(sorted(self.failed.items())),
            },
            "dialogues": {
                "accepted": self.accepted,
                "turns": self.turns,
                "rejected": dict(sorted(self.rejected.items())),
            },
            "account": self.account,
        }


def account_to_json(account: Account, settings: ChatSettings) -> dict[str, Any]:
    """Attempts, tokens and cost. ``doubtful`` tokens are upper bounds of attempts whose end nobody knows, and are part
    of what is counted."""
    cost = account.counted.cost(settings.input_price, settings.output_price)
    doubtful = account.doubtful.cost(settings.input_price, settings.output_price)
    return {
        "attempts": account.attempts,
        "input_tokens": account.counted.input_tokens,
        "output_tokens": account.counted.output_tokens,
        "doubtful_tokens": account.doubtful.total,
        "cost": round(cost, 6),
        "doubtful_cost": round(doubtful, 6),
        "most_tokens": settings.most_tokens,
        "most_cost": settings.most_cost,
    }


def report_lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """A report as names and values for a terminal."""
    calls, dialogues, account = report["calls"], report["dialogues"], report["account"]
    answered = max(calls["answered"], 1)
    rows = [
        ("writer", f"{report['writer']} ({report['model']})"),
        ("pictures", f"{report['pictures']:,}"),
        ("calls", f"{calls['answered']:,} answered of {calls['planned']:,}, {calls['missing']:,} missing"),
    ]
    rows += [(f"failed: {reason}", f"{count:,}") for reason, count in calls["failed"].items()]
    share = 100 * dialogues["accepted"] / answered
    rows.append(
        ("accepted", f"{dialogues['accepted']:,} dialogues ({share:.1f} % of answers), {dialogues['turns']:,} turns")
    )
    rows += [(f"rejected: {reason}", f"{count:,}") for reason, count in dialogues["rejected"].items()]
    if account:
        rows.append(("tokens", f"{account['input_tokens']:,} read, {account['output_tokens']:,} written"))
        rows.append(("in doubt", f"{account['doubtful_tokens']:,} of these tokens are upper bounds"))
        rows.append(("cost", f"{account['cost']:g}"))
        rows.append(
            ("attempts", ", ".join(f"{count:,} {name}" for name, count in account["attempts"].items()) or "none")
        )
    if report["stopped"]:
        rows.append(("stopped", report["stopped"]))
    return rows
