"""A run killed at any moment goes on: real processes, a real server that counts what it is asked."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from reference import picture, write_folder

from chatspot.eval.predictions import read_predictions

PARALLEL, PICTURES, BOXES = 4, 12, 5

RUN = """
import sys
from pathlib import Path
from chatspot.eval.opening import Chosen, open_engine
from chatspot.eval.predict import RunFacts, predict
from chatspot.eval.tasks import find_task, questions_of

url, data, out, parallel = sys.argv[1:]
engine, facts = open_engine(Chosen("m", "remote", url=url, dialect="shikra", parallel=int(parallel)))
with engine:
    questions = questions_of(find_task("coco"), Path(data))
    outcome = predict(engine, questions, Path(out), RunFacts(facts, {}, "test"), batch=int(parallel))
print(outcome.asked, outcome.there, outcome.failed)
"""


class Counting(ThreadingHTTPServer):
    """Answers every question with "dog" after a moment, and writes down the texts that it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


class Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        asked = json.dumps([part.get("text") or part["image_url"]["url"] for part in content])
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        time.sleep(0.02)
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        said = [{**chunk, "choices": [{"index": 0, "delta": {"content": "dog"}, "finish_reason": None}]},
                {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                 "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}]  # fmt: skip
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in said) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(events.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Counting]:
    counting = Counting()
    thread = threading.Thread(target=counting.serve_forever, daemon=True)
    thread.start()
    yield counting
    counting.shutdown()
    counting.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of which no two are alike, each with boxes of its own."""
    draw = random.Random(0)
    records = []
    for number in range(PICTURES):
        boxes = [[draw.randrange(40), draw.randrange(30), 65 + draw.randrange(30), 55 + draw.randrange(20)]
                 for _ in range(BOXES)]  # fmt: skip
        records.append(picture(f"p{number}", *({"box": box, "label": "dog"} for box in boxes)))
    return write_folder(tmp_path / "coco", records)


@pytest.mark.parametrize("parallel", [1, PARALLEL])
def test_killed_again_and_again_a_run_asks_nothing_twice_that_was_answered(server, folder, tmp_path, parallel):
    """SIGKILL, whenever some more answers are written. What was under way may be asked again, at most ``parallel``
    questions for each kill; every question whose answer was written was asked once."""
    out = tmp_path / "p.jsonl"
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    command = [sys.executable, "-c", RUN, url, str(folder), str(out), str(parallel)]
    kills = lines = 0
    for more in (1, 7):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wanted = lines + more
        while running.poll() is None and written(out) < wanted:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        _, errors = running.communicate()
        assert running.returncode == -signal.SIGKILL, errors.decode()
        kills, lines = kills + 1, written(out)
        assert lines >= wanted
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    asked, there, failed = map(int, done.stdout.split())
    assert (asked + there, failed) == (PICTURES * BOXES, 0)
    assert there == lines
    found = read_predictions(out)
    assert len(found.predictions) == PICTURES * BOXES
    assert {p.answer for p in found.predictions.values()} == {"dog"}
    assert {p.tokens for p in found.predictions.values()} == {(7, 1)}
    counts = Counter(server.asked)
    assert len(counts) == PICTURES * BOXES
    twice = sum(counts.values()) - len(counts)
    assert twice <= kills * parallel
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert again.stdout.split() == ["0", str(PICTURES * BOXES), "0"]
    assert sum(Counter(server.asked).values()) == sum(counts.values())


def written(file: Path) -> int:
    """Answers in the file, as whole lines; the header and notes of going on are none."""
    if not file.exists():
        return 0
    return sum(line.startswith(b'{"id"') and line.endswith(b"\n") for line in file.read_bytes().splitlines(True))
