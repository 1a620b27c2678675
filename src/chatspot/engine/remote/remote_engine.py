"""The engine over a remote server: questions asked side by side in an event loop of its own, on a thread of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Event, Thread
from typing import Any
from urllib.parse import urlsplit

from chatspot.dialects import find_dialect
from chatspot.dialects.frames import FrameKind
from chatspot.engine.interface import Growing, Prepared, Reply, Request
from chatspot.engine.remote.pictures import MOST_PIXELS, SentPictures
from chatspot.engine.remote.speech import OWN_SERVER, DialectSpeech, OwnServerSpeech, Speech
from chatspot.errors import EngineError, MessageError, RegionError
from chatspot.prompts import PromptSettings

try:
    import openai

    from chatspot.engine.remote.asking import CONNECT_S, Answered, Manners, ask
except ModuleNotFoundError as error:
    raise EngineError("misused", f"asking a remote model needs {error.name}, which is not installed: "
                      "pip install 'chatspot[remote]'") from error  # fmt: skip

PARALLEL = 16  # questions asked at a time
DATA_URL = re.compile("(?<=;base64,)[A-Za-z0-9+/=]+")
STEP_S = 0.02  # how long a step of the batch waits for news


@dataclass(frozen=True)
class Question:
    """A prepared request: the body of the call. ``ids`` is empty, for only the server knows its tokens."""

    body: dict[str, Any]
    ids: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The messages as JSON, without the pictures' bytes."""
        return DATA_URL.sub("", json.dumps(self.body["messages"], ensure_ascii=False))


class RemoteAnswer:
    """An answer while it comes (``interface.Growing``). The engine's loop writes it, one other thread reads it."""

    def __init__(self, speech: Speech, request: Request):
        self.speech, self.request = speech, request
        self.raw = ""
        self.said = 0  # characters that ``read`` has given
        self.whole: Reply | None = None
        self.error: EngineError | None = None
        self.asking: Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.whole is not None or self.error is not None

    @property
    def reply(self) -> Reply | None:
        """The whole answer, once it has come; raises the ``EngineError`` where it will not."""
        if self.error is not None:
            raise self.error
        return self.whole

    def read(self) -> str:
        """The settled text that came since the last call."""
        text = self.whole.text if self.whole else self.speech.settled(self.raw)
        piece = text[self.said :]
        self.said += len(piece)
        return piece

    def cancel(self) -> None:
        """Hang up."""
        if self.asking is not None:
            self.asking.cancel()


class RemoteBatch:
    """Questions being asked side by side (``interface.Batch``), at most ``engine.parallel``."""

    def __init__(self, engine: RemoteEngine):
        self.engine = engine
        self.answers: list[RemoteAnswer] = []
        self.seen = 0

    def __len__(self) -> int:
        return len(self.answers)

    def has_room(self, *prepared: Prepared) -> bool:
        """Whether these questions may be asked now."""
        return len(self) + len(prepared) <= self.engine.parallel

    def join(self, prepared: Sequence[Prepared]) -> list[RemoteAnswer]:
        """Begin to ask; nothing is waited for."""
        joined = [self.engine.begin(one) for one in prepared]
        self.answers += joined
        return joined

    def step(self) -> None:
        """Wait until something comes, or a moment."""
        if self.answers:
            self.seen = self.engine.wait_for_news(self.seen, STEP_S)
            self.answers = [answer for answer in self.answers if not answer.ended]

    def leave(self, gone: Collection[Growing]) -> None:
        """Hang up on these."""
        for answer in self.answers:
            if answer in gone:
                answer.cancel()
        self.answers = [answer for answer in self.answers if answer not in gone]


