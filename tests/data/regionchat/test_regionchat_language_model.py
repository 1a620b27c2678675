"""The whole way with a real language model: transformers' own server, SmolLM2, real HTTP. Few calls, short replies."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotated_pets import write_folder

from chatspot.data import read_records
from chatspot.data.regionchat.ledger import open_ledger
from chatspot.data.regionchat.run import fill, planned_calls, replay
from chatspot.data.regionchat.settings import ChatSettings

SERVER = Path(__file__).parents[3] / "benchmarks" / "regionchat_server.py"
NEEDED = ("openai", "fastapi", "uvicorn")
START_S = 400  # converting and loading on a busy machine

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason=f"it needs {', '.join(NEEDED)}"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Address, model name and request log of the running server."""
    log = tmp_path_factory.mktemp("server") / "requests.jsonl"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(SERVER), "--port", str(port), "--log", str(log)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    try:
        model = (
            next((line for line in process.stdout if line.startswith("model: ")), "").removeprefix("model: ").strip()
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        assert process.poll() is None, "the server did not start"
        yield f"http://127.0.0.1:{port}/v1", model, log
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_real_model_is_asked_once_accounted_and_judged(server: tuple[str, str, Path], tmp_path: Path) -> None:
    url, model, log = server
    folder, out = write_folder(tmp_path / "pets", 2), tmp_path / "out"
    settings = ChatSettings(
        model=model, base_url=url, structured="lines", turns=2, examples=1, most_reply_tokens=48, temperature=0.1,
        concurrency=2, timeout_s=START_S, attempts=1,
    )  # fmt: skip
    records = list(read_records(folder))
    with open_ledger(out / "calls.sqlite") as ledger:
        for _ in range(2):
            assert asyncio.run(fill(ledger, planned_calls(records, settings), settings, api_key="none")) == ""
        tally = replay(ledger, records, settings, out)
        written = [ledger.reply(call.key) for call in planned_calls(records, settings)]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    asked = [event["call"] for event in events if event["event"] == "asked"]
    assert sorted(asked) == sorted(call.key for call in planned_calls(records, settings))
    assert [event["status"] for event in events if event["event"] == "answered"] == [200, 200]
    assert all(reply and reply.content.strip() for reply in written)
    assert tally.account["attempts"] == {"answered": 2}
    assert tally.account["input_tokens"] > 400
    assert 0 < tally.account["output_tokens"] <= 2 * 48
    assert tally.accepted + sum(tally.rejected.values()) == 2  # so small a model is seldom right; all is accounted for
