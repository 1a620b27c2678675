"""``chatspot serve`` as a process of its own: started, asked over HTTP, stopped by signals."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from typer.testing import CliRunner

from chatspot.cli.main import app
from chatspot.cli.serve_commands import serve
from chatspot.errors import ServeError
from chatspot.model.checkpoint import load_checkpoint, save_checkpoint
from chatspot.serve.limits import MOST_CHARACTERS, MOST_PARTS, MOST_POINTS, MOST_RUNS, Limits
from chatspot.serve.protocol import ChatRequest
from running_server import process, status, until
from trained_nano import trained

ROOT = Path(__file__).parents[2]
API = ROOT / "docs/api.md"
MULTILINE = re.MULTILINE | re.DOTALL
SECRET = "a long secret"


@pytest.fixture(scope="session")
def tireless(lively: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint that never ends an answer: no word is less likely than the one that would."""
    opened = load_checkpoint(lively, dtype=torch.float32)
    opened.model.get_input_embeddings().weight.data[opened.processor.tokenizer.eos_token_id] = 0
    return save_checkpoint(
        tmp_path_factory.mktemp("served") / "tireless", opened.model, opened.processor, opened.settings
    )


def test_sigterm_lets_running_answers_end(tireless: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHATSPOT_API_KEY", SECRET)
    most = 150
    hello: Any = {"model": "chatspot", "messages": [{"role": "user", "content": "Hello"}]}
    with process("--model", str(tireless), "--grace", "300", "--timeout", "300") as (running, url):
        with openai.OpenAI(base_url=url, api_key=SECRET, max_retries=0) as client:
            assert client.models.list().data[0].id == "tireless"
            with client.chat.completions.create(
                **hello, stream=True, max_tokens=most, stream_options={"include_usage": True}
            ) as stream:
                next(stream)
                running.send_signal(signal.SIGTERM)
                until(lambda: status(url.removesuffix("/v1")) == 503)
                with pytest.raises(openai.InternalServerError, match="being stopped") as refused:
                    client.chat.completions.create(**hello)
                assert refused.value.status_code == 503
                chunks = list(stream)
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == most
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "has answered everybody" in out
    assert err == ""


def test_a_second_signal_is_obeyed_at_once(tireless: Path):
    hello: Any = {"model": "chatspot", "messages": [{"role": "user", "content": "Hello"}]}
    with process("--model", str(tireless), "--max-tokens", "1900", "--grace", "600") as (running, url):
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(**hello, stream=True, max_tokens=1900)
            next(stream)
            running.send_signal(signal.SIGINT)
            until(lambda: status(url.removesuffix("/v1")) == 503)
            running.send_signal(signal.SIGINT)
            with pytest.raises((openai.APIError, OSError)) as ended, stream:
                list(stream)
            assert ended.value
        running.communicate(timeout=30)
        assert running.returncode == 0


@trained
def test_the_examples_of_the_page_about_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """With nano: the official client, whole and streaming, with a region part and with region text; and curl."""
    monkeypatch.chdir(ROOT)
    page = API.read_text("utf-8")
    (python,), (shown,) = (re.findall(rf"^```{kind}\n(.*?)^```$", page, MULTILINE) for kind in ("python", "text"))
    (curl,) = re.findall(r"^```sh\n(curl .*?)^```$", page, MULTILINE)
    with process() as (running, url):
        names: dict[str, Any] = {}
        exec(compile(python.replace("http://127.0.0.1:8000/v1", url), "api.md", "exec"), names)
        assert capsys.readouterr().out.strip() == shown.strip()
        names["client"].close()
        if shutil.which("curl"):
            command = curl.replace("http://127.0.0.1:8000/v1", url)
            done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
            assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "cup"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


# ------------------------------------------------------------------------------------------------ the command itself


def test_other_machines_are_not_let_in_by_accident():
    found = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"], env={"CHATSPOT_API_KEY": None})
    assert found.exit_code == ServeError.exit_code
    assert "lets other machines in" in found.output
    assert "--unprotected" in found.output


def test_a_port_that_is_taken(running: Any):
    found = CliRunner().invoke(app, ["serve", "--port", str(running.port)])
    assert found.exit_code == ServeError.exit_code
    assert "choose another --port" in found.output


def test_without_its_libraries(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("chatspot.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    found = CliRunner().invoke(app, ["serve"])
    assert found.exit_code == 1
    assert "pip install 'chatspot[serve]'" in found.output


@pytest.mark.parametrize("option", [("--port", "99999"), ("--batch", "0"), ("--max-tokens", "0"), ("--queue", "-1")])
def test_options_that_cannot_be(option: tuple[str, str]):
    assert CliRunner().invoke(app, ["serve", *option]).exit_code == 2


def test_what_the_page_about_it_shows_is_what_is_read():
    """Every JSON body in docs/api.md is a request that the server takes."""
    bodies = re.findall(r"^```json\n(.*?)^```$", API.read_text("utf-8"), MULTILINE)
    assert bodies
    for body in bodies:
        ChatRequest.model_validate(json.loads(body))


def test_the_page_names_the_limits_and_the_errors_that_there_are():
    page = API.read_text("utf-8")
    source = "".join(file.read_text("utf-8") for file in (ROOT / "src/chatspot/serve").glob("*.py"))
    raised = set(re.findall(r'Refusal\(\s*\d{3},\s*"(\w+)"', source))
    assert len(raised) > 15
    assert {code for code in raised if f"`{code}`" not in page} == set()
    limits = Limits()
    for said in (
        f"| {limits.body_bytes // 2**20} MB | `--max-body`", f"| {limits.pixels:,} | `--max-pixels`",
        f"| {limits.pictures} | `--max-pictures`", f"| {limits.regions} | `--max-regions`",
        f"| {limits.tokens} tokens | `--max-tokens`", f"| {limits.default_tokens} tokens |",
        f"| {limits.batch} | `--batch`", f"| {limits.queue} | `--queue`",
        f"| {limits.held_bytes // 2**20:,} MB | `--memory`", f"| {limits.header_s:g} s |",
        f"| {limits.body_s:g} s | `--body-timeout`", f"| {limits.answer_s:g} s | `--timeout`",
        f"| {limits.write_s:g} s |", f"| {MOST_CHARACTERS:,} |", f"parts of a message | {MOST_PARTS} |",
        f"scribbles | {MOST_POINTS:,} |", f"masks | {MOST_RUNS:,} |",
    ):  # fmt: skip
        assert said in page


def test_the_options_start_where_the_limits_do():
    """The command's defaults are those of ``Limits``."""
    defaults = {name: given.default for name, given in inspect.signature(serve).parameters.items()}
    limits = Limits()
    assert defaults["max_tokens"] == limits.tokens
    assert defaults["max_body"] * 2**20 == limits.body_bytes
    assert defaults["max_pixels"] == limits.pixels
    assert defaults["max_pictures"] == limits.pictures
    assert defaults["max_regions"] == limits.regions
    assert (defaults["batch"], defaults["queue"]) == (limits.batch, limits.queue)
    assert defaults["memory"] * 2**20 == limits.held_bytes
    assert (defaults["body_timeout"], defaults["timeout"]) == (limits.body_s, limits.answer_s)
    assert defaults["grace"] == limits.grace_s
