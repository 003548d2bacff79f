"""What the OpenAPI document says about errors, by group of routes."""

from typing import Any

from paywarden.api.problems import Problem

_TEXTS = {
    400: "A field is not valid; `param` names it",
    401: "No valid API key",
    402: "Declined by the provider",
    403: "Denied by a rule, or not allowed for this principal",
    404: "Not found",
    409: "Not possible now",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "The idempotency key belongs to another request",
    503: "Overloaded; retry with the same key after `Retry-After` seconds",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of routes that may answer with these statuses."""
    return {status: {"description": _TEXTS[status], "model": Problem} for status in statuses}


READ = problems(400, 401, 403, 404, 503)
WRITE = problems(400, 401, 403, 404, 409, 413, 415, 503)
PAY = problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 503)
EVENT = problems(400, 404, 413, 503)
