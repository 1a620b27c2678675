"""The server's addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from chatspot.serve import description
from chatspot.serve.exchange import Exchange
from chatspot.serve.front import CHAT_PATH, Front
from chatspot.serve.refusals import Refusal, as_json
from chatspot.serve.service import ALIAS, Service
from chatspot.serve.static import STATIC, StaticFiles

VERSION = version("chatspot")


def make_app(service: Service) -> FastAPI:
    """The application over a service, which it starts and stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    # docs_url and redoc_url would fetch scripts from elsewhere
    app = FastAPI(
        title="chatspot", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_middleware(Front, service=service)
    app.add_exception_handler(HTTPException, unknown_address)

    @app.post(CHAT_PATH, response_class=Response, responses=description.CHAT, openapi_extra=description.CHAT_BODY)
    async def chat_completions() -> Response:
        """Answer a conversation, at once or as a stream of events."""
        return Exchange(service)

    @app.get("/v1/models", response_class=Response, responses=description.MODELS)
    async def models() -> Response:
        """The model."""
        return json_response({"object": "list", "data": [service.model_card()]})

    @app.get("/v1/models/{name:path}", response_class=Response, responses=description.MODEL)
    async def model(name: str) -> Response:
        """The model, by its name or as "chatspot"."""
        card = service.model_card()
        if name not in (card["id"], ALIAS):
            raise Refusal(404, "model_not_found", f"there is no model {name[:100]!r} here, it is {card['id']!r}")
        return json_response(card)

    @app.get("/health", response_class=Response, responses=description.HEALTH)
    async def health() -> Response:
        """Whether the model is loading, ready or failed, or the server closing; 200 when ready, else 503."""
        state = service.state
        said = {"status": state, "model": service.engine.name if service.engine else None, "version": VERSION}
        return json_response(said, 200 if state == "ready" else 503)

    @app.get("/metrics", response_class=Response, responses=description.METRICS)
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(service.metrics.text(service.gauges()), media_type="text/plain; version=0.0.4")

    files = StaticFiles()

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @app.api_route(STATIC + "{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        found = files.response(request)
        if found is None:
            raise HTTPException(404)
        return found

    generated = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = description.completed(generated())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def json_response(value: dict[str, Any], status: int = 200) -> Response:
    """JSON that nobody may keep."""
    return Response(as_json(value), status, {"cache-control": "no-store"}, media_type="application/json")


async def unknown_address(request: Request, error: Exception) -> Response:
    """An address or a method that is not here, worded like every other error."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    text = f"{request.method} {request.url.path[:200]}: {error.detail}"
    response = Refusal(error.status_code, code, text).response()
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
