"""One call to an OpenAI-compatible endpoint: sent, repeated with back-off, accounted, kept.

The official client sends; its own retries are off, so that every attempt stands in the ledger. Whatever an endpoint
does (fails, stalls, drips bytes, sends no end, lies about its form), a call ends with a reply, a failure with a reason,
or an exception that ends the run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from chatspot.data.regionchat.ledger import Ledger, Outcome, Reply, Usage, most_of
from chatspot.data.regionchat.settings import ChatSettings
from chatspot.errors import DataError

LONGEST_BODY = 4_000_000  # bytes of a response that are read (our choice: a thousand times a long dialogue)
# The official client stands on httpx up to its version 2 and on httpx2 from version 3; both name their errors alike.
HTTP_ERRORS: tuple[type[Exception], ...] = tuple(
    import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name)
)
SENDING_ERRORS: tuple[type[Exception], ...] = (openai.APIConnectionError, *HTTP_ERRORS)


class Transient(Exception):
    """An attempt failed in a way that may pass. ``reason`` is the failure's code if it does not."""

    def __init__(self, reason: str, detail: str, *, outcome: Outcome, wait_s: float | None = None):
        super().__init__(detail)
        self.reason, self.detail, self.outcome, self.wait_s = reason, detail, outcome, wait_s


class Refused(Exception):
    """The endpoint will never answer this request."""


class CeilingReached(Exception):
    """The next attempt could pass a ceiling."""


class Interrupted(Exception):
    """The run was asked to stop while this call waited."""


@dataclass
class Endpoint:
    """An endpoint in use. ``stop`` ends waiting; ``failures`` counts failed calls in a row."""

    client: openai.AsyncOpenAI
    ledger: Ledger
    settings: ChatSettings
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0

    async def call(self, key: str, body: dict[str, Any]) -> bool:
        """Make the call, unless it has a reply; whether it has one now. A failure is noted in the ledger.

        Raises ``CeilingReached``, ``Interrupted``, or ``DataError`` when no call to this endpoint can succeed.
        """
        if self.ledger.reply(key):
            return True
        self.ledger.plan(key, body)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(self.settings.attempts),
            wait=patience(self.settings.first_wait_s, self.settings.longest_wait_s),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            await retrying(self.attempt, key, body)
        except Transient as error:
            return self.failed(key, error.reason, error.detail)
        except Refused as error:
            return self.failed(key, "bad-request", str(error))
        self.failures = 0
        return True

    def failed(self, key: str, reason: str, detail: str) -> bool:
        """Note a failed call; ``DataError`` when there were too many in a row."""
        self.ledger.fail(key, reason, detail)
        self.failures += 1
        if self.failures >= self.settings.failures_to_stop:
            raise DataError(f"{self.failures} calls in a row failed, the last one with {reason} ({detail}); look at "
                            "the endpoint and start again: replies that came are kept")  # fmt: skip
        return False

    async def sleep(self, seconds: float) -> None:
        """Wait, or raise ``Interrupted`` as soon as the run is asked to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return
        raise Interrupted

    async def attempt(self, key: str, body: dict[str, Any]) -> None:
        """Send the request once."""
        most = most_of(body)
        check_ceilings(self.ledger, self.settings, most)
        number = self.ledger.begin(key, most)
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                raw = await self.sent(key, body)
            reply, usage, note = read_completion(raw, asked_model=str(body["model"]))
        except Transient as error:
            self.ledger.end(number, error.outcome, None, error.reason)
            raise
        except TimeoutError as error:
            self.ledger.end(number, "in doubt", None, "timeout")
            detail = f"no whole answer within {self.settings.timeout_s:g} s"
            raise Transient("timeout", detail, outcome="in doubt") from error
        except (Refused, DataError) as error:
            self.ledger.end(number, "free", None, str(error)[:200])
            raise
        self.ledger.answer(key, number, reply, usage, note)

    async def sent(self, key: str, body: dict[str, Any]) -> bytes:
        """The response's bytes. Raises ``Transient``, ``Refused`` or ``DataError`` for everything but a success."""
        create = self.client.chat.completions.with_streaming_response.create
        try:
            # the header lets an endpoint's own log tell calls apart; OpenAI documents it
            async with create(**body, extra_headers={"X-Client-Request-Id": key}) as response:
                raw = b""
                async for piece in response.iter_bytes():
                    raw += piece
                    if len(raw) > LONGEST_BODY:
                        raise Transient("malformed-reply", f"more than {LONGEST_BODY:,} bytes", outcome="in doubt")
                return raw
        except openai.APIStatusError as error:
            raise refusal_of(error) from error
        except openai.APITimeoutError as error:
            raise Transient("timeout", str(error), outcome="in doubt") from error
        except SENDING_ERRORS as error:
            cause = error.__cause__ or error
            never_sent = type(cause).__name__ in ("ConnectError", "ConnectTimeout")
            detail = f"{type(cause).__name__}: {cause}"[:300]
            raise Transient("connection", detail, outcome="free" if never_sent else "in doubt") from error


