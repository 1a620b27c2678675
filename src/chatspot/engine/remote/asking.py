"""One question to the server: sent, repeated with back-off while nothing of an answer has come, read as it streams.

Whatever the server does (fails, stalls, drips, cuts off, lies about its form), a question ends with a reply or an
``EngineError``. An answer counts as whole only when the server says how it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from chatspot.data.regionchat.endpoint import SENDING_ERRORS, Refused, Transient, patience, refusal_of, usage_of
from chatspot.engine.interface import Finish
from chatspot.errors import DataError, EngineError, EngineFault

LONGEST_ANSWER = 200_000  # characters; a server that goes on for ever is left (our choice)
CONNECT_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0  # between attempts
FAULTS: dict[str, EngineFault] = {
    "rate-limit": "busy",
    "timeout": "late",
    "connection": "unreachable",
    "server-error": "broken",
}


@dataclass(frozen=True)
class Manners:
    """How patiently a server is asked. The defaults are our choice.

    ``timeout_s`` bounds a whole answer, attempts included; ``silence_s`` the time until the server sends its next
    bytes; ``attempts`` are made while nothing of an answer has come.
    """

    timeout_s: float = 120.0
    silence_s: float = 60.0
    attempts: int = 4


@dataclass
class Answered:
    """What has come of an answer. ``finish`` is None until the server says how it ended."""

    text: str = ""
    finish: Finish | None = None
    counted: tuple[int, int] = (0, 0)


async def ask(
    client: openai.AsyncOpenAI, body: dict[str, Any], manners: Manners, took: Callable[[Answered], None], where: str
) -> Answered:
    """The whole answer; ``took`` is called with what has come so far, after each piece. ``where`` names the server in
    errors. Raises ``EngineError``."""
    answered = Answered()
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(manners.attempts),
        wait=patience(FIRST_WAIT_S, LONGEST_WAIT_S),
        reraise=True,
    )
    try:
        async with asyncio.timeout(manners.timeout_s):
            await retrying(attempt, client, body, answered, took)
    except TimeoutError as error:
        raise EngineError("late", f"{where} gave no whole answer within {manners.timeout_s:g} s") from error
    except Transient as error:
        overloaded = error.reason == "server-error" and error.outcome == "free"  # HTTP 503
        fault = "busy" if overloaded else FAULTS.get(error.reason, "broken")
        raise EngineError(fault, f"{where} does not answer ({error.reason}): {error.detail}") from error
    except Refused as error:
        raise EngineError("refused", f"{where} refuses this request: {error}") from error
    except DataError as error:
        raise EngineError("misused", f"{where}: {error}") from error
    return answered


async def attempt(
    client: openai.AsyncOpenAI, body: dict[str, Any], answered: Answered, took: Callable[[Answered], None]
) -> None:
    """Send the request once and read its answer into ``answered``. Raises ``Transient`` for what may pass, unless a
    part of the answer has come, and what ``refusal_of`` gives for an HTTP error."""
    try:
        stream = await client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True})
        async with stream:
            async for chunk in stream:
                take(chunk, answered)
                took(answered)
    except openai.APIStatusError as error:
        raise refusal_of(error) from error
    except openai.APITimeoutError as error:
        raise interrupted(answered, "timeout", "it sent nothing for too long") from error
    except SENDING_ERRORS as error:
        cause = error.__cause__ or error
        raise interrupted(answered, "connection", f"{type(cause).__name__}: {cause}"[:300]) from error
    except openai.APIError as error:  # an error told inside the stream
        raise interrupted(answered, "server-error", str(error)[:300]) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # ValueError: no JSON, no UTF-8
        raise interrupted(answered, "malformed-reply", f"its events are no chat completion: {error!r}"[:300]) from error
    if answered.finish is None:
        raise interrupted(answered, "malformed-reply", "its stream ended without saying how the answer ended")


def interrupted(answered: Answered, reason: str, detail: str) -> Exception:
    """What a failure means: another attempt where nothing has come yet, else the end."""
    if not answered.text:
        return Transient(reason, detail, outcome="in doubt")
    fault: EngineFault = "late" if reason == "timeout" else "broken"
    return EngineError(fault, f"the answer broke off after {len(answered.text)} characters ({reason}): {detail}")


def take(chunk: Any, answered: Answered) -> None:
    """Add one event. Raises ``ValueError`` and the like for what is no event of a chat completion: the official client
    does not check what it reads."""
    usage = chunk.usage
    choices = chunk.choices
    if choices:
        choice = choices[0]
        content = choice.delta.content if choice.delta is not None else None
        if content is not None and not isinstance(content, str):
            raise ValueError(f"a piece of the answer is no text but {type(content).__name__}")
        answered.text += content or ""
        if len(answered.text) > LONGEST_ANSWER:
            raise ValueError(f"the answer goes on after {LONGEST_ANSWER:,} characters")
        if choice.finish_reason is not None:
            answered.finish = "length" if choice.finish_reason == "length" else "end"
    if usage is not None:
        told = usage_of(usage.to_dict(), answered.text)
        if told is not None:
            answered.counted = (told.input_tokens, told.output_tokens)
