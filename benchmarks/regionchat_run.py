"""RegionChat through a real local server: killed half-way, started again, and what the server's own log says of it.

    python benchmarks/regionchat_run.py --photos PHOTOS/train --pictures 50

It starts regionchat_server.py (transformers serve with SmolLM2-135M), runs ``chatspot data regionchat run`` over
pictures of several folders, kills it when half of the calls are answered, runs the same command again, and
compares the server's log with the ledger. Written to benchmarks/results/regionchat.json:

    report              what was accepted, rejected by reason, and the account, as the run wrote it
    calls               different calls, how often the server was asked and answered, and calls asked for again. After
                        SIGTERM none may be; after SIGKILL those that were under way (at most the concurrency), whose
                        answers nobody got. No call whose answer came is asked for again
    rules               the same pictures through the free writer

``--work`` keeps everything; with the same folder an interrupted benchmark goes on (but kills no second time).
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chatspot.eval.provenance import machine, source_commit, today

HERE = Path(__file__).parent
FOLDERS = ("coco", "gar_bench", "icdar2015_scene_text", "license_plates", "voc2012")
PROGRAM = "from chatspot.cli.regionchat_commands import regionchat_app; regionchat_app()"
START_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description="Run RegionChat against a real local server, with a kill half-way.")
    parser.add_argument("--photos", type=Path, required=True, help="folder of folders of region JSON lines")
    parser.add_argument("--folders", nargs="+", default=list(FOLDERS))
    parser.add_argument("--pictures", type=int, default=50, help="in all, equally many of each folder")
    parser.add_argument("--form", default="lines", choices=("json_schema", "json_object", "prompt", "lines"))
    parser.add_argument("--reply-tokens", type=int, default=160)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=0.3)
    parser.add_argument("--work", type=Path, required=True, help="ledger, samples and log are kept here")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "regionchat.json")
    parser.add_argument(
        "--kill", default="SIGKILL", choices=("SIGKILL", "SIGTERM"), help="SIGTERM lets calls under way come in first"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    log = given.work / "server.jsonl"
    with server(log, given.work / "server.txt") as (url, model):
        command = run_command(given, url, model)
        started = time.monotonic()
        first = killed_half_way(command, log, given.pictures // 2, signal.Signals[given.kill])
        code = subprocess.run(command, check=False).returncode
        seconds = time.monotonic() - started
    if code:
        sys.exit(f"the second start ended with {code}; see {given.work}")
    result = {
        "what": "RegionChat, SmolLM2-135M-Instruct behind transformers serve, killed half-way and started again",
        "date": today(),
        "commit": source_commit(),
        "machine": machine(),
        "settings": json.loads((given.work / "run.json").read_text("utf-8"))["settings"]
        | {"base_url": "", "model": ""},
        "pictures": given.pictures,
        "seconds": round(seconds, 1),
        "killed_by": given.kill,
        "answered_when_killed": first,
        **what_the_log_says(log),
        "report": without_places(json.loads((given.work / "report.json").read_text("utf-8"))),
        "rules": rules(given),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def data_arguments(given: argparse.Namespace) -> list[str]:
    """The pictures, as the command takes them."""
    each = max(given.pictures // len(given.folders), 1)
    return [word for name in given.folders for word in ("--data", str(given.photos / name))] + ["--limit", str(each)]


def run_command(given: argparse.Namespace, url: str, model: str) -> list[str]:
    """The command line of the run."""
    settings = given.work / "settings.yaml"
    values = {
        "structured": given.form,
        "turns": given.turns,
        "most_reply_tokens": given.reply_tokens,
        "temperature": given.temperature,
        "timeout_s": START_S,
    }
    settings.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return [
        sys.executable, "-c", PROGRAM, "run", *data_arguments(given), "--out", str(given.work), "--model", model,
        "--base-url", url, "--settings", str(settings), "--concurrency", str(given.concurrency),
    ]  # fmt: skip


def killed_half_way(command: list[str], log: Path, half: int, how: signal.Signals) -> int:
    """Start the command and kill it when ``half`` calls are answered; how many were."""
    process = subprocess.Popen(command)
    while process.poll() is None and len(events(log, "answered")) < half:
        time.sleep(0.2)
    if process.poll() is None:
        process.send_signal(how)
    process.wait()
    return len(events(log, "answered"))


def events(log: Path, kind: str) -> list[str]:
    """The calls of one kind of event in the server's log."""
    if not log.is_file():
        return []
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.endswith("}")]
    return [entry["call"] for entry in entries if entry["event"] == kind]


def what_the_log_says(log: Path) -> dict[str, Any]:
    """How often each call was asked for and answered."""
    asked, answered = Counter(events(log, "asked")), Counter(events(log, "answered"))
    again = [call for call, times in asked.items() if times > 1]
    return {
        "calls": {
            "different": len(asked),
            "asked": sum(asked.values()),
            "answered": sum(answered.values()),
            "asked_again": len(again),
        }
    }


def rules(given: argparse.Namespace) -> dict[str, Any]:
    """The report of the free writer over the same pictures."""
    out = given.work / "rules"
    command = [sys.executable, "-c", PROGRAM, "run", "--writer", "rules", *data_arguments(given), "--out", str(out)]
    subprocess.run(command, check=True)
    return without_places(json.loads((out / "report.json").read_text("utf-8")))


def without_places(report: dict[str, Any]) -> dict[str, Any]:
    """The report without the folder that served as the model's name."""
    return {**report, "model": Path(report["model"]).name}


@contextmanager
def server(log: Path, output: Path) -> Iterator[tuple[str, str]]:
    """Address and model name of a running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(HERE / "regionchat_server.py"), "--port", str(port), "--log", str(log)]
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_S
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server did not start; see {output}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        lines = output.read_text("utf-8", errors="replace").splitlines()
        model = next(line for line in lines if line.startswith("model: ")).removeprefix("model: ")
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
