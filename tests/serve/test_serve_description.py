"""The server does what its OpenAPI document says, whatever is asked: schemathesis makes requests from the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from running_server import Running

EXAMPLES = {"POST /v1/chat/completions": 60}
FEW = 5  # examples of an address that reads no body
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def document(running: Running) -> dict[str, Any]:
    """The server's own description."""
    found: dict[str, Any] = running.ask("GET", "/openapi.json").json
    return found


def addresses(document: dict[str, Any]) -> Iterator[Any]:
    """Every operation of the document."""
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        yield found.ok()


def test_every_address_is_described(document: dict[str, Any]):
    assert {operation.label for operation in addresses(document)} == {
        "POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/{name}", "GET /health", "GET /metrics",
    }  # fmt: skip
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "422" not in operation["responses"]
            assert {"200", "401", "403"} <= operation["responses"].keys()


@pytest.mark.parametrize("wrong", [False, True], ids=["as described", "not as described"])
def test_what_is_asked_at_random(running: Running, document: dict[str, Any], wrong: bool):
    mode = schemathesis.GenerationMode.NEGATIVE if wrong else schemathesis.GenerationMode.POSITIVE
    for operation in addresses(document):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES.get(operation.label, FEW),
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Case) -> None:
            if not wrong and isinstance(case.body, dict) and "model" in case.body:
                case.body["model"] = "chatspot"  # the document cannot know it
            case.call_and_validate(base_url=running.url, checks=CHECKS, timeout=60)

        if operation.label in EXAMPLES or not wrong:  # the other addresses read nothing that could be wrong
            check()
    running.until_nothing_is_held()