class RemoteEngine:
    """A model behind a server (``interface.Engine``). Greedy: temperature 0 is asked for. ``close`` ends its thread,
    and so does the end of a ``with`` block. Made by ``open_remote``."""

    def __init__(
        self, client: openai.AsyncOpenAI, model: str, speech: Speech, settings: PromptSettings, manners: Manners,
        parallel: int,
    ):  # fmt: skip
        self.client, self.model, self.speech = client, model, speech
        self.settings_in_use, self.manners, self.parallel = settings, manners, parallel
        self.where = f"{model} at {client.base_url.host}:{client.base_url.port or client.base_url.scheme}"
        self.changed = Condition()
        self.news = 0
        started = Event()
        self.thread = Thread(target=lambda: asyncio.run(self.live(started)), name="remote", daemon=True)
        self.thread.start()
        started.wait()

    async def live(self, started: Event) -> None:
        """The thread: its loop, until ``close``."""
        self.loop, self.closing = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        async with self.client:
            await self.closing.wait()
            asking = asyncio.all_tasks() - {asyncio.current_task()}
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    def close(self) -> None:
        """Hang up on everything, and end the thread."""
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.closing.set)
            self.thread.join()

    def __enter__(self) -> RemoteEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The model's name at its server."""
        return self.model

    @property
    def device(self) -> str:
        """Where it computes: "remote"."""
        return "remote"

    @property
    def settings(self) -> PromptSettings:
        """What stands for a prompt's settings: the dialect in the place of the template, the frame in that of the fit;
        the server writes the prompt itself."""
        return self.settings_in_use

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply for each request, in order, asked side by side. Raises the first ``EngineError`` among them
        (``replies`` gives each its own)."""
        found = self.replies(requests)
        for reply in found:
            if isinstance(reply, EngineError):
                raise reply
        return [reply for reply in found if isinstance(reply, Reply)]

    def replies(self, requests: Sequence[Request]) -> list[Reply | EngineError]:
        """One reply or error for each request, in order. Raises ``MessageError`` for a request that has no form in the
        dialect."""
        batch, waiting = self.batch(), deque(enumerate(requests))
        running: dict[int, RemoteAnswer] = {}
        found: dict[int, Reply | EngineError] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.parallel:
                    number, request = waiting.popleft()
                    (running[number],) = batch.join([self.prepare(request)])
                batch.step()
                for number, answer in list(running.items()):
                    if answer.ended:
                        ended = answer.error or answer.whole
                        assert ended is not None
                        found[number] = ended
                        del running[number]
        finally:
            batch.leave(running.values())
        return [found[number] for number in range(len(requests))]

    def stream(self, request: Request) -> Iterator[str]:
        """The answer's text in pieces as it comes. Closing the iterator hangs up."""
        answer, seen = self.begin(self.prepare(request)), 0
        try:
            while not answer.ended:
                seen = self.wait_for_news(seen, STEP_S)
                if piece := answer.read():
                    yield piece
            if answer.reply and (piece := answer.read()):
                yield piece
        finally:
            answer.cancel()

    def prepare(self, request: Request) -> Prepared:
        """The request as the body of a call. Raises ``MessageError`` when the dialect has no form for it."""
        try:
            messages = self.speech.messages(request)
        except RegionError as error:
            raise MessageError(f"this cannot be put to {self.model}: {error}") from error
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": request.max_new_tokens,
            "temperature": 0,
        }
        if self.speech.extra:
            body["extra_body"] = self.speech.extra
        return Prepared(request, Question(body), request.max_new_tokens)

    def batch(self) -> RemoteBatch:
        """An empty batch."""
        return RemoteBatch(self)

    def begin(self, prepared: Prepared) -> RemoteAnswer:
        """Start to ask a prepared question."""
        answer = RemoteAnswer(self.speech, prepared.request)
        answer.asking = asyncio.run_coroutine_threadsafe(self.asked(prepared, answer), self.loop)
        return answer

    async def asked(self, prepared: Prepared, answer: RemoteAnswer) -> None:
        """Ask, and note what comes in ``answer``; in the engine's loop."""

        def took(answered: Answered) -> None:
            answer.raw = answered.text
            self.tell()

        try:
            answered = await ask(self.client, prepared.prompt.body, self.manners, took, self.where)
            text = self.speech.text(answered.text, prepared.request)
            answer.whole = Reply(text, (), None, answered.finish or "end", answered.counted)
        except EngineError as error:
            answer.error = error
        except Exception as error:  # nobody else would ever hear of it
            answer.error = EngineError("broken", f"{self.where}: {type(error).__name__}: {error}")
        finally:
            self.tell()

    def tell(self) -> None:
        """Wake whoever waits for news."""
        with self.changed:
            self.news += 1
            self.changed.notify_all()

    def wait_for_news(self, seen: int, seconds: float) -> int:
        """Wait until there are more news than ``seen``, or so many seconds; how many there are."""
        with self.changed:
            if self.news == seen:
                self.changed.wait(seconds)
            return self.news


