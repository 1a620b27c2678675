"""How the server stays itself under load: queue, time, clients that leave, a model that is not there, closing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from PIL import Image

from chatspot.engine import Engine
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import CheckpointError, ServeError
from chatspot.model.checkpoint import load_checkpoint
from chatspot.serve.limits import VIEW_BYTES
from chatspot.serve.server import allowed_hosts, check_exposure, is_loopback, listening
from running_server import chat, picture, serving, until, words

LONG = 1900  # tokens: seconds, even of a tiny model


@contextmanager
def held_up(engine: TorchEngine) -> Iterator[threading.Event]:
    """An engine that computes nothing until the event is set."""
    gate = threading.Event()
    hook = engine.model.model.language_model.register_forward_pre_hook(lambda *_: gate.wait(60) and None)
    try:
        yield gate
    finally:
        gate.set()
        hook.remove()


def long_chat(**fields: Any) -> dict[str, Any]:
    return chat(words("Tell me everything."), **{"max_tokens": LONG, **fields})


def test_a_full_queue_says_when_to_come_back(engine: TorchEngine):
    with serving(lambda: engine, batch=1, queue=2) as running, ThreadPoolExecutor(3) as pool:
        with held_up(engine) as gate:
            inside = [pool.submit(running.post, chat(words("Hello"), max_tokens=2)) for _ in range(3)]
            running.until(lambda: running.service.admission.inside == 3)
            refused = running.post(chat(words("Hello")))
            assert (refused.status, refused.code) == (429, "queue_full")
            assert int(refused.headers["retry-after"]) >= 1
            with running.client() as client, pytest.raises(openai.RateLimitError):
                client.chat.completions.create(model="chatspot", messages=[{"role": "user", "content": "Hello"}])
            assert running.ask("GET", "/health").status == 200, "what watches over the server is not queued"
            gate.set()
        assert [one.result().status for one in inside] == [200] * 3
        assert running.post(chat(words("Hello"), max_tokens=1)).status == 200


def test_memory_for_pictures_is_bounded(engine: TorchEngine):
    body = chat(picture(Image.new("RGB", (300, 200))), words("What?"), max_tokens=2)
    takes = 300 * 200 * 3 + VIEW_BYTES
    with serving(lambda: engine, held_bytes=takes * 2) as running, ThreadPoolExecutor(1) as pool:
        with held_up(engine) as gate:
            first = pool.submit(running.post, body)
            running.until(lambda: running.service.admission.held > takes)
            refused = running.post(body)
            assert (refused.status, refused.code) == (429, "memory_full")
            assert "retry-after" in refused.headers
            gate.set()
        assert first.result().status == 200
        assert running.post(body).status == 200
        running.until_nothing_is_held()


def test_an_answer_that_takes_too_long_is_ended(engine: TorchEngine):
    with serving(lambda: engine, answer_s=0.3, tokens=LONG) as running:
        found = running.post(long_chat())
        assert (found.status, found.code) == (504, "timeout")
        with running.client() as client, pytest.raises(openai.APIError, match="took too long"):
            list(client.chat.completions.create(stream=True, **long_chat()))
        running.until(lambda: running.service.admission.inside == 0)
        scheduler = running.service.scheduler
        assert scheduler is not None
        assert len(scheduler.batch) == 0


def test_one_that_waits_too_long_is_told_so(engine: TorchEngine):
    with serving(lambda: engine, batch=1, answer_s=0.4, tokens=LONG) as running, ThreadPoolExecutor(2) as pool:
        for found in pool.map(running.post, [long_chat(), long_chat()]):
            assert (found.status, found.code) == (504, "timeout")


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_is_not_answered_any_more(engine: TorchEngine, stream: bool):
    with serving(lambda: engine, tokens=LONG) as running:
        scheduler = running.service.scheduler
        assert scheduler is not None
        raw = json.dumps(long_chat(stream=stream)).encode()
        lines = ("POST /v1/chat/completions HTTP/1.1", "Host: x", "Content-Type: application/json")
        head = "\r\n".join([*lines, f"Content-Length: {len(raw)}", "", ""])
        with socket.create_connection((running.host, running.port), timeout=30) as connection:
            connection.sendall(head.encode() + raw)
            running.until(lambda: len(scheduler.running) == 1)
            if stream:
                assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        running.until(lambda: not scheduler.running)
        running.until(lambda: running.service.admission.inside == 0)
        assert running.service.metrics.clients_gone == 1
        assert running.service.metrics.answer_tokens == 0, "it was not answered to its end"
        assert len(scheduler.batch) == 0


def test_who_does_not_read_on_counts_as_gone(engine: TorchEngine):
    """What fits into the buffers between the two is written; then the server waits for write_s, and no longer."""
    with serving(lambda: engine, tokens=LONG, write_s=0.3, send_buffer=2048) as running, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((running.host, running.port))
        raw = json.dumps(long_chat(stream=True)).encode()
        lines = ("POST /v1/chat/completions HTTP/1.1", "Host: x", "Content-Type: application/json")
        connection.sendall("\r\n".join([*lines, f"Content-Length: {len(raw)}", "", ""]).encode() + raw)
        running.until(lambda: running.service.metrics.clients_gone == 1)
        assert running.service.metrics.answer_tokens == 0, "it was not answered to its end"
        running.until(lambda: running.service.admission.inside == 0)


def test_who_leaves_while_waiting_is_never_begun(engine: TorchEngine):
    with serving(lambda: engine, batch=1, tokens=LONG) as running, ThreadPoolExecutor(1) as pool:
        scheduler = running.service.scheduler
        assert scheduler is not None
        with held_up(engine) as gate:
            first = pool.submit(running.post, chat(words("Hello"), max_tokens=2))
            running.until(lambda: running.service.admission.inside == 1)
            with running.client(timeout=0.3) as client, pytest.raises(openai.APITimeoutError):
                client.chat.completions.create(**long_chat())
            running.until(lambda: running.service.metrics.clients_gone == 1)
            gate.set()
        assert first.result().status == 200
        running.until(lambda: not scheduler.waiting and not scheduler.running)


def test_requests_join_while_others_are_answered(engine: TorchEngine):
    """A short answer does not wait for a long one that began before."""
    with serving(lambda: engine, batch=4, tokens=LONG) as running, running.client() as client:
        with client.chat.completions.create(stream=True, **long_chat()) as long:
            next(long)
            assert running.post(chat(words("Hello"), max_tokens=2)).status == 200
            scheduler = running.service.scheduler
            assert scheduler is not None
            assert len(scheduler.running) == 1
        running.until(lambda: running.service.admission.inside == 0)


def test_a_request_that_cannot_be_computed_fails_alone(lively: Path):
    """The model itself is damaged: its head is gone for a moment."""
    engine = TorchEngine(load_checkpoint(lively), device="cpu", dtype="float32")
    with serving(lambda: engine) as running:
        head, engine.model.lm_head = engine.model.lm_head, torch.nn.Linear(1, 1)
        for stream in (False, True):
            found = running.post(chat(words("Hello"), stream=stream))
            assert (found.status, found.code) == (500, "internal_error")
            assert "mat1" not in found.message, "what broke is for the log"
        engine.model.lm_head = head
        assert running.post(chat(words("Hello"), max_tokens=2)).status == 200


def test_a_batch_that_breaks_ends_its_answers_and_not_the_server(lively: Path):
    engine = TorchEngine(load_checkpoint(lively), device="cpu", dtype="float32")
    engine.end_ids = frozenset()
    with serving(lambda: engine, tokens=LONG) as running, running.client() as client:
        head = engine.model.lm_head
        with client.chat.completions.create(stream=True, **long_chat()) as stream:
            next(stream)
            engine.model.lm_head = torch.nn.Linear(1, 1)
            with pytest.raises(openai.APIError, match="could not be computed"):
                list(stream)
        engine.model.lm_head = head
        assert running.post(chat(words("Hello"), max_tokens=2)).status == 200


# ------------------------------------------------------------------------------------------------ before and after


def test_while_the_model_is_opened(engine: TorchEngine):
    gate = threading.Event()

    def open_slowly() -> Engine:
        gate.wait(60)
        return engine

    with serving(open_slowly, ready=False) as running:
        health = running.ask("GET", "/health")
        assert (health.status, health.json["status"], health.json["model"]) == (503, "loading", None)
        for found in (running.post(chat(words("Hello"))), running.ask("GET", "/v1/models")):
            assert (found.status, found.code) == (503, "model_loading")
            assert int(found.headers["retry-after"]) >= 1
        assert "chatspot_ready 0" in running.ask("GET", "/metrics").raw.decode()
        gate.set()
        running.until(lambda: running.ask("GET", "/health").status == 200)
        assert running.ask("GET", "/health").json["model"] == engine.name
        assert running.post(chat(words("Hello"), max_tokens=1)).status == 200


def test_when_the_model_cannot_be_opened():
    def fail() -> Engine:
        raise CheckpointError("there is no checkpoint at /secret/place")

    with serving(fail, ready=False) as running:
        running.until(lambda: running.service.state == "failed")
        health = running.ask("GET", "/health")
        assert (health.status, health.json["status"]) == (503, "failed")
        found = running.post(chat(words("Hello")))
        assert (found.status, found.code) == (503, "model_failed")
        assert "retry-after" not in found.headers
        assert b"secret" not in health.raw + found.raw


def test_a_server_that_is_stopped_while_it_opens_the_model(engine: TorchEngine):
    gate = threading.Event()

    def open_slowly() -> Engine:
        gate.wait(60)
        return engine

    with serving(open_slowly, ready=False) as running:
        running.service.close()
        until(lambda: running.server.should_exit)
    gate.set()
    assert running.service.scheduler is None


def test_closing_answers_those_inside_and_nobody_else(engine: TorchEngine):
    with serving(lambda: engine) as running, ThreadPoolExecutor(1) as pool:
        with held_up(engine) as gate:
            inside = pool.submit(running.post, chat(words("Hello"), max_tokens=20))
            running.until(lambda: running.service.admission.inside == 1)
            running.service.close()
            refused = running.post(chat(words("Hello")))
            assert (refused.status, refused.code) == (503, "shutting_down")
            assert "retry-after" in refused.headers
            assert running.ask("GET", "/health").json["status"] == "closing"
            gate.set()
        assert inside.result().json["usage"]["completion_tokens"] == 20


def test_closing_waits_only_so_long(engine: TorchEngine):
    with serving(lambda: engine, grace_s=0.2, tokens=LONG) as running, running.client() as client:
        with client.chat.completions.create(stream=True, **long_chat()) as stream:
            next(stream)
            running.service.close()
            with pytest.raises(openai.APIError, match="being stopped"):
                list(stream)
        until(lambda: running.server.should_exit)


# ------------------------------------------------------------------------------------------------ what is counted


def test_metrics(engine: TorchEngine):
    with serving(lambda: engine) as running:
        for _ in range(2):
            running.post(chat(words("Hello"), max_tokens=3))
        running.post(b"{")
        lines = running.ask("GET", "/metrics").raw.decode().splitlines()
    assert {
        'chatspot_responses_total{status="200"} 2',
        'chatspot_responses_total{status="400"} 1',
        "chatspot_answer_tokens_total 6",
        "chatspot_ready 1",
        "chatspot_requests_inside 0",
        "chatspot_held_bytes 0",
        "chatspot_answer_seconds_count 2",
        'chatspot_first_token_seconds_bucket{le="+Inf"} 2',
    } <= set(lines)
    named = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(named) == len(set(named))
    for line in lines:
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_the_description_of_the_interface(engine: TorchEngine):
    with serving(lambda: engine) as running:
        document = running.ask("GET", "/openapi.json").json
    operation = document["paths"]["/v1/chat/completions"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schemas = document["components"]["schemas"]
    fields = schemas[reference.rsplit("/", 1)[1]]
    assert fields["additionalProperties"] is False
    assert schemas["RegionContent"]["properties"]["box"]["maxItems"] == 4
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas


# ------------------------------------------------------------------------------------------------ where it listens


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("", False), ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("example.org", False),
        ("localhost.example.org", False), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
    ],
)  # fmt: skip
def test_other_machines_need_a_key(host: str, loopback: bool):
    assert is_loopback(host) is loopback
    check_exposure(host, "a long secret", unprotected=False)
    check_exposure(host, None, unprotected=True)
    if loopback:
        check_exposure(host, None, unprotected=False)
    else:
        with pytest.raises(ServeError, match="lets other machines in"):
            check_exposure(host, None, unprotected=False)
    assert (allowed_hosts(host, None) is None) is not loopback
    assert allowed_hosts(host, "a long secret") is None


@pytest.mark.parametrize("key", ["", "short", "sechs und mehr \xe4", "with\nlines and more"])
def test_keys_that_are_none(key: str):
    with pytest.raises(ServeError, match="at least 8"):
        check_exposure("127.0.0.1", key, unprotected=False)


def test_addresses_that_cannot_be_had():
    with listening("127.0.0.1", 0) as taken, pytest.raises(ServeError, match="cannot listen"):
        listening("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ServeError, match="no address"):
        listening("nowhere.invalid", 0)
