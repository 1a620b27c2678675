"""How many questions a server answers, and how fast, when many clients ask at once.

    python benchmarks/serve_load.py                  # nano, 60 s a row, writes benchmarks/results/serve_load.json
    python benchmarks/serve_load.py --seconds 5 --out elsewhere.json

A real server process and clients in another, on one machine: clients and server share its cores. Each client asks a
short question about a region of one of three pictures, half of the time with a first question and its answer before
it, streams the answer (at most 32 tokens) and asks the next one. Rows::

    1, 4, 16, 64 clients     questions about 12 regions, whose visual tokens are kept after they were asked about once
    16, new regions          every question about a box that nobody asked about before
    16, one at a time        the same as 16, from a server with --batch 1

The last row is measured by turns with a row of 16 clients (SLICES of each), both servers in memory: what
the machine does meanwhile hits both. ``first_s`` is until the first piece of text, ``total_s`` until the end of the
stream. ``same_answers`` is the share of questions that both servers answered alike: greedy answers may differ where two
tokens are as likely as bfloat16 can tell. ``server_cpu_s_per_answer`` is CPU time of the server, over all its cores: it
says the same on a busy machine, nearly. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serve_clients import Asked, Server, crowd, serving

from chatspot import __version__
from chatspot.eval.provenance import machine, source_commit, today

CLIENTS = (1, 4, 16, 64)
COMPARED = 16
SLICES = 2  # long ones: answers computed together end together, and those that end after the slice do not count
AIM = 3.0  # times one-at-a-time, at 16 clients


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each row")
    parser.add_argument("--model", help="a checkpoint folder; without it chatspot-nano")
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serve_load.json")
    given = parser.parse_args()
    options = ["--model", given.model] if given.model else []
    with serving(*options) as server, serving(*options, "--batch", "1") as alone:
        counted = Counted(given.seconds)
        for clients in given.clients:
            counted.warm(server, clients)
            counted.row(f"{clients}", server, clients)
        counted.row(f"{COMPARED}, new regions", server, COMPARED, fresh=True)
        names = (f"{COMPARED}, by turns with the next", f"{COMPARED}, one at a time")
        for one in (server, alone):
            counted.warm(one, COMPARED)
        for turn in range(SLICES):
            for name, one in zip(names, (server, alone), strict=True):
                counted.row(name, one, COMPARED, seed=100 + turn, share=1 / SLICES)
        together, single = (counted.asked[name] for name in names)
        rows, model = counted.rows(), server.model
    result = {
        "what": "streamed answers about regions of pictures, many clients at once",
        "command": "python benchmarks/serve_load.py",
        "model": model,
        "date": today(),
        "commit": source_commit(),
        "machine": machine(),
        "chatspot": __version__,
        "seconds": given.seconds,
        "rows": rows,
        "batched_times_single": round(rows[-2]["answers_per_s"] / max(rows[-1]["answers_per_s"], 1e-9), 2),
        "same_answers": same_answers(together, single),
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print_table(result)


class Counted:
    """What was asked in each row, and the server's CPU seconds meanwhile."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.clients: dict[str, int] = {}
        self.asked: dict[str, list[Asked]] = {}
        self.cpu_s: dict[str, float] = {}

    def warm(self, server: Server, clients: int) -> None:
        """A moment that is not counted."""
        asyncio.run(crowd(server, clients, min(5.0, self.seconds / 4), 99))

    def row(self, name: str, server: Server, clients: int, *, seed: int = 1, share: float = 1.0, fresh: bool = False
            ) -> None:  # fmt: skip
        """Measure a ``share`` of a row's time."""
        began = server.cpu_s()
        found = asyncio.run(crowd(server, clients, self.seconds * share, seed, fresh=fresh))
        self.clients[name] = clients
        self.asked.setdefault(name, []).extend(found)
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + server.cpu_s() - began

    def rows(self) -> list[dict[str, Any]]:
        """What was measured, in numbers."""
        return [self.numbers(name) for name in self.asked]

    def numbers(self, name: str) -> dict[str, Any]:
        """One row. The CPU's share of an answer counts those that ended after the time, too."""
        sound = [one for one in self.asked[name] if one.status == 200]
        within = [one for one in sound if one.in_time]
        return {
            "row": name,
            "clients": self.clients[name],
            "n": len(within),
            "errors": dict(Counter(str(one.status) for one in self.asked[name] if one.status != 200)),
            "answers_per_s": round(len(within) / self.seconds, 3),
            "tokens_per_s": round(sum(one.tokens for one in within) / self.seconds, 2),
            "server_cpu_s_per_answer": round(self.cpu_s[name] / max(len(sound), 1), 4),
            "first_s": percentiles([one.first_s for one in within]),
            "total_s": percentiles([one.total_s for one in within]),
        }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 95th and 99th percentile."""
    if len(values) < 2:
        return {name: round(next(iter(values), 0.0), 4) for name in ("p50", "p95", "p99")}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 4), "p95": round(cuts[94], 4), "p99": round(cuts[98], 4)}


def same_answers(first: Sequence[Asked], second: Sequence[Asked]) -> dict[str, int]:
    """Of the questions that both were asked, how many have one answer alike: questions, and those alike."""
    texts = [{one.key: one.text for one in each if one.status == 200} for each in (first, second)]
    both = texts[0].keys() & texts[1].keys()
    return {"questions": len(both), "alike": sum(texts[0][key] == texts[1][key] for key in both)}


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    print(f"{result['model']}, {result['machine']['processor']}, {result['machine']['cores']} cores\n")
    columns = ("n", "errors", "answers/s", "CPU s", "first p50", "p95", "total p50", "p95", "p99")
    print(f"{'clients':30}" + "".join(f"{column:>10}" for column in columns))
    for one in result["rows"]:
        first, total = one["first_s"], one["total_s"]
        seconds = (one["server_cpu_s_per_answer"], first["p50"], first["p95"], total["p50"], total["p95"], total["p99"])
        print(f"{one['row']:30}{one['n']:>10}{sum(one['errors'].values()):>10}{one['answers_per_s']:>10.2f}"
              + "".join(f"{value:>10.3f}" for value in seconds))  # fmt: skip
    times, same = result["batched_times_single"], result["same_answers"]
    print(f"\nbatched: {times} times one at a time (aim {AIM:g}: {'met' if times >= AIM else 'missed'}); of "
          f"{same['questions']} questions {same['alike']} answered alike")  # fmt: skip


if __name__ == "__main__":
    main()
