"""Errors as OpenAI words them: a status, and ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from chatspot.errors import EngineError, EngineFault
from chatspot.serve.limits import RETRY_BUSY_S

LONGEST_MESSAGE = 1000  # characters; a message may quote what came


class Refusal(Exception):
    """A request that is not answered, with what its client is told. ``retry_after_s`` where trying again may help."""

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, retry_after_s: int | None = None
    ):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param, self.retry_after_s = param, retry_after_s

    def to_json(self) -> dict[str, Any]:
        """The error's body."""
        message = self.message[:LONGEST_MESSAGE]
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def type(self) -> str:
        """OpenAI's kind of error."""
        kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
        return kinds.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def response(self, *, close: bool = False) -> Response:
        """The whole response; ``close`` ends the connection, for a client whose body was not read to its end."""
        headers = {"connection": "close"} if close else {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Response(as_json(self.to_json()), self.status, headers, media_type="application/json")


class ClientGone(Exception):
    """The client left before it had its answer."""


# What is said when a remote model does not answer: status and code, and words that tell nothing of its server.
REMOTE: dict[EngineFault, tuple[int, str, str]] = {
    "refused": (400, "model_refused", "the model's server refuses this request: it may be too long for the model, or "
                "hold more pictures than it takes"),
    "unreachable": (503, "model_unreachable", "the model's server cannot be reached; try again later"),
    "busy": (503, "model_busy", "the model's server has too much to do; try again later"),
    "late": (504, "timeout", "the model's server took too long"),
    "broken": (502, "model_broken", "the model's server gave no whole answer; this server's log says why"),
    "misused": (502, "model_misused", "the model's server refuses this server; its log says why"),
}  # fmt: skip


def remote_refusal(error: EngineError) -> Refusal:
    """A remote model's failure as it is told to whoever asked."""
    status, code, message = REMOTE[error.fault]
    return Refusal(status, code, message, retry_after_s=RETRY_BUSY_S if status == 503 else None)


def as_json(value: Any) -> bytes:
    """JSON in ASCII: half a surrogate pair, quoted from what a client sent, has no bytes in UTF-8."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
