"""The OpenAPI document: what the routes say of themselves, and how callers show who they are."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from paywarden.api import documented
from paywarden.api.problems import Problem

VERSION = version("paywarden")
DESCRIPTION = """The pay desk that AI agents must go through.

Amounts are whole minor units of the currency beside them. Whatever moves money takes an `Idempotency-Key`: the same key
never pays twice. Errors are problems (RFC 9457) with a stable `code`. Lists are pages with an opaque cursor."""
_API_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `pw_{env}_{tenant}_{secret}`. The quick start on loopback also works without one.",
}
# What FastAPI says of its own validation answer, which this door never gives.
_NEVER_GIVEN = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Serve the document at ``/openapi.json``, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made["components"]
    components["securitySchemes"] = {"apiKey": _API_KEY}
    for name in _NEVER_GIVEN:
        components["schemas"].pop(name, None)
    components["schemas"][Problem.__name__] = TypeAdapter(Problem).json_schema(mode="serialization")
    for operations in made["paths"].values():
        for operation in operations.values():
            _forget_422(operation["responses"])
            _show_examples(operation)
    return made


def _show_examples(operation: dict[str, Any]) -> None:
    """Put the real answers that were recorded of this operation beside their schemas."""
    for status, answer in documented.recorded_answers().get(operation["operationId"], {}).items():
        for content in operation["responses"][status]["content"].values():
            content["example"] = answer


def _forget_422(responses: dict[str, Any]) -> None:
    """A validation error is a 400 here."""
    refused = responses.get("422", {}).get("content", {}).get("application/json", {})
    if refused.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
