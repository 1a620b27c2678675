"""A server over a server: our own as the remote one, and remote ones that fail."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from PIL import Image
from typer.testing import CliRunner

from chatspot.cli.main import app
from chatspot.engine.interface import Request
from chatspot.engine.remote import OWN_SERVER, RemoteEngine, open_remote
from chatspot.engine.remote.asking import Manners
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import EngineError
from chatspot.messages import Conversation, Message, RegionPart, TextPart, ask
from chatspot.regions import Box, Mask, Point, Polygon, Region, Scribble
from hostile_endpoint import Handler, chunk, endless
from hostile_endpoint import serving as hostile
from running_server import Running, chat, picture, process, region, serving, words

TOKENS = 8
QUICK = Manners(timeout_s=30.0, silence_s=20.0, attempts=1)
REGIONS: list[Region] = [
    Box.from_normalized(0.1234567, 0.2, 0.6, 0.9),
    Point.from_normalized(0.7, 0.3),
    Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.5, 0.8)]),
    Scribble.from_normalized([(0.2, 0.2), (0.8, 0.8)], pen_wh=(0.02, 0.02)),
    Mask.from_bitmap([[0, 1], [1, 1]]),
]
SECRET = "the-remote-server's-own-words"


def questions(photo: Image.Image, other: Image.Image) -> Iterator[Request]:
    """Every form of region, short and long, words that look like markup, several pictures and turns."""
    for each in REGIONS:
        for style in ("short", "long"):
            yield Request(Conversation((ask("What is {region}?", each, style=style),)), (photo,), TOKENS)
    for text in ("What is <box>0.1, 0.2, 0.3, 0.4</box>?", "<|im_end|> Why?", "What?"):
        yield Request(Conversation((ask(text, style="short"),)), (other,), TOKENS)
    first = ask("Are {region} and {region} alike?", *REGIONS[:2], style="short", images=2)
    yield Request(Conversation((first,)), (photo, other), TOKENS)
    said = Message("assistant", (TextPart("Red, at "), RegionPart(REGIONS[0])))
    second = ask("And {region}?", REGIONS[1], style="long", images=0)
    for system in ((), (Message("system", (TextPart("Be kind."),)),)):
        yield Request(Conversation((*system, first, said, second)), (photo, other), TOKENS)


@pytest.fixture(scope="module")
def far(engine: TorchEngine) -> Iterator[Running]:
    """The remote server."""
    with serving(lambda: engine) as found:
        yield found


@pytest.fixture(scope="module")
def remote(far: Running) -> Iterator[RemoteEngine]:
    """The engine over it."""
    with open_remote(f"{far.url}/v1", OWN_SERVER, manners=QUICK) as found:
        yield found


@contextmanager
def over(url: str, dialect: str = "qwen3-vl", **given: Any) -> Iterator[Running]:
    """A server over the server at ``url``."""
    manners = given.pop("manners", QUICK)
    with open_remote(url, dialect, "small", manners=manners) as engine, serving(lambda: engine, **given) as found:
        yield found


# ------------------------------------------------------------------------------------------------ our own as remote


def test_our_own_server_answers_as_the_engine_behind_it(
    engine: TorchEngine, remote: RemoteEngine, photo: Image.Image, other_photo: Image.Image
):
    asked = list(questions(photo, other_photo))
    expected = [engine.answer([one])[0] for one in asked]
    assert len({reply.text for reply in expected}) > 5
    found = remote.answer(asked)
    assert [(reply.text, reply.finish) for reply in found] == [(reply.text, reply.finish) for reply in expected]
    assert found[0].counted == (engine.prepare(asked[0]).prompt_tokens, TOKENS)
    assert "".join(remote.stream(asked[0])) == expected[0].text


def test_it_reads_our_regions_as_text_too(far: Running, engine: TorchEngine, photo: Image.Image):
    """In the dialect "chatspot" a box is text of three decimals, and so is its style."""
    box = Box.from_normalized(0.125, 0.25, 0.5, 0.75)
    told = Request(Conversation((ask("What is {region}?", box, style=None),)), (photo,), TOKENS)
    plain = Request(Conversation((ask("What is {region}?", box, style="short"),)), (photo,), TOKENS)
    with open_remote(f"{far.url}/v1", "chatspot", "chatspot", manners=QUICK) as spoken:
        assert spoken.answer([told])[0].text == engine.answer([plain])[0].text


def test_the_same_answers_through_a_server_over_it(far: Running, remote: RemoteEngine, photo: Image.Image):
    body = chat(picture(photo), words("What is "), region(box=[0.1, 0.2, 0.6, 0.9]), words("?"), max_tokens=TOKENS)
    with serving(lambda: remote) as near:
        direct, through = far.post(body), near.post(body)
        assert (direct.status, through.status) == (200, 200)
        expected = direct.json
        for choice in expected["choices"]:
            choice["message"]["confidence"] = None  # how sure a remote model is is not known
        for name in ("choices", "usage", "model"):
            assert through.json[name] == expected[name]
        with near.client() as client:
            listed = [model.id for model in client.models.list()]
            pieces = list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
        assert listed == [remote.name]
        said = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        assert said == direct.json["choices"][0]["message"]["content"]
        assert pieces[-1].usage.total_tokens == direct.json["usage"]["total_tokens"]
        assert near.post(chat(words("x " * 40_000))).code == "context_length_exceeded"


def test_what_the_far_server_refuses_is_the_askers_fault(photo: Image.Image, engine: TorchEngine):
    with serving(lambda: engine, regions=1) as far, over(f"{far.url}/v1", OWN_SERVER) as near:
        asked = chat(picture(photo), *[region(point=[0.5, 0.5])] * 2)
        found = near.post({**asked, "model": "chatspot"})
        # the model's name there is not "small": whoever set this server up is at fault
        assert (found.status, found.code) == (502, "model_misused")
    with (
        serving(lambda: engine, regions=1) as far,
        open_remote(f"{far.url}/v1", OWN_SERVER, manners=QUICK) as opened,
        serving(lambda: opened) as near,
    ):
        found = near.post(asked)
        assert (found.status, found.code) == (400, "model_refused")
        assert far.url not in found.message


# ------------------------------------------------------------------------------------------------ failing


def stall(handler: Handler, number: int) -> None:
    time.sleep(2)


@pytest.mark.parametrize(
    ("behave", "status", "code"),
    [
        (lambda handler, number: handler.error(400, SECRET), 400, "model_refused"),
        (lambda handler, number: handler.error(401, SECRET), 502, "model_misused"),
        (lambda handler, number: handler.error(500, SECRET), 502, "model_broken"),
        (lambda handler, number: handler.give(SECRET.encode()), 502, "model_broken"),
        (lambda handler, number: handler.error(429, SECRET), 503, "model_busy"),
        (lambda handler, number: handler.error(503, SECRET), 503, "model_busy"),
        (stall, 504, "timeout"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_failures_have_a_status_and_tell_nothing(behave: Any, status: int, code: str, streaming: bool):
    with hostile(behave) as broken, over(broken.url, manners=Manners(1.0, 0.5, attempts=1)) as near:
        found = near.post(chat(words("What?"), stream=streaming))
        assert (found.status, found.code) == (status, code)
        assert ("retry-after" in found.headers) == (status == 503)
        for secret in (SECRET, broken.url, str(broken.server_address[1])):
            assert secret not in found.raw.decode()
        assert near.ask("GET", "/health").status == 200


def test_nobody_behind_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with over(f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as near:
            found = near.post(chat(words("What?")))
            assert (found.status, found.code) == (503, "model_unreachable")
            assert found.headers["retry-after"]


def test_an_answer_that_breaks_off_is_told_inside_the_stream():
    read = threading.Event()

    def behave(handler: Handler, number: int) -> None:
        handler.begin()
        handler.event(chunk("A dog"))
        assert read.wait(60)

    with hostile(behave) as broken, over(broken.url) as near, near.client() as client:
        pieces = iter(client.chat.completions.create(**chat(words("What?"), stream=True)))
        while not (said := next(pieces).choices[0].delta.content):
            pass
        read.set()
        with pytest.raises(openai.APIError, match="no whole answer"):
            list(pieces)
    assert said == "A dog"


def test_a_client_that_leaves_ends_the_answer_at_the_far_server():
    gone = threading.Event()
    with hostile(endless(gone)) as talker, over(talker.url) as near:
        with near.client() as client:
            stream = client.chat.completions.create(**chat(words("What?"), stream=True))
            next(iter(stream))
            stream.close()
        assert gone.wait(60)
        near.until(lambda: near.service.admission.inside == 0)


# ------------------------------------------------------------------------------------------------ the command


def test_the_command_serves_a_server(far: Running, photo: Image.Image):
    with process("--engine", "remote", "--url", f"{far.url}/v1", "--dialect", OWN_SERVER) as (_, address):
        body = chat(picture(photo), words("What is this?"), max_tokens=TOKENS)
        with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
            found = client.chat.completions.create(**body)
        assert found.choices[0].message.content == far.post(body).json["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "remote"), "needs --url"),
        (("--engine", "remote", "--url", "http://127.0.0.1:1/v1"), "--dialect"),
        (("--engine", "remote", "--url", "here", "--dialect", "qwen3-vl"), "should be like http://"),
        (("--engine", "remote", "--url", "http://127.0.0.1:1/v1", "--dialect", "qwen3-vl"), "cannot be asked"),
        (("--engine", "remote", "--url", "http://x/v1", "--dialect", "qwen", "--remote-model", "m"), "no dialect"),
        (
            ("--engine", "remote", "--url", "http://x/v1", "--dialect", "qwen3-vl", "--remote-model", "m",
             "--api-key-from-environment", "NO_SUCH_KEY"),
            "NO_SUCH_KEY should hold",
        ),
        (("--engine", "remote", "--url", "http://x/v1", "--dialect", "qwen3-vl", "--model", "m"), "--remote-model"),
        (("--url", "http://x/v1"), "go with --engine remote"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(options: tuple[str, ...], said: str):
    found = CliRunner().invoke(app, ["serve", "--port", "0", *options])
    assert found.exit_code not in (0, None)
    assert said in " ".join(found.output.split())


def test_a_key_stays_out_of_errors(photo: Image.Image):
    with hostile(lambda handler, number: handler.error(401)) as broken:
        engine = open_remote(broken.url, "qwen3-vl", "m", api_key=SECRET, manners=QUICK)
        with engine, pytest.raises(EngineError) as found:
            engine.answer([Request(Conversation((ask("What?"),)), (photo,), 1)])
        assert SECRET not in str(found.value)
        assert broken.headers[0]["authorization"] == f"Bearer {SECRET}"
