"""A remote engine over real HTTP, before servers that answer, fail, stall, break off and lie."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PIL import Image

from chatspot.engine.interface import Engine, Request
from chatspot.errors import EngineError, RegionError
from chatspot.messages import Conversation, ask
from chatspot.regions import Box
from chatspot.spot import ChatSpot
from hostile_endpoint import Handler, Server, chunk, completion, endless, serving

pytest.importorskip("openai", reason="the extra remote is not installed")

from chatspot.engine.remote import RemoteEngine, open_remote
from chatspot.engine.remote.asking import LONGEST_ANSWER, Manners
from chatspot.engine.remote.remote_engine import key_from_environment

QUICK = Manners(timeout_s=20.0, silence_s=10.0, attempts=2)
HASTY = Manners(timeout_s=1.5, silence_s=0.4, attempts=1)
SIZE = (64, 48)
WHOLE = Box.from_normalized(0.25, 0.25, 0.5, 0.75)
Behaviour = Callable[[Handler, int], Any]


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.new("RGB", SIZE, "green")


@pytest.fixture(scope="module")
def asked(image: Image.Image) -> Request:
    return Request(Conversation((ask("What is this?", WHOLE, style="short"),)), (image,), 8)


@contextmanager
def remote(behave: Behaviour, **given: Any) -> Iterator[tuple[RemoteEngine, Server]]:
    """An engine over a server that behaves so."""
    with serving(behave) as server:
        settings = {"model": "small", "manners": QUICK, **given}
        with open_remote(server.url, settings.pop("dialect", "qwen3-vl"), **settings) as engine:
            yield engine, server


def says(*pieces: str, **given: Any) -> Behaviour:
    """A server that streams these pieces."""
    return lambda handler, number: handler.stream(*pieces, **given)


# ------------------------------------------------------------------------------------------------ failing


def hang_up(handler: Handler, number: int) -> None:
    handler.close_connection = True


def stall(handler: Handler, number: int) -> None:
    time.sleep(2.5)


def stall_inside(handler: Handler, number: int) -> None:
    handler.begin()
    handler.event(chunk("It is"))
    time.sleep(2.5)


def drip(handler: Handler, number: int) -> None:
    handler.begin()
    for _ in range(50):
        handler.event(b": wait\n\n")
        time.sleep(0.05)


def drip_words(handler: Handler, number: int) -> None:
    handler.begin()
    for _ in range(50):
        handler.event(chunk("very "))
        time.sleep(0.05)


def for_ever(handler: Handler, number: int) -> None:
    handler.begin()
    while True:
        handler.event(chunk("again " * 2000))


def event(value: Any) -> Behaviour:
    def tell(handler: Handler, number: int) -> None:
        handler.begin()
        handler.event(value)

    return tell


def error(status: int, **headers: str) -> Behaviour:
    return lambda handler, number: handler.error(status, **headers)


@pytest.mark.parametrize(
    ("behave", "fault", "said"),
    [
        (error(400), "refused", "refuses this request"),
        (error(422), "refused", "HTTP 422"),
        (error(401), "misused", "check its address, the model's name, the key"),
        (error(404), "misused", "HTTP 404"),
        (error(429, Retry_After="0"), "busy", "rate-limit"),
        (error(503, Retry_After="0"), "busy", "HTTP 503"),
        (error(500, Retry_After="0"), "broken", "HTTP 500"),
        (hang_up, "unreachable", "connection"),
        (stall, "late", "timeout|no whole answer"),
        (stall_inside, "late", "broke off after 5 characters"),
        (drip, "late", "no whole answer within 1.5 s"),
        (drip_words, "late", "no whole answer within 1.5 s"),
        (lambda handler, number: handler.give(completion("It is a dog.")), "broken", "without saying how"),
        (lambda handler, number: handler.give(b"<html>Welcome</html>"), "broken", "without saying how"),
        (lambda handler, number: handler.give(b""), "broken", "without saying how"),
        (says(done=True, finish=None), "broken", "without saying how"),
        (says("It is a", finish=None), "broken", "broke off after 7 characters"),
        (says("It is a", finish=None, done=False), "broken", "broke off after 7 characters"),
        (says(7), "broken", "no text but int"),  # type: ignore[arg-type]
        (says({"a": 1}), "broken", "no text but dict"),  # type: ignore[arg-type]
        (event({"choices": {"no": "list"}}), "broken", "malformed-reply"),
        (event({"choices": [{"delta": 5}]}), "broken", "malformed-reply"),
        (event([1, 2]), "broken", "malformed-reply"),
        (event(b"data: {half\n\n"), "broken", "malformed-reply"),
        (event(b"data: \xff\xfe\n\n"), "broken", "malformed-reply"),
        (event({"error": {"message": "out of memory", "code": 500}}), "broken", "out of memory"),
        (for_ever, "broken", f"goes on after {LONGEST_ANSWER:,}"),
    ],
)  # fmt: skip
def test_a_server_that_does_not_answer(behave: Behaviour, fault: str, said: str, asked: Request):
    with remote(behave, manners=HASTY) as (engine, server):
        with pytest.raises(EngineError, match=said) as found:
            engine.answer([asked])
        assert found.value.fault == fault
        assert f"small at 127.0.0.1:{server.server_address[1]}" in str(found.value) or "broke off" in str(found.value)


def test_nobody_listens(asked: Request):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with open_remote(url, "qwen3-vl", "small", manners=HASTY) as engine:
            with pytest.raises(EngineError, match="ConnectError") as found:
                list(engine.stream(asked))
            assert found.value.fault == "unreachable"
        with pytest.raises(EngineError, match="cannot be asked for its models"):
            open_remote(url, "qwen3-vl")


@pytest.mark.parametrize(
    "fault", [error(429, Retry_After="0"), error(503, Retry_After="0"), hang_up, says(finish=None)]
)
def test_what_passes_is_tried_again(fault: Behaviour, asked: Request):
    def behave(handler: Handler, number: int) -> None:
        (fault if number == 0 else says("A dog."))(handler, number)

    with remote(behave) as (engine, server):
        assert [reply.text for reply in engine.answer([asked])] == ["A dog."]
        assert len(server.requests) == 2
        assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize("fault", [error(400), error(401), says("It", finish=None)])
def test_what_will_not_pass_is_asked_once(fault: Behaviour, asked: Request):
    with remote(fault) as (engine, server):
        with pytest.raises(EngineError):
            engine.answer([asked])
        assert len(server.requests) == 1


def test_one_failure_among_answers(asked: Request):
    def behave(handler: Handler, number: int) -> None:
        (error(400) if number == 1 else says("A dog."))(handler, number)

    with remote(behave, parallel=1) as (engine, _):
        found = engine.replies([asked, asked, asked])
        assert [getattr(each, "text", "failed") for each in found] == ["A dog.", "failed", "A dog."]


# ------------------------------------------------------------------------------------------------ opening


@pytest.mark.parametrize(
    ("url", "dialect", "given", "said"),
    [
        ("127.0.0.1:8000/v1", "qwen3-vl", {}, "should be like http://"),
        ("file:///etc/passwd", "qwen3-vl", {}, "should be like http://"),
        ("http://me:secret@there/v1", "qwen3-vl", {}, "without a name or password"),
        ("http://there/v1", "qwen3", {}, "did you mean qwen3-vl"),
        ("http://there/v1", "osprey", {}, "beside the text"),
        ("http://there/v1", "qwen3-vl", {"frame": "padded"}, "counts in the frame whole"),
        ("http://there/v1", "qwen3-vl", {"parallel": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_opened(url: str, dialect: str, given: dict[str, Any], said: str):
    with pytest.raises((EngineError, RegionError), match=said) as found:
        open_remote(url, dialect, "small", **given)
    assert "secret" not in str(found.value)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, asked: Request):
    with pytest.raises(EngineError, match="SOME_KEY should hold the server's key"):
        key_from_environment("SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "a long secret")
    assert key_from_environment(None) is None
    with remote(says("A dog."), api_key=key_from_environment("SOME_KEY")) as (engine, server):
        engine.answer([asked])
        assert server.headers[0]["authorization"] == "Bearer a long secret"


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (["a"], None),
        (["a", "b"], r"lists 2 models \(a, b\)"),
        ([], "lists 0 models"),
        (b"<html>", "cannot be asked"),
        (b"", "cannot be asked"),
        (b'{"data": 5}', "cannot be asked"),
        (b'{"data": [5]}', "cannot be asked"),
        (b"[1]", "cannot be asked"),
    ],
)
def test_the_only_model_is_found(listed: Any, said: str | None):
    class Listing(Handler):
        def do_GET(self) -> None:
            models = [{"id": name, "object": "model"} for name in list(listed)]
            self.give(listed if isinstance(listed, bytes) else {"object": "list", "data": models})

    with serving(says("A dog.")) as server:
        server.RequestHandlerClass = Listing
        if said is None:
            with open_remote(server.url, "qwen3-vl") as engine:
                assert engine.name == "a"
        else:
            with pytest.raises(EngineError, match=said):
                open_remote(server.url, "qwen3-vl")


# ------------------------------------------------------------------------------------------------ answering


def test_an_answer(asked: Request):
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}
    with remote(says("A ", "dög", ".", usage=usage)) as (engine, server):
        (reply,) = engine.answer([asked])
        assert (reply.text, reply.finish, reply.counted) == ("A dög.", "end", (30, 4))
        assert (reply.token_ids, reply.logprob) == ((), None)
        assert (engine.name, engine.device, engine.settings.template) == ("small", "remote", "qwen3-vl")
        sent = server.requests[0]
        assert {name: sent[name] for name in ("model", "max_tokens", "temperature", "stream")} == {
            "model": "small", "max_tokens": 8, "temperature": 0, "stream": True,
        }  # fmt: skip
        assert engine.answer([]) == []
        engine_of_the_interface: Engine = engine
        assert engine_of_the_interface is engine


def test_no_usage_and_a_cut_answer(asked: Request):
    with remote(says("A dog and", finish="length", usage={"prompt_tokens": -1, "completion_tokens": 2})) as (engine, _):
        (reply,) = engine.answer([asked])
    assert (reply.finish, reply.counted) == ("length", (0, 0))


def test_python_asks_it_like_any_model(image: Image.Image):
    with remote(says("A dog.")) as (engine, server):
        answer = ChatSpot(engine).ask(image, "What is this?", WHOLE)
        assert (answer.text, answer.confidence) == ("A dog.", None)
        (message,) = server.requests[0]["messages"]
        assert message["content"][1]["text"] == (
            'What is this? {"bbox_2d": [250, 250, 500, 750]} Answer in short.'
        )  # fmt: skip


def test_pieces_come_before_the_end(asked: Request):
    go_on = threading.Event()

    def behave(handler: Handler, number: int) -> None:
        handler.begin()
        handler.event(chunk("A dog"))
        assert go_on.wait(30)
        handler.event(chunk(" there", "stop"))

    with remote(behave) as (engine, _):
        pieces = engine.stream(asked)
        assert next(pieces) == "A dog"
        go_on.set()
        assert list(pieces) == [" there"]


def test_who_stops_reading_hangs_up(asked: Request):
    gone = threading.Event()
    with remote(endless(gone)) as (engine, _):
        pieces = engine.stream(asked)
        next(pieces)
        pieces.close()
        assert gone.wait(30)
        gone.clear()
        batch = engine.batch()
        answers = batch.join([engine.prepare(asked)])
        while not answers[0].raw:
            batch.step()
        batch.leave(answers)
        assert gone.wait(30)
        assert len(batch) == 0


def test_no_more_questions_at_a_time_than_allowed(asked: Request):
    def slow(handler: Handler, number: int) -> None:
        time.sleep(0.05)
        handler.stream(str(number))

    with remote(slow, parallel=3) as (engine, server):
        found = engine.answer([asked] * 9)
        assert sorted(reply.text for reply in found) == sorted(map(str, range(9)))
        assert server.busiest == 3
        batch = engine.batch()
        joined = batch.join([engine.prepare(asked)] * 3)
        assert not batch.has_room(engine.prepare(asked))
        while len(batch):
            batch.step()
        assert all(answer.reply for answer in joined)


def test_closing_ends_what_is_asked(asked: Request):
    with remote(stall) as (engine, _):
        batch = engine.batch()
        batch.join([engine.prepare(asked)])
        engine.close()
        assert not engine.thread.is_alive()
        engine.close()
