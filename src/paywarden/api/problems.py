"""Problems (RFC 9457): every error of this door has the same shape, and none repeats what was sent."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from paywarden.kit.errors import IdempotencyKeyMissingError, InternalError, InvalidFieldError, PaywardenError
from paywarden.kit.text import contains_card_number

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "paywarden.request_id"
_LOG = structlog.get_logger(__name__)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_IDEMPOTENCY_HEADER = "idempotency-key"
_WORDS: Mapping[int, tuple[str, str]] = {
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Not possible with this method"),
}
_REASONS: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_unicode": "must not contain lone surrogates",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must look like {pattern}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


class BodyTooLargeError(PaywardenError):
    """The body is longer than this route reads."""

    code, status, title = "body_too_large", 413, "The body is too large"


class UnsupportedMediaTypeError(PaywardenError):
    """The body is declared as something else than JSON."""

    code, status, title = "unsupported_media_type", 415, "The body must be JSON"


class Problem(TypedDict):
    """An error, as RFC 9457 words it. ``code`` is stable; ``param`` names the field at fault."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    param: NotRequired[str]
    request_id: str
    payment: NotRequired[str]
    rule: NotRequired[str]
    candidates: NotRequired[list[str]]


def _content(
    request_id: str,
    status: int,
    code: str,
    title: str,
    detail: str,
    param: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What ``extra`` says besides never replaces a member of the problem itself."""
    content: dict[str, Any] = {
        **(extra or {}),
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    return content if param is None else {**content, "param": param}


def content_of(request_id: str, error: PaywardenError) -> dict[str, Any]:
    """The problem of one of our own errors, for where it is a part of an answer."""
    extra = {name: value for name, value in error.extra.items() if value is not None}
    return _content(request_id, error.status, error.code, error.title, error.detail, error.param, extra)


def of_error(request_id: str, error: PaywardenError) -> JSONResponse:
    """The problem of one of our own errors."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(content_of(request_id, error), error.status, headers=headers, media_type=MEDIA_TYPE)


def of_own(request_id: str, error: PaywardenError) -> JSONResponse:
    """The same for an error that nobody has told yet: a failure of ours also goes to the log."""
    if error.status >= 500 and error.retry_after_seconds is None:
        _LOG.error("request failed", exc_info=error)
    return of_error(request_id, error)


def of_invalid(found: Sequence[Mapping[str, Any]]) -> PaywardenError:
    """What pydantic found wrong, as one of our own errors: the missing key before all else, then the first field."""
    if any(_is_missing_key(each) for each in found):
        return missing_key()
    return InvalidFieldError(_param(found[0]), _reason(found[0]))


def internal(request_id: str) -> JSONResponse:
    """The problem for what should never happen: it says nothing but where to look."""
    return of_error(request_id, InternalError())


def incomplete(request_id: str) -> JSONResponse:
    """The problem for a body that broke off or is not framed as HTTP says; whoever hung up will not read it."""
    return of_error(request_id, InvalidFieldError("body", "must arrive whole"))


def install(app: FastAPI) -> None:
    """Answer every refusal of the framework and of ours as a problem."""
    app.add_exception_handler(PaywardenError, _on_own)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_own(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PaywardenError)  # noqa: S101  registered for it only
    return of_own(request.scope[REQUEST_ID], error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it only
    return of_error(request.scope[REQUEST_ID], of_invalid(error.errors()))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it only
    code, title = _WORDS.get(error.status_code, ("http_error", "The request was refused"))
    shown = _content(request.scope[REQUEST_ID], error.status_code, code, title, f"{title}.")
    return JSONResponse(shown, error.status_code, headers=dict(error.headers or {}), media_type=MEDIA_TYPE)


def missing_key() -> IdempotencyKeyMissingError:
    """A request that moves money came without its Idempotency-Key."""
    return IdempotencyKeyMissingError(
        "Send an Idempotency-Key header that is new for each request and the same for each retry of it.",
        param="Idempotency-Key",
    )


def _is_missing_key(found: Mapping[str, Any]) -> bool:
    location = found["loc"]
    return found["type"] == "missing" and location[0] == "header" and str(location[1]).lower() == _IDEMPOTENCY_HEADER


def _param(found: Mapping[str, Any]) -> str:
    """Where the error is, without the part of the request: ``limits.0.currency``. A hostile name is not repeated."""
    location: Sequence[int | str] = found["loc"]
    name = ".".join(str(part) for part in location[1:])
    if not _PLAIN_NAME.fullmatch(name) or contains_card_number(name):
        return str(location[0])
    return name


def _reason(found: Mapping[str, Any]) -> str:
    """What is wrong, in words that never hold what was sent."""
    known = _REASONS.get(found["type"])
    if known is not None:
        # The context holds what the rule allows, never what was sent.
        return known.format_map(found.get("ctx", {}))
    message = str(found["msg"])
    return message[:1].lower() + message[1:]