def open_remote(
    url: str,
    dialect: str,
    model: str | None = None,
    *,
    api_key: str | None = None,
    frame: FrameKind | None = None,
    blind: bool = False,
    parallel: int = PARALLEL,
    manners: Manners | None = None,
    most_pixels: int = MOST_PIXELS,
) -> RemoteEngine:
    """An engine over the OpenAI-compatible server at ``url`` (with its ``/v1``).

    ``dialect`` is how the model writes regions (``chatspot regions list``), or "chatspot-api" for this project's own
    server; ``frame`` where its numbers count, by default the dialect's usual one. ``model`` None is the only model that
    the server lists. Without an ``api_key`` the word "none" is sent. ``blind`` sends no pictures, for a model that
    reads text alone. ``parallel`` questions are asked at a time. Pictures are sent with at most ``most_pixels``.

    Raises ``RegionError`` for an unknown dialect, or one that has no words for regions, and ``EngineError`` when the
    address is none, or the server cannot be asked for its models.
    """
    speech, settings = speech_of(dialect, frame, blind, most_pixels)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise EngineError("misused", "the server's address should be like http://127.0.0.1:8000/v1, without a name or "
                          f"password, got {parts._replace(netloc=parts.hostname or '').geturl()!r}")  # fmt: skip
    if parallel < 1:
        raise EngineError("misused", f"parallel must be at least 1, got {parallel}")
    manners = manners or Manners()
    given: dict[str, Any] = {
        "base_url": url,
        "api_key": api_key or "none",
        "max_retries": 0,
        "timeout": openai.Timeout(manners.silence_s, connect=min(CONNECT_S, manners.silence_s)),
    }
    if model is None:
        model = only_model(given)
    return RemoteEngine(openai.AsyncOpenAI(**given), model, speech, settings, manners, parallel)


def speech_of(
    dialect: str, frame: FrameKind | None, blind: bool, most_pixels: int
) -> tuple[OwnServerSpeech | DialectSpeech, PromptSettings]:
    """How the model is spoken to, and the settings that say so."""
    if dialect == OWN_SERVER:
        kind: FrameKind = "whole"
        speech: OwnServerSpeech | DialectSpeech = OwnServerSpeech(SentPictures(kind, most_pixels), blind=blind)
    else:
        found = find_dialect(dialect)
        if found.beside is not None:
            raise RegionError(f"{dialect} shows regions beside the text, for which OpenAI's interface has no place; "
                              "choose a dialect that writes them")  # fmt: skip
        kind = frame or found.frames[0]
        if kind not in found.frames:
            raise RegionError(f"{dialect} counts in the frame {' or '.join(found.frames)}, got {kind}")
        speech = DialectSpeech(found, SentPictures(kind, most_pixels), blind=blind)
    shown = "blind" if blind else kind
    return speech, PromptSettings(template=dialect, focal_view=False, spell_quotes=False, image_fit=shown)


def only_model(given: dict[str, Any]) -> str:
    """The name of the only model that the server lists."""
    try:
        with openai.OpenAI(**given) as client:
            names = [str(model.id) for model in client.models.list().data]
    except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:  # the client checks no form
        raise EngineError("unreachable", f"{given['base_url']} cannot be asked for its models ({error}); name one, or "
                          "look at the address and the key") from error  # fmt: skip
    if len(names) != 1:
        listed = ", ".join(names[:10]) or "none"
        raise EngineError("misused", f"{given['base_url']} lists {len(names)} models ({listed}); name the one to ask")
    return names[0]


def key_from_environment(variable: str | None) -> str | None:
    """The key that an environment variable holds; ``EngineError`` when it is not set."""
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise EngineError("misused", f"the environment variable {variable} should hold the server's key, it is not set")
    return os.environ[variable]
