"""What does language alone score? A text-only model, over real HTTP, beside nano.

    python benchmarks/blind_baseline.py --data PHOTOS/heldout/coco      # writes benchmarks/results/blind-coco-box.json

SmolLM2-135M-Instruct (nano's language model, as it was published) answers behind transformers' own ``serve``
(``regionchat_server.py``), and is asked as any OpenAI-compatible server is: coordinates as text, no picture. A question
with a list of classes cannot be asked of it fairly, so it gets the same words as nano. It needs the packages fastapi,
uvicorn and openai. Predictions are resumed where a run was stopped; nothing is asked twice.

No small vision-language model with its weights was found on PyPI or npm (searched 2026-11-23), so this stands for the
foreign model until one can be fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regionchat_server import language_model_folder

from chatspot.data.saving import saved_whole
from chatspot.eval.opening import Chosen, open_engine
from chatspot.eval.predict import RunFacts, predict
from chatspot.eval.predictions import read_predictions
from chatspot.eval.provenance import model_facts
from chatspot.eval.score import score
from chatspot.eval.tasks import find_task, open_folder, questions_of

HERE = Path(__file__).parent
NAME, DIALECT = "smollm2-135m-blind", "shikra"
READY_S = 120


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a text-only model about regions it cannot see.")
    parser.add_argument("--data", type=Path, required=True, help="folder of region JSON lines, such as heldout/coco")
    parser.add_argument("--task", default="coco")
    parser.add_argument("--limit", type=int, default=300, help="questions, drawn by the bench's seed")
    parser.add_argument("--parallel", type=int, default=2, help="questions asked at a time")
    parser.add_argument("--predictions", type=Path, help="default: benchmarks/predictions/blind-TASK-FORM.jsonl")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/blind-TASK-FORM.json")
    given = parser.parse_args()
    task = find_task(given.task)
    folder = open_folder(task, given.data)
    questions = questions_of(task, folder, limit=given.limit)
    name = f"blind-{given.task}-{questions[0].extra['form']}"
    predictions = given.predictions or HERE / "predictions" / f"{name}.jsonl"
    command = f"python benchmarks/blind_baseline.py --data PHOTOS/heldout/{given.data.resolve().name} --task " \
              f"{given.task} --limit {given.limit}"  # fmt: skip
    model = language_model_folder()
    with served(model) as url:
        chosen = Chosen(str(model), "remote", url=url, dialect=DIALECT, blind=True, parallel=given.parallel, name=NAME)
        engine, facts = open_engine(chosen)
        facts = {**facts, "files": model_facts(model, NAME)["files"], "dtype": "float32"}
        outcome = predict(engine, questions, predictions, RunFacts(facts, folder.facts(), command, given.limit),
                          batch=given.parallel)  # fmt: skip
    print(f"{predictions}: {outcome.asked} asked now, {outcome.there} before, {outcome.failed} failed")
    result = score(read_predictions(predictions))
    with saved_whole(given.out or HERE / "results" / f"{name}.json", "result") as half:
        half.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    main_measure = result["measures"][result["main"]]
    print(f"{main_measure['title']}: {100 * main_measure['value']:.1f} % [{100 * main_measure['low']:.1f}, "
          f"{100 * main_measure['high']:.1f}], chance {100 * main_measure['chance']:.1f}, n {main_measure['n']}, "
          f"unread {result['unread']}")  # fmt: skip


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The address of a server of the model, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = HERE.parent / "runs" / "blind-requests.jsonl"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, str(HERE / "regionchat_server.py"), "--port", str(port), "--log", str(log)]
    process = subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers at all."""
    for _ in range(READY_S * 4):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode} before it was ready")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.25)
    raise SystemExit(f"the server was not ready within {READY_S} s")


if __name__ == "__main__":
    main()
