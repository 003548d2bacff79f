"""What the OpenAPI document says about errors, by group of routes, and real answers as examples."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from paywarden.api.problems import MEDIA_TYPE, BodyTooLargeError, UnsupportedMediaTypeError, of_error
from paywarden.kit.errors import (
    AuthenticationError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InvalidFieldError,
    NotFoundError,
    OverloadedError,
    PaymentDeclinedError,
    PaywardenError,
    StateConflictError,
)

PROBLEM_REFERENCE = "#/components/schemas/Problem"
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
_REQUEST_ID = "req_01h455vb4pex5vsknk084sn02q"
_EXAMPLES: Mapping[int, PaywardenError] = {
    400: InvalidFieldError("amount_minor", "must be at least 1"),
    401: AuthenticationError("Send your API key: 'Authorization: Bearer pw_...'."),
    402: PaymentDeclinedError("The provider declined the payment."),
    403: ForbiddenError("This principal does not have the role 'initiate'."),
    404: NotFoundError("There is no such payment."),
    409: StateConflictError("The payment was sent already."),
    413: BodyTooLargeError("A body may have at most 262144 bytes here.", param="body"),
    415: UnsupportedMediaTypeError("Send the body as JSON, with the header Content-Type: application/json."),
    422: IdempotencyKeyReusedError("This Idempotency-Key was used for another request."),
    503: OverloadedError("Please retry with the same key.", retry_after_seconds=1),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of routes that may answer with these statuses."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    # By reference: a model would be compiled again for each status of each route, a second of every start.
    shown = json.loads(bytes(of_error(_REQUEST_ID, _EXAMPLES[status]).body))
    return {
        "description": _TEXTS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM_REFERENCE}, "example": shown}},
    }


@cache
def recorded_answers() -> dict[str, dict[str, Any]]:
    """Real answers by operation id and status, recorded by `tests/doors/test_api_examples.py`."""
    found: dict[str, dict[str, Any]] = json.loads((files("paywarden.api") / "examples.json").read_text("utf-8"))
    return found


READ = problems(400, 401, 403, 404, 503)
WRITE = problems(400, 401, 403, 404, 409, 413, 415, 503)
PAY = problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 503)
HOLD = problems(400, 401, 403, 404, 409, 413, 415, 422, 503)
EVENT = problems(400, 404, 413, 503)
