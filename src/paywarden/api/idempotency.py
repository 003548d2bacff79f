"""The Idempotency-Key header, and the fingerprint that ties a key to one request."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, overload

from fastapi import Depends, Header, Request

from paywarden.api.access import given_headers
from paywarden.api.problems import missing_key
from paywarden.flow.words import IdempotentRequest
from paywarden.kit.canonical import digest
from paywarden.kit.errors import InvalidFieldError

REPLAYED = "Idempotent-Replayed"
_HEADER = "Idempotency-Key"
_RAW_HEADER = _HEADER.lower().encode()
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SCHEMA: dict[str, Any] = {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}


def key_of(request: Request) -> str | None:
    """The key that the request carries, if any. Raises InvalidFieldError."""
    given = given_headers(request, _RAW_HEADER)
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidFieldError(_HEADER, "must be given once, as 1 to 255 visible ASCII characters")
    return given[0]


def required_key_of(request: Request) -> str:
    """The key that the request must carry. Raises IdempotencyKeyMissingError, InvalidFieldError."""
    key = key_of(request)
    if key is None:
        raise missing_key()
    return key


async def optional_key(
    request: Request,
    _: Annotated[
        str | None,
        Header(alias=_HEADER, description="The same for each retry of one request.", json_schema_extra=_SCHEMA),
    ] = None,
) -> str | None:
    return key_of(request)


async def required_key(
    request: Request,
    _: Annotated[
        str,
        Header(
            alias=_HEADER,
            description="New for each request, the same for each retry of it. Kept for 30 days.",
            json_schema_extra=_SCHEMA,
        ),
    ],
) -> str:
    return required_key_of(request)


OptionalKey = Annotated[str | None, Depends(optional_key)]
RequiredKey = Annotated[str, Depends(required_key)]


@overload
async def keyed(request: Request, key: str) -> IdempotentRequest: ...


@overload
async def keyed(request: Request, key: str | None) -> IdempotentRequest | None: ...


async def keyed(request: Request, key: str | None) -> IdempotentRequest | None:
    """The key with the SHA-256 of (method, path, sorted query, canonical body); None without a key.

    To be called when the body is known to be valid, so that what is wrong with it is told by its field.
    """
    if key is None:
        return None
    query = (
        sorted([name, value] for name, value in request.query_params.multi_items())
        if request.scope["query_string"]
        else ()
    )
    return fingerprinted(key, request.method, request.scope["path"], await request.json(), query)


def fingerprinted(key: str, method: str, path: str, body: Any, query: Sequence[list[str]] = ()) -> IdempotentRequest:
    """The key of such a request, wherever it stood."""
    return IdempotentRequest(key, digest([method, path, list(query), body]))
