"""``chatspot data regionchat``: the commands as they are typed, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from annotated_pets import write_folder
from typer.testing import CliRunner

from chatspot.cli.regionchat_commands import regionchat_app
from chatspot.errors import DataError
from hostile_endpoint import Handler, completion, serving

pytest.importorskip("openai", reason="the extra regionchat is not installed")

PROGRAM = "from chatspot.cli.regionchat_commands import regionchat_app; regionchat_app()"


def typed(*arguments: Any, code: int = 0) -> str:
    """What the command prints; ``DataError`` and the like come through as they are."""
    result = CliRunner().invoke(regionchat_app, list(map(str, arguments)))
    if isinstance(result.exception, DataError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def good(handler: Handler, number: int) -> None:
    handler.give(completion())


def test_help() -> None:
    for command in ((), ("run",), ("export",), ("import",), ("replay",), ("report",)):
        typed(*command, "--help")


def test_run_report_and_replay(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(good) as server:
        printed = typed(
            "run", "--data", pictures, "--out", out, "--model", "small", "--base-url", server.url, "--limit", 3,
            "--input-price", 2, "--output-price", 8,
        )  # fmt: skip
        assert len(server.requests) == 3
    assert "3 dialogues (100.0 % of answers), 6 turns" in printed
    assert typed("report", out) == typed("replay", out) == printed
    report = json.loads(typed("report", out, "--json"))
    assert report["dialogues"] == {"accepted": 3, "turns": 6, "rejected": {}}
    assert report["account"]["cost"] == pytest.approx((300 * 2 + 60 * 8) / 1e6)


def test_the_free_writer(pictures: Path, tmp_path: Path) -> None:
    printed = typed("run", "--writer", "rules", "--data", pictures, "--out", tmp_path / "out")
    assert "5 dialogues (100.0 % of answers)" in printed
    assert len((tmp_path / "out" / "samples.jsonl").read_text().splitlines()) == 5


def test_batches(pictures: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back.jsonl"
    assert "5 calls exported, 0 left out" in typed("export", "--data", pictures, "--out", out, "--model", "small")
    lines = [json.loads(line) for line in (out / "batches/batch-0001.jsonl").read_text().splitlines()]
    response = {"status_code": 200, "body": completion()}
    back.write_text("".join(json.dumps({"custom_id": e["custom_id"], "response": response}) + "\n" for e in lines))
    printed = typed("import", out, back)
    assert "5 answered" in printed
    assert "5 dialogues" in printed


def test_the_key_is_sent_and_written_nowhere(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-123")
    out = tmp_path / "out"
    with serving(good) as server:
        typed(
            "run", "--data", pictures, "--out", out, "--model", "m", "--base-url", server.url,
            "--api-key-variable", "MY_KEY",
        )  # fmt: skip
        assert server.headers[0]["authorization"] == "Bearer sk-secret-123"
    assert not any(b"sk-secret" in path.read_bytes() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "needs --model"),
        (["run", "--writer", "poet"], "--writer is"),
        (["run", "--model", "m", "--settings", "none.yaml"], "there is no file of settings at none.yaml"),
        (["export"], "needs --model"),
    ],
)
def test_what_cannot_run_is_named(arguments: list[str], says: str, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        typed(*arguments, "--data", pictures, "--out", tmp_path / "out")


@pytest.mark.parametrize(("command", "says"), [("report", "no report"), ("replay", "no plan")])
def test_a_folder_without_run_is_named(command: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        typed(command, tmp_path)


@pytest.mark.parametrize(("text", "says"), [("[1]", "by name"), ("a: [", "YAML"), ("modle: x\nmodel: y", "modle")])
def test_a_bad_settings_file_is_named(text: str, says: str, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=says):
        typed("run", "--data", pictures, "--out", tmp_path / "out", "--settings", file)


def test_a_ceiling_leaves_with_an_error_and_what_came(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(good) as server, pytest.raises(DataError, match="ceiling of 9,000 tokens"):
        typed("run", "--data", pictures, "--out", out, "--model", "m", "--base-url", server.url, "--most-tokens", 9000)
    assert 1 <= len((out / "samples.jsonl").read_text().splitlines()) < 5


def test_a_killed_run_goes_on_without_paying_twice(tmp_path: Path) -> None:
    def slow(handler: Handler, number: int) -> None:
        time.sleep(0.05)
        handler.give(completion())

    folder, out = write_folder(tmp_path / "pets", 30), tmp_path / "out"
    with serving(slow) as server:
        command = [
            sys.executable, "-c", PROGRAM, "run", "--data", str(folder), "--out", str(out), "--model", "small",
            "--base-url", server.url, "--concurrency", "2",
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
        deadline = time.monotonic() + 300
        while len(server.requests) < 12 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed_at = len(server.requests)
        assert 12 <= killed_at < 30
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        calls = Counter(headers["x-client-request-id"] for headers in server.headers)
    assert len(calls) == 30
    again = {call for call, times in calls.items() if times > 1}
    assert len(again) <= 2  # only what was under way when the kill came: nobody got its answer
    report = json.loads((out / "report.json").read_text())
    assert report["complete"]
    assert report["dialogues"]["accepted"] == 30
    assert report["account"]["attempts"].get("open", 0) == sum(calls.values()) - 30