def patience(first_wait_s: float, longest_wait_s: float) -> Callable[[RetryCallState], float]:
    """Seconds before the next attempt: what the endpoint asks for, else random and growing, both bounded."""
    growing = wait_random_exponential(multiplier=first_wait_s, max=longest_wait_s)

    def seconds(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_s if isinstance(error, Transient) else None
        return min(asked, longest_wait_s) if asked is not None else growing(state)

    return seconds


def check_ceilings(ledger: Ledger, settings: ChatSettings, most: Usage) -> None:
    """Raise ``CeilingReached`` when what is counted and ``most`` together pass a ceiling."""
    total = ledger.counted + most
    cost = total.cost(settings.input_price, settings.output_price)
    if settings.most_tokens is not None and total.total > settings.most_tokens:
        raise CeilingReached(f"the ceiling of {settings.most_tokens:,} tokens: {ledger.counted.total:,} are counted "
                             f"and the next call may take {most.total:,}")  # fmt: skip
    if settings.most_cost is not None and cost > settings.most_cost:
        raise CeilingReached(f"the ceiling of {settings.most_cost:g} in cost: the next call could bring it to {cost:g}")


def refusal_of(error: openai.APIStatusError) -> DataError | Transient | Refused:
    """What an HTTP error means: the end of the run, another attempt, or the end of the call."""
    status, said = error.status_code, error.message[:300]
    if status in (401, 402, 403, 404) or error.code == "insufficient_quota":
        return DataError(f"the endpoint refuses all calls with HTTP {status} ({said}); check its address, the model's "
                         "name, the key and the account")  # fmt: skip
    if status == 429:
        return Transient("rate-limit", said, outcome="free", wait_s=retry_after_s(error))
    if status in (408, 409, 425) or status >= 500:
        outcome: Outcome = "free" if status == 503 else "in doubt"
        return Transient("server-error", f"HTTP {status}: {said}", outcome=outcome, wait_s=retry_after_s(error))
    return Refused(f"HTTP {status}: {said}")


def retry_after_s(error: openai.APIStatusError) -> float | None:
    """The seconds that the endpoint asks to wait, or None where it does not say them as a plain number."""
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def read_completion(raw: bytes, *, asked_model: str) -> tuple[Reply, Usage | None, str]:
    """Reply, usage and a note from the bytes of a chat completion. Usage is None where the endpoint gives none that can
    be true; the note names another model that answered. Raises ``Transient`` for what is no chat completion."""
    try:
        return completion_of(json.loads(raw), asked_model)
    except (ValueError, RecursionError) as error:
        detail = f"{error}; it begins with {raw[:80]!r}"[:300]
        raise Transient("malformed-reply", detail, outcome="in doubt") from error


def completion_of(value: Any, asked_model: str) -> tuple[Reply, Usage | None, str]:
    """Like ``read_completion``, from the parsed body; ``ValueError`` for what is no chat completion."""
    choices = value.get("choices") if isinstance(value, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ValueError("no choices[0].message")
    content = message.get("content") or message.get("refusal") or ""
    if not isinstance(content, str):
        raise ValueError("the message's content is no text")
    model = value.get("model")
    note = f"answered by {model[:100]}" if isinstance(model, str) and model != asked_model else ""
    return Reply(content, choice.get("finish_reason") == "length"), usage_of(value.get("usage"), content), note


def usage_of(usage: Any, content: str) -> Usage | None:
    """What the endpoint says was used, or None where that cannot be: missing, negative, nothing read, or text written
    without a token."""
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (type(read) is int and type(written) is int and 0 < read < 2**40 and 0 <= written < 2**40):
        return None
    return None if content and not written else Usage(read, written)
