"""What the OpenAPI document says that FastAPI cannot know: the requests are read, and the answers written, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chatspot.serve.protocol import ChatRequest

REFERENCE = "#/components/schemas/{model}"
TEXT, WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}
FAULTS = {
    400: "The request cannot be answered as it is.",
    401: "The API key is missing or wrong.",
    403: "The server was asked under another name.",
    404: "There is no such model or address.",
    405: "The address is not asked so.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is no plain JSON.",
    429: "Too many requests; see Retry-After.",
    502: "The remote model gave no whole answer.",
    503: "The model is being opened or could not be, its server is away or busy, or this one is closing.",
    504: "The answer took too long.",
}


def shape(**fields: Any) -> dict[str, Any]:
    """The schema of an object with exactly these fields."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def array(items: Any) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "items": items}


def reference(name: str) -> dict[str, Any]:
    """A schema by its name."""
    return {"$ref": REFERENCE.format(model=name)}


SHARE = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}
MESSAGE = shape(
    role={"const": "assistant"},
    content=TEXT,
    regions=array(reference("RegionContent")),
    confidence=SHARE,
    sure={"type": ["boolean", "null"]},
    agreement=SHARE,
)
CHOICE = shape(
    index={"const": 0},
    message=MESSAGE,
    finish_reason={"enum": ["stop", "length"]},
    logprobs={"type": "null"},
)
SCHEMAS: dict[str, Any] = {
    "Error": shape(
        error=shape(message=TEXT, type=TEXT, param={"type": ["string", "null"]}, code={"type": ["string", "null"]})
    ),
    "ChatCompletion": shape(
        id=TEXT,
        object={"const": "chat.completion"},
        created=WHOLE,
        model=TEXT,
        choices=array(CHOICE),
        usage=shape(prompt_tokens=WHOLE, completion_tokens=WHOLE, total_tokens=WHOLE),
    ),
    "Model": shape(id=TEXT, object={"const": "model"}, created=WHOLE, owned_by=TEXT),
    "ModelList": shape(object={"const": "list"}, data=array(reference("Model"))),
    "Health": shape(
        status={"enum": ["loading", "ready", "failed", "closing"]}, model={"type": ["string", "null"]}, version=TEXT
    ),
}
CHAT_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": reference("ChatRequest")}}}}


def as_json(name: str) -> dict[str, Any]:
    """JSON content of a schema by its name."""
    return {"application/json": {"schema": reference(name)}}


def responses(content: dict[str, Any], *faults: int) -> dict[int | str, dict[str, Any]]:
    """An address's responses: the ``content`` of 200, and the faults beside those of every address."""
    found: dict[int | str, dict[str, Any]] = {200: {"description": "The answer.", "content": content}}
    for status in (401, 403, *faults):
        found[status] = {"description": FAULTS[status], "content": as_json("Error")}
    return found


CHAT = responses(
    {**as_json("ChatCompletion"), "text/event-stream": {}}, 400, 404, 408, 413, 415, 429, 502, 503, 504
)  # fmt: skip
MODELS = responses(as_json("ModelList"), 503)
MODEL = responses(as_json("Model"), 404, 503)
HEALTH = responses(as_json("Health"))
HEALTH[503] = {"description": "Loading, failed or closing.", "content": as_json("Health")}
METRICS = responses({"text/plain": {"schema": TEXT}})


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with the schemas, and without the errors and the form of errors that are FastAPI's own."""
    for operation in operations(document):
        operation["responses"].pop("422", None)
    request = ChatRequest.model_json_schema(ref_template=REFERENCE)
    parts = {**request.pop("$defs", {}), "ChatRequest": request, **SCHEMAS}
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(parts)
    return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What can be asked, at every address."""
    for methods in document["paths"].values():
        yield from methods.values()
